"""Networks drawn from a space without Optuna: at random, and near others."""

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
    return draw(searched, lambda _, entry: _evenly(entry, rng))


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
            return _evenly(entry, rng)
        if rng.random() < KEPT:
            return value
        if isinstance(entry, Choices):
            return _evenly(entry, rng)
        return _at(entry, _share(entry, value) + STEP * rng.standard_normal())

    return draw(searched, pick)


def _evenly(entry: Entry, rng: np.random.Generator) -> Scalar:
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
