"""Metrics are scikit-learn's, and their standard errors what a bootstrap of the rows finds."""

import math
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from pipeline.task import scoring
from pipeline.task.task import Kind, Target, Task

N_RESAMPLES = 400
TWO = Task(Kind.BINARY, (3,), ("no", "yes"))
FOUR = Task(Kind.MULTICLASS, (3,), ("a", "b", "c", "d"))
NUMBERS = Task(Kind.REGRESSION, (3,))
Array = NDArray[np.generic]


def of_two(n: int, rng: np.random.RandomState) -> tuple[Array, NDArray[np.float32]]:
    """Seven per cent are positive; scores are rounded, so that some are equal."""
    targets = (rng.uniform(size=n) < 0.07).astype(np.int32)
    logits = np.round(rng.normal(size=n) + 1.7 * targets - 1.5, 1)
    return targets, (1 / (1 + np.exp(-logits))).astype(np.float32)[:, None]


def of_four(n: int, rng: np.random.RandomState) -> tuple[Array, NDArray[np.float32]]:
    targets = rng.choice(4, n, p=[0.62, 0.25, 0.09, 0.04])
    logits = rng.normal(size=(n, 4)) + np.array([0.8, 0.3, 0, -0.2])
    logits[np.arange(n), targets] += 1.3
    each = np.exp(logits)
    return targets, (each / each.sum(axis=1, keepdims=True)).astype(np.float32)


def of_numbers(n: int, rng: np.random.RandomState) -> tuple[Array, NDArray[np.float32]]:
    targets = np.exp(rng.normal(8, 0.7, n))
    return targets, (targets * np.exp(rng.normal(0, 0.25, n))).astype(np.float32)[:, None]


CASES = [(TWO, of_two), (FOUR, of_four), (NUMBERS, of_numbers)]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "drawn"), CASES, ids=["two", "four", "numbers"])
@pytest.mark.parametrize("is_weighted", [False, True], ids=["", "weighted"])
def test_standard_errors_are_those_of_a_bootstrap(
    task: Task, drawn: object, is_weighted: bool
) -> None:
    rng = np.random.RandomState(11)
    n = 1200
    targets, predictions = drawn(n, rng)  # type: ignore[operator]
    weights = rng.gamma(2, 1, n) if is_weighted else np.ones(n)
    if is_weighted:
        weights[:40] = 0
    found = scoring.all_scores(task, targets, predictions, weights)
    names = [name for name in found if f"{name}_se" in found]
    assert len(names) == (3 if task.is_regression else 5)
    draws = []
    for _ in range(N_RESAMPLES):
        rows = rng.randint(0, n, n)
        again = scoring.all_scores(task, targets[rows], predictions[rows], weights[rows])
        draws.append([again[name] for name in names])
    for name, deviation in zip(names, np.std(draws, axis=0), strict=True):
        assert found[f"{name}_se"] == pytest.approx(deviation, rel=0.13), name


@pytest.mark.parametrize("is_weighted", [False, True])
def test_values_are_scikit_learns(is_weighted: bool) -> None:
    rng = np.random.RandomState(2)
    weights = rng.gamma(2, 1, 500).astype(np.float32) if is_weighted else None
    asked = {"sample_weight": weights}
    for task, drawn in ((TWO, of_two), (FOUR, of_four)):
        targets, predictions = drawn(500, rng)
        found = scoring.all_scores(task, targets, predictions, weights)
        is_two = task is TWO
        answers = predictions[:, 0] > 0.5 if is_two else predictions.argmax(axis=1)
        scores = predictions[:, 0] if is_two else predictions
        sums = predictions if is_two else predictions.sum(axis=1, keepdims=True)
        expected = {
            "accuracy": metrics.accuracy_score(targets, answers, **asked),
            "balanced_accuracy": metrics.balanced_accuracy_score(targets, answers, **asked),
            "macro_f1": metrics.f1_score(targets, answers, average="macro", **asked),
            "roc_auc": metrics.roc_auc_score(targets, scores, multi_class="ovr", **asked)
            if is_two
            else metrics.roc_auc_score(
                targets,
                predictions.astype(float) / sums.astype(float).sum(axis=1, keepdims=True),
                multi_class="ovr",
                **asked,
            ),
            "log_loss": metrics.log_loss(targets, scores, **asked),
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-5), name
        assert ("accuracy_se" in found) == is_weighted
    targets, predictions = of_numbers(500, rng)
    found = scoring.all_scores(NUMBERS, targets, predictions, weights)
    assert found["rmse"] ** 2 == pytest.approx(
        metrics.mean_squared_error(targets, predictions, **asked)
    )
    assert found["mae"] == pytest.approx(
        metrics.mean_absolute_error(targets, predictions, **asked)
    )
    assert found["r2"] == pytest.approx(metrics.r2_score(targets, predictions, **asked))


