"""The best networks of earlier studies are tried first, once, as far as the space has them."""

import contextlib
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from scripted import (
    REFERENCE,
    Killed,
    ListTracker,
    ScriptedExecutor,
    asked,
    make_spec,
    make_study,
    n_running,
    search,
    steady,
)

from pipeline.errors import UsageError, run_command
from pipeline.paths import Project
from pipeline.search import __main__ as search_command
from pipeline.search import run_study, samplers, warm_start
from pipeline.search.distinct import DistinctSampler, Untried
from pipeline.search.laboratory import search_in_virtual_time
from pipeline.search.neighbours import at_random
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.search.warm_start import Candidate, Unmapped
from pipeline.storage import studies, study_store
from pipeline.study.combinations import key_of
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.load import load
from pipeline.study.rules import RULES
from pipeline.study.space import check_params, params_of
from pipeline.study.spec import StudySpec
from pipeline.study.trial import select_counted

NETWORK = Hyperparameters.from_mapping(
    {"hidden_layers": 3, "units": [300, 100, 30], "optimizer": "sgd", "momentum": 0.9,
     "learning_rate": 0.5, "batch_size": 100, "epochs": 7, "activation": "gelu", "dropout": 0.25}
)  # fmt: skip
RATE = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
UNITS = {"type": "int", "low": 8, "high": 64, "step": 8, "per": "hidden_layers"}
# Earlier networks by how many hyperparameters of the space they have, and all kinds of entries.
SPACE: dict[str, Any] = {
    "hidden_layers": {"type": "int", "low": 0, "high": 2},
    "units": UNITS,
    "learning_rate": RATE,
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.8, "step": 0.1,
                 "when": {"optimizer": ["sgd"]}},
    "activation": {"type": "categorical", "choices": ["relu", "tanh"]},
    "batch_size": {"type": "categorical", "choices": [32, 64, 128]},
    "weight_decay": {"type": "float", "low": 1e-6, "high": 1e-2, "log": True},
}  # fmt: skip


def spec_of(**changes: Any) -> StudySpec:
    return make_spec(**{"fixed": {"epochs": 3}, "space": SPACE, "finals": False, **changes})


def mapped(
    spec: StudySpec, given: Hyperparameters, known: Sequence[str] = tuple(RULES)
) -> tuple[Hyperparameters, Unmapped]:
    lost = Unmapped()
    candidate, rng = Candidate("earlier, trial 0", 0, given, known), np.random.default_rng(0)
    return warm_start.map_into(spec.searched, candidate, {}, rng, lost), lost


def test_what_the_space_has_is_kept_and_the_rest_goes_to_the_nearest_or_is_drawn() -> None:
    known = [name for name in RULES if name != "weight_decay"]
    found, lost = mapped(spec_of(), NETWORK, known)
    assert (found.hidden_layers, found.units) == (2, (64, 64))
    assert (found.learning_rate, found.optimizer, found.batch_size) == (0.1, "sgd", 128)
    assert found.momentum == pytest.approx(0.8)
    assert found.activation in ("relu", "tanh")
    assert 1e-6 <= found.weight_decay <= 1e-2
    assert (found.epochs, found.dropout) == (3, 0.0)
    assert lost.moved == {"hidden_layers", "units", "learning_rate", "momentum", "batch_size"}
    assert lost.not_allowed == {"activation"}
    assert lost.missing == {"weight_decay"}
    assert lost.left_out == {"epochs", "dropout"}
    assert str(lost) == (
        "; moved to the nearest value allowed here: batch_size, hidden_layers, learning_rate, "
        "momentum and units; drawn, as the value is not allowed here: activation; drawn, as the "
        "earlier networks had none: weight_decay; left out, as fixed or without effect here: "
        "dropout and epochs"
    )


def test_a_network_of_the_same_space_is_kept_whole_and_nothing_is_said() -> None:
    spec, rng = spec_of(), np.random.default_rng(1)
    for given in [at_random(spec.searched, rng) for _ in range(50)]:
        found, lost = mapped(spec, given)
        assert key_of(found) == key_of(given)
        assert str(lost) == ""


