"""MLflow out of reach, in every way that a real store can be reached again."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException

from pipeline.errors import PipelineError
from pipeline.outside import Outside
from pipeline.paths import Project
from pipeline.tracking import delivery, reader
from pipeline.tracking.run_writer import RunWriter

CURVE = {"loss": 0.5, "val_accuracy": 0.8}


class Line:
    """Stands between a tracker and its client; may be cut before or after a call arrives."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.is_cut = False
        self.trouble: Exception = MlflowException(
            "API request failed: connection refused\nand more"
        )
        self.lose_answer_to = ""
        self.n_calls_until_cut: int | None = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if self.n_calls_until_cut is not None:
                self.n_calls_until_cut -= 1
                self.is_cut = self.is_cut or self.n_calls_until_cut < 0
            if self.is_cut:
                raise self.trouble
            answer = method(*arguments, **options)
            if name == self.lose_answer_to:
                self.is_cut = True
                raise MlflowException("API request timed out")
            return answer

        return call


def caused_by(cause: Exception) -> MlflowException:
    """An error as MLflow raises it around another."""
    error = MlflowException("not to be had\nand more")
    error.__cause__ = cause
    return error


class Opened:
    """A tracker on a real store, with a line that can be cut."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder)
        self.said: list[str] = []
        self.noted: dict[int, str] = {}
        self.client = delivery.open_client(self.project.mlflow_uri)
        self.line = Line(self.client)
        self.tracker = RunWriter(
            self.line,
            self.project,
            "small",
            self.said.append,
            self.noted.__setitem__,
        )
        self.tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)

    def train(self, trial: int, state: str = "COMPLETE", n_epochs: int = 3) -> None:
        """What a supervisor tells of a trial from its start to its end."""
        run = self.tracker.start_trial(trial, None, {"seed": trial}, {})
        if run:
            self.noted[trial] = run
        for epoch in range(1, n_epochs + 1):
            self.tracker.log_epoch(trial, epoch, CURVE)
        self.tracker.flush()
        self.tracker.store_model(trial, b"model")
        self.tracker.finish_trial(trial, state, {"best_val_accuracy": 0.8}, {})

    def search(self, what: str) -> list[Any]:
        """Runs of the study's experiment, read past the line."""
        experiment = self.client.get_experiment_by_name("small")
        assert experiment is not None
        return list(self.client.search_runs([experiment.experiment_id], what))

    def runs(self) -> dict[int, Any]:
        """Every trial's run, by number of the trial; each number once."""
        found = self.search("tags.trial != ''")
        runs = {int(run.data.tags["trial"]): run for run in found}
        assert len(runs) == len(found), "no trial has two runs"
        return runs

    def assert_whole(self, trial: int, status: str = "FINISHED") -> None:
        """The run of a trial is there with all that was told."""
        run = self.runs()[trial]
        assert run.info.run_id == self.noted[trial]
        assert run.info.status == status
        assert run.data.params["seed"] == str(trial)
        steps = [m.step for m in self.client.get_metric_history(run.info.run_id, "val_accuracy")]
        assert steps == [1, 2, 3]
        assert run.data.metrics["best_val_accuracy"] == 0.8
        artifacts = [each.path for each in self.client.list_artifacts(run.info.run_id)]
        assert artifacts == ["model.keras"]

    @property
    def outbox(self) -> Path:
        return self.project.outbox("small")


