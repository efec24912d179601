"""Prediction intervals of a regression, from the errors on examples that it was not fitted to."""

import math
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.intervals import Interval
from pipeline.task.task import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95
LEAST = 19  # examples: of fewer, none of their errors bounds 95 % of further ones


def half_width(
    target: Target,
    right: "NDArray[Any]",
    answers: "NDArray[Any]",
    weights: "NDArray[Any] | None" = None,
) -> float | None:
    """Finds how far answers may be off, so that 95 % of further examples lie within.

    Split conformal prediction (Lei et al. 2018, doi:10.1080/01621459.2017.1307116): the
    `ceil(0.95 (n + 1))`-th smallest absolute error. Exact for examples that are exchangeable with
    these, whatever the distribution, as long as the model does not depend on these.

    Args:
        target: says whether errors are of the logarithm.
        right: answers, in units of the target, (n,).
        answers: of the model, likewise, (n,).
        weights: how often each example counts, (n,); None if each counts once.

    Returns:
        In units of the target, or of its logarithm; None if there are too few examples.
    """
    import numpy as np

    seen = [np.asarray(each, np.float64) for each in (right, answers)]
    if target.transform == "log":
        with np.errstate(divide="ignore"):
            seen = [np.log(each) for each in seen]
    return bound(np.abs(seen[0] - seen[1]), weights)


def bound(errors: "NDArray[Any]", weights: "NDArray[Any] | None" = None) -> float | None:
    """Finds what 95 % of further errors do not exceed; None if there are too few.

    Args:
        errors: absolute ones, (n,).
        weights: how often each counts, (n,); None if each counts once.
    """
    import numpy as np

    order = errors.argsort(kind="stable")
    counts = np.ones(len(errors)) if weights is None else np.asarray(weights, np.float64)
    counts = counts / counts.mean()  # so that a further example counts as one
    is_enough = counts[order].cumsum() >= LEVEL * (len(errors) + 1) - 1e-9
    if not is_enough.any():
        return None
    found = float(errors[order][is_enough.argmax()])
    return found if math.isfinite(found) else None


def around(target: Target, value: float, half: float | None) -> Interval | None:
    """Puts an interval around an answer in units of the target; None if none is known.

    Args:
        target: whose value it is.
        value: as it was answered.
        half: by `half_width`.
    """
    if half is None or not math.isfinite(value):
        return None
    if target.transform == "log":
        return Interval(value * math.exp(-half), value * math.exp(min(half, 700.0)))
    return Interval(value - half, value + half)
