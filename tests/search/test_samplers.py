"""What every sampler has to do that a study file may name, and what pruners derive."""

import math
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna
import pytest
from scripted import (
    ListTracker,
    ScriptedExecutor,
    SilentProgress,
    asked,
    make_spec,
    make_study,
    search,
    steady,
)

from pipeline.errors import UsageError
from pipeline.search import dry_run, samplers
from pipeline.search.supervisor import Supervisor
from pipeline.storage import study_store
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import StudySpec
from pipeline.study.trial import select_counted

SPACE = {
    "hidden_layers": {"type": "int", "low": 1, "high": 3},
    "units": {"type": "int", "low": 8, "high": 64, "per": "hidden_layers"},
    "activation": {"type": "categorical", "choices": ["relu", "tanh", "sigmoid"]},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.01,
                "when": {"hidden_layers": [2, 3]}},
    "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.01,
                 "when": {"optimizer": ["sgd"]}},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
}  # fmt: skip
# lacks the conditional ones, and is in part or wholly outside the space
SMALL: dict[str, Any] = {"hidden_layers": 1, "units": [9], "optimizer": "adam",
                         "learning_rate": 0.01, "batch_size": 32, "epochs": 3}  # fmt: skip
OUTSIDE = {**SMALL, "hidden_layers": 0, "units": [], "learning_rate": 0.5, "optimizer": "adagrad",
           "activation": "elu"}  # fmt: skip
BARE = {"BaseSampler", "PartialFixedSampler"}
NESTED: list[dict[str, Any]] = [
    {"type": "PartialFixedSampler", "fixed_params": {"hidden_layers": 3},
     "base_sampler": {"type": kind}}
    for kind in ("QMCSampler", "CmaEsSampler", "TPESampler", "NSGAIISampler", "RandomSampler")
] + [
    {"type": "QMCSampler", "scramble": True},
    {"type": "QMCSampler", "qmc_type": "halton"},
    {"type": "QMCSampler", "independent_sampler": {"type": "RandomSampler"}},
    {"type": "CmaEsSampler", "independent_sampler": {"type": "QMCSampler"}},
    {"type": "CmaEsSampler", "independent_sampler": {"type": "RandomSampler"}},
    {"type": "CmaEsSampler", "with_margin": True},
    {"type": "CmaEsSampler", "use_separable_cma": True},
    {"type": "TPESampler", "multivariate": True, "n_startup_trials": 3},
    {"type": "TPESampler", "multivariate": True, "group": True, "n_startup_trials": 3},
    {"type": "NSGAIISampler", "population_size": 4},
    {"type": "NSGAIIISampler", "population_size": 4},
]  # fmt: skip
ALL = [{"type": kind} for kind in sorted(samplers._allowed("sampler").keys() - BARE)] + NESTED
REFERENCES: dict[str, list[dict[str, Any]]] = {
    "alone": [],
    "after a small reference": [{"name": "small", "hyperparameters": SMALL}],
    "after one outside": [{"name": "outside", "hyperparameters": OUTSIDE}],
}


def spec_of(sampler: dict[str, Any], **changes: Any) -> StudySpec:
    space = dict(SPACE)
    if "BruteForceSampler" in str(sampler):
        space["learning_rate"] = {"type": "categorical", "choices": [0.001, 0.003, 0.01]}
    known = {"sampler": {"seed": 3, **sampler}, "fixed": {"batch_size": 32, "epochs": 3},
             "space": space}  # fmt: skip
    return make_spec(**{**known, **changes})


def drawn(study: optuna.Study) -> list[Hyperparameters]:
    known = study_store.read_trials(study)
    return [each.hyperparameters for each in known if not each.reference and each.hyperparameters]


def searched(spec: StudySpec, *n_trials: int, n_workers: int = 1) -> optuna.Study:
    """A study whose supervisor was started anew, with another study object, for each budget."""
    store = optuna.storages.InMemoryStorage()
    for n in n_trials:
        study = optuna.create_study(
            study_name="one", storage=store, direction=spec.direction, load_if_exists=True
        )
        part = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": n})})
        search(part, study, ScriptedExecutor(steady, n_workers))
    return study


@pytest.mark.parametrize("references", REFERENCES.values(), ids=REFERENCES)
@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_every_searched_hyperparameter_varies(
    sampler: dict[str, Any], references: list[dict[str, Any]]
) -> None:
    found = drawn(searched(spec_of(sampler, reference=references), 8, 30))
    assert len(found) == 30 - len(references)
    values = defaultdict(list)
    for each in found:
        for name, value in each.flat().items():
            is_drawn = {"dropout": each.hidden_layers > 1, "momentum": each.optimizer == "sgd"}
            if is_drawn.get(name, True):
                values[name].append(value)
    given = sampler.get("fixed_params", {})
    for name in [*SPACE.keys() - {"units", *given}, "units_1", "units_2"]:
        assert len(values[name]) < 4 or len(set(values[name])) > 1, name
    for part in (found[:7], found[-20:]):
        assert len(set(part)) > 0.8 * len(part)


