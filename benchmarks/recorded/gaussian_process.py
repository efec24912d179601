"""Gaussian processes with a length scale for each number, and functions drawn from them.

Rasmussen and Williams 2006, chapters 2 and 5; draws from a posterior, Wilson et al. 2020
(arXiv:2002.09309).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

N_FITTED = 200  # networks at most by which a kernel is chosen; more take long and tell little
N_FEATURES = 512  # of the draw from the prior
LENGTH_SCALE, SPREAD = 3.0, 1.0  # of standardised numbers: median and log standard deviation
ROUGHNESS, ROUGHNESS_SPREAD = 0.03, 1.5  # the same
JITTER = 1e-8
N_STEPS = 40


@dataclass(frozen=True)
class Kernel:
    """A Matérn kernel of smoothness 5/2, plus what differs between any two points.

    Attributes:
        length_scales: shape (numbers,).
        variance: of the smooth part.
        roughness: variance of the part that is each point's own.
    """

    length_scales: np.ndarray
    variance: float
    roughness: float


def fit_kernel(
    x: np.ndarray, y: np.ndarray, noise: np.ndarray, length_scales: np.ndarray | None = None
) -> Kernel:
    """Chooses the kernel that is most probable for what was measured.

    Args:
        x: standardised, shape (points, numbers).
        y: of mean 0, shape (points,).
        noise: variance of each measurement, shape (points,).
        length_scales: not to be chosen, shape (numbers,); None if they are.
    """
    x, y, noise = x[:N_FITTED], y[:N_FITTED], noise[:N_FITTED]
    scale = float(y.std()) or 1.0
    y, noise = y / scale, noise / scale**2
    n, d = (len(y), 0 if length_scales is not None else x.shape[1])
    squares = np.ascontiguousarray(((x[:, None] - x) ** 2).transpose(2, 0, 1)).reshape(-1, n * n)
    given = np.zeros(0) if length_scales is None else np.log(length_scales)

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        scales = np.exp(np.concatenate([logs[:d], given]))
        variance, roughness = np.exp(logs[d:])
        distance = np.sqrt(5 * (scales**-2 @ squares)).reshape(n, n)
        decay = np.exp(-distance)
        correlation = (1 + distance + distance**2 / 3) * decay
        covariance = variance * correlation + np.diag(roughness + noise + JITTER)
        inverse = np.linalg.inv(covariance)
        weights = inverse @ y
        outer = (inverse - np.outer(weights, weights)) / 2
        slope = np.empty(d + 2)
        if d:
            inner = (outer * (5 / 3 * variance) * (1 + distance) * decay).ravel()
            slope[:d] = squares @ inner / scales**2
        slope[d] = variance * np.vdot(outer, correlation)
        slope[d + 1] = roughness * np.trace(outer)
        value = (y @ weights + np.linalg.slogdet(covariance)[1]) / 2
        off = (logs[:d] - np.log(LENGTH_SCALE)) / SPREAD
        off_roughness = (logs[d + 1] - np.log(ROUGHNESS)) / ROUGHNESS_SPREAD
        slope[:d] += off / SPREAD
        slope[d + 1] += off_roughness / ROUGHNESS_SPREAD
        return float(value + (off @ off + off_roughness**2) / 2), slope

    start = np.log([*[LENGTH_SCALE] * d, 1.0, ROUGHNESS])
    bounds = [(np.log(0.2), np.log(100.0))] * d + [(np.log(1e-3), np.log(1e3))] * 2
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": N_STEPS}
    ).x
    own = np.exp(found[:d]) if length_scales is None else length_scales
    return Kernel(own, *(scale**2 * np.exp(found[d:])))


class Functions:
    """Some functions of one set of length scales: their posterior means, and one draw of each.

    A draw goes through what was measured, up to noise, and elsewhere differs from the mean as
    much as the truth may: what is best in it is neither as near as the mean would have it, nor
    moved by noise from one point to the next.

    Args:
        kernels: of each function; the length scales are those of the first.
        x: shape (points, numbers).
        y: shape (points, functions).
        noise: variances, shape (points, functions).
        rng: of the draw.
    """

    def __init__(
        self,
        kernels: list[Kernel],
        x: np.ndarray,
        y: np.ndarray,
        noise: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        n, d = x.shape
        self._means = y.mean(axis=0)
        self._variances = np.array([kernel.variance for kernel in kernels])
        self.roughness = np.array([kernel.roughness for kernel in kernels])
        self.length_scales = kernels[0].length_scales
        self._x = x / self.length_scales
        # frequencies of a Matérn kernel are distributed as Student's t with 2 * 5/2 degrees
        stretch = np.sqrt(rng.chisquare(5, N_FEATURES) / 5)
        self._frequencies = rng.standard_normal((d, N_FEATURES)) / stretch
        self._phases = rng.uniform(0, 2 * np.pi, N_FEATURES)
        amplitudes = np.sqrt(2 * self._variances / N_FEATURES)
        self._prior = rng.standard_normal((N_FEATURES, len(kernels))) * amplitudes
        correlations = np.array([_matern_to(row, self._x) for row in self._x])
        drawn = np.cos(self._x @ self._frequencies + self._phases) @ self._prior
        spread = np.sqrt(self.roughness + noise)
        self._weights = np.empty((n, len(kernels)))
        self._weights_of_draw = np.empty((n, len(kernels)))
        self.loo_mean, self.loo_variance = np.empty_like(self._weights), np.empty_like(y)
        for i, variance in enumerate(self._variances):
            covariance = variance * correlations + np.diag(spread[:, i] ** 2 + JITTER)
            inverse = np.linalg.inv(covariance)
            off = y[:, i] - self._means[i]
            noisy = drawn[:, i] + spread[:, i] * rng.standard_normal(n)
            self._weights[:, i] = variance * (inverse @ off)
            self._weights_of_draw[:, i] = variance * (inverse @ (off - noisy))
            self.loo_variance[:, i] = 1 / np.diag(inverse)
            self.loo_mean[:, i] = y[:, i] - (inverse @ off) * self.loo_variance[:, i]

    def mean(self, x: np.ndarray) -> np.ndarray:
        """Predicts at one point, shape (numbers,): the posterior means, shape (functions,)."""
        return np.asarray(
            self._means + _matern_to(x / self.length_scales, self._x) @ self._weights
        )

    def draw(self, x: np.ndarray) -> np.ndarray:
        """Reads the drawn functions at one point, shape (numbers,): shape (functions,)."""
        x = x / self.length_scales
        # threads of BLAS would wait for each other longer than such small products take
        waves = np.cos(np.einsum("i,ij->j", x, self._frequencies) + self._phases)
        off = np.einsum("i,ij->j", waves, self._prior)
        return np.asarray(self._means + off + _matern_to(x, self._x) @ self._weights_of_draw)


def _matern_to(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Correlations of one point with others, shapes (numbers,) and (n, numbers)."""
    off = others - x
    return _matern(np.einsum("ij,ij->i", off, off))


def _matern(squares: np.ndarray) -> np.ndarray:
    """Correlations at squared distances in units of length scales."""
    distances = np.sqrt(5 * squares)
    return np.asarray((1 + distances + distances**2 / 3) * np.exp(-distances))
