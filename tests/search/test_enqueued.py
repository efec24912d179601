"""Trials that somebody enqueues with Optuna alone, as its documentation shows."""

from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scripted import (
    REFERENCE,
    ListTracker,
    ScriptedExecutor,
    SilentProgress,
    make_spec,
    make_study,
    n_running,
    search,
    steady,
)

from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import study_store
from pipeline.study.spec import StudySpec
from pipeline.study.trial import select_counted

SPACE = {
    "hidden_layers": {"type": "int", "low": 0, "high": 2},
    "units": {"type": "int", "low": 8, "high": 64, "step": 8, "per": "hidden_layers"},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": ["sgd"]}},
    "nesterov": {"type": "categorical", "choices": [True, False]},
}


@pytest.fixture
def spec() -> StudySpec:
    return make_spec(budget={"trials": 4}, fixed={"batch_size": 32, "epochs": 3}, space=SPACE)


def searched(spec: StudySpec, study: optuna.Study) -> list[str]:
    progress = SilentProgress()
    supervisor = Supervisor(spec, study, ScriptedExecutor(steady), ListTracker(), progress)
    assert supervisor.run() is SearchEnd.BUDGET_USED
    return progress.lines


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"learning_rate": 5.0}, "learning_rate = 5.0, allowed is a number from 0.0001 to 0.1"),
        ({"learning_rate": -1}, "learning_rate = -1, allowed is a number"),
        ({"learning_rate": float("nan")}, "learning_rate = nan, allowed is a number"),
        ({"learning_rate": "fast"}, "learning_rate = 'fast', allowed is a number"),
        ({"learning_rate": None}, "learning_rate = None, allowed is a number"),
        ({"learning_rate": True}, "learning_rate = True, allowed is a number"),
        ({"learning_rate": [0.01]}, "learning_rate = [0.01], allowed is a number"),
        ({"hidden_layers": 3}, "hidden_layers = 3, allowed is an integer from 0 to 2"),
        ({"hidden_layers": "1"}, "hidden_layers = '1', allowed is an integer"),
        ({"hidden_layers": 1.5}, "hidden_layers = 1.5, allowed is an integer"),
        (
            {"hidden_layers": 1, "units_1": 12},
            "units_1 = 12, allowed is an integer from 8 to 64 in steps of 8",
        ),
        ({"hidden_layers": 1, "units_2": 16}, "units_2 = 16, which goes with none of"),
        ({"units": 16}, "units = 16, which is not searched; allowed are hidden_layers, units"),
        ({"optimizer": "lion"}, "optimizer = 'lion', allowed is 'sgd' or 'adam'"),
        ({"optimizer": ["adam"]}, "optimizer = ['adam'], allowed is 'sgd' or 'adam'"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum = 0.5, which goes with none of"),
        ({"batch_size": 64}, "batch_size = 64, which is not searched"),
        ({"lr": 0.01}, "lr = 0.01, which is not searched"),
    ],
    ids=str,
)
def test_one_that_cannot_be_is_refused_and_the_search_goes_on(
    params: dict[str, Any], said: str, spec: StudySpec
) -> None:
    study = make_study(spec)
    study.enqueue_trial(params)
    (line,) = [line for line in searched(spec, study) if line.startswith("fail ")]
    assert line.startswith(f"fail     trial 0 was enqueued by hand: found {said}")
    assert n_running(study) == 0
    known = study_store.read_trials(study)
    assert (known[0].state, known[0].interrupted) == ("FAIL", True)
    assert known[0].reason.startswith(f"enqueued by hand: found {said}")
    assert [trial.state for trial in select_counted(known)] == ["COMPLETE"] * 4


LOG = FloatDistribution(1e-5, 100.0, log=True)