@pytest.mark.parametrize(
    ("entry", "value", "nearest"),
    [
        (RATE, 3.0, 0.1),
        (RATE, 1e-9, 1e-4),
        ({"type": "float", "low": 0.1, "high": 0.4, "step": 0.1}, 0.26, 0.3),
        ({"type": "categorical", "choices": [0.001, 0.1]}, 0.009, 0.001),  # 0.1 is 11 times more
        ({"type": "categorical", "choices": [0.001, 0.1]}, 0.011, 0.1),
    ],
)
def test_a_number_goes_to_the_nearest_that_is_allowed(
    entry: dict[str, Any], value: float, nearest: float
) -> None:
    spec = spec_of(space={**SPACE, "learning_rate": entry})
    given = Hyperparameters.from_mapping({**NETWORK.as_dict(), "learning_rate": value})
    assert mapped(spec, given)[0].learning_rate == pytest.approx(nearest)


def test_one_draw_for_all_layers_takes_the_first_layer_and_says_that_others_are_lost() -> None:
    spec = spec_of(space={**SPACE, "units": {"type": "int", "low": 8, "high": 512}})
    found, lost = mapped(spec, NETWORK)
    assert found.units == (300, 300)
    assert "units" in lost.left_out


def test_a_value_without_effect_is_none() -> None:
    """A momentum of Adam is no wish for a momentum of 0."""
    adam = Hyperparameters.from_mapping(
        {**NETWORK.as_dict(), "optimizer": "adam", "momentum": 0.0}
    )
    only_sgd = {"type": "categorical", "choices": ["sgd"]}
    found, lost = mapped(spec_of(space={**SPACE, "optimizer": only_sgd}), adam)
    assert lost.not_allowed == {"activation", "optimizer"}
    assert found.momentum > 0
    assert "momentum" not in lost.moved | lost.missing


def test_whatever_is_mapped_can_be_drawn_and_is_noted_as_it_is_drawn() -> None:
    """Else a network would be tried for ever, or never."""
    wide = make_spec(
        fixed={"epochs": 3},
        space={
            "hidden_layers": {"type": "int", "low": 0, "high": 5},
            "units": {"type": "int", "low": 1, "high": 999, "per": "hidden_layers"},
            "learning_rate": {"type": "float", "low": 1e-6, "high": 10.0, "log": True},
            "optimizer": {"type": "categorical", "choices": ["sgd", "adam", "nadam"]},
            "momentum": {"type": "float", "low": 0.0, "high": 0.99},
            "activation": {"type": "categorical", "choices": ["relu", "elu"]},
            "batch_size": {"type": "int", "low": 1, "high": 512},
            "weight_decay": {"type": "float", "low": 0.0, "high": 1.0},
        },
    )
    rng = np.random.default_rng(2)
    drawn = [at_random(wide.searched, rng) for _ in range(40)]
    for n in range(0, 40, 5):
        spec = spec_of(budget={"trials": 5})
        start = warm_start.of_networks(spec, drawn[n : n + 5])
        for each in start.networks:
            check_params(spec.searched, params_of(spec.searched, each.hyperparameters))
        study = begun(spec, start)
        assert search(spec, study, ScriptedExecutor(steady)) is SearchEnd.BUDGET_USED
        tried = study_store.read_trials(study)
        assert [t.started_from for t in tried] == [each.source for each in start.networks]
        assert [t.hyperparameters for t in tried] == [e.hyperparameters for e in start.networks]


def begun(spec: StudySpec, start: warm_start.WarmStart) -> optuna.Study:
    study = make_study(spec)
    study_store.note_earlier(study, start.networks)
    return study


def networks(spec: StudySpec, n: int, seed: int = 3) -> list[Hyperparameters]:
    rng = np.random.default_rng(seed)
    return [at_random(spec.searched, rng) for _ in range(n)]


SAMPLERS: tuple[dict[str, Any], ...] = (
    {"type": "TPESampler", "n_startup_trials": 3},
    {"type": "RandomSampler"},
    {"type": "QMCSampler"},
    {"type": "NSGAIISampler"},
    {"type": "FreezeThawSampler"},
)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: str(sampler["type"]))
def test_any_sampler_begins_with_them_and_goes_on_by_itself(sampler: dict[str, Any]) -> None:
    spec = spec_of(sampler={**sampler, "seed": 5}, budget={"trials": 9})
    given = networks(spec, 3)
    found = search_in_virtual_time(
        spec, lambda *_: {"val_accuracy": [0.5, 0.6, 0.7], "seconds": [1] * 3}, 1, earlier=given
    )
    trials = sorted(found.trials, key=lambda trial: trial.number)
    assert [key_of(t.hyperparameters) for t in trials[:3] if t.hyperparameters] == [
        key_of(each) for each in given
    ]
    assert [t.started_from for t in trials[:4]] == [
        *(f"given, network {i}" for i in (1, 2, 3)),
        "",
    ]
    assert len(trials) == 9
    assert len({t.seed for t in trials}) == 9


