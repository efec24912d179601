"""A tracker that writes nothing, for searches of which no run is kept."""

from collections.abc import Collection, Mapping
from typing import Any

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.tracking.tracker import End


class SilentTracker:
    """Takes what a supervisor tells of its trials, as `Tracker` says, and keeps none of it."""

    def start_trial(
        self,
        trial: int,
        hyperparameters: Hyperparameters | None,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> str:
        """Creates no run, and returns ""."""
        return ""

    def log_epoch(self, trial: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Does nothing."""

    def flush(self, trial: int | None = None) -> None:
        """Does nothing."""

    def store_model(self, trial: int, model: bytes) -> None:
        """Does nothing."""

    def drop_model(self, trial: int, run: str) -> None:
        """Does nothing."""

    def set_paused(self, trial: int, run: str, *, is_paused: bool) -> None:
        """Does nothing."""

    def finish_trial(
        self, trial: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Does nothing."""

    def log_incumbent(self, trial: int, metric: str, value: float) -> None:
        """Does nothing."""

    def mend(
        self, ends: Mapping[int, End], runs: Mapping[int, str], paused: Collection[int] = ()
    ) -> int:
        """Finds no run to mend."""
        return 0