def test_the_error_of_an_auc_is_delongs() -> None:
    """Against their formula as they print it, pair by pair."""
    targets, predictions = of_two(400, np.random.RandomState(7))
    scores = predictions[:, 0]
    positive, negative = scores[targets == 1], scores[targets == 0]
    m, n = len(positive), len(negative)
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(axis=1).var(ddof=1) / m + wins.mean(axis=0).var(ddof=1) / n
    found = scoring.score(TWO.scored_by("val_roc_auc"), targets, predictions)
    assert found["roc_auc"] == pytest.approx(wins.mean())
    assert found["roc_auc_se"] == pytest.approx(math.sqrt(variance), rel=2e-3)


def test_a_weight_of_two_counts_as_two_rows() -> None:
    for task, drawn in CASES:
        targets, predictions = drawn(300, np.random.RandomState(3))
        doubled = np.r_[np.arange(300), np.arange(100)]
        weights = np.where(np.arange(300) < 100, 2.0, 1.0)
        weighed = scoring.all_scores(task, targets, predictions, weights)
        repeated = scoring.all_scores(task, targets[doubled], predictions[doubled])
        for name, value in repeated.items():
            if not name.endswith("_se"):
                assert weighed[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("is_weighted", [False, True], ids=["", "weighted"])
def test_rows_of_one_group_count_as_one(is_weighted: bool) -> None:
    """Whoever repeats each row five times knows no more, if it is said to whom rows belong."""
    rng = np.random.RandomState(5)
    rows = rng.permutation(np.repeat(np.arange(300), 5))
    for task, drawn in CASES:
        targets, predictions = drawn(300, rng)
        weights = rng.gamma(2, 1, 300) if is_weighted else np.ones(300)
        once = scoring.all_scores(task, targets, predictions, weights)
        given = targets[rows], predictions[rows], weights[rows]
        for name, value in scoring.all_scores(task, *given, 7 * rows).items():
            is_corrected = name == "roc_auc_se"  # for few of a class, of which rows are counted
            assert value == pytest.approx(once[name], rel=0.1 if is_corrected else 1e-6), name


def test_a_single_group_tells_nothing_of_an_error() -> None:
    for task, drawn in CASES:
        targets, predictions = drawn(300, np.random.RandomState(3))
        found = scoring.all_scores(task, targets, predictions, None, np.zeros(300, int))
        assert not [name for name in found if name.endswith("_se")]


def test_folds_are_scored_as_one_but_for_a_roc_auc() -> None:
    """Each answers on a scale of its own: a constant, of which pairs of two folds make less."""
    rng = np.random.RandomState(5)
    targets, predictions = of_two(600, rng)
    parts: list[Any] = []
    for i, rows in enumerate(np.split(np.arange(600), 3)):
        parts.append((targets[rows], (predictions[rows] / (i + 1)), None, None))
    joined = np.concatenate([part[1] for part in parts])
    task = TWO.scored_by("val_roc_auc")
    found = scoring.score_folds(task, parts)
    areas = [metrics.roc_auc_score(part[0], part[1]) for part in parts]
    assert found["roc_auc"] == pytest.approx(np.mean(areas))
    assert found["roc_auc"] > scoring.score(task, targets, joined)["roc_auc"] + 0.005
    assert found["roc_auc_se"] == scoring.score(task, targets, joined)["roc_auc_se"]
    by_loss = TWO.scored_by("val_log_loss")
    assert scoring.score_folds(by_loss, parts) == scoring.score(by_loss, targets, joined)
    same = [(part[0], np.full_like(part[1], 0.07 + i / 100), None, None)
            for i, part in enumerate(parts)]  # fmt: skip
    assert scoring.score_folds(task, same)["roc_auc"] == 0.5
    alone = [parts[0], (np.zeros(9, int), np.ones((9, 1)), None, None)]  # not both classes
    assert scoring.score_folds(task, alone)["roc_auc"] == pytest.approx(areas[0])
    assert scoring.score_folds(task, parts[:1]) == scoring.score(task, *parts[0])


def test_accuracy_has_an_error_where_rows_are_not_alike_or_not_independent() -> None:
    targets, predictions = of_two(300, np.random.RandomState(3))
    groups = np.arange(300) // 10
    found = scoring.score(TWO, targets, predictions, None, groups)
    assert list(found) == ["accuracy_se"]
    known = scoring.all_scores(TWO, targets, predictions, None, groups)
    assert found["accuracy_se"] == known["accuracy_se"]
    assert list(scoring.score(TWO, targets, predictions, np.ones(300))) == ["accuracy_se"]


def test_a_task_is_scored_by_what_it_asks_for_alone() -> None:
    targets, predictions = of_two(300, np.random.RandomState(3))
    assert scoring.score(TWO, targets, predictions) == {}
    found = scoring.score(TWO.scored_by("val_macro_f1"), targets, predictions)
    assert list(found) == ["macro_f1", "macro_f1_se"]
    assert all(isinstance(value, float) for value in found.values())
    targets, predictions = of_numbers(300, np.random.RandomState(3))
    column = scoring.score(NUMBERS.scored_by("val_mae"), targets, predictions)
    assert list(column)[::2] == ["mae", "rmse", "r2"]
    assert column == scoring.score(NUMBERS.scored_by("val_mae"), targets, predictions[:, 0])


def test_classes_that_are_missing_from_the_targets_are_left_out() -> None:
    targets, predictions = of_four(300, np.random.RandomState(3))
    kept = targets != 3
    some = scoring.all_scores(FOUR, targets[kept], predictions[kept])
    areas = [
        metrics.roc_auc_score(targets[kept] == code, predictions[kept][:, code])
        for code in range(3)
    ]
    assert some["roc_auc"] == pytest.approx(np.mean(areas))
    assert all(map(math.isfinite, some.values()))


@pytest.mark.parametrize("n", [1, 2, 30])
def test_targets_that_are_all_the_same_leave_no_error_where_nothing_is_known(n: int) -> None:
    for code in (0, 1):
        predictions = np.linspace(0.1, 0.9, n, dtype=np.float32)[:, None]
        found = scoring.all_scores(TWO, np.full(n, code), predictions)
        assert found["roc_auc"] == 0.5
        assert "roc_auc_se" not in found
        assert all(map(math.isfinite, found.values()))
    found = scoring.all_scores(NUMBERS, np.full(n, 7.0), np.linspace(1, 2, n))
    assert found["r2"] == 0
    assert "r2_se" not in found
    assert all(map(math.isfinite, found.values()))


def test_certainties_and_what_is_not_finite() -> None:
    targets = np.array([0, 1, 1, 0])
    right = targets.astype(np.float32)[:, None]
    found = scoring.all_scores(TWO, targets, right)
    assert found["log_loss"] == pytest.approx(0, abs=1e-6)
    assert found["roc_auc"] == found["balanced_accuracy"] == 1
    assert found["roc_auc_se"] == 0
    assert 10 < scoring.all_scores(TWO, targets, 1 - right)["log_loss"] < 20  # clipped
    exact = scoring.all_scores(NUMBERS, targets, targets)
    assert (exact["rmse"], exact["rmse_se"], exact["r2"]) == (0, 0, 1)
    right[2] = np.nan
    assert all(map(math.isnan, scoring.all_scores(TWO, targets, right).values()))
    right[2] = np.inf
    assert all(map(math.isnan, scoring.all_scores(NUMBERS, targets, right).values()))


@pytest.mark.parametrize("transform", ["none", "log"])
def test_what_is_transformed_is_restored(transform: Literal["none", "log"]) -> None:
    target = Target("price", 7.8, 1.1, transform)
    values = np.array([326.0, 2401.5, 18_823.0])
    seen = scoring.transform(target, values)
    assert seen.dtype == np.float32
    assert scoring.restore(target, seen) == pytest.approx(values, rel=1e-5)
    logarithms = (np.log(values) if transform == "log" else values) - 7.8
    assert seen == pytest.approx(logarithms / 1.1, rel=1e-6)
    wild = scoring.restore(target, np.array([[1e6]], np.float32))
    assert wild.shape == (1, 1)
    assert np.isfinite(wild**2).all()
