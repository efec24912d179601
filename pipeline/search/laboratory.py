"""Searches a study in virtual time: what a policy would find, from learning curves that are given.

The supervisor is the one of real searches, with an executor that replays curves, a store in
memory, and nothing written anywhere. `docs/laboratory.md` has an example.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import optuna

from pipeline.execution.replay import CurvesOf, ReplayExecutor
from pipeline.search.pausing import Pausing
from pipeline.search.progress import SilentProgress
from pipeline.search.supervisor import Supervisor
from pipeline.search.warm_start import WarmStart, of_networks
from pipeline.storage import finals, study_store
from pipeline.storage.paused import Nowhere
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial, is_better
from pipeline.tracking.silent import SilentTracker

LOOK_PART = 0.01  # of a trial's limit: by so much it may be stopped too late


@dataclass(frozen=True)
class VirtualSearch:
    """What came of a search in virtual time.

    Attributes:
        trials: all that ended, by number; also what was tried again, which is `interrupted`.
        moments: by a trial's number, the virtual seconds since the beginning of the search at
            which each of its epochs ended.
        seconds: when the search was over; what ran when the budget was used has ended by then.
    """

    trials: tuple[Trial, ...]
    moments: Mapping[int, tuple[float, ...]]
    seconds: float

    def improvements(self, metric: str, direction: str) -> list[tuple[float, float]]:
        """Lists when a network was better than all before it, and its value.

        Args:
            metric: name of the study's.
            direction: "maximize" or "minimize".

        Returns:
            Pairs of virtual seconds and value, the earliest first.
        """
        heard = sorted(
            (moment, trial.number, value)
            for trial in self.trials
            if trial.hyperparameters and not trial.interrupted
            for moment, value in zip(
                self.moments.get(trial.number, ()), trial.history.get(metric, ()), strict=True
            )
        )
        found: list[tuple[float, float]] = []
        for moment, _, value in heard:
            if is_better(value, found[-1][1] if found else None, direction):
                found.append((moment, value))
        return found


def search_in_virtual_time(
    spec: StudySpec,
    curves: CurvesOf,
    n_workers: int = 2,
    start_seconds: float = 0.0,
    earlier: Sequence[Hyperparameters] | WarmStart = (),
) -> VirtualSearch:
    """Searches a study with curves in the place of training; no data are read.

    Args:
        spec: the study file.
        curves: of a network and the seed of its training: `Curves`, or a mapping such as
            `{"val_accuracy": [...], "seconds": [...]}`.
        n_workers: how many trials run at a time.
        start_seconds: virtual ones, for which a trial's process takes to start.
        earlier: networks of whatever space, the best first, from which the search starts; or
            those that were chosen for it.

    Raises:
        UsageError: what stands for curves is none, or the study's sampler or pruner cannot do it.
        PipelineError: too many trials failed in a row.
    """
    study = optuna.create_study(direction=spec.direction)
    study.set_user_attr(study_store.N_MODELS, study_store.N_MODELS_OF_NEW)
    finals.note_due(study, spec, is_new=True)
    start = earlier if isinstance(earlier, WarmStart) else of_networks(spec, earlier)
    study_store.note_earlier(study, start.networks)
    look_seconds = LOOK_PART * 60 * spec.training.trial_minutes
    executor = ReplayExecutor(curves, n_workers, start_seconds, look_seconds)
    tracker = _NotedMoments(executor)
    pausing = Pausing.of(study, spec, _Remembered())
    Supervisor(
        spec, study, executor, tracker, SilentProgress(), executor.clock, pausing=pausing
    ).run()
    moments = {trial: tuple(each) for trial, each in tracker.moments.items()}
    return VirtualSearch(tuple(study_store.read_trials(study)), moments, executor.clock())


class _Remembered(Nowhere):
    """Stands for the files of paused trials: the executor remembers their states itself."""

    def __init__(self) -> None:
        self._models: dict[int, bytes | None] = {}  # the last one of each trial

    def folder_of(self, trial: int, epochs: Collection[int]) -> str:
        return "remembered"

    def has(self, trial: int, epoch: int) -> bool:
        return epoch > 0

    def keep(self, trial: int, epoch: int, model: bytes | None) -> None:
        self._models[trial] = model

    def model(self, trial: int, epoch: int) -> bytes | None:
        return self._models.get(trial)

    def remove(self, trial: int, but: int = 0) -> None:
        if not but:
            self._models.pop(trial, None)


class _NotedMoments(SilentTracker):
    """Notes when a supervisor hears of each epoch."""

    def __init__(self, executor: ReplayExecutor) -> None:
        self.moments: defaultdict[int, list[float]] = defaultdict(list)
        self._clock = executor.clock

    def log_epoch(self, trial: int, epoch: int, metrics: Mapping[str, float]) -> None:
        self.moments[trial].append(self._clock())
