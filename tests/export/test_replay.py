"""Which trials can be replayed, and what is found, where workers play what was recorded.

That real training comes out the same is seen end to end elsewhere.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import recorded
from optuna.trial import TrialState

from benchmarks.growth import Playback
from pipeline import best
from pipeline.errors import run_command
from pipeline.export import replay
from pipeline.paths import Project
from pipeline.provenance import collect_provenance
from pipeline.storage import study_store
from pipeline.study.trial import Cause
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, Started

PRUNED, FAILED_WITH_EPOCH, STOPPED_EARLY = 10, 6, 5
DATA = "data_fingerprint"


class Workers(Playback):
    """Play the history that is recorded of each trial, or another instead."""

    def __init__(self) -> None:
        super().__init__()
        self.histories: Mapping[int, Mapping[str, Sequence[float]]] = {}
        self.failure: Failed | None = None  # after what is played
        self.jobs: list[Job] = []
        self.stopped: list[int] = []
        self.is_closed = False

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        super().submit(job)

    def stop(self, trial: int) -> None:
        self.stopped.append(trial)
        super().stop(trial)

    def close(self) -> None:
        self.is_closed = True

    def _play(self, job: Job) -> Iterator[Event]:
        yield Started(job.trial)
        history = self.histories[job.trial]
        for epoch in range(1, len(history["loss"]) + 1):
            metrics = {name: values[epoch - 1] for name, values in history.items()}
            yield EpochEnd(job.trial, epoch, {**metrics, "seconds": 99.0}, 7, b"model")
        yield self.failure or Finished(job.trial, {})


@pytest.fixture
def workers(recorded_study: Project, monkeypatch: pytest.MonkeyPatch) -> Workers:
    played = Workers()
    trials = study_store.read_trials(recorded.open_stored(recorded_study).study)
    played.histories = {trial.number: trial.history for trial in trials}
    monkeypatch.setattr(replay, "LocalExecutor", lambda *_, **__: played)
    return played


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on the recorded study, and returns its exit code, stdout and stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["best", recorded.NAME, *arguments])
        code = run_command(best.main)
        said, complaints = capsys.readouterr()
        return code, said, complaints

    return command


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("trial", [0, STOPPED_EARLY, PRUNED, FAILED_WITH_EPOCH])
def test_a_trial_is_trained_as_the_search_did_for_as_long_as_it_came(
    recorded_study: Project, workers: Workers, run: Any, trial: int
) -> None:
    before = contents(recorded_study.root)
    code, said, complaints = run("--replay", str(trial))
    (job,) = workers.jobs
    known = study_store.read_trials(recorded.open_stored(recorded_study).study)[trial]
    n_epochs = "its one epoch" if known.n_epochs == 1 else f"all of {known.n_epochs} epochs"
    assert (code, workers.is_closed) == (0, True)
    assert (job.seed, job.hyperparameters) == (known.seed, known.hyperparameters)
    assert (job.patience, job.to_beat, job.trainer) == (3, None, "keras")
    assert workers.stopped == [trial], "none goes on"
    assert said.startswith(
        f"study recorded: trial {trial} came out the same, bit for bit, in {n_epochs}\n"
        "  compared: loss, accuracy, val_loss, val_accuracy and learning_rate\n"
    )
    assert complaints.startswith(f"training trial {trial} again, for ")
    after = contents(recorded_study.root)
    assert {name for name in after if not name.endswith(".lock")} == before.keys()
    assert all(after[name] == content for name, content in before.items())


def test_what_is_other_than_it_was_is_named(
    recorded_study: Project, workers: Workers, run: Any
) -> None:
    history = workers.histories[PRUNED]
    workers.histories = {PRUNED: {**history, "val_loss": [*history["val_loss"][:-1], 9.0]}}
    now, stored = collect_provenance(), recorded.open_stored(recorded_study).study
    stored.set_user_attr(study_store.VERSIONS, {**now, "version.numpy": "0.1", "machine": "other"})
    code, said, _ = run("--replay", str(PRUNED), "--json")
    found = json.loads(said)
    assert code == 1
    assert (found["same"], found["epochs"], found["epochs_replayed"]) == (False, 4, 4)
    assert found["largest_difference"] == {
        "epoch": 4, "metric": "val_loss", "recorded": history["val_loss"][-1], "replayed": 9.0
    }  # fmt: skip
    assert found["versions"] == {
        "version.numpy": {"recorded": "0.1", "now": now["version.numpy"]},
        "machine": {"recorded": "other", "now": now["machine"]},
    }


def test_one_that_comes_to_fewer_epochs_or_diverges_is_not_the_same(
    workers: Workers, run: Any
) -> None:
    history = workers.histories[0]
    workers.histories = {0: {name: values[:2] for name, values in history.items()}}
    code, said, _ = run("--replay", "0")
    assert (code, "  it ended after epoch 2 of 8 epochs\n" in said) == (1, True)
    workers.failure = Failed(0, "loss became nan in epoch 3", cause=Cause.DIVERGED)
    code, said, _ = run("--replay", "0")
    assert code == 1
    assert "  it ended after epoch 2 of 8 epochs: loss became nan in epoch 3\n" in said


def test_one_that_cannot_be_trained_here_is_an_error(workers: Workers, run: Any) -> None:
    history = workers.histories[0]
    workers.histories = {0: {name: values[:2] for name, values in history.items()}}
    workers.failure = Failed(0, "out of memory", is_transient=True, cause=Cause.TOO_LARGE)
    code, said, complaints = run("--replay", "0")
    assert (code, said, workers.is_closed) == (1, "", True)
    assert complaints.endswith("error: trial 0 cannot be trained again: out of memory\n")


def test_a_metric_that_is_not_measured_any_more_is_named(workers: Workers, run: Any) -> None:
    history = dict(workers.histories[0])
    del history["accuracy"]
    workers.histories = {0: history}
    code, said, _ = run("--replay", "0")
    assert (code, "  not measured any more: accuracy\n" in said) == (1, True)


@pytest.mark.parametrize(
    ("trial", "found"),
    [
        ("17", "found --replay 17, allowed are trials of recorded: 0 to 16"),
        ("-1", "found --replay -1, allowed are trials of recorded: 0 to 16"),
        (str(recorded.INTERRUPTED), "found --replay 4, but trial 4 of recorded was interrupted"),
    ],
)
def test_a_trial_that_is_not_there_is_refused_before_anything_starts(
    workers: Workers, run: Any, trial: str, found: str
) -> None:
    code, said, complaints = run("--replay", trial)
    (line,) = complaints.splitlines()
    assert (code, said, workers.jobs) == (2, "", [])
    assert line.startswith(f"error: {found}")


def test_a_trial_without_an_epoch_or_an_end_is_refused(
    recorded_study: Project, workers: Workers, run: Any
) -> None:
    study = recorded.open_stored(recorded_study).study
    seeded = {"seed": 1, "hyperparameters": None, "reason": "no luck"}
    study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs=seeded))
    study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING))
    code, _, complaints = run("--replay", "17")
    assert code == 2
    assert "trial 17 of recorded has no epoch that could be compared (no luck)" in complaints
    code, _, complaints = run("--replay", "18")
    assert (code, "trial 18 of recorded has not come to its end yet" in complaints) == (2, True)


@pytest.mark.parametrize("flag", [["--rollback"], ["--replay", "0"]])
@pytest.mark.parametrize("other", [["--export"], ["--force"], ["--refit"], ["--ensemble"]])
def test_flags_that_do_not_go_together_are_refused(
    run: Any, capsys: pytest.CaptureFixture[str], flag: list[str], other: list[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(*flag, *other)
    assert refused.value.code == 2
    assert "allowed" in capsys.readouterr().err.splitlines()[-1]
