"""How long an epoch of a network takes, foreseen from those of others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.search.known_curves import KnownCurve

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
    def of(cls, known: Sequence[KnownCurve]) -> "ForeseenSeconds":
        """Learns from networks that have been trained for an epoch at least."""
        more = [each.first - each.later for each in known if each.n_epochs > 1]
        rows = np.array([[1.0, *each.row] for each in known])
        ridge = RIDGE * np.eye(rows.shape[1])
        ridge[0, 0] = 1e-6
        logs = np.log(np.maximum([each.later for each in known], 1e-9))
        weights = np.linalg.solve(rows.T @ rows + ridge, rows.T @ logs)
        return cls(weights, max(float(np.median(more)), 0.0) if more else 0.0)

    @property
    def start(self) -> float:
        """Seconds that a beginning costs beside its epochs; so does going on after a pause."""
        return PROCESS_SECONDS + self.overhead

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Foresees the seconds of an epoch, (n,)."""
        return np.asarray(np.exp(np.column_stack([np.ones(len(x)), x]) @ self.weights))
