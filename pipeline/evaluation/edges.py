"""Where in their ranges the best trials lie: whether a bound of the space is too tight."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.study.ranges import Choices, Entry, IntRange
from pipeline.study.trial import Trial

MARGIN = 0.1  # share of a range, in its own scale, that is near a bound
SHARE_OF_BEST, FEWEST, MOST = 0.15, 8, 30  # trials that are the best ones
MOST_OF = 3  # one of so many, at least, lies there: a tenth of a range can hold few of them
SURE = 0.001  # chance, at most, that so many lie there by themselves


@dataclass(frozen=True)
class Edge:
    """A bound near which many of the best trials lie.

    Attributes:
        name: of the hyperparameter.
        is_upper: whether it is the upper bound.
        bound: the value.
        n_near: of the best trials near it.
        n_best: of the best trials that have the hyperparameter.
        is_natural: whether nothing lies beyond it, as below a dropout of 0.
    """

    name: str
    is_upper: bool
    bound: float
    n_near: int
    n_best: int
    is_natural: bool


def best_of(ranked: Sequence[Trial]) -> list[Trial]:
    """Picks the best drawn trials: some of a hundred, the best first.

    Args:
        ranked: all that have a value, the best first.
    """
    drawn = [trial for trial in ranked if trial.is_drawn]
    return drawn[: min(max(FEWEST, math.ceil(SHARE_OF_BEST * len(drawn))), MOST)]


def find(ranked: Sequence[Trial], space: Mapping[str, Entry]) -> list[Edge]:
    """Finds bounds near which the best trials lie, more of them than chance would put there.

    The most epochs bound only who was trained for all of them.

    Args:
        ranked: trials that have a value, the best first.
        space: entries by hyperparameter.
    """
    best, found = best_of(ranked), []
    for name, entry in space.items():
        if isinstance(entry, Choices) or entry.low == entry.high:
            continue
        values = [(trial, value) for trial in best for value in values_of(trial, name, entry)]
        places = [place(entry, value) for _, value in values]
        if len(places) < FEWEST:
            continue
        share = MARGIN
        if isinstance(entry, IntRange):
            share = max(MARGIN, entry.step / (entry.high - entry.low + entry.step))
        for is_upper in (False, True):
            near = [each >= 1 - MARGIN if is_upper else each <= MARGIN for each in places]
            if name == "epochs" and is_upper:  # those that stopped themselves had enough
                near = [
                    each and trial.n_epochs >= value
                    for each, (trial, value) in zip(near, values, strict=True)
                ]
            if MOST_OF * sum(near) >= len(near) and _chance(sum(near), len(near), share) < SURE:
                bound = entry.high if is_upper else entry.low
                is_natural = not is_upper and bound == 0
                found.append(Edge(name, is_upper, bound, sum(near), len(near), is_natural))
    return found


def values_of(trial: Trial, name: str, entry: Entry) -> list[float]:
    """Lists a trial's values of a hyperparameter that was drawn: one, or one for each layer."""
    known = vars(trial.hyperparameters) if trial.hyperparameters else {}
    if not known or not entry.is_active(known):
        return []
    value = known[name]
    return [*value] if isinstance(value, tuple) else [value]


def place(entry: Entry, value: float) -> float:
    """Says where in a range a value lies: 0 at the lower bound, 1 at the upper one.

    Args:
        entry: a range; in a logarithmic one places are those of logarithms.
        value: that was drawn.
    """
    assert not isinstance(entry, Choices)
    low, high = float(entry.low), float(entry.high)
    if entry.log:
        low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
    return (value - low) / (high - low)


def _chance(n: int, of: int, share: float) -> float:
    """How likely at least n of some lie where each lies with a chance."""
    return math.fsum(
        math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(n, of + 1)
    )
