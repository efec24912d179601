"""Networks drawn from a space without Optuna: at random, and near others; and nearest values."""

import math
from collections.abc import Mapping

import numpy as np

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Choices, Entry
from pipeline.study.rules import Scalar
from pipeline.study.space import Space, draw

KEPT, STEP = 0.6, 0.15  # share of values that a neighbour has too; else a step, of a range


def at_random(searched: Space, rng: np.random.Generator) -> Hyperparameters:
    """Draws a network evenly."""
    return draw(searched, lambda _, entry: evenly(entry, rng))


def near(
    searched: Space, known: Mapping[str, Scalar], rng: np.random.Generator
) -> Hyperparameters:
    """Draws a network that has most values of another, and others close to them.

    Args:
        searched: the space.
        known: the other's, by their names in Optuna.
        rng: from which is drawn.
    """

    def pick(name: str, entry: Entry) -> Scalar:
        value = known.get(name)
        if value is None or not entry.contains(value):
            return evenly(entry, rng)
        if rng.random() < KEPT:
            return value
        if isinstance(entry, Choices):
            return evenly(entry, rng)
        return _at(entry, _share(entry, value) + STEP * rng.standard_normal())

    return draw(searched, pick)


def nearest(entry: Entry, value: Scalar) -> Scalar | None:
    """Finds what an entry can draw that is nearest to a value; None of a word that it has not.

    Of numbers among choices, nearest is by their ratio where all are above 0.
    """
    if entry.contains(value):
        return value
    if not isinstance(entry, Choices):
        assert not isinstance(value, str)
        inside = min(max(value, entry.low), entry.high)
        return inside if entry.contains(inside) else _at(entry, _share(entry, inside))
    numbers = [each for each in entry.choices if not isinstance(each, str | bool)]
    if isinstance(value, str | bool) or not numbers:
        return None
    is_ratio = min(value, *numbers) > 0
    return min(numbers, key=lambda n: abs(math.log(n / value) if is_ratio else n - value))


def evenly(entry: Entry, rng: np.random.Generator) -> Scalar:
    """Draws a value of an entry; each share of its range, or each choice, is as probable."""
    if isinstance(entry, Choices):
        return entry.choices[int(rng.integers(len(entry.choices)))]
    return _at(entry, rng.random())


def _share(entry: Entry, value: Scalar) -> float:
    """Says where in a range a value lies, from 0 to 1."""
    assert not isinstance(entry, Choices)
    low, high, number = float(entry.low), float(entry.high), float(value)
    if high <= low:
        return 0.0
    if entry.log:
        return math.log(number / low) / math.log(high / low)
    return (number - low) / (high - low)


def _at(entry: Entry, share: float) -> Scalar:
    """Returns the value of a range that lies nearest to a share of it; reflects at the ends."""
    assert not isinstance(entry, Choices)
    share = abs(share) % 2
    share = 2 - share if share > 1 else share
    low, high = float(entry.low), float(entry.high)
    number = low * (high / low) ** share if entry.log else low + share * (high - low)
    if isinstance(entry.low, int) and entry.type == "int":
        step = entry.step
        return int(min(entry.low + step * round((number - low) / step), entry.values[-1]))
    if entry.step:
        values = entry.values
        assert values
        return values[min(round((number - low) / entry.step), len(values) - 1)]
    return min(max(number, low), high)
