"""Whether a network overfits, of curves that are made up."""

import dataclasses
from typing import Any

import pytest

from pipeline.evaluation.fit import Fit
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import State, Trial
from pipeline.task.task import Kind, Task

NETWORK = Hyperparameters(1, (8,), "adam", 0.001, 32, 10)
TASK = Task(Kind.MULTICLASS, (28, 28), ("a", "b", "c"))


def trial(best_epoch: int = 4, **history: list[float]) -> Trial:
    known: dict[str, Any] = {
        "accuracy": [0.6, 0.8, 0.9, 0.95],
        "val_accuracy": [0.6, 0.7, 0.75, 0.76],
        "val_loss": [0.9, 0.5, 0.6, 0.75],
        **history,
    }
    return Trial(0, State.COMPLETE, 0.76, best_epoch, NETWORK, 0, known)


def test_a_network_that_learns_its_examples_by_heart() -> None:
    found = Fit.of(trial(), TASK)
    assert found
    assert (found.training, found.validation, found.kept, found.lowest_loss) == (0.95, 0.76, 4, 2)
    assert found.gap("maximize") == pytest.approx(0.19)
    assert found.rise == pytest.approx(0.5)


def test_what_is_measured_with_the_kept_weights_goes_first() -> None:
    scored = dataclasses.replace(trial(), scores={"train_accuracy": 0.97})
    found = Fit.of(scored, TASK)
    assert found
    assert found.training == 0.97


def test_what_was_not_measured_is_not_told() -> None:
    assert Fit.of(trial(accuracy=[]), TASK) is None
    found = Fit.of(trial(val_loss=[]), TASK)
    assert found
    assert (found.lowest_loss, found.rise) == (0, 0.0)
