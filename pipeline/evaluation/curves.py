"""What several runs of one network tell of the epoch at which it is best."""

import statistics as stats
from collections.abc import Sequence

from pipeline.study.trial import Trial, best_epoch


def best_common_epoch(curves: Sequence[Sequence[float]], direction: str) -> int:
    """Finds the epoch, from 1, at which the mean of runs is best.

    The best epochs of single runs scatter. A run that ended before others counts on with its last
    value.

    Args:
        curves: of the metric, a value for each epoch; at least one of them is not empty.
        direction: "maximize" or "minimize".
    """
    known = [curve for curve in curves if curve]
    n_epochs = max(len(curve) for curve in known)
    means = [stats.fmean(_at(curve, epoch) for curve in known) for epoch in range(n_epochs)]
    return best_epoch(means, direction)


def value_without_luck(run: Trial, others: Sequence[Trial], metric: str, direction: str) -> float:
    """Returns a run's value at the epoch that other runs of its network name as the best.

    The best of its own epochs is so partly by luck with the validation examples: it was chosen by
    what it is measured by. An epoch that others choose was not.

    Args:
        run: that has a value.
        others: runs of the same network.
        metric: name of the study's.
        direction: "maximize" or "minimize".

    Returns:
        Its own value where no curve is known.
    """
    assert run.value is not None
    own = run.history.get(metric, ())
    curves = [curve for each in others if (curve := each.history.get(metric, ()))]
    if not own or not curves:
        return run.value
    return _at(own, best_common_epoch(curves, direction) - 1)


def _at(curve: Sequence[float], epoch: int) -> float:
    """Returns the value of an epoch, from 0, or the last one."""
    return curve[min(epoch, len(curve) - 1)]
