"""Intervals against numbers from elsewhere, or from another way to the same number."""

import itertools
import math
import statistics as standard_library

import pytest

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Interval

SOME = [(0.0, 1), (0.0, 2), (0.0, 7), (1.0, 11), (0.5, 7), (0.9, 50), (0.885, 12_000), (1.0, 3)]


def test_the_quantile_is_that_of_the_normal_distribution() -> None:
    exact = standard_library.NormalDist().inv_cdf(0.975)
    assert math.isclose(intervals.Z95, exact, abs_tol=5e-7)


def test_the_standard_error_of_91_percent_of_10000() -> None:
    # sqrt(.91 * .09 / 10,000) = sqrt(.0819) / 100 = .2862 / 100
    assert round(intervals.standard_error(0.91, 10_000), 4) == 0.0029


def test_the_standard_error_is_that_of_the_single_answers() -> None:
    answers = [1.0] * 87 + [0.0] * 13
    expected = standard_library.pstdev(answers) / math.sqrt(len(answers))
    assert math.isclose(intervals.standard_error(0.87, 100), expected)


# Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3 (score, no correction).
@pytest.mark.parametrize(
    ("n_right", "n_images", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(n_right: int, n_images: int, low: float, high: float) -> None:
    found = intervals.wilson(n_right / n_images, n_images)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(("accuracy", "n_images"), SOME)
def test_wilson_bounds_are_where_the_score_test_just_rejects(
    accuracy: float, n_images: int
) -> None:
    found = intervals.wilson(accuracy, n_images)
    for bound in (found.low, found.high):
        # (accuracy - p)^2 = z^2 p (1 - p) / n holds at both ends and nowhere else
        left = (accuracy - bound) ** 2
        right = intervals.Z95**2 * bound * (1 - bound) / n_images
        assert math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(("accuracy", "n_images"), SOME)
def test_wilson_holds_the_accuracy_and_stays_between_0_and_1(
    accuracy: float, n_images: int
) -> None:
    found = intervals.wilson(accuracy, n_images)
    assert 0 <= found.low <= accuracy <= found.high <= 1
    assert found.low < found.high


def test_wilson_mirrors() -> None:
    right, wrong = intervals.wilson(0.8, 40), intervals.wilson(0.2, 40)
    assert math.isclose(right.low, 1 - wrong.high)
    assert math.isclose(right.high, 1 - wrong.low)


def test_more_images_make_intervals_narrower() -> None:
    widths = [
        (wilson.high - wilson.low, gap.high - gap.low)
        for n_images in (100, 1_000, 10_000)
        for wilson in [intervals.wilson(0.9, n_images)]
        for gap in [intervals.difference(0.9, 0.8, n_images)]
    ]
    for wider, narrower in itertools.pairwise(widths):
        assert wider[0] > narrower[0]
        assert wider[1] > narrower[1]


@pytest.mark.parametrize(("first", "second"), [(0.9, 0.88), (0.5, 0.5), (0.7, 0.95)])
def test_a_difference_the_other_way_round_has_the_other_sign(first: float, second: float) -> None:
    there = intervals.difference(first, second, 12_000)
    back = intervals.difference(second, first, 12_000)
    assert math.isclose(there.low, -back.high)
    assert math.isclose(there.high, -back.low)


def test_a_difference_lies_in_the_middle_of_its_interval() -> None:
    found = intervals.difference(0.9, 0.88, 10_000)
    assert math.isclose((found.low + found.high) / 2, 0.02)
    # 1.96 * sqrt(.9 * .1 / 10,000 + .88 * .12 / 10,000) = 1.96 * sqrt(.00001956)
    assert math.isclose((found.high - found.low) / 2, 1.96 * math.sqrt(0.00001956), rel_tol=1e-4)


def test_an_interval_shows_four_digits() -> None:
    assert str(Interval(0.5, 0.876543)) == "0.5000 to 0.8765"
