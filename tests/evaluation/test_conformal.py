"""Prediction intervals hold what they promise, whatever the errors are like."""

import math

import numpy as np
import pytest

from pipeline.evaluation.conformal import LEAST, around, half_width
from pipeline.evaluation.intervals import Interval
from pipeline.task.task import Target

PLAIN, LOG = Target("y"), Target("y", transform="log")


def test_it_is_the_error_of_the_right_rank() -> None:
    errors = np.arange(1.0, 100.0)  # 1 to 99: the 95th of them, ceil(0.95 * 100)
    assert half_width(PLAIN, errors * (-1) ** np.arange(99), np.zeros(99)) == 95
    assert half_width(PLAIN, errors[:20], np.zeros(20)) == 20  # ceil(19.95)


def test_of_too_few_examples_there_is_none() -> None:
    assert half_width(PLAIN, np.ones(LEAST), np.zeros(LEAST)) == 1
    assert half_width(PLAIN, np.ones(LEAST - 1), np.zeros(LEAST - 1)) is None


def test_a_weight_counts_as_often() -> None:
    errors, weights = np.array([1.0, 2.0, 9.0]), np.array([70.0, 28.0, 2.0])
    repeated = np.repeat(errors, weights.astype(int))
    known = half_width(PLAIN, repeated, np.zeros(100))
    assert known == 2
    many, of_many = np.repeat(errors, 40), np.repeat(weights, 40)
    assert half_width(PLAIN, many, np.zeros(120), of_many) == known


def test_of_a_logarithm_it_is_a_factor() -> None:
    right, answers = np.full(40, 10.0), np.full(40, 5.0)
    half = half_width(LOG, right, answers)
    assert half == pytest.approx(math.log(2))
    found = around(LOG, 8.0, half)
    assert found
    assert [found.low, found.high] == pytest.approx([4, 16])
    assert around(PLAIN, 8.0, 3.0) == Interval(5.0, 11.0)
    assert around(PLAIN, 8.0, None) is None
    assert around(PLAIN, math.nan, 3.0) is None


def test_an_answer_that_is_no_number_makes_none_unless_it_is_rare() -> None:
    answers = np.zeros(100)
    answers[:2] = np.nan
    assert half_width(PLAIN, np.ones(100), answers) == 1
    answers[:9] = np.nan
    assert half_width(PLAIN, np.ones(100), answers) is None


@pytest.mark.parametrize("n", [19, 50, 400])
@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_it_holds_95_percent_of_further_examples(n: int, kind: str) -> None:
    """By n errors and one more, 4,000 times; it may be at most 1 / (n + 1) above, and noise."""
    rng = np.random.default_rng(n)
    draw = rng.standard_normal if kind == "normal" else lambda size: rng.standard_t(2, size)
    n_studies, n_held = 4_000, 0
    for errors in draw((n_studies, n + 1)):
        half = half_width(PLAIN, errors[:n], np.zeros(n))
        assert half
        n_held += abs(errors[n]) <= half
    noise = 3.3 * math.sqrt(0.95 * 0.05 / n_studies)
    assert 0.95 - noise <= n_held / n_studies <= 0.95 + 1 / (n + 1) + noise