@pytest.fixture
def opened(project_with_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    monkeypatch.setattr(delivery, "RETRY_SECONDS", 0.0)
    return Opened(project_with_mlflow)


def test_what_is_told_while_mlflow_is_away_is_sent_when_it_is_back(opened: Opened) -> None:
    opened.train(0)
    opened.line.is_cut = True
    opened.train(1)
    opened.train(2, "PRUNED")
    assert opened.tracker.settle() > 0
    assert sorted(opened.runs()) == [0]
    assert (opened.outbox / "writes.jsonl").is_file()
    opened.line.is_cut = False
    opened.train(3)
    assert opened.tracker.settle() == 0
    assert not opened.outbox.exists()
    for trial in range(4):
        opened.assert_whole(trial)
    assert len(opened.said) == 2
    assert opened.said[0].startswith("MLflow does not answer: what it misses is kept in mlruns")
    assert "\n" not in opened.said[0]
    assert opened.said[1].startswith("MLflow answers")


def test_runs_that_ended_are_not_kept_in_memory(opened: Opened) -> None:
    opened.train(0)
    opened.line.is_cut = True
    opened.train(1)
    opened.line.is_cut = False
    running = opened.tracker.start_trial(2, None, {}, {})
    assert opened.tracker.settle() == 0
    assert opened.tracker._delivery.runs == {2: running}


def test_what_mlflow_refuses_is_said_and_holds_up_nothing_else(opened: Opened) -> None:
    opened.tracker.start_trial(0, None, {"no such name?": 1}, {})
    opened.train(1)
    assert opened.tracker.settle() == 0
    opened.assert_whole(1)
    assert opened.said
    assert all(
        line.startswith("MLflow refuses what it is told of trial 0") for line in opened.said
    )


def test_long_texts_are_shortened_to_what_mlflow_takes(opened: Opened) -> None:
    long = "a" * 30_000
    opened.tracker.start_trial(0, None, {"more": long}, {"name": long})
    opened.tracker.finish_trial(0, "COMPLETE", {}, {"reason": long})
    data = opened.runs()[0].data
    for shortened in (data.params["more"], data.tags["name"], data.tags["reason"]):
        assert shortened.startswith("aaaa")
        assert shortened.endswith("a ...")
    assert not opened.said


def test_runs_are_mended_later_if_what_ends_them_cannot_be_sent(opened: Opened) -> None:
    run = opened.tracker.start_trial(0, None, {}, {})
    searches = opened.client.search_runs
    opened.line.is_cut = True
    opened.tracker.flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Line, "search_runs", searches, raising=False)  # reading goes on
        assert opened.tracker.mend({}, {0: run}) == 1
    assert opened.client.get_run(run).info.status == "RUNNING"
    opened.line.is_cut = False
    assert opened.tracker.settle() == 0
    assert opened.client.get_run(run).info.status == "KILLED"


def test_what_is_not_sent_in_time_is_sent_by_who_opens_the_study_next(
    opened: Opened, project_folder: Path
) -> None:
    opened.line.is_cut = True
    opened.train(0)
    opened.tracker.close_study("FAILED")
    later = Opened(project_folder)
    assert not later.outbox.exists()
    later.assert_whole(0)
    (parent,) = later.search("tags.role = 'study'")
    assert parent.info.status == "RUNNING", "not ended by what was kept"


@pytest.mark.parametrize(
    "call", ["create_run", "log_batch", "log_inputs", "log_artifact", "set_terminated"]
)
def test_a_lost_answer_leads_to_nothing_twice(opened: Opened, call: str) -> None:
    opened.line.lose_answer_to = call
    opened.train(0)
    assert len(opened.said) == 1
    opened.line.lose_answer_to, opened.line.is_cut = "", False
    assert opened.tracker.settle() == 0
    opened.assert_whole(0)


@pytest.mark.parametrize("n_calls", range(1, 8))
def test_a_line_that_is_cut_again_while_it_catches_up_loses_nothing(
    opened: Opened, project_folder: Path, n_calls: int
) -> None:
    opened.line.is_cut = True
    opened.train(0)
    opened.line.is_cut, opened.line.n_calls_until_cut = False, n_calls
    assert opened.tracker.settle() > 0
    later = Opened(project_folder)  # as after a kill: it knows nothing of runs that were created
    later.noted = opened.noted | later.noted
    later.assert_whole(0)


def test_a_run_that_somebody_deleted_does_not_stop_the_others(opened: Opened) -> None:
    run = opened.tracker.start_trial(0, None, {"seed": 0}, {})
    opened.client.delete_run(run)
    opened.tracker.log_epoch(0, 1, CURVE)
    opened.tracker.flush()
    opened.tracker.finish_trial(0, "COMPLETE", {}, {})
    assert all(run in line for line in opened.said)
    assert opened.said
    opened.train(1)
    opened.assert_whole(1)
    assert not opened.outbox.exists()


def test_the_number_of_a_trial_of_a_deleted_study_is_not_mistaken(
    opened: Opened, project_folder: Path
) -> None:
    opened.train(0)
    first = opened.noted[0]
    later = Opened(project_folder)  # Optuna's store is gone, MLflow's is not: 0 comes again
    later.line.is_cut = True
    run = later.tracker.start_trial(0, None, {"seed": 7}, {})
    assert run == ""
    later.line.is_cut = False
    assert later.tracker.settle() == 0
    assert later.noted[0] != first
    assert later.client.get_run(later.noted[0]).data.params["seed"] == "7"


READ_ONLY = sqlite3.OperationalError("attempt to write a readonly database")