@pytest.mark.parametrize(
    ("params", "distributions", "said"),
    [
        ({"learning_rate": 0.5}, [LOG], "learning_rate = 0.5, allowed is a number from 0.0001"),
        (
            {"learning_rate": -5.0},
            [FloatDistribution(-9, 9)],
            "learning_rate = -5.0, allowed is a number",
        ),
        (
            {"hidden_layers": -5},
            [IntDistribution(-9, 9)],
            "hidden_layers = -5, allowed is an integer from 0 to 2",
        ),
        (
            {"hidden_layers": 1, "units_1": 5000},
            [IntDistribution(1, 3), IntDistribution(1, 5000)],
            "units_1 = 5000, allowed is an integer from 8 to 64",
        ),
        (
            {"hidden_layers": 1, "units_2": 16},
            [IntDistribution(0, 2), IntDistribution(8, 64, step=8)],
            "units_2 = 16, which goes with none of",
        ),
        (
            {"optimizer": "adam", "momentum": 0.5},
            [CategoricalDistribution(["sgd", "adam"]), FloatDistribution(0, 0.9)],
            "momentum = 0.5, which goes with none of",
        ),
        (
            {"optimizer": "lion"},
            [CategoricalDistribution(["lion", "adam"])],
            "optimizer = 'lion', allowed is 'sgd' or 'adam'",
        ),
        (
            {"optimizer": "adam"},
            [CategoricalDistribution(["lion", "adam"])],
            "optimizer of CategoricalDistribution(choices=('lion', 'adam')), allowed are this",
        ),
        (
            {"learning_rate": 0.01},
            [FloatDistribution(0.001, 0.1)],
            "learning_rate of FloatDistribution(high=0.1, log=False, low=0.001, step=None), all",
        ),
        ({"dropout": 1.5}, [FloatDistribution(0, 2)], "dropout = 1.5, which is not searched"),
    ],
    ids=str,
)
def test_one_that_was_added_with_params_that_cannot_be_is_refused_too(
    params: dict[str, Any], distributions: list[BaseDistribution], said: str, spec: StudySpec
) -> None:
    study = make_study(spec)
    add(study, params, distributions)
    (line,) = [line for line in searched(spec, study) if line.startswith("fail ")]
    assert line.startswith(f"fail     trial 0 was enqueued by hand: found {said}")
    assert n_running(study) == 0
    known = study_store.read_trials(study)
    assert (known[0].state, known[0].interrupted) == ("FAIL", True)
    assert [trial.state for trial in select_counted(known)] == ["COMPLETE"] * 4


def test_one_that_was_added_with_params_that_can_be_is_run_with_them(spec: StudySpec) -> None:
    study = make_study(spec)
    params = {"learning_rate": 0.01, "hidden_layers": 2, "units_2": 24, "epochs": 3}
    integers = [IntDistribution(0, 9), IntDistribution(1, 99), IntDistribution(1, 9)]
    add(study, params, [LOG, *integers])
    assert not [line for line in searched(spec, study) if line.startswith("fail ")]
    given = study_store.read_trials(study)[0].hyperparameters
    assert given
    assert (given.learning_rate, given.units[1], given.epochs) == (0.01, 24, 3)


def add(
    study: optuna.Study, params: dict[str, Any], distributions: list[BaseDistribution]
) -> None:
    kinds = dict(zip(params, distributions, strict=True))
    waiting = optuna.trial.TrialState.WAITING
    study.add_trial(optuna.trial.create_trial(state=waiting, params=params, distributions=kinds))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"learning_rate": 0.01},
        {"hidden_layers": 2, "units_1": 64, "units_2": 8},
        {"optimizer": "sgd", "momentum": 0.5, "nesterov": True},
        {"learning_rate": 0.01, "epochs": 3},
    ],
    ids=str,
)
def test_one_that_can_be_is_run_with_its_values(params: dict[str, Any], spec: StudySpec) -> None:
    study = make_study(spec)
    study.enqueue_trial(params)
    searched(spec, study)
    first, *others = study_store.read_trials(study)
    assert (first.state, first.interrupted, len(others)) == ("COMPLETE", False, 3)
    assert first.hyperparameters is not None
    flat = first.hyperparameters.flat()
    assert {name: flat[name] for name in params} == params


@pytest.mark.parametrize(
    "attributes",
    [
        {"note": "try this"},
        {"hyperparameters": "mine", "seed": 3},
        {"hyperparameters": {"units": 3}, "seed": 3},
        {"hyperparameters": [1], "seed": 3},
        {"hyperparameters": {"hidden_layers": "2", "units": 5}, "seed": "x"},
    ],
    ids=str,
)
def test_its_attributes_may_be_anything(attributes: dict[str, Any], spec: StudySpec) -> None:
    study = make_study(spec)
    study.enqueue_trial({"learning_rate": 0.01}, user_attrs=attributes)
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=attributes))
    searched(spec, study)
    first, *_ = study_store.read_trials(study)
    assert first.state == "COMPLETE"
    assert first.hyperparameters is not None
    assert first.hyperparameters.learning_rate == 0.01


def test_a_study_of_references_alone_refuses_all() -> None:
    references = [{"name": "own", "hyperparameters": REFERENCE}]
    spec = make_spec(budget={"trials": 2}, fixed={}, space={}, reference=references)
    study = make_study(spec)
    study.enqueue_trial({})
    study.enqueue_trial({"learning_rate": 0.01})
    assert search(spec, study, ScriptedExecutor(steady)) is SearchEnd.BUDGET_USED
    assert n_running(study) == 0
    states = [(trial.state, trial.interrupted) for trial in study_store.read_trials(study)]
    assert states == [("FAIL", True), ("FAIL", True), ("COMPLETE", False)]
