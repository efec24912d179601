"""A bootstrap interval agrees with theory, keeps groups whole, and knows when it knows nothing."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluation import bootstrap

RIGHT = np.random.default_rng(1).random(2_000) < 0.85


def accuracy(weights: NDArray[np.float64]) -> float:
    return float(np.average(RIGHT, weights=weights))


def test_of_an_accuracy_it_is_that_of_the_binomial() -> None:
    found = bootstrap.interval(accuracy, len(RIGHT))
    assert found
    half = 1.96 * math.sqrt(RIGHT.mean() * (1 - RIGHT.mean()) / len(RIGHT))
    assert found.low == pytest.approx(RIGHT.mean() - half, abs=0.002)
    assert found.high == pytest.approx(RIGHT.mean() + half, abs=0.002)
    assert bootstrap.interval(accuracy, len(RIGHT)) == found


def test_groups_are_drawn_whole() -> None:
    """Each row is there a hundred times, so that only 20 of them tell something."""
    values = np.arange(20.0).repeat(100)
    groups = np.arange(20).repeat(100) + 7

    def mean(weights: NDArray[np.float64]) -> float:
        return float(np.average(values, weights=weights))

    found = bootstrap.interval(mean, len(values), groups=groups)
    alone = bootstrap.interval(mean, len(values))
    assert found
    assert alone
    error = np.arange(20.0).std() / math.sqrt(20)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.high - found.low > 8 * (alone.high - alone.low)


def test_weights_count() -> None:
    weights = np.where(np.arange(len(RIGHT)) < 200, 1.0, 0.0)  # of the first alone
    found = bootstrap.interval(accuracy, len(RIGHT), weights)
    first = RIGHT[:200].mean()
    assert found
    assert found.low < first < found.high
    assert found.high - found.low == pytest.approx(
        2 * 1.96 * math.sqrt(first * (1 - first) / 200), rel=0.15
    )


@pytest.mark.parametrize("n", [0, 1])
def test_of_one_example_nothing_is_known(n: int) -> None:
    assert bootstrap.interval(lambda _: 0.5, n) is None


def test_nor_of_one_group() -> None:
    assert bootstrap.interval(accuracy, len(RIGHT), groups=np.zeros(len(RIGHT), int)) is None


def test_nor_where_all_draws_are_alike() -> None:
    assert bootstrap.interval(lambda _: 1.0, 100) is None


def test_nor_of_a_metric_that_is_undefined() -> None:
    assert bootstrap.interval(lambda _: math.nan, 100) is None


def test_draws_without_any_weight_are_passed_over() -> None:
    def value_of(weights: NDArray[np.float64]) -> float:
        assert weights.sum() > 0
        return float(weights @ [1.0, 2.0, 3.0] / weights.sum())

    found = bootstrap.interval(value_of, 3, np.array([1.0, 1.0, 0.0]))
    assert found
    assert (found.low, found.high) == (1.0, 2.0)
