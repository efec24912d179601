"""What a supervisor tells of its trials, whoever writes it down: `RunWriter` does, in MLflow."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from pipeline.study.hyperparameters import Hyperparameters

# State, metrics and tags with which a trial's run ends.
End = tuple[str, Mapping[str, float], Mapping[str, str]]
END_OF_INTERRUPTED: End = ("KILLED", {}, {"interrupted": "true"})
# Status of a run by the state in which its trial ended.
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}


class Tracker(Protocol):
    """Writes down the runs of one study's trials, while they go on and when they end."""

    def start_trial(
        self,
        trial: int,
        hyperparameters: Hyperparameters | None,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> str:
        """Creates the run of a trial and returns the run's id, or "" as long as there is none.

        Args:
            trial: its number.
            hyperparameters: logged by `flat` names, and whole as `hyperparameters.json`; if any.
            params: what else is fixed for the trial, such as the seed.
            tags: what else to search runs by.
        """
        ...

    def log_epoch(self, trial: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Notes the metrics of an epoch, which may be sent later, in batches.

        Args:
            trial: its number.
            epoch: counted from 1.
            metrics: values by name.
        """
        ...

    def flush(self, trial: int | None = None) -> None:
        """Sends what was noted, or keeps that on disk, so that a kill does not lose it.

        Args:
            trial: of which; None of all.
        """
        ...

    def store_model(self, trial: int, model: bytes) -> None:
        """Keeps the model of a trial that is one of the best, as an artifact of its run."""
        ...

    def drop_model(self, trial: int, run: str) -> None:
        """Removes the model of a trial that is none of the best any more.

        Args:
            trial: its number.
            run: its run's id; "" if that is not known yet.
        """
        ...

    def set_paused(self, trial: int, run: str, *, is_paused: bool) -> None:
        """Shows that a trial is paused, or that it goes on.

        Args:
            trial: its number.
            run: its run's id; "" if that is not known yet.
            is_paused: which of both.
        """
        ...

    def finish_trial(
        self, trial: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Ends the run of a trial that came to an end.

        Args:
            trial: its number.
            state: COMPLETE, PRUNED, FAIL, or KILLED if the trial was interrupted.
            metrics: of the trial as a whole, such as its best value.
            tags: what else is known at the end, such as the reason of a failure.
        """
        ...

    def log_incumbent(self, trial: int, metric: str, value: float) -> None:
        """Adds a point to the curve of the best values, in the study's own run.

        Args:
            trial: number of the trial that set a record; the step of the curve.
            metric: the study's.
            value: the trial's, the best so far.
        """
        ...

    def mend(
        self, ends: Mapping[int, End], runs: Mapping[int, str], paused: Collection[int] = ()
    ) -> int:
        """Ends runs of trials that are RUNNING though no trial is; returns how many.

        Args:
            ends: of trials that came to one, by number; others were interrupted.
            runs: of trials, by number, "" of one that is not known: what claims to be another run
                of the same trial is nobody's.
            paused: numbers of trials that are paused, as they are to show.
        """
        ...
