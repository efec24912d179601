"""A 95 % interval of a metric on the examples on which it was measured, by resampling these."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_DRAWS = 1_000


def interval(
    value_of: "Callable[[NDArray[Any]], float]",
    n: int,
    weights: "NDArray[Any] | None" = None,
    groups: "NDArray[Any] | None" = None,
) -> Interval | None:
    """Computes the percentile bootstrap's 95 % interval (Efron and Tibshirani 1993, chapter 13).

    Examples are drawn with replacement, each with its weight; where they come in groups, groups
    are drawn whole, since examples of one group err alike.

    Args:
        value_of: computes the metric with weights of the examples, (n,).
        n: number of examples.
        weights: of the examples, (n,); None if all are 1.
        groups: numbers of each example's, (n,); None if they err independently.

    Returns:
        What lies between the quantiles of `N_DRAWS` draws, the same at each call. None if draws
        do not differ, as where all answers are right: they cannot tell of an error that they have
        not seen; or if most of them leave the metric undefined.
    """
    import numpy as np

    random = np.random.default_rng(0)
    known = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = int(units.max(initial=-1)) + 1
    if n_units < 2:
        return None
    found = []
    for _ in range(N_DRAWS):
        drawn = (
            known * np.bincount(random.integers(n_units, size=n_units), minlength=n_units)[units]
        )
        if drawn.any():
            found.append(value_of(drawn))
    finite = np.array(found)[np.isfinite(found)]
    if 2 * len(finite) < N_DRAWS or finite.min() == finite.max():
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return Interval(float(low), float(high))
