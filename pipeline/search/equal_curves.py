"""Trainings that went exactly alike: how far apart two networks must be to differ at all."""

from collections.abc import Sequence

import numpy as np

from pipeline.search.curve_model import Numbers

LEAST_EPOCHS = 2  # a single value is soon equal by chance; so many that tell something
WIDER, CLOSER = 1.3, 0.95  # factors: after each repeat, and after each trial that is none
BY_CHANCE = 4  # times as many repeats are of a near trial as of a far one, if not by chance


class EqualCurves:
    """Finds trials that only repeat another one, and keeps later ones away from what is known.

    Two trainings are hardly ever equal to the last digit, unless what they differ in has no
    effect: in a table of recorded trainings, for instance, of which the nearest one answers.
    Nothing is learned from such a trial. On few validation examples values coincide by chance;
    but then as often those of networks that have nothing in common.

    Attributes:
        distance: from all known networks, that a new one is to have; it grows with each repeat.
    """

    def __init__(self) -> None:
        self.distance = 0.0
        self._rows: list[Numbers] = []  # of the trials that were the first to have a curve
        self._curves: dict[tuple[float, ...], int] = {}  # which row had it first
        self._settled: set[int] = set()  # of which it is known whether they repeat another
        self._repeats: set[int] = set()
        self._n_near, self._n_far = 0, 0  # repeats of one of the nearer half of them, or not

    def add(self, number: int, row: Numbers, values: Sequence[float]) -> None:
        """Takes in what a trial has reached so far.

        Args:
            number: of the trial.
            row: its encoded hyperparameters.
            values: after each epoch until now.
        """
        curve = _beginning(values)
        if number in self._settled or curve is None:
            return
        self._settled.add(number)
        first = self._curves.setdefault(curve, len(self._rows))
        if first == len(self._rows):
            self._rows.append(row)
            self.distance *= CLOSER
            return
        apart = np.sqrt(((np.array(self._rows) - row) ** 2).sum(axis=1))
        is_near = bool(apart[first] <= np.median(apart))
        self._n_near, self._n_far = self._n_near + is_near, self._n_far + (not is_near)
        self._repeats.add(number)
        self.distance = self.distance * WIDER or float(apart[first])

    def repeats(self, number: int) -> bool:
        """Says whether a trial only repeats an earlier one."""
        return number in self._repeats and not self._is_chance

    def are_apart(self, rows: Sequence[Numbers], known: Sequence[Numbers]) -> np.ndarray:
        """Says which networks are so far from all known ones that they differ, (rows,).

        If none is, the one that is farthest has to do.
        """
        if self._is_chance:
            return np.ones(len(rows), bool)
        squared = ((np.array(rows)[:, None] - np.array(known)[None]) ** 2).sum(axis=2)
        apart = np.sqrt(squared.min(axis=1))
        return np.asarray(apart >= min(self.distance, apart.max()))

    @property
    def _is_chance(self) -> bool:
        return self._n_near < BY_CHANCE * (self._n_far + 0.5)


def _beginning(values: Sequence[float]) -> tuple[float, ...] | None:
    """Returns so much of a curve that another one hardly has the same; None if that is to come.

    Networks that learn nothing at first have the same value, with nothing else in common.
    """
    change = next((i for i, value in enumerate(values) if value != values[0]), None)
    if change is None:
        return None
    n = LEAST_EPOCHS if change < LEAST_EPOCHS else change + LEAST_EPOCHS
    return tuple(values[:n]) if n <= len(values) else None