def test_what_a_sampler_always_draws_holds_for_them_too() -> None:
    always = {"learning_rate": 0.01}
    spec = spec_of(
        sampler={"type": "PartialFixedSampler", "fixed_params": always, "seed": 1,
                 "base_sampler": {"type": "RandomSampler"}},
    )  # fmt: skip
    start = warm_start.of_networks(spec, networks(spec, 3))
    assert {each.hyperparameters.learning_rate for each in start.networks} == {0.01}


def test_a_finite_space_is_tried_whole_and_each_network_once() -> None:
    spec = spec_of(
        sampler={"type": "BruteForceSampler", "seed": 1},
        fixed={"epochs": 3, "hidden_layers": 1, "units": 8, "optimizer": "adam"},
        space={
            "batch_size": {"type": "categorical", "choices": [16, 32]},
            "learning_rate": {"type": "categorical", "choices": [0.1, 0.01, 0.001]},
        },
        budget={"trials": 20},
    )
    study = begun(spec, warm_start.of_networks(spec, networks(spec, 4)))
    assert search(spec, study, ScriptedExecutor(steady)) is SearchEnd.BUDGET_USED
    tried = study_store.read_trials(study)
    assert len({key_of(t.hyperparameters) for t in tried if t.hyperparameters}) == len(tried) == 6


def test_a_search_that_is_killed_anywhere_tries_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each attribute of a trial that is written, so also in the middle of its beginning."""
    spec = spec_of(budget={"trials": 4}, sampler={"type": "RandomSampler", "seed": 1})
    start = warm_start.of_networks(spec, networks(spec, 3))
    whole, write_attribute = begun(spec, start), optuna.Trial.set_user_attr
    search(spec, whole, ScriptedExecutor(steady))
    for kill_at in itertools.count(1):
        study, tracker, calls = begun(spec, start), ListTracker(), itertools.count(1)

        def killed(trial: optuna.Trial, *rest: Any, calls: Any = calls, at: int = kill_at) -> None:
            if next(calls) == at:
                raise Killed
            write_attribute(trial, *rest)

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
            patch.setattr(optuna.Trial, "set_user_attr", killed)
            search(spec, study, ScriptedExecutor(steady), tracker)
        search(spec, study, ScriptedExecutor(steady), tracker)
        assert sorted(map(str, asked(study))) == sorted(map(str, asked(whole)))
        counted = select_counted(study_store.read_trials(study))
        assert sorted(t.started_from for t in counted) == ["", *(e.source for e in start.networks)]
        assert n_running(study) == 0
        if next(calls) <= kill_at:
            break
    assert kill_at > 4 * 4


def test_one_that_a_reference_has_trained_is_not_trained_again() -> None:
    own = {**REFERENCE, "units": [64], "learning_rate": 0.01, "activation": "tanh"}
    spec = spec_of(
        reference=[{"name": "own", "hyperparameters": {**own, "weight_decay": 1e-4}}],
        budget={"trials": 3},
    )
    (known,) = (each.network for each in spec.reference)
    assert known
    others = networks(spec, 1)
    study = begun(spec, warm_start.of_networks(spec, [known, *others]))
    search(spec, study, ScriptedExecutor(steady))
    trials = study_store.read_trials(study)
    assert [(t.reference, t.started_from) for t in trials] == [
        ("own", ""), ("", "given, network 2"), ("", ""),
    ]  # fmt: skip


def test_studies_take_turns_and_five_distinct_networks_are_enough() -> None:
    spec = spec_of()
    first, second = networks(spec, 6), networks(spec, 2, seed=4)
    known = frozenset(RULES)
    ranked = {
        name: [Candidate(f"{name}, trial {i}", i, each, known) for i, each in enumerate(listed)]
        for name, listed in (("a", first), ("b", [first[0], *second]))
    }
    start = warm_start.choose(spec, ranked)
    assert [each.source for each in start.networks] == [
        "a, trial 0", "a, trial 1", "b, trial 1", "a, trial 2", "b, trial 2",
    ]  # fmt: skip
    assert start.said == (
        "tried first: 3 networks of a: trials 0, 1 and 2",
        "tried first: 2 networks of b: trials 1 and 2",
    )


# From a store

STUDY = """
goal = "Begin where the other ended."
dataset = "fashion_mnist"
metric = "val_loss"
start_from = ["recorded"]
budget = { trials = 8 }
finals = false

