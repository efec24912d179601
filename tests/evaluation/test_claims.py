"""What is measured on a trial, how sure a mean over seeds is, and when a claim holds."""

import math
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from pipeline.data import fashion_mnist
from pipeline.evaluation import claims
from pipeline.evaluation.claims import Verdict
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.measures import MEASURES, has_measure, measure
from pipeline.study.spec import Comparison
from pipeline.study.trial import Trial
from pipeline.task.task import METRICS, Metric

# Four epochs; the best accuracy is in the second, the lowest loss in the third.
HISTORY = {
    "loss": [0.9, 0.7, 0.5, 0.3],
    "accuracy": [0.60, 0.70, 0.80, 0.90],
    "val_loss": [0.8, 0.65, 0.45, 0.55],
    "val_accuracy": [0.62, 0.84, 0.81, 0.79],
}
NETWORK = Hyperparameters(
    hidden_layers=1,
    units=(100,),
    optimizer="adam",
    learning_rate=0.001,
    batch_size=32,
    epochs=4,
)
TASK = fashion_mnist.SOURCE.task
SCORED = [metric for metric in METRICS if metric.is_scored]
Difference = Literal["positive", "negative", "not positive", "not negative", "none"]
RUNS = [0.8721, 0.8745, 0.8702, 0.8733, 0.8760, 0.8718, 0.8699, 0.8741, 0.8727, 0.8735]


def trial(reference: str = "a", seed: int | None = 1, value: float = 0.5, **changes: Any) -> Trial:
    """A complete trial; `value` is its last validation loss."""
    history = {**HISTORY, "val_loss": [*HISTORY["val_loss"][:3], value]}
    known: dict[str, Any] = {
        "number": 0,
        "state": "COMPLETE",
        "value": 0.45,
        "best_epoch": 3,
        "hyperparameters": NETWORK,
        "seed": seed,
        "history": history,
        "reference": reference,
        "n_parameters": 79_510,
        "scores": {"train_loss": 0.40, "train_accuracy": 0.86},
    }
    return Trial(**{**known, **changes})


def comparison(difference: Difference = "positive", margin: float = 0.0) -> Comparison:
    return Comparison(
        claim="A differs from B",
        first="a",
        second="b",
        measure="last_val_loss",
        difference=difference,
        margin=margin,
    )


# Estimates


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_students(n: int) -> None:
    values = RUNS[:n]
    found = claims.estimate(values)
    low, high = stats.t.interval(0.95, n - 1, loc=np.mean(values), scale=stats.sem(values))
    assert found.interval is not None
    assert [found.interval.low, found.interval.high] == pytest.approx([low, high])
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    assert found.n == n


def test_a_single_value_has_no_interval() -> None:
    assert claims.estimate([0.5]) == claims.Estimate(0.5, None, 0.0, 1)


@pytest.mark.parametrize(("value", "n"), [(0.1, 3), (0.8819, 7), (0.3, 10), (7850, 4)])
def test_equal_values_have_that_mean_and_no_deviation(value: float, n: int) -> None:
    found = claims.estimate([value] * n)
    assert (found.mean, found.deviation) == (value, 0.0)


# Measures


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_accuracy", 0.81),
        ("val_loss", 0.45),
        ("accuracy", 0.80),
        ("loss", 0.5),
        ("last_val_accuracy", 0.79),
        ("last_val_loss", 0.55),
        ("last_accuracy", 0.90),
        ("last_loss", 0.3),
        ("lowest_val_loss", 0.45),
        ("lowest_val_loss_epoch", 3),
        ("highest_val_accuracy", 0.84),
        ("val_loss_rise", 0.55 - 0.45),
        ("overfitting_gap", 0.45 - 0.40),
        ("n_parameters", 79_510),
        ("first_layer_parameters", 78_500),
        ("output_layer_parameters", 1_010),
        ("n_epochs", 4),
    ],
)
def test_measures(name: str, expected: float) -> None:
    assert measure(name, trial(value=0.55), TASK) == expected


@pytest.mark.parametrize("metric", SCORED, ids=lambda metric: metric.name)
def test_a_scored_metric_is_measured_where_it_was_scored(metric: Metric) -> None:
    without = trial()
    scored = trial(history={**without.history, metric.name: [0.1, 0.2, 0.3, 0.4]})
    for name, expected in ((metric.name, 0.3), (f"last_{metric.name}", 0.4)):
        assert not has_measure(name, without)
        assert has_measure(name, scored)
        assert measure(name, scored, TASK) == expected
        assert metric.noun in MEASURES[name].words


