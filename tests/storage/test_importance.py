"""Which hyperparameters matter, and which cannot."""

import math

import optuna
import pytest

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
