"""Whether a budget was enough, of draws whose end is known."""

import math
import statistics

import numpy as np
import pytest

from pipeline.evaluation.budget import FEWEST, Budget, foresee
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import State, Trial

NETWORK = Hyperparameters(1, (8,), "adam", 0.001, 32, 10)


def trial(number: int, value: float | None, seconds: float = 1.0, **others: object) -> Trial:
    known = {"history": {"seconds": [seconds]}, "ended": float(number), **others}
    return Trial(number, State.COMPLETE, value, 1, NETWORK, number, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("kind", ["uniform", "exponential", "beta"])
def test_what_twice_as_many_bring_is_foreseen_on_average(kind: str, direction: str) -> None:
    """Against the same draws gone on with, of three distributions with other ends."""
    random = np.random.default_rng(3)
    sign = 1.0 if direction == "maximize" else -1.0
    n, foreseen, came = 64, [], []
    for _ in range(150):
        values = {
            "uniform": random.uniform(size=2 * n),
            "exponential": random.exponential(size=2 * n),
            "beta": random.beta(2, 3, size=2 * n),
        }[kind]
        found = foresee([*(sign * values[:n])], direction)
        assert found
        gain, interval = found
        assert 0 <= interval.low <= interval.high
        assert gain >= 0
        foreseen.append(gain)
        came.append(values.max() - values[:n].max())
    error = statistics.stdev(came) / math.sqrt(len(came))
    assert statistics.fmean(foreseen) == pytest.approx(statistics.fmean(came), abs=4 * error)


def test_where_all_is_the_same_more_brings_nothing() -> None:
    found = foresee([0.5] * 40, "maximize")
    assert found
    assert (found[0], found[1].low, found[1].high) == (0.0, 0.0, 0.0)


def test_of_few_nothing_is_foreseen() -> None:
    assert foresee([0.1 * i for i in range(FEWEST - 1)], "maximize") is None
    known = Budget.of([trial(i, 0.1 * i) for i in range(4)], "maximize", {})
    assert known
    assert (known.gain, known.interval) == (None, None)


def test_half_of_the_time_is_told_by_what_was_used() -> None:
    trials = [trial(i, value) for i, value in enumerate([0.5, 0.8, 0.7, 0.9])]
    used = {0: 2.0, 1: 5.0, 2: 9.0, 3: 10.0}
    known = Budget.of(trials, "maximize", used)
    assert known
    assert (known.n_trials, known.best, known.half, known.n_half) == (4, 0.9, 0.8, 2)
    known = Budget.of(trials, "minimize", used)
    assert known
    assert (known.best, known.half) == (0.5, 0.5)
    known = Budget.of(trials, "maximize", {})
    assert known
    assert (known.best, known.half) == (0.9, None)


def test_references_and_finals_are_no_draws() -> None:
    others = [trial(5, 0.99, reference="known"), trial(6, 0.98, final_of=0), trial(7, None)]
    known = Budget.of([trial(0, 0.5), *others], "maximize", {})
    assert known
    assert (known.n_trials, known.best, known.half) == (1, 0.5, None)
    assert Budget.of(others, "maximize", {}) is None