def test_every_measure_is_tested_and_explained() -> None:
    (marks,) = test_measures.pytestmark  # type: ignore[attr-defined]
    scored = [prefix + metric.name for prefix in ("", "last_") for metric in SCORED]
    tested = [*(name for name, _ in marks.args[1]), *scored]
    assert sorted(tested) == sorted(MEASURES)
    assert all(MEASURES.values())


def test_the_kept_epoch_is_the_metrics_and_not_the_last() -> None:
    by_accuracy = trial(best_epoch=2)
    assert measure("val_accuracy", by_accuracy, TASK) == 0.84
    assert measure("val_loss", by_accuracy, TASK) == 0.65
    assert measure("overfitting_gap", by_accuracy, TASK) == 0.65 - 0.40
    assert measure("lowest_val_loss_epoch", by_accuracy, TASK) == 3


def test_of_equal_losses_the_first_is_the_lowest() -> None:
    equal = trial(history={**HISTORY, "val_loss": [0.5, 0.4, 0.4, 0.4]})
    assert measure("lowest_val_loss_epoch", equal, TASK) == 2
    assert measure("val_loss_rise", equal, TASK) == 0


# A published number


def half_width(values: list[float]) -> float:
    """Of the 95 % prediction interval for one more value, by hand."""
    n = len(values)
    t = float(stats.t.ppf(0.975, n - 1))
    return t * float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / n)


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0, Verdict.HOLDS), (0.999, Verdict.HOLDS), (1.001, Verdict.DOES_NOT_HOLD)],
)
def test_a_published_number_holds_within_the_prediction_interval(
    n: int, sign: int, share: float, verdict: Verdict
) -> None:
    values = RUNS[:n]
    published = float(np.mean(values)) + sign * share * half_width(values)
    assert claims.judge_published(values, published) is verdict


def test_it_may_lie_outside_the_interval_of_the_mean() -> None:
    """The interval of the mean is narrower: it is not about one more run."""
    interval = claims.estimate(RUNS).interval
    assert interval is not None
    published = interval.high + 0.001
    assert claims.judge_published(RUNS, published) is Verdict.HOLDS


@pytest.mark.parametrize(
    ("published", "verdict"),
    [(7850, Verdict.HOLDS), (7851, Verdict.DOES_NOT_HOLD), (7849.9, Verdict.DOES_NOT_HOLD)],
)
def test_counts_that_are_always_the_same_are_compared_exactly(
    published: float, verdict: Verdict
) -> None:
    assert claims.judge_published([7850] * 10, published) is verdict


def test_equal_numbers_that_are_no_counts_are_compared_exactly_too() -> None:
    assert claims.judge_published([0.1] * 3, 0.1) is Verdict.HOLDS


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5], [0.5, 0.6]])
def test_fewer_than_three_runs_tell_nothing(values: list[float]) -> None:
    assert claims.judge_published(values, 0.5) is Verdict.CANNOT_TELL
    assert claims.judge_difference(values, comparison()) is Verdict.CANNOT_TELL


def test_one_more_run_is_covered_95_times_of_100() -> None:
    rng = np.random.default_rng(2026)
    n_cases, n_covered = 2_000, 0
    for _ in range(n_cases):
        *known, further = rng.normal(0.88, 0.003, size=11).tolist()
        n_covered += claims.judge_published(known, further) is Verdict.HOLDS
    assert n_covered / n_cases == pytest.approx(0.95, abs=0.015)  # three standard errors


# A difference


ABOVE, ACROSS, BELOW = [0.010, 0.011, 0.012], [-0.010, 0.001, 0.012], [-0.010, -0.011, -0.012]


@pytest.mark.parametrize(
    ("difference", "values", "verdict"),
    [
        ("positive", ABOVE, Verdict.HOLDS),
        ("positive", ACROSS, Verdict.CANNOT_TELL),
        ("positive", BELOW, Verdict.DOES_NOT_HOLD),
        ("negative", ABOVE, Verdict.DOES_NOT_HOLD),
        ("negative", ACROSS, Verdict.CANNOT_TELL),
        ("negative", BELOW, Verdict.HOLDS),
    ],
)
def test_a_difference_has_the_sign_that_was_claimed(
    difference: Literal["positive", "negative"], values: list[float], verdict: Verdict
) -> None:
    assert claims.judge_difference(values, comparison(difference)) is verdict


