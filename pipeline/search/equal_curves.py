"""Trainings that went exactly alike: how far apart two networks must be to differ at all."""

from collections.abc import Sequence

import numpy as np

from pipeline.search.curve_model import Numbers

LEAST_EPOCHS = 2  # a single value is soon equal by chance


class EqualCurves:
    """Finds trials that only repeat another one, and how near networks are that do.

    Two trainings are hardly ever equal to the last digit, unless what they differ in has no
    effect: in a table of recorded trainings, for instance, of which the nearest one answers.
    Nothing is learned from such a trial, nor from others as near. On few validation examples
    values coincide; therefore curves count as equal only where most of them are.

    Attributes:
        distance: of networks, the greatest up to which half of them have the curve of their
            nearest; 0 if there is none.
    """

    def __init__(self) -> None:
        self.distance = 0.0
        self._rows: list[Numbers] = []
        self._curves: list[tuple[float, ...]] = []
        self._to_equal: dict[int, float] = {}  # distance of a trial to the nearest equal one
        self._to_nearest: list[tuple[float, bool]] = []  # and whether that one is equal

    def add(self, number: int, row: Numbers, values: Sequence[float]) -> None:
        """Takes in a trial that has been trained for `LEAST_EPOCHS`.

        Args:
            number: of the trial.
            row: its encoded hyperparameters.
            values: after each epoch.
        """
        curve = tuple(values[:LEAST_EPOCHS])
        if len(set(curve)) == 1:
            return  # it learns nothing, as others do that have nothing else in common
        if self._rows:
            apart = np.sqrt(((np.array(self._rows) - row) ** 2).sum(axis=1))
            are_equal = np.array([each == curve for each in self._curves])
            nearest = int(np.argmin(apart))
            self._to_nearest.append((float(apart[nearest]), bool(are_equal[nearest])))
            if are_equal.any():
                self._to_equal[number] = float(apart[are_equal].min())
        self._rows.append(row)
        self._curves.append(curve)
        if self._to_equal:
            self._to_nearest.sort()
            equal = np.cumsum([is_equal for _, is_equal in self._to_nearest])
            half = np.flatnonzero(2 * equal >= np.arange(1, len(equal) + 1))
            self.distance = self._to_nearest[half[-1]][0] if len(half) else 0.0

    def repeats(self, number: int) -> bool:
        """Says whether a trial only repeats an earlier one."""
        return self._to_equal.get(number, np.inf) <= self.distance

    def are_apart(self, rows: Sequence[Numbers], known: Sequence[Numbers]) -> np.ndarray:
        """Says which networks are so far from all known ones that they differ, (rows,).

        If none is, all are: something has to be tried.
        """
        squared = ((np.array(rows)[:, None] - np.array(known)[None]) ** 2).sum(axis=2)
        are_apart = np.sqrt(squared.min(axis=1)) > self.distance
        return are_apart if are_apart.any() else np.ones(len(rows), bool)
