"""A search without training: an executor that plays a script, a tracker that keeps a list."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from benchmarks.growth import Playback
from pipeline.names import state_file
from pipeline.search import samplers
from pipeline.search.snapshot import Snapshot
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import finals, study_store
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.load import parse
from pipeline.study.spec import StudySpec
from pipeline.study.trial import is_better, select_counted
from pipeline.tracking.tracker import END_OF_INTERRUPTED, End
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, Lost, Started

Curve = list[float]
# Values of the metric, or why there are none, or values and what comes after them.
Script = Callable[[Job], Curve | str | Failed | tuple[Curve, Failed | Lost]]

REFERENCE = {
    "hidden_layers": 1,
    "units": [100],
    "optimizer": "adam",
    "learning_rate": 0.001,
    "batch_size": 32,
    "epochs": 3,
}


class Killed(BaseException):
    """Stands for SIGKILL: whatever was going on does not go on."""


class ScriptedExecutor(Playback):
    """Plays a list of metric values for each job, or a reason why it fails, or both."""

    def __init__(self, script: Script, n_workers: int = 1) -> None:
        super().__init__()
        self.n_workers = n_workers
        self.jobs: list[Job] = []
        self.stopped: list[int] = []
        self.on_events: Callable[[], None] = lambda: None
        self.reached: set[tuple[int, int]] = set()  # trial and epoch of each state that is left
        self._script = script

    def submit(self, job: Job) -> None:
        assert len(self._playing) < self.n_workers, "more jobs than workers"
        self.jobs.append(job)
        super().submit(job)

    def events(self, timeout_seconds: float) -> list[Event]:
        assert timeout_seconds > 0
        self.on_events()
        return super().events(timeout_seconds)

    def stop(self, trial: int) -> None:
        self.stopped.append(trial)
        super().stop(trial)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        raise NotImplementedError

    def _play(self, job: Job) -> Iterator[Event]:
        yield Started(job.trial)
        script = self._script(job)
        if isinstance(script, str):
            script = Failed(job.trial, script)
        if isinstance(script, Failed):
            yield script
            return
        script, failure = script if isinstance(script, tuple) else (script, None)
        best, goes_on_after = job.to_beat, job.goes_on_after
        if (job.trial, goes_on_after) not in self.reached:
            goes_on_after = 0
        for epoch, value in enumerate(script, start=1):
            if epoch <= goes_on_after:
                continue
            if epoch in job.rungs:
                self.leave_state(job, epoch)
            model = None
            if is_better(value, best, job.direction):
                best, model = value, str(value).encode()
            metrics = {"loss": 1 - value, job.metric: value, "seconds": 1.0}
            yield EpochEnd(job.trial, epoch, metrics, n_parameters=7, model=model)
        yield failure or Finished(job.trial, scores={})

    def leave_state(self, job: Job, epoch: int) -> None:
        """Leaves the state of a training, as if it did."""
        self.reached.add((job.trial, epoch))
        if Path(job.state_folder).is_dir():
            (Path(job.state_folder) / state_file(job.trial, epoch)).touch()


class ListTracker:
    """Keeps runs in memory; may be killed at any of its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status: dict[str, str] = {}
        self.curves: dict[str, list[int]] = {}
        self.models: dict[str, bytes] = {}
        self.trial_of: dict[str, int] = {}
        self.reasons: dict[str, str] = {}
        self.records: list[float] = []
        self.kill_at: int | None = None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.kill_at:
            raise Killed

    def start_trial(self, trial: int, *_: Any, **__: Any) -> str:
        self._called("start_trial")
        run = f"run {len(self.status)}"
        self.status[run], self.trial_of[run] = "RUNNING", trial
        self.curves[run] = []
        return run

    def run_of(self, trial: int) -> str:
        (run,) = (run for run, number in self.trial_of.items() if number == trial)
        return run

    def log_epoch(self, trial: int, epoch: int, metrics: Mapping[str, float]) -> None:
        self._called("log_epoch")
        self.curves[self.run_of(trial)].append(epoch)

    def flush(self, trial: int | None = None) -> None:
        self._called("flush")

    def store_model(self, trial: int, model: bytes) -> None:
        self._called("store_model")
        self.models[self.run_of(trial)] = model

    def drop_model(self, trial: int, run: str) -> None:
        self._called("drop_model")
        assert run in ("", self.run_of(trial))
        self.models.pop(self.run_of(trial), None)

    def set_paused(self, trial: int, run: str, *, is_paused: bool) -> None:
        self._called("set_paused")
        assert run == self.run_of(trial)
        self.status[run] = "PAUSED" if is_paused else "RUNNING"

    def finish_trial(
        self, trial: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        self._called("finish_trial")
        self.status[self.run_of(trial)] = state
        self.reasons[self.run_of(trial)] = tags.get("reason", "")

    def log_incumbent(self, trial: int, metric: str, value: float) -> None:
        self.records.append(value)

    def mend(
        self, ends: Mapping[int, End], runs: Mapping[int, str], paused: Collection[int] = ()
    ) -> int:
        left = [
            run
            for run, status in self.status.items()
            if status == "RUNNING" or (status == "PAUSED" and self.trial_of[run] not in paused)
        ]
        for run in left:
            trial = self.trial_of[run]
            assert runs.get(trial, "") in ("", run)
            if trial in paused:
                self.status[run] = "PAUSED"
                continue
            self.status[run] = ends.get(trial, END_OF_INTERRUPTED)[0]
        return len(left)


class SilentProgress:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.snapshots: list[Snapshot] = []

    is_due = True

    def update(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def say(self, line: str, *, may_be_cut: bool = False) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


def make_spec(**changes: Any) -> StudySpec:
    content: dict[str, Any] = {
        "goal": "test",
        "dataset": "fashion_mnist",
        "budget": {"trials": 6},
        "sampler": {"type": "TPESampler", "n_startup_trials": 3, "group": True, "seed": 5},
        "pruner": {"type": "NopPruner"},
        "fixed": {"batch_size": 32, "epochs": 3, "optimizer": "adam"},
        "space": {
            "hidden_layers": {"type": "int", "low": 0, "high": 2},
            "units": {"type": "int", "low": 8, "high": 64, "per": "hidden_layers"},
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        },
    }
    return parse("scripted", {**content, **changes})


def make_study(spec: StudySpec) -> optuna.Study:
    study = optuna.create_study(direction=spec.direction)
    study.pruner = samplers.build_pruner(spec.pruner, samplers.most_epochs(spec))
    finals.note_due(study, spec, is_new=False)
    return study


def steady(job: Job) -> list[float]:
    """A curve that depends on nothing but the hyperparameters."""
    assert job.hyperparameters
    best = 0.9 - 0.01 * abs(job.hyperparameters.learning_rate - 0.01) ** 0.5
    return [best - 0.1, best, best - 0.05]


def search(
    spec: StudySpec,
    study: optuna.Study,
    executor: ScriptedExecutor,
    tracker: ListTracker | None = None,
) -> SearchEnd:
    return Supervisor(spec, study, executor, tracker or ListTracker(), SilentProgress()).run()


def asked(study: optuna.Study) -> list[tuple[Hyperparameters | None, int | None]]:
    """Hyperparameters and seed of the trials that count, in the order of their ends."""
    return [(t.hyperparameters, t.seed) for t in select_counted(study_store.read_trials(study))]


def n_running(study: optuna.Study) -> int:
    return len(study.get_trials(states=(TrialState.RUNNING,)))
