"""The scale on which a policy compares values of a metric."""

import numpy as np
from scipy.special import ndtri  # `scipy.stats` takes three times as long to import

from pipeline.search.curve_model import Numbers


def standardised(values: Numbers) -> Numbers:
    """Puts values into a scale on which the good ones are apart: mean 0, standard deviation 1.

    It is the mean of two, for neither is best everywhere: of normal scores of the ranks, which
    what is far below cannot stretch, and of the values themselves, none further below the median
    than the best one is above.

    Args:
        values: greater is better, (n,); NaN of what has failed, as bad as the worst.
    """
    known = values[np.isfinite(values)]
    middle, best = float(np.median(known)), float(known.max())
    floor = middle - max(best - middle, 1e-9)
    linear = np.where(np.isfinite(values), np.maximum(values, floor), floor)
    ranks = _ranks(np.where(np.isfinite(values), values, -np.inf))
    scores = ndtri((ranks - 0.5) / len(ranks))
    both = scores + (linear - linear.mean()) / (linear.std() or 1.0)
    return np.asarray((both - both.mean()) / (both.std() or 1.0))


def _ranks(values: Numbers) -> Numbers:
    """Ranks from 1, the least first; of equal values each has the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[which])
