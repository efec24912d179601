"""A finite space: nothing is tried twice while something is left, and the end is said."""

from collections import Counter
from typing import Any

import optuna
import pytest
from scripted import (
    Killed,
    ListTracker,
    ScriptedExecutor,
    SilentProgress,
    make_spec,
    make_study,
    search,
    steady,
)
from test_samplers import ALL

from pipeline.errors import UsageError
from pipeline.search import dry_run, samplers
from pipeline.search.distinct import Untried
from pipeline.search.supervisor import Supervisor
from pipeline.storage import study_store
from pipeline.study.assignment import Assignment
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.space import suggest
from pipeline.study.spec import StudySpec
from pipeline.study.trial import select_counted
from pipeline.training.job import Failed, Job

SPACE = {
    "hidden_layers": {"type": "int", "low": 1, "high": 3},
    "units": {"type": "int", "low": 8, "high": 9, "per": "hidden_layers"},
    "dropout": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1,
                "when": {"hidden_layers": [2]}},
}  # fmt: skip
N = 2 + 4 * 4 + 8  # of one, two and three layers
NAMES = "hidden_layers, units_1, units_2, units_3, dropout"  # in Optuna
FIXED = {"batch_size": 32, "epochs": 3, "optimizer": "adam", "learning_rate": 0.01}
INSIDE = {**FIXED, "hidden_layers": 2, "units": [8, 9], "dropout": 0.3}  # Optuna draws 0.1 * 3


def spec_of(sampler: dict[str, Any], **changes: Any) -> StudySpec:
    known: dict[str, Any] = {"sampler": {"seed": 3, **sampler}, "fixed": FIXED, "space": SPACE,
                             "budget": {"trials": 60}}  # fmt: skip
    return make_spec(**{**known, **changes})


def counted(study: optuna.Study) -> list[Hyperparameters | None]:
    return [each.hyperparameters for each in select_counted(study_store.read_trials(study))]


def said(spec: StudySpec, study: optuna.Study, executor: ScriptedExecutor) -> list[str]:
    progress = SilentProgress()
    Supervisor(spec, study, executor, ListTracker(), progress).run()
    return progress.lines


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("sampler", ALL, ids=str)
def test_all_is_tried_once_and_then_the_search_ends(
    sampler: dict[str, Any], n_workers: int
) -> None:
    spec = spec_of(sampler)
    study = make_study(spec)
    n = 8 if "fixed_params" in sampler else N
    lines = said(spec, study, ScriptedExecutor(steady, n_workers))
    assert lines[-1] == f"all of {n} possible combinations tried: the search ends"
    assert len(counted(study)) == len(set(map(str, counted(study)))) == n
    again = ScriptedExecutor(steady)
    assert said(spec, study, again)[-1] == lines[-1]  # again, after a restart
    assert again.jobs == []
    assert study.user_attrs[study_store.EXHAUSTED] is True


def test_a_budget_that_ends_before_is_not_the_end_of_the_space() -> None:
    spec = spec_of({"type": "TPESampler"}, budget={"trials": N - 1})
    study = make_study(spec)
    assert "all of" not in said(spec, study, ScriptedExecutor(steady))[-1]
    assert len(set(counted(study))) == N - 1
    assert study_store.EXHAUSTED not in study.user_attrs


