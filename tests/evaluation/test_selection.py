"""Which models are averaged, and how far a difference on the same examples can be trusted."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluation.selection import MOST_PICKS, choose, paired_difference

TRUTH = np.random.default_rng(0).normal(size=400)


def error(answers: NDArray[np.float64]) -> float:
    return float(np.mean((answers - TRUTH) ** 2))


def noisy(seed: int, size: float = 1.0) -> NDArray[np.float64]:
    noise: NDArray[np.float64] = np.random.default_rng(seed).normal(size=len(TRUTH))
    return TRUTH + size * noise


def mean_of(answers: list[NDArray[np.float64]], picks: tuple[int, ...]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = np.mean([answers[i] for i in picks], axis=0)
    return mean


def test_models_that_err_differently_are_averaged() -> None:
    answers = [noisy(seed) for seed in range(1, 6)]
    picks = choose(answers, error, "minimize")
    assert set(picks) == set(range(5))
    assert error(mean_of(answers, picks)) < 0.3 * min(map(error, answers))


def test_a_model_that_only_harms_is_left_out() -> None:
    answers = [noisy(1, 0.1), noisy(2, 10.0)]
    assert set(choose(answers, error, "minimize")) == {0}


def test_one_model_is_itself() -> None:
    assert choose([noisy(1)], error, "minimize") == (0,)


def test_equal_models_are_no_ensemble() -> None:
    assert choose([noisy(1)] * 4, error, "minimize") == (0,)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_mean_is_never_worse_than_the_best_model(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1

    def value_of(answers: NDArray[np.float64]) -> float:
        return sign * error(answers)

    for seed in range(10):
        answers = [noisy(10 * seed + i, 0.5 + i) for i in range(4)]
        picks = choose(answers, value_of, direction)
        assert len(picks) <= MOST_PICKS
        assert error(mean_of(answers, picks)) <= min(map(error, answers))


def test_two_picks_are_the_best_two() -> None:
    """Held against trying all: greedy picks find the best pair that begins with the best model."""
    answers = [noisy(seed, 1.0) for seed in range(1, 5)]
    picks = choose(answers, error, "minimize")
    first = min(range(4), key=lambda i: error(answers[i]))
    pairs: Callable[[int], float] = lambda i: error(mean_of(answers, (first, i)))  # noqa: E731
    assert picks[:2] == (first, min(range(4), key=pairs))


def test_what_is_no_number_is_never_picked() -> None:
    answers = [np.full(len(TRUTH), np.nan), noisy(1)]
    assert set(choose(answers, error, "minimize")) == {1}


def test_the_interval_is_that_of_the_paired_differences() -> None:
    """Of shares of right answers a formula is known: that of a mean of differences."""
    random = np.random.default_rng(1)
    both = random.random(2_000) < 0.8
    first, second = both | (random.random(2_000) < 0.1), both | (random.random(2_000) < 0.05)

    def share(answers: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
        return float(np.average(answers, weights=weights))

    found = paired_difference(share, first, second)
    differences = first.astype(float) - second
    half = 1.96 * differences.std() / np.sqrt(len(differences))
    assert found.low == pytest.approx(differences.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.15 * half)


def test_an_example_without_weight_counts_for_nothing() -> None:
    first, second = np.arange(50.0), np.arange(50.0)
    second[7] = 1e9
    weights = np.ones(50)
    weights[7] = 0

    def mean(answers: NDArray[np.float64], drawn: NDArray[np.float64]) -> float:
        return float(np.average(answers, weights=drawn))

    found = paired_difference(mean, first, second, weights)
    assert (found.low, found.high) == (0, 0)
    assert paired_difference(mean, first, second).low < -1e6
