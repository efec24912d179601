"""How far a measured metric can be trusted."""

import math
from dataclasses import dataclass

from pipeline.data.task import Metric

Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    def __str__(self) -> str:
        """Four digits, as accuracies are given."""
        return f"{self.low:.4f} to {self.high:.4f}"


def interval_of(metric: Metric, value: float, n_images: int) -> Interval | None:
    """Computes the 95 % interval of a metric; None if no interval is known for the metric.

    Args:
        metric: says which interval applies.
        value: of the metric.
        n_images: on which the value was measured.
    """
    return wilson(value, n_images) if metric.interval == "binomial" else None


def difference_of(metric: Metric, first: float, second: float, n_images: int) -> Interval | None:
    """Computes the 95 % interval of a difference of two values; None if none is known.

    Args:
        metric: says which interval applies.
        first: value of the metric.
        second: value that is subtracted.
        n_images: on which both were measured.
    """
    return difference(first, second, n_images) if metric.interval == "binomial" else None


def standard_error(accuracy: float, n_images: int) -> float:
    """Computes the binomial standard error of an accuracy measured on so many images."""
    return math.sqrt(accuracy * (1 - accuracy) / n_images)


def wilson(accuracy: float, n_images: int) -> Interval:
    """Computes Wilson's 95 % score interval of an accuracy (1927, doi:10.2307/2276774)."""
    z2 = Z95**2
    centre = (accuracy + z2 / (2 * n_images)) / (1 + z2 / n_images)
    half = (Z95 / (1 + z2 / n_images)) * math.sqrt(
        accuracy * (1 - accuracy) / n_images + z2 / (4 * n_images**2)
    )
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def difference(first: float, second: float, n_images: int) -> Interval:
    """Computes a 95 % interval of the difference of two accuracies on the same images.

    Taken as if they were measured on different images, which makes it too wide rather than too
    narrow: two networks tend to stumble over the same images.

    Args:
        first: accuracy.
        second: accuracy that is subtracted.
        n_images: on which both were measured.
    """
    error = math.hypot(standard_error(first, n_images), standard_error(second, n_images))
    return Interval(first - second - Z95 * error, first - second + Z95 * error)