@pytest.mark.parametrize(
    ("error", "sentence", "reason"),
    [
        (PermissionError(13, "Permission denied", "/a"), "files cannot be written", "/a: Perm"),
        (OSError(28, "No space left on device"), "files cannot be written", "No space left"),
        (caused_by(READ_ONLY), "database cannot be used", "attempt to write a readonly"),
        (RestException({"error_code": "INTERNAL_ERROR"}), "server answers with an", "INTERNAL"),
        (requests.HTTPError("503", response=requests.Response()), "server answers with an", "503"),
        (caused_by(ConnectionRefusedError(111, "refused")), " does not answer", "not to be had"),
        (requests.ConnectionError("no route"), " does not answer", "no route"),
    ],
)
def test_what_keeps_mlflow_from_taking_a_write_is_called_what_it_is(
    opened: Opened, error: Exception, sentence: str, reason: str
) -> None:
    opened.line.trouble = error
    opened.line.is_cut = True
    opened.train(0)
    (said,) = opened.said
    beginning, _, end = said.partition(": what it misses is kept in mlruns")
    assert beginning.startswith("MLflow")
    assert sentence in beginning
    assert reason in end
    assert opened.tracker.settle() > 0
    assert opened.tracker.trouble == beginning
    opened.line.is_cut = False
    assert opened.tracker.settle() == 0
    assert opened.tracker.trouble == ""
    opened.assert_whole(0)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_model_is_dropped_now_or_when_mlflow_answers(opened: Opened, is_cut: bool) -> None:
    for trial in (0, 1):
        opened.train(trial)
    opened.line.is_cut = is_cut
    opened.tracker.drop_model(0, opened.noted[0])
    opened.tracker.drop_model(0, opened.noted[0])  # which is nothing to it
    opened.line.is_cut = False
    assert opened.tracker.settle() == 0
    left = {
        trial: [each.path for each in opened.client.list_artifacts(run)]
        for trial, run in opened.noted.items()
    }
    assert left == {0: [], 1: ["model.keras"]}
    assert not any("refuses" in line for line in opened.said)


def test_another_trouble_is_said_when_it_comes(opened: Opened) -> None:
    opened.line.is_cut = True
    opened.train(0)
    opened.line.trouble = OSError(28, "No space left on device")
    opened.train(1)
    assert [line.partition(":")[0] for line in opened.said] == [
        "MLflow does not answer",
        "MLflow's files cannot be written",
    ]


def test_a_folder_of_artifacts_that_cannot_be_written(opened: Opened) -> None:
    folder = opened.project.artifacts_dir / "small"
    folder.parent.mkdir(parents=True)
    folder.write_bytes(b"")  # no permission keeps root from writing
    opened.tracker.start_trial(0, None, {"seed": 0}, {})
    opened.tracker.store_model(0, b"model")
    opened.tracker.finish_trial(0, "COMPLETE", {}, {})
    assert opened.said[0].startswith("MLflow's files cannot be written: what it misses")
    assert "Not a directory" in opened.said[0]
    folder.unlink()
    assert opened.tracker.settle() == 0


def test_out_of_reach_is_not_taken_for_no_champion(opened: Opened) -> None:
    project = replace(opened.project, outside=Outside(mlflow=lambda: opened.line))
    assert reader.champion_run(project, "small") is None
    opened.line.is_cut = True
    with pytest.raises(PipelineError, match="connection refused"):
        reader.champion_run(project, "small")


def test_where_the_disk_refuses_too_a_sentence_says_so(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    opened.line.is_cut = True
    monkeypatch.setattr("pipeline.tracking.outbox.Outbox.add", full)
    with pytest.raises(PipelineError, match=r"small\.outbox: cannot be written: No space"):
        opened.tracker.start_trial(0, None, {}, {})


def test_who_may_not_write_any_more_writes_nothing(opened: Opened) -> None:
    """Neither to MLflow nor to what is kept for it."""
    opened.train(0)
    opened.tracker.start_trial(1, None, {}, {})
    may_write = True

    def check() -> None:
        if not may_write:
            raise PipelineError("lost")

    tracker = RunWriter(opened.client, opened.project, "small", check=check)
    tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    tracker.start_trial(2, None, {}, {})
    tracker.log_epoch(2, 1, CURVE)
    before = [repr(run.to_dictionary()) for run in opened.search("")]
    may_write = False
    for write in (
        tracker.flush,
        lambda: tracker.open_study("Others.", {"dataset": "other"}, "1" * 64),
        lambda: tracker.mend({}, {}),
        lambda: tracker.start_trial(3, None, {}, {}),
        lambda: tracker.store_model(2, b"model"),
        lambda: tracker.finish_trial(2, "COMPLETE", CURVE, {}),
        lambda: tracker.close_study("FAILED"),
    ):
        with pytest.raises(PipelineError, match="lost"):
            write()
    assert [repr(run.to_dictionary()) for run in opened.search("")] == before
    assert not opened.outbox.exists()
