"""How much of its time a search had used when a trial ended."""

import math
from collections.abc import Sequence
from itertools import pairwise

from pipeline.study.trial import Trial


def minutes_used(trials: Sequence[Trial], minutes: float) -> dict[int, float]:
    """Estimates how many minutes a search had used when each of its trials ended, by number.

    A store has the moments at which trials ended and the time used in all, in which nothing
    counts but what supervisors ran. Time is counted back from the last trial's end. Where the
    moments lie further apart than the time used allows, since nobody searched between two
    commands, the longest gaps are shortened to one length, so that all add up to that time.

    Args:
        trials: of the search, in the order in which they ended.
        minutes: used in all.

    Returns:
        Nothing if the time used, or the end of a trial, is not known.
    """
    if not trials or minutes <= 0 or not all(trial.ended for trial in trials):
        return {}
    ends = [trial.ended for trial in trials]
    gaps = [each / 60 for each in (trials[0].seconds, *(b - a for a, b in pairwise(ends)))]
    left = minutes
    used: dict[int, float] = {}
    for trial, gap in zip(reversed(trials), reversed(_shorten(gaps, left)), strict=True):
        used[trial.number] = max(left, 0.0)
        left -= gap
    return used


def _shorten(gaps: Sequence[float], total: float) -> list[float]:
    """Shortens the longest gaps to one length, so that all together are no longer than a total."""
    if math.fsum(gaps) <= total:
        return list(gaps)
    left = total
    for i, gap in enumerate(sorted(gaps)):
        longest = left / (len(gaps) - i)
        if gap > longest:
            break
        left -= gap
    return [min(gap, longest) for gap in gaps]
