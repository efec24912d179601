"""Which hyperparameters matter, and which cannot."""

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pipeline.storage.importance import constant, importance


def study_of(n_trials: int, *, decides: bool = True) -> optuna.Study:
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1)
    )
    for _ in range(n_trials):
        trial = study.ask()
        rate = trial.suggest_float("learning_rate", 0.0, 1.0)
        trial.suggest_int("epochs", 5, 5)
        trial.suggest_categorical("activation", ["relu"])
        study.tell(trial, rate if decides else 0.5)
    return study


def test_what_has_one_value_is_left_out() -> None:
    study = study_of(40)
    assert importance(study) == {"learning_rate": 1.0}
    assert constant(study) == ["activation", "epochs"]


def test_what_was_drawn_with_one_value_alone_is_left_out_too() -> None:
    study = optuna.create_study(direction="maximize")
    for i in range(20):
        study.enqueue_trial({"learning_rate": i / 20, "batch_size": 32})
        trial = study.ask()
        rate = trial.suggest_float("learning_rate", 0.0, 1.0)
        trial.suggest_categorical("batch_size", [32, 64])
        study.tell(trial, rate)
    assert "batch_size" not in importance(study)
    assert constant(study) == ["batch_size"]


def test_where_only_fixed_ones_were_searched_nothing_has_a_share() -> None:
    study = optuna.create_study(direction="maximize")
    for i in range(20):
        trial = study.ask()
        trial.suggest_int("epochs", 5, 5)
        study.tell(trial, i / 20)
    assert importance(study) == {}


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_trials_without_a_finite_value_do_no_harm(value: float) -> None:
    study = study_of(20)
    trial = study.ask()
    trial.suggest_float("learning_rate", 0.0, 1.0)
    study.tell(trial, value)
    assert math.isclose(sum(importance(study).values()), 1.0)
    empty = optuna.create_study()
    assert importance(empty) == {}


def told(values: list[float], *params: tuple[str, BaseDistribution, list[Any]]) -> optuna.Study:
    """A study of complete trials with these values, and of each hyperparameter its own."""
    study = optuna.create_study(direction="maximize")
    for i, value in enumerate(values):
        study.add_trial(
            optuna.create_trial(
                value=value,
                params={name: column[i] for name, _, column in params},
                distributions={name: distribution for name, distribution, _ in params},
            )
        )
    return study


RISING = [i / 16 for i in range(16)]
RATE = ("learning_rate", FloatDistribution(1e-4, 1.0, log=True), [0.01 + v / 2 for v in RISING])
CONSTANT: list[tuple[str, BaseDistribution, list[Any]]] = [
    ("units", IntDistribution(50, 50), [50] * 16),
    ("dropout", FloatDistribution(0.1, 0.1), [0.1] * 16),
    ("optimizer", CategoricalDistribution(("adam",)), ["adam"] * 16),
    ("activation", CategoricalDistribution(("relu", "tanh")), ["relu"] * 16),
    ("batch_size", IntDistribution(32, 64), [40] * 16),
]


@pytest.mark.parametrize("column", CONSTANT, ids=lambda each: str(each[0]))
def test_what_cannot_or_did_not_vary_has_no_importance(
    column: tuple[str, BaseDistribution, list[Any]],
) -> None:
    study = told(RISING, RATE, column)
    assert importance(study) == {"learning_rate": 1.0}
    assert constant(study) == [column[0]]
    alone = told(RISING, column)
    assert importance(alone) == {}
    assert constant(alone) == [column[0]]


def test_where_all_trials_are_equal_nothing_is_important() -> None:
    assert importance(told([0.5] * 16, RATE)) == {}


def test_importances_sum_to_one() -> None:
    other = ("units", IntDistribution(8, 64), [8 + (7 * i) % 16 for i in range(16)])
    shares = importance(told(RISING, RATE, other, CONSTANT[1]))
    assert list(shares) == ["learning_rate", "units"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["learning_rate"] > 0.5


def test_trials_without_a_value_make_nothing_vary() -> None:
    rate = FloatDistribution(0.0, 1.0)
    choices = CategoricalDistribution(("adam", "sgd"))
    study = optuna.create_study(direction="maximize")
    for i in range(20):
        is_bad = i % 4 == 0
        study.add_trial(
            optuna.create_trial(
                value=-math.inf if is_bad else i / 20,
                params={"learning_rate": i / 20, "optimizer": "sgd" if is_bad else "adam"},
                distributions={"learning_rate": rate, "optimizer": choices},
            )
        )
    assert constant(study) == ["optimizer"]
    assert importance(study) == {"learning_rate": 1.0}