@pytest.mark.parametrize("kind", ["TPESampler", "QMCSampler", "BruteForceSampler"])
def test_a_reference_inside_the_space_is_not_drawn_again(kind: str) -> None:
    references = [{"name": "inside", "hyperparameters": INSIDE, "repeats": 2},
                  {"name": "outside", "hyperparameters": {**INSIDE, "learning_rate": 0.1}},
                  {"name": "no network", "trainer": "sgd_classifier"}]  # fmt: skip
    spec = spec_of({"type": kind}, reference=references)
    study = make_study(spec)

    def play(job: Job) -> list[float]:
        return steady(job) if job.hyperparameters else [0.5]

    search(spec, study, ScriptedExecutor(play))
    names = Counter(map(str, counted(study)))
    assert names.pop(str(Hyperparameters.from_mapping(INSIDE))) == 2
    assert sum(names.values()) == N - 1 + 2


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("kind", ["TPESampler", "RandomSampler", "BruteForceSampler"])
def test_what_was_interrupted_is_tried_and_nothing_is_left_out(
    kind: str, n_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of({"type": kind})
    study, tracker = make_study(spec), ListTracker()
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        for n_calls in (1, 5, 12, 18, 40):  # at a write of the tracker, wherever it then is
            tracker.kill_at = len(tracker.calls) + n_calls
            with pytest.raises(Killed):
                search(spec, study, ScriptedExecutor(steady, n_workers), tracker)
    assert any(each.interrupted for each in study_store.read_trials(study)) or n_workers == 1
    search(spec, study, ScriptedExecutor(steady, n_workers), tracker)
    assert len(counted(study)) == len(set(counted(study))) == N


def test_a_trial_that_was_killed_before_it_began_is_drawn_by_another() -> None:
    spec = spec_of({"type": "BruteForceSampler"})
    study = make_study(spec)
    samplers.prepare(study, spec, 0, Untried(spec))
    study.ask().suggest_int("hidden_layers", 1, 3)  # and then the supervisor is killed
    search(spec, study, ScriptedExecutor(steady))
    assert len(set(counted(study))) == N


def test_what_failed_is_not_tried_again_but_what_may_not_recur_is() -> None:
    spec = spec_of({"type": "TPESampler"}, training={"retries": 1, "stop_after_failures": 50})
    study = make_study(spec)
    failed: Counter[str] = Counter()

    def play(job: Job) -> list[float] | Failed:
        name = str(job.hyperparameters)
        if job.hyperparameters and job.hyperparameters.hidden_layers == 1:
            return Failed(job.trial, "broken")
        if job.trial % 3 == 0 and not failed[name]:
            failed[name] += 1
            return Failed(job.trial, "may not recur", is_transient=True)
        return steady(job)

    search(spec, study, ScriptedExecutor(play))
    assert failed
    assert len(counted(study)) == len(set(counted(study))) == N


def test_the_finite_part_of_an_endless_space_is_not_repeated() -> None:
    space = {
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
        "hidden_layers": {"type": "int", "low": 1, "high": 2},
        "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": ["sgd"]}},
    }
    fixed = {"batch_size": 32, "epochs": 3, "learning_rate": 0.01, "units": 8}
    spec = spec_of({"type": "TPESampler"}, space=space, fixed=fixed, budget={"trials": 30})
    study = make_study(spec)
    assert Untried(spec).n_combinations is None
    search(spec, study, ScriptedExecutor(steady))
    assert len(set(counted(study))) == len(counted(study)) == 30


