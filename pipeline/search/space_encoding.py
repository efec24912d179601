"""A network of a search space as numbers from 0 to 1, for a model of what it reaches."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Choices, Entry
from pipeline.study.rules import Scalar
from pipeline.study.space import Space

UNKNOWN = 0.5  # in the place of a number that has no meaning for a network
APART = math.sqrt(0.5)  # so that two categories are as far apart as the ends of a range


class SpaceEncoding:
    """Encodes networks of one space.

    A range becomes a number, in the logarithm where it is drawn evenly in that; so do choices of
    positive numbers. Other choices become a number for each. What each layer has becomes that of
    the first, of the last and the mean.

    Args:
        searched: the space.
        without: names of hyperparameters that are left out.
    """

    def __init__(self, searched: Space, without: Sequence[str] = ()) -> None:
        self._entries = {
            name: entry for name, entry in searched.entries.items() if name not in without
        }

    def __call__(self, given: Hyperparameters) -> NDArray[np.float64]:
        """Encodes a network: shape (numbers,)."""
        return np.array(self._row(vars(given)), float)

    def _row(self, values: Mapping[str, Any]) -> list[float]:
        row: list[float] = []
        for name, entry in self._entries.items():
            width, value = _width(entry), values[name]
            if not entry.is_active(values):
                row += [UNKNOWN] * (width * (3 if entry.per else 1))
            elif entry.per:
                layers = [_numbers(entry, each) for each in value]
                if layers:
                    row += [*layers[0], *layers[-1], *np.mean(layers, axis=0)]
                else:
                    row += [UNKNOWN] * (3 * width)
            elif isinstance(value, tuple):  # one value for all layers, if there are any
                row += _numbers(entry, value[0]) if value else [UNKNOWN] * width
            else:
                row += _numbers(entry, value)
        return row


def _numbers(entry: Entry, value: Scalar) -> list[float]:
    if isinstance(entry, Choices):
        scale = _scale_of(entry)
        if scale is None:
            return [APART * (value == each) for each in entry.choices]
        low, high = scale
        return [_between(math.log(float(value)), low, high)]
    number, low, high = float(value), float(entry.low), float(entry.high)
    if entry.log:
        number, low, high = math.log(number), math.log(low), math.log(high)
    return [_between(number, low, high)]


def _width(entry: Entry) -> int:
    """Counts the numbers that a value becomes."""
    is_wide = isinstance(entry, Choices) and _scale_of(entry) is None
    return len(entry.choices) if is_wide and isinstance(entry, Choices) else 1


def _scale_of(entry: Choices) -> tuple[float, float] | None:
    """Finds the logarithms of the least and greatest choice; None if not all are above 0."""
    numbers = [each for each in entry.choices if isinstance(each, int | float)]
    if len(numbers) < len(entry.choices) or any(
        isinstance(each, bool) or each <= 0 for each in numbers
    ):
        return None
    return math.log(min(numbers)), math.log(max(numbers))


def _between(number: float, low: float, high: float) -> float:
    """Scales a number to 0 to 1; what lies outside, as a reference may, a little beyond."""
    if high <= low:
        return UNKNOWN
    return min(max((number - low) / (high - low), -0.5), 1.5)
