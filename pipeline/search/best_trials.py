"""The best trials of a study, whose models are kept."""

from collections.abc import Sequence

from pipeline.study.trial import Trial, is_better


class BestTrials:
    """Values and numbers of the best networks so far, in order.

    Args:
        ranked: trials that ended before, by `ranking`.
        direction: "maximize" or "minimize".
        n_kept: of how many models are kept; 0 in a study of an older version, which keeps the
            model of each trial that is the best when it ends, and drops none.
    """

    def __init__(self, ranked: Sequence[Trial], direction: str, n_kept: int) -> None:
        self._direction, self._drops, self._n = direction, bool(n_kept), n_kept or 1
        known = [trial for trial in ranked if trial.keeps_weights and trial.value is not None]
        self._best = known[0].value if known else None
        known = [trial for trial in known if not trial.is_final]
        self._known = [(trial.value, trial.number) for trial in known[: self._n]]
        self._others = [trial.number for trial in known[self._n :]]

    @property
    def best(self) -> float | None:
        """The value of the best of all."""
        return self._best

    @property
    def to_beat(self) -> float | None:
        """The value above which a model is kept; None as long as all are."""
        return self._known[-1][0] if len(self._known) == self._n else None

    @property
    def dropped_last(self) -> int | None:
        """Number of the best trial whose model is dropped; None if none is."""
        return self._others[0] if self._others and self._drops else None

    def add(self, value: float, number: int, *, is_final: bool = False) -> list[int]:
        """Adds a trial whose model is kept; returns numbers of those whose models are dropped.

        Of equal trials the earlier is better. The models of finals are kept beside the others.
        """
        if is_better(value, self._best, self._direction):
            self._best = value
        if is_final:
            return []
        worse = (i for i, (v, _) in enumerate(self._known) if is_better(value, v, self._direction))
        self._known.insert(next(worse, len(self._known)), (value, number))
        dropped = [number for _, number in self._known[self._n :]]
        del self._known[self._n :]
        return dropped if self._drops else []
