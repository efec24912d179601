"""What a supervisor tells of its trials, whoever writes it down: `RunWriter` does, in MLflow."""

from collections.abc import Mapping
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
        """Creates the run of a trial and returns its id, or "" as long as there is none.

        Args:
            trial: its number.
            hyperparameters: logged by `flat` names, and whole as `hyperparameters.json`; if any.
            params: what else is fixed for the trial, such as the seed.
            tags: what else to search runs by.
        """
        ...

    def log_epoch(self, trial: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Notes the metrics of an epoch; they may be sent later, in batches."""
        ...

    def flush(self) -> None:
        """Sends what was noted, or keeps it on disk: a kill does not lose it any more."""
        ...

    def store_model(self, trial: int, model: bytes) -> None:
        """Keeps the model of a trial that beat the incumbent, as an artifact of its run."""
        ...

    def finish_trial(
        self, trial: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Ends a trial's run: COMPLETE, PRUNED, FAIL, or KILLED if it was interrupted."""
        ...

    def log_incumbent(self, trial: int, metric: str, value: float) -> None:
        """Draws the best value so far over the trials, as a curve of the study's run."""
        ...

    def mend(self, ends: Mapping[int, End]) -> int:
        """Ends runs of trials that a killed supervisor left RUNNING; returns how many.

        Args:
            ends: of trials that came to one, by number; others were interrupted.
        """
        ...
