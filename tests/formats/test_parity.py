"""Which answers count as the same."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.formats.fresh import Asked
from pipeline.formats.parity import Expected, compare
from pipeline.task.task import Kind, Target, Task

THREE = Task(Kind.MULTICLASS, (4, 4), ("a", "b", "c"))
TWO = Task(Kind.BINARY, (4, 4), ("a", "b"))
PRICES = Task(Kind.REGRESSION, (4, 4), loss="squared", target=Target("y", 0.0, 10.0))
RIGHT = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])


def test_the_class_decides_and_the_largest_difference_is_told() -> None:
    assert compare(THREE, RIGHT, RIGHT) == (0, 0.0)
    near = RIGHT + np.array([[-0.09, 0.1, -0.01], [0, 0, 0]])
    assert compare(THREE, RIGHT, near) == pytest.approx((0, 0.1))
    other = RIGHT + np.array([[-0.11, 0.1, 0.01], [0, 0, 0]])
    assert compare(THREE, RIGHT, other) == pytest.approx((1, 0.11))


def test_of_two_classes_the_second_is_told_above_one_half() -> None:
    right = np.array([[0.49], [0.51]])
    assert compare(TWO, right, right + 0.005) == pytest.approx((0, 0.005))
    assert compare(TWO, right, right + 0.02) == pytest.approx((1, 0.02))


def test_numbers_may_differ_by_a_little_of_themselves_or_of_their_spread() -> None:
    right = np.array([[0.0], [1e6]])
    assert compare(PRICES, right, right + np.array([[9e-4], [90.0]])) == pytest.approx((0, 90))
    assert compare(PRICES, right, right + np.array([[2e-3], [0.0]]))[0] == 1
    assert compare(PRICES, right, right + np.array([[0.0], [110.0]]))[0] == 1


@pytest.mark.parametrize(("task", "right"), [(THREE, RIGHT), (PRICES, np.array([[1.0], [2.0]]))])
def test_no_answer_is_the_same_as_no_answer_alone(task: Task, right: NDArray[Any]) -> None:
    none = right.copy()
    none[1] = np.nan
    assert compare(task, none, none) == (0, 0.0)
    assert compare(task, none, right)[0] == 1
    assert compare(task, right, none)[0] == 1


def asked(answers: NDArray[Any]) -> Asked:
    return Asked(answers, "a runtime 1.0", 0.5, 0.001)


@pytest.mark.parametrize(
    ("answers", "why_not"),
    [
        (RIGHT, ""),
        (RIGHT[[1, 1]], "it answers otherwise to 1 of 1 image of the test set"),
        (RIGHT[[0, 0]], "it answers otherwise to examples with odd pixels"),
        (RIGHT[:1], "it answers otherwise to 1 of 1 image of the test set"),
    ],
    ids=["alike", "a test example", "a probe", "too few"],
)
def test_a_format_is_refused_that_answers_otherwise(
    answers: NDArray[Any],
    why_not: str,
) -> None:
    found = Expected(THREE, RIGHT, n_probes=1).measure(asked(answers), ("x",), 9, "")
    assert found.why_not == why_not
    assert (found.n_examples, found.n_bytes) == (1, 9)