@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_a_resumed_search_draws_what_an_unbroken_one_does(sampler: dict[str, Any]) -> None:
    spec = spec_of(sampler, reference=REFERENCES["after one outside"])
    assert asked(searched(spec, 8, 30)) == asked(searched(spec, 30))


@pytest.mark.parametrize("references", REFERENCES.values(), ids=REFERENCES)
def test_qmc_is_a_sequence_of_low_discrepancy(references: list[dict[str, Any]]) -> None:
    spec = spec_of({"type": "QMCSampler"}, reference=references)
    found = drawn(searched(spec, 5, 16 + len(references)))
    assert len(found) == 16
    # a sixteenth of each range has one point: Sobol's, and nothing drawn at random
    rates = [math.log10(each.learning_rate) for each in found]
    assert sorted(int((rate + 4) / 3 * 16 + 1e-9) for rate in rates) == list(range(16))


# Arguments that Optuna looks at late

LATE: list[dict[str, Any]] = [
    {"type": "TPESampler", "n_startup_trials": 55, "n_ei_candidates": 0},
    {"type": "TPESampler", "n_startup_trials": 100, "n_ei_candidates": -1},
    {"type": "TPESampler", "n_startup_trials": 500, "gamma": 3},
    {"type": "TPESampler", "n_startup_trials": 500, "weights": "all"},
    {"type": "CmaEsSampler", "n_startup_trials": 52, "popsize": 1},
    {"type": "NSGAIIISampler", "population_size": 20, "dividing_parameter": 0},
    {"type": "NSGAIISampler", "population_size": 60, "child_generation_strategy": 3},
]


def late_spec(sampler: dict[str, Any], **changes: Any) -> StudySpec:
    space = {"hidden_layers": SPACE["hidden_layers"], "learning_rate": SPACE["learning_rate"]}
    fixed = {"batch_size": 32, "epochs": 3, "optimizer": "adam", "units": 8}
    return spec_of(sampler, space=space, fixed=fixed, **changes)


@pytest.mark.parametrize("sampler", LATE, ids=str)
@pytest.mark.parametrize("is_inside", [False, True])
def test_an_argument_that_is_used_late_is_refused_before_anything_starts(
    sampler: dict[str, Any], is_inside: bool
) -> None:
    if is_inside:
        sampler = {"type": "PartialFixedSampler", "fixed_params": {}, "base_sampler": sampler}
    with pytest.raises(UsageError, match=rf"^study scripted: \[sampler\] {sampler['type']}: "):
        dry_run.preview(late_spec(sampler))


def test_a_number_without_a_step_is_refused_wherever_it_stands_if_all_is_to_be_tried() -> None:
    dropout = {"type": "float", "low": 0.0, "high": 0.5, "when": {"hidden_layers": [20]}}
    space = {"hidden_layers": {"type": "int", "low": 0, "high": 20}, "dropout": dropout}
    fixed = {"batch_size": 32, "epochs": 3, "optimizer": "adam", "learning_rate": 0.1, "units": 8}
    brute = {"type": "BruteForceSampler"}
    expected = (
        "[sampler] BruteForceSampler: a step must be given for [space] dropout, "
        "for it tries all there is"
    )
    for seed in range(5):
        with pytest.raises(UsageError) as caught:
            samplers.rehearse(spec_of({**brute, "seed": seed}, space=space, fixed=fixed))
        assert str(caught.value) == expected
    for given in ({"hidden_layers": 3}, {"dropout": 0.1}):  # never drawn, or always the same
        sampler = {"type": "PartialFixedSampler", "fixed_params": given, "base_sampler": brute}
        assert samplers.rehearse(spec_of(sampler, space=space, fixed=fixed))


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("reference", ["alone", "after a small reference"])
def test_a_sampler_that_fails_in_a_search_is_named_and_leaves_nothing_running(
    reference: str, n_workers: int
) -> None:
    sampler = {"type": "TPESampler", "n_startup_trials": 5, "n_ei_candidates": 0}
    references = [{**each, "repeats": 9} for each in REFERENCES[reference]]
    changes = {"reference": references, "budget": {"trials": 30}}
    spec = late_spec({**sampler, "multivariate": True}, **changes)
    study, tracker = make_study(spec), ListTracker()
    with pytest.raises(UsageError, match=r"^\[sampler\] TPESampler: "):
        search(spec, study, ScriptedExecutor(steady, n_workers), tracker)
    states = [each.state for each in study.get_trials(deepcopy=False)]
    assert optuna.trial.TrialState.RUNNING not in states
    assert "RUNNING" not in tracker.status.values()
    mended = late_spec({"type": "TPESampler"}, **changes)
    search(mended, study, ScriptedExecutor(steady, n_workers), tracker)
    known = select_counted(study_store.read_trials(study))
    assert len(known) == 30
    assert sum(bool(each.reference) for each in known) == len(references) * 9


