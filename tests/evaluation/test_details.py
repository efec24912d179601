"""How a model errs: against values worked out by hand, and against scikit-learn's."""

import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, confusion_matrix, precision_recall_fscore_support

from pipeline.evaluation import details
from pipeline.task.task import Kind, Task

THREE = Task(Kind.MULTICLASS, (4,), ("a", "b", "c"))
TWO = Task(Kind.BINARY, (4,), ("no", "yes"))


def drawn(n: int = 500, k: int = 3, seed: int = 0) -> tuple[Any, Any, Any]:
    """Targets, probabilities that know something of them, and weights."""
    random = np.random.default_rng(seed)
    targets = random.integers(k, size=n)
    logits = random.normal(size=(n, k)) + 1.5 * np.eye(k)[targets]
    answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return targets, answers, random.uniform(0.2, 3, n)


@pytest.mark.parametrize("is_weighed", [False, True])
def test_classes_are_as_scikit_learn_has_them(is_weighed: bool) -> None:
    targets, answers, weights = drawn()
    given = weights if is_weighed else None
    found = details.of_classes(THREE, targets, answers, given)
    precision, recall, f1, _ = precision_recall_fscore_support(
        targets, answers.argmax(axis=1), sample_weight=given
    )
    for i, each in enumerate(found["classes"]):
        assert each["class"] == THREE.class_names[i]
        assert each["precision"] == pytest.approx(precision[i])
        assert each["recall"] == pytest.approx(recall[i])
        assert each["f1"] == pytest.approx(f1[i])
        assert each["support"] == (targets == i).sum()
    matrix = confusion_matrix(targets, answers.argmax(axis=1))
    assert found["confusion_matrix"] == matrix.tolist()
    worst = found["confusions"][0]
    assert worst["n"] == (matrix - np.diag(matrix.diagonal())).max()
    i, j = THREE.class_names.index(worst["class"]), THREE.class_names.index(worst["answered"])
    assert matrix[i, j] == worst["n"]
    assert len(found["confusions"]) == 6


def test_two_classes_of_one_probability() -> None:
    targets, answers, weights = drawn(k=2)
    found = details.of_classes(TWO, targets, answers[:, 1:], weights)
    assert found["confusion_matrix"] == confusion_matrix(targets, answers[:, 1] > 0.5).tolist()
    brier = brier_score_loss(targets, answers[:, 1], sample_weight=weights)
    assert found["calibration"]["brier"] == pytest.approx(brier)
    assert found["calibration"]["reliability"][0]["low"] >= 0.4


def test_one_half_is_the_first_class() -> None:
    assert details.chosen_classes(np.array([[0.5], [0.51]])).tolist() == [0, 1]


def test_calibration_by_hand() -> None:
    """Confidences are .9, .9, .62 and .36; the first and the third are right."""
    answers = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.62, 0.3, 0.08], [0.3, 0.36, 0.34]])
    found = details.of_classes(THREE, np.array([0, 1, 0, 0]), answers)["calibration"]
    # bins of 1/15: .9 is in (.8667, .9333], .62 in (.6, .6667], .36 in (.3333, .4]
    assert [(round(each["low"] * 15), each["n"]) for each in found["reliability"]] == [
        (5, 1),
        (9, 1),
        (13, 2),
    ]
    assert [each["accuracy"] for each in found["reliability"]] == [0.0, 1.0, 0.5]
    confidences = [each["confidence"] for each in found["reliability"]]
    assert confidences == pytest.approx([0.36, 0.62, 0.9])
    # (1 * |0 - .36| + 1 * |1 - .62| + 2 * |.5 - .9|) / 4
    assert found["ece"] == pytest.approx((0.36 + 0.38 + 2 * 0.4) / 4)
    squares = (0.01 + 0.01) + (0.81 + 0.81) + (0.38**2 + 0.09 + 0.0064) + (0.49 + 0.1296 + 0.1156)
    assert found["brier"] == pytest.approx(squares / 4)
    assert found["n_bins"] == 15


def test_calibration_with_weights_by_hand() -> None:
    answers, weights = np.array([[0.9], [0.9], [0.3]]), np.array([3.0, 1.0, 4.0])
    found = details.of_classes(TWO, np.array([1, 0, 0]), answers, weights)["calibration"]
    # the bin of .9 weighs 4 and is right by .75; that of .7 weighs 4 and is right
    assert found["ece"] == pytest.approx((4 * 0.15 + 4 * 0.3) / 8)
    assert found["brier"] == pytest.approx((3 * 0.01 + 0.81 + 4 * 0.09) / 8)


def test_a_bin_has_its_upper_end() -> None:
    answers = np.array([[3 / 5, 2 / 5], [1.0, 0.0]])
    task = Task(Kind.BINARY, (4,), ("no", "yes"))
    found = details.of_classes(task, np.array([0, 0]), answers)["calibration"]["reliability"]
    assert [each["high"] for each in found] == [pytest.approx(0.6), 1.0]