@pytest.mark.parametrize(
    ("difference", "values", "verdict"),
    [  # ABOVE has the interval 0.0085 to 0.0135
        ("positive", ABOVE, Verdict.HOLDS),
        ("negative", BELOW, Verdict.HOLDS),
        ("positive", [0.0001, 0.0002, 0.0003], Verdict.DOES_NOT_HOLD),
        ("negative", [-0.0001, -0.0002, -0.0003], Verdict.DOES_NOT_HOLD),
        ("positive", [0.003, 0.008, 0.004], Verdict.CANNOT_TELL),
        ("negative", [-0.003, -0.008, -0.004], Verdict.CANNOT_TELL),
    ],
)
def test_a_difference_within_the_margin_does_not_count(
    difference: Literal["positive", "negative"], values: list[float], verdict: Verdict
) -> None:
    assert claims.judge_difference(values, comparison(difference, 0.005)) is verdict


@pytest.mark.parametrize(
    ("values", "margin", "verdict"),
    [
        (ABOVE, 0.014, Verdict.HOLDS),
        (BELOW, 0.014, Verdict.HOLDS),
        (ABOVE, 0.011, Verdict.CANNOT_TELL),
        (BELOW, 0.011, Verdict.CANNOT_TELL),
        (ABOVE, 0.005, Verdict.DOES_NOT_HOLD),
        (BELOW, 0.005, Verdict.DOES_NOT_HOLD),
        (ACROSS, 0.005, Verdict.CANNOT_TELL),
    ],
)
def test_no_difference_is_one_within_the_margin(
    values: list[float], margin: float, verdict: Verdict
) -> None:
    assert claims.judge_difference(values, comparison("none", margin)) is verdict


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ("positive", Verdict.DOES_NOT_HOLD),
        ("negative", Verdict.DOES_NOT_HOLD),
        ("none", Verdict.HOLDS),
    ],
)
def test_runs_that_do_not_differ_at_all(
    difference: Literal["positive", "negative", "none"], verdict: Verdict
) -> None:
    assert claims.judge_difference([0.0] * 10, comparison(difference)) is verdict


# Pairs


def test_pairs_have_the_same_seed() -> None:
    known = [
        trial("a", 1, 0.5),
        trial("a", 2, 0.6),
        trial("b", 2, 0.9),
        trial("b", 1, 0.7),
    ]
    assert claims.paired(comparison(), known, TASK) == pytest.approx([0.5 - 0.7, 0.6 - 0.9])


def test_what_has_no_partner_is_left_out() -> None:
    known = [
        trial("a", 1, 0.5),
        trial("b", 1, 0.7),
        trial("a", 2),
        trial("b", 3),
        trial("a", 4),
        trial("b", 4, state="FAIL", history={}),
        trial("b", 5, state="FAIL", history={}),
        trial("a", 5),
        trial("c", 2),
        trial("", 2),
        trial("", 3),
    ]
    assert claims.paired(comparison(), known, TASK) == pytest.approx([-0.2])
    assert claims.paired(comparison(), known[2:], TASK) == []


@pytest.mark.parametrize(
    ("difference", "values", "verdict"),
    [
        ("not positive", [-0.05, -0.04, -0.06], Verdict.HOLDS),
        ("not positive", [0.05, 0.04, 0.06], Verdict.DOES_NOT_HOLD),
        ("not positive", [0.05, -0.04, 0.01], Verdict.CANNOT_TELL),
        ("not negative", [0.05, 0.04, 0.06], Verdict.HOLDS),
        ("not negative", [-0.05, -0.04, -0.06], Verdict.DOES_NOT_HOLD),
        ("not negative", [0.05, -0.04, 0.01], Verdict.CANNOT_TELL),
    ],
)
def test_where_one_side_alone_matters(
    difference: Difference, values: list[float], verdict: Verdict
) -> None:
    assert claims.judge_difference(values, comparison(difference, 0.002)) is verdict
