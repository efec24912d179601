"""Intervals against numbers from elsewhere, or from another way to the same number."""

import itertools
import math
import statistics as standard_library

import numpy as np
import pytest

from pipeline.evaluation import intervals
from pipeline.evaluation.intervals import Interval
from pipeline.task import scoring
from pipeline.task.task import OBJECTIVES, Kind, Task

METRICS = {metric.quantity: metric for metric in OBJECTIVES}

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


# Metrics with a standard error


def test_an_interval_shows_as_many_decimals_as_the_value() -> None:
    found = Interval(3807.6412, 4020.1)
    assert found.show(METRICS["rmse"], 3912.4) == "3,807.6 to 4,020.1"
    assert Interval(-12.0, 4020.1).show(METRICS["rmse"], 3912.4, is_signed=True) == (
        "-12.0 to +4,020.1"
    )
    assert Interval(0.5, 0.876543).show(METRICS["accuracy"], 0.7) == "0.5000 to 0.8765"
    assert intervals.show(METRICS["mae"], 0.0123456789, 0.091234567) == "0.012346"


def test_without_an_error_or_a_formula_there_is_no_interval() -> None:
    for name in ("rmse", "mae", "r2", "roc_auc", "macro_f1", "balanced_accuracy", "log_loss"):
        assert intervals.interval_of(METRICS[name], 0.8, 100) is None
        assert intervals.interval_of(METRICS[name], 0.8, 100, math.nan) is None
        assert intervals.interval_of(METRICS[name], math.nan, 100, 0.1) is None
        assert intervals.difference_of(METRICS[name], 0.8, 0.7, 100) is None
        assert intervals.difference_of(METRICS[name], 0.8, 0.7, 100, (0.1, None)) is None
        assert intervals.difference_of(METRICS[name], 0.8, 0.7, 100, (0.0, 0.0)) is None
    assert intervals.interval_of(METRICS["loss"], 0.3, 100, 0.1) is None
    assert intervals.difference_of(METRICS["loss"], 0.3, 0.2, 100, (0.1, 0.1)) is None


@pytest.mark.parametrize(
    ("name", "value", "error", "low", "high"),
    [
        # 3912.4 exp(-+1.96 * 54 / 3912.4)
        ("rmse", 3912.4, 54.0, 3807.97, 4019.69),
        ("rmse", 1.0, 3.0, 0.002795, 357.77),
        # log odds of .9 is 2.19722; 1.96 * .02 / .09 = .43555; 1.76167 and 2.63277
        ("roc_auc", 0.9, 0.02, 0.85344, 0.93293),
        ("roc_auc", 0.999, 0.02, 0.0, 1.0),
        # 1 - .25 exp(+-1.96 * .05 / .25)
        ("r2", 0.75, 0.05, 0.62999, 0.83107),
        ("r2", -0.4, 0.1, -0.61040, -0.21710),
    ],
)
def test_an_interval_stays_where_the_metric_can_be(
    name: str, value: float, error: float, low: float, high: float
) -> None:
    found = intervals.interval_of(METRICS[name], value, 1000, error)
    assert found is not None
    assert found.low < value < found.high
    assert found.low == pytest.approx(low, rel=1e-4, abs=1e-4)
    assert found.high == pytest.approx(high, rel=1e-4)


@pytest.mark.parametrize(("name", "value"), [("rmse", 0.0), ("r2", 1.0)])
def test_of_what_is_perfect_nothing_is_said(name: str, value: float) -> None:
    assert intervals.interval_of(METRICS[name], value, 1000, 0.0) is None


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_share_without_an_error_that_was_seen_has_a_width_all_the_same(value: float) -> None:
    found = intervals.interval_of(METRICS["roc_auc"], value, 50, 0.0)
    assert found == intervals.wilson(value, 50)


def test_an_accuracy_of_weighted_examples_is_that_of_fewer() -> None:
    plain = intervals.interval_of(METRICS["accuracy"], 0.9, 1000)
    assert plain == intervals.wilson(0.9, 1000)
    error = intervals.standard_error(0.9, 1000)
    weighted = intervals.interval_of(METRICS["accuracy"], 0.9, 1000, 2 * error)
    assert weighted is not None
    quarter = intervals.wilson(0.9, 250)
    assert (weighted.low, weighted.high) == pytest.approx((quarter.low, quarter.high))
    assert intervals.interval_of(METRICS["accuracy"], 1.0, 10, 0.0) == intervals.wilson(1, 10)
    few = intervals.interval_of(METRICS["accuracy"], 0.5, 10, 0.01)  # of ten groups: Student's t
    assert few is not None
    assert (few.high - few.low) / 2 == pytest.approx(0.01 * 2.2622, rel=0.01)


def test_a_difference_is_as_uncertain_as_both_together() -> None:
    found = intervals.difference_of(METRICS["rmse"], 40.0, 44.0, 500, (3.0, 4.0))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-4 - 9.79982, -4 + 9.79982))
    few = intervals.difference_of(METRICS["rmse"], 40.0, 44.0, 10, (3.0, 4.0))
    assert few is not None
    assert few.high == pytest.approx(-4 + 5 * 2.262157, rel=1e-5)  # Student's t, 9 degrees


@pytest.mark.parametrize(("quantity", "n"), [("rmse", 25), ("r2", 60), ("mae", 25)])
def test_nineteen_of_twenty_intervals_hold_the_truth(quantity: str, n: int) -> None:
    """Of small data, with noise that is normal: the truth is known."""
    rng = np.random.RandomState(8)
    truth = {"rmse": 2.0, "mae": 2 * math.sqrt(2 / math.pi), "r2": 1 - 4 / (4 + 9)}[quantity]
    task = Task(Kind.REGRESSION, (1,)).scored_by(f"val_{quantity}")
    held = []
    for _ in range(600):
        explained = rng.normal(0, 3, n)
        found = scoring.score(task, explained + rng.normal(0, 2, n), explained)
        error = found[f"{quantity}_se"]
        interval = intervals.interval_of(METRICS[quantity], found[quantity], n, error)
        assert interval is not None
        held.append(interval.low <= truth <= interval.high)
    assert 0.9 < np.mean(held) <= 0.98
