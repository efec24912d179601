"""How far a measured metric can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.task.task import Metric

Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution
FEW = 30  # examples, below which Student's t is noticeably wider
_WIDEST = 300.0  # of a factor's logarithm: beyond it nothing is known anyway


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    def __str__(self) -> str:
        """Four digits, as accuracies are given."""
        return f"{self.low:.4f} to {self.high:.4f}"

    def show(self, metric: Metric, like: float, *, is_signed: bool = False) -> str:
        """Shows both ends with as many decimals as a value of the metric has.

        Args:
            metric: whose digits apply.
            like: the value.
            is_signed: whether both get a sign, as differences do.
        """
        ends = (show(metric, end, like, is_signed=is_signed) for end in (self.low, self.high))
        return " to ".join(ends)


def show(metric: Metric, number: float, like: float, *, is_signed: bool = False) -> str:
    """Shows a number, such as a difference, with as many decimals as a value of the metric has."""
    return f"{number:{'+' if is_signed else ''},.{decimals(metric, like)}f}"


def decimals(metric: Metric, value: float) -> int:
    """Counts the decimals with which a value of a metric is shown."""
    return len(metric.show(value).partition(".")[2])


def interval_of(
    metric: Metric, value: float, n: int, error: float | None = None
) -> Interval | None:
    """Computes the 95 % interval of a metric; None if none is known.

    Of a share of right answers it is Wilson's. Of other metrics it is symmetric on the scale on
    which the metric has no end, so that it never leaves the range of the metric: by the delta
    method, the logarithm of what is positive, the logit of a share, the logarithm of what is
    missing to one.

    Args:
        metric: says which interval applies.
        value: of the metric.
        n: number of examples on which it was measured.
        error: its standard error; of a share of right answers only if examples have weights.
    """
    if metric.interval is None or not math.isfinite(value):
        return None
    if metric.interval == "binomial":
        seen: float = n
        if error and 0 < value < 1:  # as many as would be so far off without weights and groups
            seen = value * (1 - value) / (error * quantile(n) / Z95) ** 2
        return wilson(value, seen)
    if error is None or not math.isfinite(error) or n < 2:
        return None
    if metric.interval == "share" and not (error and 0 < value < 1):
        return wilson(
            value, n
        )  # all right, or all wrong: that so few errors were seen is no proof
    half = quantile(n) * error
    if metric.interval == "share":
        odds = _spread(value / (1 - value), half / (value * (1 - value)))
        return Interval(odds.low / (1 + odds.low), odds.high / (1 + odds.high))
    size = value if metric.interval == "positive" else 1 - value
    if not error or size <= 0:
        return None
    found = _spread(size, half / size)
    return found if metric.interval == "positive" else Interval(1 - found.high, 1 - found.low)


def _spread(value: float, half: float) -> Interval:
    """Spreads a positive value by so much on either side of its logarithm."""
    factor = math.exp(min(half, _WIDEST))
    return Interval(value / factor, value * factor)


def difference_of(
    metric: Metric,
    first: float,
    second: float,
    n: int,
    errors: tuple[float | None, float | None] = (None, None),
) -> Interval | None:
    """Computes the 95 % interval of a difference of two values; None if none is known.

    Taken as if both were measured on different examples: see `difference`.

    Args:
        metric: says which interval applies.
        first: value of the metric.
        second: value that is subtracted.
        n: number of examples on which both were measured.
        errors: standard errors of both; see `interval_of`.
    """
    if metric.interval is None or not math.isfinite(first - second):
        return None
    first_error, second_error = errors
    if first_error is None or second_error is None:
        return difference(first, second, n) if metric.interval == "binomial" else None
    error = math.hypot(first_error, second_error)
    if not error or not math.isfinite(error) or n < 2:
        return None
    half = quantile(n) * error
    return Interval(first - second - half, first - second + half)


def quantile(n: int) -> float:
    """Returns the two-sided 95 % quantile for a mean of n values: Student's t of few."""
    return students_t(n) if n < FEW else Z95


def students_t(n: int) -> float:
    """Returns the two-sided 95 % quantile of Student's t for n values."""
    from scipy.special import stdtrit  # `scipy.stats` takes three times as long to import

    return float(stdtrit(n - 1, 0.975))


def error_of(metric: Metric, measured: Mapping[str, float]) -> float | None:
    """Finds the standard error of a metric that was measured once; None if it is not known.

    Args:
        metric: whose.
        measured: values by quantity, errors such as "rmse_se", and "n_examples".
    """
    noted = measured.get(metric.error_quantity)
    if noted is None and metric.interval == "binomial":
        n = measured.get("n_groups") or measured["n_examples"]
        return standard_error(measured[metric.quantity], n)
    return noted


def standard_error(accuracy: float, n_images: float) -> float:
    """Computes the binomial standard error of an accuracy measured on so many examples."""
    return math.sqrt(accuracy * (1 - accuracy) / n_images)


def wilson(accuracy: float, n_images: float) -> Interval:
    """Computes Wilson's 95 % score interval of an accuracy (1927, doi:10.2307/2276774)."""
    z2 = Z95**2
    centre = (accuracy + z2 / (2 * n_images)) / (1 + z2 / n_images)
    half = (Z95 / (1 + z2 / n_images)) * math.sqrt(
        accuracy * (1 - accuracy) / n_images + z2 / (4 * n_images**2)
    )
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def difference(first: float, second: float, n_images: int) -> Interval:
    """Computes a 95 % interval of the difference of two accuracies on the same examples.

    Taken as if they were measured on different examples, which makes it too wide rather than too
    narrow: two networks tend to stumble over the same ones.

    Args:
        first: accuracy.
        second: accuracy that is subtracted.
        n_images: number of examples on which both were measured.
    """
    error = math.hypot(standard_error(first, n_images), standard_error(second, n_images))
    return Interval(first - second - Z95 * error, first - second + Z95 * error)
