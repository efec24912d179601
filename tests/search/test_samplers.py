"""Every sampler and pruner that a study file may name: what they draw, and what they derive."""

from collections import defaultdict
from typing import Any

import optuna
import pytest

from pipeline.errors import UsageError
from pipeline.search import samplers
from pipeline.search.running import ask
from pipeline.storage import optuna_internals, queue
from pipeline.study.load import parse
from pipeline.study.spec import StudySpec

N_DRAWS = 24
SPACE = {
    "hidden_layers": {"type": "int", "low": 1, "high": 3},
    "units": {"type": "int", "low": 8, "high": 64, "per": "hidden_layers"},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1,
                "when": {"hidden_layers": [2, 3]}},
    "learning_rate": {"type": "float", "low": 0.001, "high": 0.101, "step": 0.01},
    "batch_size": {"type": "categorical", "choices": [32, 64, 128]},
}  # fmt: skip
REFERENCE = {
    "name": "outside the space",
    "repeats": 2,
    "hyperparameters": {"hidden_layers": 5, "units": 100, "optimizer": "sgd",
                        "learning_rate": 0.5, "batch_size": 16, "epochs": 1},
}  # fmt: skip
NESTED: list[dict[str, Any]] = [
    {"type": "PartialFixedSampler", "fixed_params": {"batch_size": 32},
     "base_sampler": {"type": "QMCSampler"}},
    {"type": "QMCSampler", "scramble": True, "independent_sampler": {"type": "RandomSampler"}},
    {"type": "CmaEsSampler", "independent_sampler": {"type": "TPESampler"}},
]  # fmt: skip
OF_ITSELF = ("PartialFixedSampler",)  # needs another
NAMED = [{"type": name} for name in sorted(samplers._known("sampler")) if name not in OF_ITSELF]


def spec_of(sampler: dict[str, Any], *, has_reference: bool, **more: Any) -> StudySpec:
    return parse(
        "small",
        {
            "goal": "g",
            "dataset": "fashion_mnist",
            "budget": {"trials": 50},
            "sampler": {"seed": 5, **sampler},
            "fixed": {"optimizer": "adam", "epochs": 27},
            "space": SPACE,
            "reference": [REFERENCE] if has_reference else [],
            **more,
        },
    )


def search(spec: StudySpec, storage: optuna.storages.BaseStorage, n_trials: int) -> None:
    """Asks and tells as a supervisor that starts anew does."""
    study = optuna.create_study(
        storage=storage, study_name="small", direction="maximize", load_if_exists=True
    )
    optuna_internals.let_sampler_stop(study)
    queue.queue_references(study, spec)
    for _ in range(n_trials):
        n_drawn = sum("repeat" not in t.user_attrs for t in study.get_trials(deepcopy=False))
        n_drawn -= len(study.get_trials(states=[optuna.trial.TrialState.WAITING]))
        running = ask(study, spec, max(0, n_drawn))
        study.tell(running.trial, 0.5 + running.trial.number % 7 / 100)


def drawn_values(study: optuna.Study) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for trial in study.get_trials(deepcopy=False):
        if "repeat" not in trial.user_attrs:
            for name, value in trial.params.items():
                found[name].append(value)
    return found


def knows_references(sampler: dict[str, Any]) -> bool:
    return bool(sampler["type"] != "BruteForceSampler")


def test_a_list_of_all_takes_no_reference_from_outside() -> None:
    sampler = {"type": "BruteForceSampler"}
    with pytest.raises(UsageError, match="the reference 'outside the space', which lies outside"):
        samplers.rehearse(spec_of(sampler, has_reference=True))
    samplers.rehearse(spec_of(sampler, has_reference=False))