def test_a_value_that_is_always_drawn_makes_an_endless_space_finite() -> None:
    space = {
        "hidden_layers": {"type": "int", "low": 0, "high": 2},
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1},
    }
    fixed = {"batch_size": 32, "epochs": 3, "optimizer": "adam", "units": 8}
    sampler = {"type": "PartialFixedSampler", "fixed_params": {"learning_rate": 0.01},
               "base_sampler": {"type": "TPESampler"}}  # fmt: skip
    spec = spec_of(sampler, space=space, fixed=fixed)
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    assert [each.hidden_layers for each in counted(study) if each] in [[0, 1, 2], [0, 2, 1],
        [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]  # fmt: skip


@pytest.mark.parametrize("kind", ["TPESampler", "BruteForceSampler"])
def test_a_space_that_is_too_large_to_list_is_searched(kind: str) -> None:
    space = {**SPACE, "batch_size": {"type": "int", "low": 1, "high": 5_000}}
    fixed = {key: value for key, value in FIXED.items() if key != "batch_size"}
    spec = spec_of({"type": kind}, space=space, fixed=fixed, budget={"trials": 30})
    study = make_study(spec)
    assert Untried(spec).n_combinations is None
    search(spec, study, ScriptedExecutor(steady))
    assert len(set(counted(study))) == 30


def test_equal_networks_are_one_combination() -> None:
    space = {"hidden_layers": {"type": "int", "low": 0, "high": 1},
             "units": {"type": "int", "low": 8, "high": 12}}  # fmt: skip
    assert Untried(spec_of({"type": "RandomSampler"}, space=space)).n_combinations == 1 + 5


IDLE: dict[str, tuple[dict[str, Any], int]] = {
    "without layers": (
        {"hidden_layers": {"type": "int", "low": 0, "high": 1},
         "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
         "layer_kind": {"type": "categorical", "choices": ["dense", "convolutional"]},
         "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1}},
        1 + 2 * 2 * 6,
    ),
    "without momentum": (
        {"optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
         "momentum": {"type": "float", "low": 0.0, "high": 0.4, "step": 0.1},
         "nesterov": {"type": "categorical", "choices": [True, False]}},
        1 + 1 + 4 * 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["RandomSampler", "BruteForceSampler", "NSGAIISampler"])
@pytest.mark.parametrize("idle", IDLE)
def test_what_has_no_effect_makes_no_combination(idle: str, kind: str) -> None:
    space, n = IDLE[idle]
    fixed: dict[str, Any] = {**FIXED, "hidden_layers": 1, "units": 8}
    fixed = {name: value for name, value in fixed.items() if name not in space}
    spec = spec_of({"type": kind}, space=space, fixed=fixed, budget={"trials": 100})
    study = make_study(spec)
    lines = said(spec, study, ScriptedExecutor(steady))
    assert lines[-1] == f"all of {n} possible combinations tried: the search ends"
    assert len(counted(study)) == len(set(map(str, counted(study)))) == n


@pytest.mark.parametrize("kind", ["RandomSampler", "NSGAIISampler", "TPESampler"])
def test_a_number_without_a_step_that_never_has_an_effect_is_no_endless_space(kind: str) -> None:
    space = {
        "momentum": {"type": "float", "low": 0.1, "high": 0.9},  # above what it depends on
        "optimizer": {"type": "categorical", "choices": ["adam", "nadam"]},
        "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
        "dropout": {"type": "float", "low": 0.1, "high": 0.5, "when": {"activation": ["tanh"]}},
        "batch_size": {"type": "int", "low": 8, "high": 9},
    }
    fixed = {"learning_rate": 0.01, "epochs": 3, "hidden_layers": 0, "units": 8}
    spec = spec_of({"type": kind}, space=space, fixed=fixed)
    study = make_study(spec)
    lines = said(spec, study, ScriptedExecutor(steady))
    assert lines[-1] == "all of 4 possible combinations tried: the search ends"
    assert len(counted(study)) == len(set(map(str, counted(study)))) == 4


def test_what_has_no_effect_itself_may_decide_what_is_drawn() -> None:
    """Without layers the activation does nothing, but with "tanh" there is a momentum."""
    space = {
        "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
        "momentum": {"type": "float", "low": 0.5, "high": 0.9, "step": 0.1,
                     "when": {"activation": ["tanh"]}},
    }  # fmt: skip
    fixed = {**FIXED, "hidden_layers": 0, "units": 8, "optimizer": "sgd"}
    assert Untried(spec_of({"type": "TPESampler"}, space=space, fixed=fixed)).n_combinations == 6


@pytest.mark.parametrize("kind", ["RandomSampler", "NSGAIISampler", "TPESampler"])
def test_a_number_without_a_step_that_has_no_effect_makes_no_other_network(kind: str) -> None:
    space = {"hidden_layers": {"type": "int", "low": 0, "high": 1},
             "dropout": {"type": "float", "low": 0.0, "high": 0.5}}  # fmt: skip
    spec = spec_of({"type": kind}, space=space, fixed={**FIXED, "units": 8})
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    assert sum(each.hidden_layers == 0 for each in counted(study) if each) == 1
    assert len(counted(study)) == 60


ENDLESS: dict[str, Any] = {
    "units": {"type": "int", "low": 4, "high": 20},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
}


def endless(sampler: dict[str, Any], **changes: Any) -> StudySpec:
    fixed = {"hidden_layers": 1, "batch_size": 32, "epochs": 3, "optimizer": "adam"}
    return spec_of(sampler, **{"space": ENDLESS, "fixed": fixed, **changes})


FREE = [each for each in ALL if "fixed_params" not in each and each["type"] != "BruteForceSampler"]


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("sampler", FREE, ids=str)
def test_nothing_is_tried_twice_in_an_endless_space(
    sampler: dict[str, Any], n_workers: int
) -> None:
    spec = endless(sampler)
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady, n_workers))
    assert len(set(counted(study))) == len(counted(study)) == 60


@pytest.mark.parametrize("sampler", FREE, ids=str)
def test_a_sampler_that_repeats_nothing_draws_as_if_it_were_alone(sampler: dict[str, Any]) -> None:
    spec = endless({**sampler, **({"population_size": 50} if "NSGA" in sampler["type"] else {})})
    drawn: list[list[Hyperparameters]] = []
    for is_alone in (True, False):
        study, untried = make_study(spec), Untried(spec)
        for i in range(30):
            samplers.prepare(study, spec, i, untried)
            if is_alone:
                study.sampler = samplers.build_sampler(spec.sampler, spec.seed, i, spec.searched)
            trial = study.ask()
            hyperparameters = suggest(trial, spec.searched)
            study_store.write(trial, Assignment(hyperparameters, seed=i))
            study.tell(trial, hyperparameters.learning_rate + i / 100)
            drawn.append([*(drawn.pop() if i else []), hyperparameters])
    assert drawn[0] == drawn[1]


def test_what_the_last_of_many_leads_to_is_found() -> None:
    """One draw in forty-one leads to anything new, once the others were tried."""
    space = {"batch_size": {"type": "int", "low": 1, "high": 41},
             "dropout": {**ENDLESS["dropout"], "when": {"batch_size": [41]}}}  # fmt: skip
    fixed = {
        "hidden_layers": 1,
        "units": 8,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "epochs": 3,
    }
    spec = endless({"type": "RandomSampler"}, space=space, fixed=fixed, budget={"trials": 150})
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    assert len(set(counted(study))) == len(counted(study)) == 150


def test_a_brute_force_search_of_a_space_too_large_to_list_repeats_nothing() -> None:
    space = {"batch_size": {"type": "int", "low": 1, "high": 200},
             "epochs": {"type": "int", "low": 1, "high": 60}}  # fmt: skip
    fixed = {"hidden_layers": 1, "units": 8, "optimizer": "adam", "learning_rate": 0.01}
    spec = spec_of({"type": "BruteForceSampler"}, space=space, fixed=fixed,
                   budget={"trials": 400})  # fmt: skip
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    assert len(set(counted(study))) == len(counted(study)) == 400


def test_a_preview_says_how_many_combinations_there_are() -> None:
    line = f"          the space has {N} possible combinations: the search ends when all are tried"
    assert line in dry_run.preview(spec_of({"type": "TPESampler"})).splitlines()
    assert (
        line
        in dry_run.preview(spec_of({"type": "TPESampler"}, budget={"minutes": 5})).splitlines()
    )
    few = spec_of({"type": "TPESampler"}, budget={"trials": N - 1})
    assert "possible combination" not in dry_run.preview(few)
    one = {"hidden_layers": {"type": "int", "low": 0, "high": 0}}
    fixed = {**FIXED, "units": 8}
    assert "the space has 1 possible combination:" in dry_run.preview(
        spec_of({"type": "TPESampler"}, space=one, fixed=fixed)
    )


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        (3, "found 3, allowed is a table"),
        ({"hidden_layers": 9}, "found hidden_layers = 9, allowed is what [space] has"),
        ({"dropout": [0.1]}, "found dropout = [0.1], allowed is what [space] has"),
        ({"units_1": "8"}, "found units_1 = '8', allowed is what [space] has"),
        ({"epochs": 3}, f"found 'epochs', allowed are {NAMES}"),
        ({"units": 8}, f"found 'units', allowed are {NAMES}"),
        ({"units_4": 8}, f"found 'units_4', allowed are {NAMES}"),
        ({"hidden_layers_1": 1}, f"found 'hidden_layers_1', allowed are {NAMES}"),
        ({"units_2": 8, "hidden_layers": 1},
         "found 'units_2', allowed are hidden_layers, units_1"),
        ({"dropout": 0.1, "hidden_layers": 1},
         "found 'dropout', allowed are hidden_layers, units_1"),
    ],
)  # fmt: skip
def test_what_is_always_drawn_is_in_the_space(fixed: Any, expected: str) -> None:
    sampler = {"type": "PartialFixedSampler", "base_sampler": {"type": "RandomSampler"},
               "fixed_params": fixed}  # fmt: skip
    with pytest.raises(UsageError) as caught:
        dry_run.preview(spec_of(sampler))
    assert str(caught.value) == f"study scripted: [sampler] fixed_params: {expected}"
