"""Which of two studies is ahead, by how much, and whether that may be chance."""

import math
from dataclasses import dataclass

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Interval
from pipeline.evaluation.verdict import Estimate
from pipeline.report.summary import StudySummary
from pipeline.study.trial import Trial
from pipeline.task.task import Metric


@dataclass(frozen=True)
class Difference:
    """What a value of the first study has more than one of the second.

    Attributes:
        metric: whose values these are.
        first: the first study's value.
        second: the second study's.
        interval: 95 % interval of the first less the second; None if none is known.
    """

    metric: Metric
    first: float
    second: float
    interval: Interval | None

    @property
    def size(self) -> str:
        """The first less the second, with its sign."""
        return intervals.show(self.metric, self.first - self.second, self.first, is_signed=True)

    @property
    def shown_interval(self) -> str:
        """The 95 % interval of that; "" if none is known."""
        if self.interval is None:
            return ""
        return self.interval.show(self.metric, self.first, is_signed=True)

    @property
    def is_level(self) -> bool:
        """Whether both values are shown alike."""
        return self.metric.show(self.first) == self.metric.show(self.second)

    @property
    def is_first_ahead(self) -> bool:
        """Whether the first is better."""
        is_more = self.first > self.second
        return is_more if self.metric.direction == "maximize" else not is_more

    @property
    def may_be_chance(self) -> bool | None:
        """Whether the interval includes zero; None if none is known."""
        return None if self.interval is None else self.interval.low <= 0 <= self.interval.high

    @property
    def lead(self) -> str:
        """By how much the better one is so: without a sign, whichever way the metric goes."""
        return intervals.show(self.metric, abs(self.first - self.second), self.first)

    @property
    def lead_interval(self) -> str:
        """The 95 % interval of that, below zero where the other one may be better."""
        if self.interval is None:
            return ""
        sign = 1.0 if self.first > self.second else -1.0
        low, high = sorted((sign * self.interval.low, sign * self.interval.high))
        return Interval(low, high).show(self.metric, self.first, is_signed=True)

    @property
    def values(self) -> str:
        """Both values, the better one first: "validation RMSE 5.1000 against 5.3000"."""
        both = self.metric.show(self.first), self.metric.show(self.second)
        better, worse = both if self.is_first_ahead else both[::-1]
        return f"{self.metric.words} {better} against {worse}"


def of_trials(first: Trial, second: Trial, facts: StudySummary) -> Difference:
    """Compares two trials that have a value, by the study's metric.

    Args:
        first: of the first study.
        second: of the second study, which has the same metric and validation examples.
        facts: of either.
    """
    metric = facts.spec.objective
    assert first.value is not None
    assert second.value is not None
    errors = first.kept(metric.error_name), second.kept(metric.error_name)
    values = first.value, second.value
    interval = intervals.difference_of(metric, *values, facts.n_independent, errors)
    return Difference(metric, *values, interval)


def of_estimates(first: Estimate, second: Estimate, metric: Metric) -> Difference:
    """Compares what is believed of two networks, as if both were estimated independently.

    The interval is made of theirs (Zou and Donner 2008, Construction of confidence limits about
    effect measures: a general approach, doi:10.1002/sim.3095), which need not be symmetric.
    """
    size = first.mean - second.mean
    one, other = first.interval, second.interval
    below = math.hypot(first.mean - one.low, other.high - second.mean)
    above = math.hypot(one.high - first.mean, second.mean - other.low)
    return Difference(metric, first.mean, second.mean, Interval(size - below, size + above))


def say_chance(gap: Difference, facts: StudySummary) -> str:
    """Says whether a difference of two runs may be chance, as far as examples can tell.

    Args:
        gap: the difference.
        facts: of either study: both were measured on the same examples.
    """
    on, noun = facts.validated_on, gap.metric.noun
    if gap.may_be_chance is None:
        return f"how much of that is chance is not known, since the {noun} has no interval here"
    said = f"(95 % interval {gap.lead_interval})"
    if gap.may_be_chance:
        return f"by these {on} alone that may be chance {said}"
    return f"that is more than chance in these {on} would give {said}"