[sampler]
type = "RandomSampler"
seed = 3

[fixed]
epochs = 3
optimizer = "adam"
batch_size = 64

[space]
hidden_layers = { type = "int", low = 1, high = 2 }
units = { type = "int", low = 32, high = 256, log = true, per = "hidden_layers" }
learning_rate = { type = "float", low = 1e-4, high = 1e-1, log = true }
weight_decay = { type = "float", low = 1e-6, high = 1e-2, log = true }
"""


def write(project: Project, text: str = STUDY, name: str = "later") -> StudySpec:
    (project.root / "studies" / f"{name}.toml").write_text(text)
    return load(project, name)


def test_the_best_networks_of_a_study_by_its_own_metric_are_found(
    recorded_study: Project,
) -> None:
    start = warm_start.find(recorded_study, write(recorded_study))
    numbers = [int(each.source.removeprefix("recorded, trial ")) for each in start.networks]
    assert numbers == [9, 7, 16, 12, 1], "of val_accuracy, a reference among them; 4 was run as 16"
    best = start.networks[0].hyperparameters
    assert (best.hidden_layers, best.units, best.learning_rate) == (2, (256, 243), 0.00083)
    (said,) = start.said
    assert said == (
        "tried first: 5 networks of recorded (fashion_mnist, by val_accuracy): trials 9, 7, 16, "
        "12 and 1; moved to the nearest value allowed here: units; drawn, as the earlier networks "
        "had none: weight_decay; left out, as fixed or without effect here: batch_size, dropout "
        "and epochs"
    )


def test_a_dry_run_names_them(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(recorded_study)
    monkeypatch.setattr("sys.argv", ["search", "later", "--dry-run"])
    assert run_command(search_command.main) == 0
    shown = capsys.readouterr().out
    assert (
        "\nfrom earlier studies\n  tried first: 5 networks of recorded (fashion_mnist, " in shown
    )
    assert "\n  recorded, trial 9: 256-243 relu, adam 0.00083" in shown


def test_a_search_notes_them_when_it_begins_and_says_so_once(
    recorded_study: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write(recorded_study)
    for _ in range(2):  # a kill before the first trial leaves all to be done
        study = run_study._open_study(recorded_study, spec)
        assert capsys.readouterr().err.startswith("study later: tried first: 5 networks of recor")
        noted = study_store.read_earlier(study)
        assert len(noted) == 5
    study.ask()
    optuna.delete_study(study_name="recorded", storage=recorded_study.optuna_url)
    again = run_study._open_study(recorded_study, spec)
    assert capsys.readouterr().err == ""
    assert study_store.read_earlier(again) == noted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('["recorded"]', '["empty"]'), r"^start_from: .*: no study 'empty' yet; start it with: "),
        (
            (STUDY[STUDY.index("[fixed]") :],
             "[fixed]\nepochs = 3\noptimizer = 'adam'\nbatch_size = 64\nhidden_layers = 1\n"
             "units = 50\nlearning_rate = 0.01\n[space]\nema_momentum = { type = 'float', "
             "low = 0.0, high = 0.9 }\n"),
            r"^start_from: the networks of 'recorded' have none of the hyperparameters that are "
            r"searched here: ema_momentum$",
        ),
    ],
)  # fmt: skip
def test_a_study_that_nothing_can_be_taken_from_is_refused(
    change: tuple[str, str], said: str, recorded_study: Project
) -> None:
    write(recorded_study, STUDY.replace('start_from = ["recorded"]\n', ""), "empty")
    spec = write(recorded_study, STUDY.replace(*change))
    with pytest.raises(UsageError, match=said):
        run_study._open_study(recorded_study, spec)
    assert "later" not in studies.stored_names(recorded_study), "the file may still be changed"


def test_a_study_without_a_network_that_has_a_value_is_refused(recorded_study: Project) -> None:
    text = STUDY.replace('start_from = ["recorded"]\n', "")
    studies.open_study(recorded_study, write(recorded_study, text, "empty"))
    spec = write(recorded_study, STUDY.replace('["recorded"]', '["recorded", "empty"]'))
    with pytest.raises(UsageError, match=r"'empty' has no network with a value yet; search it"):
        warm_start.find(recorded_study, spec)


def test_the_data_of_the_earlier_study_need_not_be_there(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write(recorded_study)
    monkeypatch.setattr("pipeline.data.datasets.fingerprint", lambda _: "f" * 64)
    assert len(warm_start.find(recorded_study, spec).networks) == 5


# In the laboratory

WIDE: dict[str, Any] = {
    "hidden_layers": {"type": "int", "low": 0, "high": 3},
    "units": {"type": "int", "low": 8, "high": 256, "log": True, "per": "hidden_layers"},
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.8},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam", "rmsprop"]},
    "batch_size": {"type": "categorical", "choices": [16, 64, 256]},
}
MINUTES, EPOCHS, SECONDS = 24.0, 9, 10.0


def level(given: Hyperparameters) -> float:
    """How far a made-up network comes."""
    lost = 0.03 * (math.log10(given.learning_rate) + 2.5) ** 2 + 0.1 * (given.dropout - 0.3) ** 2
    lost += 0.02 * (given.hidden_layers - 2) ** 2 + 0.02 * (given.optimizer == "sgd")
    return 0.9 - lost - 0.01 * abs(math.log2(given.batch_size / 64))


def curves(given: Hyperparameters, seed: int) -> dict[str, Any]:
    noise = random.Random(seed)
    values = [level(given) - 0.3 * 0.5**e + noise.gauss(0, 0.003) for e in range(1, EPOCHS + 1)]
    return {"val_accuracy": values, "seconds": [SECONDS] * EPOCHS}


def lab(kind: str, seed: int) -> StudySpec:
    halving = {"type": "SuccessiveHalvingPruner", "min_resource": 2, "reduction_factor": 3}
    pruner = {"type": "NopPruner"} if kind == "FreezeThawSampler" else halving
    return spec_of(
        space=WIDE, fixed={"epochs": EPOCHS}, sampler={"type": kind, "seed": seed}, pruner=pruner,
        budget={"minutes": MINUTES},
    )  # fmt: skip


def minutes_until(goal: float, kind: str, seed: int, earlier: Sequence[Hyperparameters]) -> float:
    """Virtual minutes until a value is reached; twice the budget if it is not."""
    spec = lab(kind, seed)
    found = search_in_virtual_time(spec, curves, earlier=earlier)
    steps = found.improvements(spec.metric, spec.direction)
    reached = (moment / 60 for moment, value in steps if value >= goal)
    return next(reached, 2 * MINUTES)


def test_good_networks_save_time_and_misleading_ones_cost_little() -> None:
    """Of TPE, until the final value of random search with the same seed: medians of a few."""
    kind = "TPESampler"
    drawn = networks(lab(kind, 0), 1000, seed=7)
    drawn.sort(key=level)
    earlier = {"none": [], "good": drawn[:-6:-1], "bad": drawn[:5]}
    minutes: dict[str, list[float]] = {name: [] for name in earlier}
    for seed in range(1, 6):
        spec = lab("RandomSampler", seed)
        known = search_in_virtual_time(spec, curves).improvements(spec.metric, spec.direction)
        for name, given in earlier.items():
            minutes[name].append(minutes_until(known[-1][1], kind, seed, given))
    none, good, bad = (float(np.median(each)) for each in minutes.values())
    assert good < none / 3
    assert bad < none + 5 * EPOCHS * SECONDS / 60, "no more than if each were trained to its end"


def test_what_is_drawn_is_the_same_as_without_them() -> None:
    """So that random search loses no draw to them, and no more than the time they take."""
    spec = lab("RandomSampler", 1)
    given = networks(spec, 5, seed=8)
    cold, warm = (
        search_in_virtual_time(spec, curves, n_workers=1, earlier=earlier).trials
        for earlier in ([], given)
    )
    drawn = [trial.hyperparameters for trial in warm if not trial.started_from]
    assert len(drawn) > 10
    assert drawn == [trial.hyperparameters for trial in cold][: len(drawn)]


def test_a_sampler_draws_as_many_at_random_as_without_them() -> None:
    """Five that are alike would else leave TPE nothing to learn from."""
    for n_earlier, n_startup in ((0, 3), (2, 5)):
        spec = spec_of(sampler={"type": "TPESampler", "n_startup_trials": 3, "seed": 5})
        untried = Untried(spec)
        study = begun(spec, warm_start.of_networks(spec, networks(spec, n_earlier)))
        untried.earlier(study)
        outer = samplers.prepare(study, spec, 0, untried)
        assert isinstance(outer, DistinctSampler)
        assert isinstance(outer.inner, optuna.samplers.TPESampler)
        assert outer.inner._n_startup_trials == n_startup