DEGENERATE = {
    "one row": (np.array([2]), np.array([[0.1, 0.2, 0.7]])),
    "a class without rows": (np.array([0, 0, 2]), np.eye(3)[[0, 1, 2]]),
    "all right": (np.array([0, 1, 2]), np.eye(3)),
    "all answers alike": (np.array([0, 1, 2]), np.array([[0.6, 0.3, 0.1]] * 3)),
    "all wrong": (np.array([0, 1, 2]), np.eye(3)[[1, 2, 0]]),
    "no number": (np.array([0, 1]), np.array([[math.nan] * 3, [0.1, 0.8, 0.1]])),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_what_is_undefined_is_none(case: str) -> None:
    targets, answers = DEGENERATE[case]
    found = details.of_classes(THREE, targets, answers)
    json.dumps(found, allow_nan=False)
    assert sum(map(sum, found["confusion_matrix"])) == len(targets)
    if case == "a class without rows":
        assert found["classes"][1] == {
            "class": "b", "precision": 0.0, "recall": None, "f1": 0.0, "support": 0,
        }  # fmt: skip
    if case == "all answers alike":
        assert found["classes"][2]["precision"] is None
    if case == "all right":
        assert found["calibration"]["ece"] == found["calibration"]["brier"] == 0
        assert found["confusions"] == []


def test_of_rows_that_weigh_nothing_nothing_is_known() -> None:
    found = details.of_classes(THREE, np.array([0]), np.eye(3)[:1], np.zeros(1))
    assert found["calibration"]["ece"] is None
    assert found["calibration"]["brier"] is None
    assert found["classes"][0]["recall"] is None


def test_of_many_classes_there_is_no_matrix() -> None:
    names = tuple(f"class {i}" for i in range(150))
    targets = np.arange(150).repeat(2)
    answers = np.eye(150)[(targets + (np.arange(300) % 2)) % 150]
    found = details.of_classes(Task(Kind.MULTICLASS, (4,), names), targets, answers)
    assert found["confusion_matrix"] is None
    assert len(found["confusions"]) == 10
    assert found["confusions"][0] == {"class": "class 0", "answered": "class 1", "n": 1}
    assert len(found["classes"]) == 150


def test_the_surest_mistakes_come_first() -> None:
    answers = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.01, 0.99]])
    found = details.most_confident_mistakes(np.array([1, 1, 1, 0]), answers, 2)
    assert found.tolist() == [3, 0]


# Numbers


def test_residuals_by_hand() -> None:
    found = details.of_numbers(np.array([1.0, 2.0, 3.0, 4.0]), np.array([[2], [2], [2], [7]]))
    assert found["residuals"]["mean"] == pytest.approx((1 + 0 - 1 + 3) / 4)
    assert found["residuals"]["median"] == 0.5
    assert found["residuals"]["standard_deviation"] == pytest.approx(np.std([1, 0, -1, 3]))
    assert found["coverage"] is None
    # answers in order: 2, 2, 2, 7, each a part of its own, for there are fewer than ten
    assert [each["n"] for each in found["tenths"]] == [1, 1, 1, 1]
    assert [each["bias"] for each in found["tenths"]] == [1, 0, -1, 3]
    assert found["tenths"][3] == {
        "low": 7.0, "high": 7.0, "n": 1, "answer": 7.0, "target": 4.0,
        "bias": 3.0, "mae": 3.0, "rmse": 3.0,
    }  # fmt: skip


def test_residuals_with_weights_are_those_of_rows_that_come_again() -> None:
    random = np.random.default_rng(0)
    targets, answers = random.normal(size=50), random.normal(size=50)
    weights = random.integers(0, 4, 50)
    weighed = details.of_numbers(targets, answers, weights)["residuals"]
    again = details.of_numbers(targets.repeat(weights), answers.repeat(weights))["residuals"]
    assert weighed == pytest.approx(again)


def test_tenths_go_by_what_is_answered() -> None:
    random = np.random.default_rng(0)
    answers = random.permutation(1_000).astype(float)
    found = details.of_numbers(answers * 2, answers)["tenths"]
    assert [each["low"] for each in found] == [100 * i for i in range(10)]
    assert [each["high"] for each in found] == [100 * i + 99 for i in range(10)]
    assert found[9]["bias"] == pytest.approx(-949.5)
    assert found[9]["target"] == pytest.approx(2 * 949.5)


def test_coverage_is_that_of_the_validation_errors() -> None:
    random = np.random.default_rng(0)
    known, errors = random.normal(size=399), random.normal(size=10_000)
    found = details.of_numbers(np.zeros(10_000), errors, known_errors=known)["coverage"]
    # the 380th of 399: (399 + 1) * .95
    assert found["half_width"] == np.sort(abs(known))[379]
    assert found["promised"] == 0.95
    assert found["found"] == pytest.approx((abs(errors) <= found["half_width"]).mean())
    assert 0.92 < found["found"] < 0.97


def test_of_few_validation_errors_no_coverage_is_promised() -> None:
    given = np.zeros(3), np.ones(3)
    assert details.of_numbers(*given, known_errors=np.ones(18))["coverage"] is None
    assert details.of_numbers(*given, known_errors=np.ones(19))["coverage"]["found"] == 1


@pytest.mark.parametrize(
    "answers", [[1.0], [0.0] * 30, [math.inf] * 12, [math.nan, *range(12)]], ids=str
)
def test_numbers_of_any_kind_are_json(answers: list[float]) -> None:
    given = np.array(answers)
    with np.errstate(invalid="ignore"):
        found = details.of_numbers(np.zeros(len(given)), given, known_errors=given)
    json.dumps(found, allow_nan=False)


def test_the_largest_errors_come_first() -> None:
    found = details.largest_errors(np.array([1.0, 2.0, 3.0]), np.array([[1.5], [9], [1]]), 2)
    assert found.tolist() == [1, 2]
