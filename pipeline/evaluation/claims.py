"""What was claimed of references, what was measured over seeds, and whether the claim holds."""

import math
import statistics as stats
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pipeline.evaluation.intervals import Interval, students_t
from pipeline.study.measures import has_measure, measure
from pipeline.study.spec import Comparison
from pipeline.study.trial import Trial
from pipeline.task.task import Task

N_FOR_VERDICT = 3  # runs; of fewer, nothing can be said about how they scatter


class Verdict(Enum):
    """Whether a claim holds on what was measured, at 95 % confidence."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        interval: 95 % confidence interval of the mean (Student's t); None for a single value.
        deviation: sample standard deviation; 0 for a single value.
        n: number of values.
    """

    mean: float
    interval: Interval | None
    deviation: float
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Estimates the mean of at least one value, with its 95 % interval by Student's t."""
    n = len(values)
    mean = float(stats.mean(values))  # exact, so that equal values have themselves as mean
    if n == 1:
        return Estimate(mean, None, 0.0, 1)
    deviation = stats.stdev(values)
    half = students_t(n) * deviation / math.sqrt(n)
    return Estimate(mean, Interval(mean - half, mean + half), deviation, n)


def paired(comparison: Comparison, trials: Sequence[Trial], task: Task) -> list[float]:
    """Computes paired differences, first less second, over the seeds that both references share.

    Args:
        comparison: names both references and the measure.
        trials: all that count.
        task: says how the measure is computed.
    """
    by_seed: dict[int | None, dict[str, float]] = {}
    for trial in trials:
        is_of_it = trial.reference in (comparison.first, comparison.second)
        if is_of_it and has_measure(comparison.measure, trial):
            value = measure(comparison.measure, trial, task)
            by_seed.setdefault(trial.seed, {})[trial.reference] = value
    return [
        values[comparison.first] - values[comparison.second]
        for values in by_seed.values()
        if len(values) == 2
    ]


def judge_published(values: Sequence[float], published: float) -> Verdict:
    """Judges whether a published run could be one more of these runs.

    It is taken for one more draw from the distribution that our runs come from: the claim holds
    if it lies in their 95 % prediction interval, mean +- t s sqrt(1 + 1/n).
    """
    if len(values) < N_FOR_VERDICT:
        return Verdict.CANNOT_TELL
    known = estimate(values)
    if known.deviation == 0:
        return Verdict.HOLDS if known.mean == published else Verdict.DOES_NOT_HOLD
    half = students_t(known.n) * known.deviation * math.sqrt(1 + 1 / known.n)
    return Verdict.HOLDS if abs(published - known.mean) <= half else Verdict.DOES_NOT_HOLD


def judge_difference(values: Sequence[float], comparison: Comparison) -> Verdict:
    """Judges paired differences by the 95 % interval of their mean.

    The claim holds if all of the interval is where it says: above the margin, below minus the
    margin, or ("none") within both. It does not if nothing of the interval is.
    """
    if len(values) < N_FOR_VERDICT:
        return Verdict.CANNOT_TELL
    interval = estimate(values).interval
    assert interval is not None
    low, high, margin = interval.low, interval.high, comparison.margin
    holds, fails = {
        "positive": (low > margin, high <= margin),
        "negative": (high < -margin, low >= -margin),
        "not positive": (high <= margin, low > margin),
        "not negative": (low >= -margin, high < -margin),
        "none": (-margin <= low and high <= margin, low > margin or high < -margin),
    }[comparison.difference]
    if holds:
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if fails else Verdict.CANNOT_TELL
