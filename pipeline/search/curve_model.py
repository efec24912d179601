"""A model of learning curves: what a network reaches after how many epochs, and how sure that is.

A Gaussian process over hyperparameters x and the logarithm u of the epoch, as in freeze-thaw
Bayesian optimization (Swersky, Snoek and Adams 2014, arXiv:1406.3896):

    y(x, u) = f(x) + g(x, u) + m(u) + c + d(u) + noise

f and g are smooth in x, the latter and m in u too; c and d(u) belong to one training alone, so
that a curve that has begun says more of its own end than of others. Kernels are Matern's with
nu = 5/2; length scales and variances are those of the greatest posterior density.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Numbers = NDArray[np.float64]
_ROOT = math.sqrt(5.0)
_JITTER = 1e-6
# Of the logarithms of all but the length scales, in the order of `_split`: means and standard
# deviations of their normal priors, for values with a standard deviation of 1.
_MEANS = np.log([0.8, 0.4, 0.4, 0.3, 0.15, 0.1, 0.5])
_SPREADS = np.array([0.7, 0.8, 1.0, 0.8, 0.8, 0.8, 0.5])
_SCALE, _SCALE_SPREAD, _TYPICAL_WIDTH = math.log(0.7), 0.8, 6  # of length scales


@dataclass(frozen=True)
class Points:
    """Points of curves.

    Attributes:
        x: encoded hyperparameters, (n, width).
        u: logarithm of the epoch, from 0 to 1, (n,).
        of: which training it is of: an integer, (n,).
    """

    x: Numbers
    u: Numbers
    of: NDArray[np.int64]

    def __len__(self) -> int:
        """Counts them."""
        return len(self.u)

    def __getitem__(self, chosen: NDArray[np.int64]) -> "Points":
        """Selects some."""
        return Points(self.x[chosen], self.u[chosen], self.of[chosen])


class CurveModel:
    """Learns from points of curves, and foresees others.

    Args:
        width: of encoded hyperparameters.

    Attributes:
        theta: logarithms of length scales and variances, as they were tuned last.
    """

    def __init__(self, width: int) -> None:
        scale = _SCALE + 0.5 * math.log(max(width, 1) / _TYPICAL_WIDTH)
        self._means = np.concatenate([np.full(width, scale), _MEANS])
        self._spreads = np.concatenate([np.full(width, _SCALE_SPREAD), _SPREADS])
        self._width, self.theta = width, self._means.copy()

    def tune(self, points: Points, y: Numbers, n_steps: int = 12) -> None:
        """Finds length scales and variances, from those known so far on.

        Args:
            points: where curves are known.
            y: values there, standardised, (n,).
            n_steps: of L-BFGS, at most.
        """
        found = minimize(
            self._loss,
            self.theta,
            args=(points, y),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": n_steps},
        )
        if np.isfinite(found.x).all():
            self.theta = found.x

    def learn(self, points: Points, y: Numbers) -> None:
        """Takes in what is known; arguments as in `tune`."""
        kernel = self._kernel(points, points)
        kernel[np.diag_indices(len(y))] += self._split()[5] ** 2 + _JITTER
        self._known, self._factor = points, np.linalg.cholesky(kernel)
        self._weights = cho_solve((self._factor, True), y)

    def foresee(self, points: Points) -> tuple[Numbers, Numbers]:
        """Returns means and standard deviations at points, each (n,), without the noise."""
        between = self._kernel(points, self._known)
        explained = solve_triangular(self._factor, between.T, lower=True, check_finite=False)
        variances = (self._split()[:5] ** 2).sum() - (explained**2).sum(axis=0)
        return between @ self._weights, np.sqrt(np.maximum(variances, 1e-9))

    def _split(self) -> Numbers:
        """Gives standard deviations of f, g, m, c, d and noise, and the length scale in u."""
        return np.asarray(np.exp(self.theta[self._width :]))

    def _kernel(self, one: Points, other: Points) -> Numbers:
        return _kernel(self.theta, self._width, one, other)[0]

    def _loss(self, theta: Numbers, points: Points, y: Numbers) -> tuple[float, Numbers]:
        """Returns the negative logarithm of the posterior density, and its gradient."""
        width, n = self._width, len(y)
        f, g, m, c, d, noise, _ = np.exp(theta[width:])
        kernel, distance, in_x, steps, in_u, same = _kernel(theta, width, points, points)
        kernel[np.diag_indices(n)] += noise**2 + _JITTER
        try:
            factor = cho_factor(kernel, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        weights = cho_solve(factor, y)
        slope = cho_solve(factor, np.eye(n)) - np.outer(weights, weights)
        gradient = np.zeros_like(theta)
        along = slope * _falling(distance) * (f**2 + g**2 * in_u)
        scaled = points.x / np.exp(theta[:width])
        gradient[:width] = (along.sum(axis=1)[:, None] * scaled**2).sum(axis=0) - (
            scaled * (along @ scaled)
        ).sum(axis=0)
        slope_in_u = slope * in_u
        falling = steps**2 * _falling(steps) * (g**2 * in_x + m**2 + same * d**2)
        gradient[width:] = [
            (slope * in_x).sum() * f**2,
            (slope_in_u * in_x).sum() * g**2,
            slope_in_u.sum() * m**2,
            (slope * same).sum() * c**2,
            (slope_in_u * same).sum() * d**2,
            np.trace(slope) * noise**2,
            0.5 * (slope * falling).sum(),
        ]
        away = (theta - self._means) / self._spreads
        loss = 0.5 * y @ weights + np.log(np.diag(factor[0])).sum() + 0.5 * (away**2).sum()
        return float(loss), gradient + away / self._spreads


def _kernel(theta: Numbers, width: int, one: Points, other: Points) -> tuple[Numbers, ...]:
    """Returns the covariances, and what their derivatives need."""
    f, g, m, c, d, _, scale = np.exp(theta[width:])
    scales = np.exp(theta[:width])
    a, b = one.x / scales, other.x / scales
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    distance = np.sqrt(np.maximum(squared, 0) + 1e-12)
    steps = np.abs(one.u[:, None] - other.u[None, :]) / scale
    in_x, in_u = _matern(distance), _matern(steps)
    same = (one.of[:, None] == other.of[None, :]).astype(float)
    kernel = f**2 * in_x + g**2 * in_x * in_u + m**2 * in_u + same * (c**2 + d**2 * in_u)
    return kernel, distance, in_x, steps, in_u, same


def _matern(r: Numbers) -> Numbers:
    return np.asarray((1 + _ROOT * r + 5 / 3 * r**2) * np.exp(-_ROOT * r))


def _falling(r: Numbers) -> Numbers:
    """Minus the derivative of `_matern`, divided by r."""
    return np.asarray(5 / 3 * (1 + _ROOT * r) * np.exp(-_ROOT * r))
