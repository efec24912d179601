"""What MLflow should hold of a trial that came to an end, as Optuna has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial
from pipeline.tracking.tracker import END_OF_INTERRUPTED, STATUS, End


@dataclass(frozen=True)
class RunRecord:
    """The run that a trial ought to have.

    Attributes:
        state: of the trial, as the run's tag has it.
        statuses: those in which the run may have ended; the first is the one that is written.
        n_epochs: number of epochs with a value of the study's metric.
        has_best: whether the metric's best value is logged at its end.
        params: what is fixed for the trial besides its hyperparameters; none of one that was
            interrupted, whose run may have been left without.
        end: state, metrics and tags with which the run ends.
    """

    state: str
    statuses: tuple[str, ...]
    n_epochs: int
    has_best: bool
    params: Mapping[str, Any]
    end: End

    @classmethod
    def of(cls, trial: Trial, spec: StudySpec) -> Self:
        """Derives the record of a trial; of one that was interrupted Optuna holds no curves."""
        if trial.interrupted:
            # one that was stopped was KILLED, one that is tried again has FAILED
            return cls(trial.state, ("KILLED", "FAILED"), 0, False, {}, END_OF_INTERRUPTED)
        end = trial.end(spec.metric)
        return cls(
            state=trial.state,
            statuses=(STATUS[trial.state],),
            n_epochs=len(trial.history.get(spec.metric, ())),
            has_best=f"best_{spec.metric}" in end[1],
            params={"seed": trial.seed, "dataset": spec.dataset},
            end=end,
        )
