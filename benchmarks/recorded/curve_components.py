"""Learning curves as a few numbers each, and back.

A metric's values, of all networks and epochs together, become normal scores: whatever their scale,
bounds and skewness, what is drawn from a normal distribution becomes values that are distributed
as the recorded ones. What many share, such as the accuracy of guessing, is shared as often. The
curves of all metrics together then are mixed from their principal components.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

N_COMPONENTS = 4  # more of them are noise
NETWORKS_PER_COMPONENT = 4  # at least
WEIGHT_OF_TRAINING = 0.5  # of metrics of the training part, beside those of the validation part
N_KNOTS = 65  # between 4 standard deviations on either side
BEYOND = 2.0  # scores above the highest, and below the lowest, up to which values are found
SMALLEST = 1e-6  # distance from the bounds of a share, and from 0 of what is positive


class NormalScores:
    """Turns the values of a metric into normal scores, and back.

    Args:
        values: all that are recorded.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._is_positive = bool((values >= 0).all())
        self._is_share = self._is_positive and bool((values <= 1).all())
        ordered = np.sort(self._link(values.ravel()))
        n = len(ordered)
        # few points, between which the map is smooth: else ties would make bends in curves
        ranks = np.concatenate([[0.0], ndtr(np.linspace(-4, 4, N_KNOTS)), [1.0]]) * (n - 1)
        ranks = np.unique(ranks.round().astype(int))
        ordered, scores = ordered[ranks], ndtri((ranks + 0.5) / n)
        # a network may be a little better or worse than all recorded ones
        near = np.interp([scores[0] + 0.5, scores[-1] - 0.5], scores, ordered)
        low, high = 2 * (near[0] - ordered[0]), 2 * (ordered[-1] - near[1])
        self._scores = np.concatenate([[scores[0] - BEYOND], scores, [scores[-1] + BEYOND]])
        self._values = np.concatenate(
            [[ordered[0] - BEYOND * low], ordered, [ordered[-1] + BEYOND * high]]
        )
        unique, which = np.unique(ordered, return_inverse=True)
        self._forth = unique, np.bincount(which, scores) / np.bincount(which)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Turns values into scores; what many share has the middle of its scores."""
        return np.asarray(np.interp(self._link(values), *self._forth))

    def values(self, scores: np.ndarray) -> np.ndarray:
        """Turns scores into values."""
        values = np.interp(scores, self._scores, self._values)
        if self._is_share:
            return np.asarray(1 / (1 + np.exp(-values)))
        return np.asarray(np.exp(values) if self._is_positive else values)

    def _link(self, values: np.ndarray) -> np.ndarray:
        if self._is_share:
            inside = np.clip(values, SMALLEST, 1 - SMALLEST)
            return np.asarray(np.log(inside / (1 - inside)))
        return np.log(np.maximum(values, SMALLEST)) if self._is_positive else values


class Components:
    """The principal components of learning curves.

    Args:
        curves: of each metric, shape (curves, epochs), one curve for each network.
    """

    def __init__(self, curves: Mapping[str, np.ndarray]) -> None:
        self.metrics = tuple(curves)
        self._scores = {name: NormalScores(values) for name, values in curves.items()}
        self._weights = np.array(
            [1.0 if name.startswith("val_") else WEIGHT_OF_TRAINING for name in curves]
        )
        rows = self._rows(curves)
        self._n_epochs = rows.shape[1] // len(self.metrics)
        self.mean = rows.mean(axis=0)
        n = max(min(N_COMPONENTS, len(rows) // NETWORKS_PER_COMPONENT), 1)
        self._basis = np.linalg.svd(rows - self.mean, full_matrices=False)[2][:n]

    def _rows(self, curves: Mapping[str, np.ndarray]) -> np.ndarray:
        scores = [self._scores[name].of(curves[name]) for name in self.metrics]
        return np.hstack([part * w for part, w in zip(scores, self._weights, strict=True)])

    def of(self, curves: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Takes curves apart: how much of each component, and what the components leave.

        Returns:
            Shapes (curves, components) and (curves, metrics * epochs).
        """
        rows = self._rows(curves) - self.mean
        amounts = rows @ self._basis.T
        return amounts, rows - amounts @ self._basis

    def curves(self, amounts: np.ndarray, rest: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
        """Mixes one curve for each metric, shape (epochs,), of amounts, shape (components,)."""
        row = (amounts @ self._basis + self.mean + rest).reshape(-1, self._n_epochs)
        row = row / self._weights[:, None]
        return {
            name: self._scores[name].values(part)
            for name, part in zip(self.metrics, row, strict=True)
        }

    def jumps(self, rests: np.ndarray) -> np.ndarray:
        """Measures how much validation metrics jump from one epoch to the next.

        Args:
            rests: what the components leave, shape (curves, metrics * epochs).

        Returns:
            Root mean squares, shape (curves,).
        """
        validation = [name.startswith("val_") for name in self.metrics]
        steps = np.diff(rests.reshape(len(rests), len(self.metrics), -1)[:, validation], axis=2)
        return np.asarray(np.sqrt((steps**2).mean(axis=(1, 2))))


def padded(values: Sequence[float], n: int) -> list[float]:
    """Goes on with the last value of a curve that ended early, up to `n` epochs."""
    return [*values, *[values[-1]] * (n - len(values))]
