"""How long an epoch of a network takes, foreseen from those of others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROCESS_SECONDS = 0.3  # of a new process; not in any trial's seconds
RIDGE = 0.3  # penalty on weights


@dataclass(frozen=True)
class ForeseenSeconds:
    """Foresees how long epochs take, evenly in the logarithm.

    Attributes:
        weights: of encoded hyperparameters, for the logarithm of the seconds of an epoch.
        overhead: seconds by which the first epoch of a network takes longer than others.
    """

    weights: NDArray[np.float64]
    overhead: float

    @classmethod
    def of(cls, x: NDArray[np.float64], seconds: Sequence[Sequence[float]]) -> "ForeseenSeconds":
        """Learns from networks that have been trained for an epoch at least.

        Args:
            x: encoded hyperparameters, (n, width).
            seconds: of the epochs of each.
        """
        epochs = [float(np.median(each[1:] or each)) for each in seconds]
        more = [each[0] - float(np.median(each[1:])) for each in seconds if len(each) > 1]
        rows = np.column_stack([np.ones(len(x)), x])
        ridge = RIDGE * np.eye(rows.shape[1])
        ridge[0, 0] = 1e-6
        logs = np.log(np.maximum(epochs, 1e-9))
        weights = np.linalg.solve(rows.T @ rows + ridge, rows.T @ logs)
        return cls(weights, max(float(np.median(more)), 0.0) if more else 0.0)

    @property
    def start(self) -> float:
        """Seconds that a beginning costs beside its epochs; so does going on after a pause."""
        return PROCESS_SECONDS + self.overhead

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Foresees the seconds of an epoch, (n,)."""
        return np.asarray(np.exp(np.column_stack([np.ones(len(x)), x]) @ self.weights))