# What is said


def lines_of(spec: StudySpec) -> list[str]:
    progress = SilentProgress()
    study = make_study(spec)
    Supervisor(spec, study, ScriptedExecutor(steady), ListTracker(), progress).run()
    return progress.lines


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (
            {"type": "CmaEsSampler"},
            "CmaEsSampler models numbers that every trial has; each on its own it draws, by "
            '[space]: units (units.per), activation (activation.type = "categorical"), dropout '
            '(dropout.when), optimizer (optimizer.type = "categorical") and momentum '
            "(momentum.when)",
        ),
        (
            {"type": "TPESampler", "multivariate": True},
            "TPESampler models what every trial has; each on its own it draws, by [space]: units "
            "(units.per), dropout (dropout.when) and momentum (momentum.when)",
        ),
        (
            {"type": "PartialFixedSampler", "fixed_params": {"dropout": 0.1, "optimizer": "sgd"},
             "base_sampler": {"type": "NSGAIISampler"}},
            "NSGAIISampler models what every trial has; each on its own it draws, by [space]: "
            "units (units.per) and momentum (momentum.when)",
        ),
    ],
)  # fmt: skip
def test_what_is_drawn_on_its_own_is_said_once(sampler: dict[str, Any], expected: str) -> None:
    spec = spec_of(sampler)
    assert lines_of(spec).count(expected) == 1
    assert f"\n          {expected}\n" in dry_run.preview(spec)


@pytest.mark.parametrize(
    "sampler",
    [
        {"type": "TPESampler"},
        {"type": "TPESampler", "multivariate": True, "group": True},
        {"type": "RandomSampler"},
        {"type": "QMCSampler"},
        {"type": "BruteForceSampler"},
    ],
    ids=str,
)
def test_nothing_is_said_where_all_is_modelled_or_nothing(sampler: dict[str, Any]) -> None:
    assert not [line for line in lines_of(spec_of(sampler)) if "on its own" in line]


def test_a_space_that_cma_es_models_whole_needs_no_words() -> None:
    space = {"hidden_layers": {"type": "int", "low": 1, "high": 1}, **{
        name: SPACE[name] for name in ("learning_rate",)}}  # fmt: skip
    fixed = {"batch_size": 32, "epochs": 3, "optimizer": "adam", "units": 8}
    spec = spec_of({"type": "CmaEsSampler"}, space=space, fixed=fixed)
    assert not [line for line in lines_of(spec) if "on its own" in line]


NOISE = """
import math, sys
from scripted import ScriptedExecutor, SilentProgress, ListTracker, make_study, search, steady
from test_pruners import PRUNERS
from test_pruners import spec_of as spec_of_pruner
from test_samplers import ALL, REFERENCES, spec_of
from pipeline.search import dry_run

def with_nan(job):
    return [0.5, math.nan if job.trial % 2 else 0.5, 0.4, 0.3, 0.2, 0.1]

samplers = [*ALL, {"type": "CmaEsSampler", "lr_adapt": True, "consider_pruned_trials": True,
                   "inc_popsize": 2, "warn_independent_sampling": True}]
for sampler in samplers:
    spec = spec_of(sampler, reference=REFERENCES["after one outside"])
    dry_run.preview(spec)
    search(spec, make_study(spec), ScriptedExecutor(steady))
for pruner in PRUNERS:
    spec = spec_of_pruner(pruner, [])
    dry_run.preview(spec)
    search(spec, make_study(spec), ScriptedExecutor(with_nan))
print("done")
"""


@pytest.mark.slow
def test_no_sampler_and_no_pruner_makes_noise() -> None:
    """In a process of its own: what libraries write goes where pytest would not look."""
    tests = Path(__file__).parents[1]
    paths = [tests.parent, tests / "support", tests / "search"]
    ended = subprocess.run(
        [sys.executable, "-c", NOISE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.stderr) == ("done\n", "")