@pytest.mark.parametrize("has_reference", [False, True], ids=["alone", "with a reference"])
@pytest.mark.parametrize("sampler", [*NAMED, *NESTED], ids=lambda each: "/".join(
    [each["type"], *(v["type"] for v in each.values() if isinstance(v, dict) and "type" in v)]
))  # fmt: skip
def test_every_hyperparameter_varies(sampler: dict[str, Any], has_reference: bool) -> None:
    spec = spec_of(sampler, has_reference=has_reference and knows_references(sampler))
    storage = optuna.storages.InMemoryStorage()
    search(spec, storage, N_DRAWS // 2)
    search(spec, storage, N_DRAWS // 2)  # begun again
    study = optuna.load_study(study_name="small", storage=storage)
    values = drawn_values(study)
    fixed = sampler.get("fixed_params", {})
    for name in ("hidden_layers", "units_1", "dropout", "learning_rate", "batch_size"):
        if name not in fixed:
            assert len(set(values[name])) > 1, (name, values[name])
    assert len(set(values["learning_rate"])) >= 4
    assert len({tuple(t.params.items()) for t in study.get_trials()}) > N_DRAWS // 3


@pytest.mark.parametrize("sampler", [*NAMED, *NESTED], ids=str)
def test_a_search_that_is_begun_again_draws_the_same(sampler: dict[str, Any]) -> None:
    spec = spec_of(sampler, has_reference=knows_references(sampler))
    found = []
    for parts in ((16,), (5, 11)):
        storage = optuna.storages.InMemoryStorage()
        for n_trials in parts:
            search(spec, storage, n_trials)
        study = optuna.load_study(study_name="small", storage=storage)
        found.append([trial.params for trial in study.get_trials()])
    assert found[0] == found[1]


def test_the_sequence_covers_what_is_drawn_in_every_trial() -> None:
    spec = spec_of({"type": "QMCSampler"}, has_reference=True)
    storage = optuna.storages.InMemoryStorage()
    search(spec, storage, 2 + 33)
    study = optuna.load_study(study_name="small", storage=storage)
    rates = drawn_values(study)["learning_rate"][-32:]
    halves = sum(rate > 0.05 for rate in rates)
    assert 13 <= halves <= 19  # evenly, where 32 random draws often are not


def test_only_what_can_be_used_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(Exception, match="allowed are") as caught:
        samplers.rehearse(spec_of({"type": "No"}, has_reference=False))
    assert "GPSampler" not in str(caught.value)
    assert "Base" not in str(caught.value)


def test_a_library_says_nothing_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    for sampler in ("CmaEsSampler", "QMCSampler"):
        spec = spec_of({"type": sampler}, has_reference=False)
        samplers.rehearse(spec, 12)
        assert samplers.draws_alone(spec)[:2] == ["units", "dropout"]
    assert not caplog.records
    assert samplers.draws_alone(spec_of({"type": "RandomSampler"}, has_reference=False)) == []


@pytest.mark.parametrize(
    "pruner",
    [
        {"type": "HyperbandPruner"},
        {"type": "HyperbandPruner", "max_resource": "auto"},
        {"type": "PatientPruner", "patience": 1, "wrapped_pruner": {"type": "HyperbandPruner"}},
    ],
    ids=str,
)
def test_brackets_follow_from_the_space_whatever_ran_first(pruner: dict[str, Any]) -> None:
    spec = spec_of({"type": "RandomSampler"}, has_reference=True, pruner=pruner)
    built: Any = samplers.build_pruner(spec)
    hyperband = getattr(built, "_wrapped_pruner", built)
    study = optuna.create_study(direction="maximize", pruner=built)
    reference = study.ask()
    reference.report(0.5, 1)  # a reference of one epoch
    study.tell(reference, 0.5)
    trial = study.ask()
    trial.report(0.4, 1)
    trial.should_prune()
    assert hyperband._n_brackets in (None, 4)  # 1, 3, 9 and 27 epochs
    assert hyperband._max_resource == 27


def test_the_first_rung_follows_from_the_space() -> None:
    long = {"optimizer": "adam", "epochs": 300}
    spec = spec_of(
        {"type": "RandomSampler"},
        has_reference=False,
        pruner={"type": "SuccessiveHalvingPruner"},
        fixed=long,
    )
    assert samplers.build_pruner(spec)._min_resource == 3  # type: ignore[attr-defined]
