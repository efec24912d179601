"""Whether a budget was enough: the best at half of it, and what twice of it might bring."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.intervals import Interval
from pipeline.study.trial import Trial, is_better

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

FEWEST = 16  # drawn trials with a value: of fewer nothing can be foreseen
N_DRAWS = 400


@dataclass(frozen=True)
class Budget:
    """The best of a search by how much of its budget was used.

    Attributes:
        n_trials: drawn ones that have a value.
        best: their best value.
        half: the best when half of the time was used; None if none had ended by then, or that is
            not known.
        n_half: how many had ended.
        gain: by which the best of twice as many would be better, as foreseen; None of too few.
        interval: of that gain, 95 %; None of too few.
    """

    n_trials: int
    best: float
    half: float | None
    n_half: int
    gain: float | None
    interval: Interval | None

    @classmethod
    def of(
        cls, trials: Sequence[Trial], direction: str, used: Mapping[int, float]
    ) -> "Budget | None":
        """Looks at the trials that a sampler drew; None if none has a value.

        Args:
            trials: that count.
            direction: "maximize" or "minimize".
            used: how much of the time of the search when each trial ended, by number; empty if
                that is not known.
        """
        drawn = [trial for trial in trials if trial.is_drawn and trial.value is not None]
        drawn.sort(key=lambda trial: (trial.ended, trial.number))
        if not drawn:
            return None
        n_half, latest = 0, max(used.values(), default=0.0)
        half: float | None = None
        best: float | None = None
        for trial in drawn:
            assert trial.value is not None
            if is_better(trial.value, best, direction):
                best = trial.value
            if used and used[trial.number] <= latest / 2:
                half, n_half = best, n_half + 1
        assert best is not None
        gain = foresee([trial.value or 0.0 for trial in drawn], direction)
        return cls(len(drawn), best, half, n_half, *(gain or (None, None)))


def foresee(values: Sequence[float], direction: str) -> tuple[float, Interval] | None:
    """Foresees by how much the best of twice as many values would be better.

    What a doubling of the number of draws brings falls by about the same factor from doubling to
    doubling: it does exactly so for maxima of a generalized extreme value distribution with an
    upper end, and of a Gumbel distribution with the factor 1. The last two doublings give it. The
    expected best of some of the values is the one of Dodge et al. 2019 (Show your work,
    arXiv:1909.03004), drawn without putting back. A search that learns from what it has seen
    draws better ones later, and may bring more than this.

    Args:
        values: one of each draw.
        direction: "maximize" or "minimize".

    Returns:
        The gain, 0 or more, in the values' own unit, and its 95 % interval over draws of the
        values; None of fewer than `FEWEST`.
    """
    import numpy as np

    if len(values) < FEWEST:
        return None
    sign = 1.0 if direction == "maximize" else -1.0
    known = sign * np.asarray(values, np.float64)
    n = len(known)
    random = np.random.default_rng(0)
    weights = [_weights(n, k) for k in (n // 4, n // 2, n)]
    gains = sorted(
        _gain(np.sort(known[random.integers(n, size=n)]), weights) for _ in range(N_DRAWS)
    )
    low, high = np.percentile(gains, [2.5, 97.5])
    return _gain(np.sort(known), weights), Interval(float(low), float(high))


def _gain(rising: "Numbers", weights: "Sequence[Numbers]") -> float:
    quarter, half, whole = (float(each @ rising) for each in weights)
    last, before = whole - half, half - quarter
    return last * min(last / before, 1.0) if before > 0 else 0.0


def _weights(n: int, k: int) -> "Numbers":
    """How likely each of n rising values is the best of k that are drawn without putting back."""
    import numpy as np

    # P(best of k is the i-th) = C(i - 1, k - 1) / C(n, k), in logarithms
    logs = [_log_choose(i, k - 1) for i in range(n)]
    return np.exp(np.asarray(logs) - _log_choose(n, k))


def _log_choose(n: int, k: int) -> float:
    if k > n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
