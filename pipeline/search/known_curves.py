"""What a search has seen of its trials, as a model of curves takes it: kept up to date."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.search import promotion
from pipeline.search.curve_model import Numbers, Points
from pipeline.search.equal_curves import EqualCurves
from pipeline.search.policy import Seen, Stage
from pipeline.study.hyperparameters import Hyperparameters


@dataclass
class KnownCurve:
    """What is known of one trial.

    Attributes:
        row: its encoded hyperparameters.
        n_epochs: that it has been trained for.
        epochs: after which the model learns what it has reached.
        reached: the best values up to these epochs, greater is better; NaN where it failed.
        first: seconds of its first epoch.
        later: median seconds of the others, or of the first one if there is no other.
    """

    row: Numbers
    n_epochs: int = 0
    stage: Stage = Stage.RUNNING
    epochs: list[int] = field(default_factory=list)
    reached: list[float] = field(default_factory=list)
    first: float = math.nan
    later: float = math.nan

    @property
    def best(self) -> float:
        """The best value so far; minus infinity of none."""
        return max(self.reached, default=-math.inf)


class KnownCurves(dict[int, KnownCurve]):
    """The curves of all trials, by number.

    Args:
        encode: gives what networks are for the model.
        direction: "maximize" or "minimize".
        most: epochs of the longest training.

    Attributes:
        equal: those that only repeat others.
    """

    def __init__(
        self, encode: Callable[[Hyperparameters], Numbers], direction: str, most: int
    ) -> None:
        super().__init__()
        self._encode, self._most = encode, most
        self._sign = 1.0 if direction == "maximize" else -1.0
        self.equal = EqualCurves()

    def take_in(self, seen: Mapping[int, Seen]) -> None:
        """Takes in what is new of all trials; what is seen no more was interrupted."""
        if self.keys() - seen.keys():  # its curve, run again, would be taken for another's
            self.clear()
            self.equal = EqualCurves()
        for number, each in seen.items():
            known = self.get(number)
            if known is None:
                known = self[number] = KnownCurve(self._encode(each.hyperparameters))
            elif known.n_epochs == len(each.values) and known.stage is each.stage:
                continue
            self.equal.add(number, known.row, each.values)
            known.n_epochs, known.stage = len(each.values), each.stage
            known.epochs, known.reached = self._points_of(each)
            if each.seconds:
                known.first = each.seconds[0]
                known.later = float(np.median(each.seconds[1:] or each.seconds))

    @property
    def n_epochs(self) -> int:
        """Number of epochs of all of them."""
        return sum(each.n_epochs for each in self.values())

    @property
    def measured(self) -> list[int]:
        """Numbers of the trials that have been trained for an epoch at least."""
        return [number for number, each in self.items() if each.n_epochs]

    def points(self) -> tuple[Points, Numbers]:
        """Returns all points, and the values there, (n,), as they were measured."""
        n_points = [len(each.epochs) for each in self.values()]
        points = Points(
            np.repeat([each.row for each in self.values()], n_points, axis=0),
            self.moments(np.array([epoch for each in self.values() for epoch in each.epochs])),
            np.repeat([*self], n_points),
        )
        return points, np.array([value for each in self.values() for value in each.reached])

    def moments(self, epochs: NDArray[np.int64]) -> Numbers:
        """Gives epochs as the model of curves has them: their logarithms, the last one as 1."""
        return np.asarray(np.log(epochs) / max(math.log(self._most), 1e-9))

    def _points_of(self, each: Seen) -> tuple[list[int], list[float]]:
        n = len(each.values)
        if not n:
            has_failed = each.stage is Stage.ENDED
            return ([self._most], [math.nan]) if has_failed else ([], [])
        epochs = [*promotion.rungs(n), n]
        so_far = np.maximum.accumulate(self._sign * np.array(each.values))
        reached = [float(so_far[e - 1]) for e in epochs]
        if each.stage is Stage.ENDED and n < each.hyperparameters.epochs:  # it stopped itself
            epochs, reached = [*epochs, each.hyperparameters.epochs], [*reached, reached[-1]]
        return epochs, reached
