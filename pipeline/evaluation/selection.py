"""Which models to average: greedy selection, and what the average is better by."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.intervals import Interval
from pipeline.study.trial import is_better

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PICKS = 30
N_DRAWS = 1_000


def choose(
    answers: "Sequence[NDArray[Any]]",
    value_of: "Callable[[NDArray[Any]], float]",
    direction: str,
) -> tuple[int, ...]:
    """Chooses models whose mean answer is best, one after the other; a model may come again.

    Greedy selection with replacement (Caruana et al. 2004, Ensemble selection from libraries of
    models, ICML): each pick is the model that makes the mean of all picks best, and what counts
    in the end is the shortest row of first picks with the best mean. The first pick is the best
    model, so that no mean is worse than that on the examples on which it was chosen.

    Args:
        answers: of each model to the same examples, of one shape.
        value_of: computes the metric of answers.
        direction: "maximize" or "minimize".

    Returns:
        Indices of the models, as often as each was picked.
    """
    total: Any = 0.0
    picks: list[int] = []
    best: float | None = None
    n_best = 0
    for n in range(1, MOST_PICKS + 1):
        value: float | None = None
        pick = 0
        for i, each in enumerate(answers):
            found = value_of((total + each) / n)
            if math.isfinite(found) and is_better(found, value, direction):
                value, pick = found, i
        if value is None:
            break
        total = total + answers[pick]
        picks.append(pick)
        if is_better(value, best, direction):
            best, n_best = value, n
    return tuple(picks[:n_best])


def paired_difference(
    value_of: "Callable[[NDArray[Any], NDArray[Any]], float]",
    first: "NDArray[Any]",
    second: "NDArray[Any]",
    weights: "NDArray[Any] | None" = None,
) -> Interval:
    """Bootstraps the difference of a metric of two models that answer the same examples.

    Args:
        value_of: computes the metric of answers with weights of the examples, (n,).
        first: answers of the one, (n, ...).
        second: answers of the other, which are subtracted.
        weights: of the examples, (n,); None if all are 1.

    Returns:
        The 95 % interval, between quantiles of `N_DRAWS` draws of the examples.
    """
    import numpy as np

    random, n = np.random.default_rng(0), len(first)
    known = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    differences = []
    for _ in range(N_DRAWS):
        drawn = known * np.bincount(random.integers(n, size=n), minlength=n)
        differences.append(value_of(first, drawn) - value_of(second, drawn))
    low, high = np.percentile(differences, [2.5, 97.5])
    return Interval(float(low), float(high))
