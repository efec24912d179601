"""What a pruner derives follows from the space: not from which trial came first, nor a restart."""

from typing import Any

import optuna
import pytest
from scripted import REFERENCE, ScriptedExecutor, make_spec, search

from pipeline.errors import UsageError
from pipeline.search import samplers
from pipeline.storage import study_store
from pipeline.study.spec import StudySpec
from pipeline.training.job import Job

EPOCHS = 27
PRUNERS: list[dict[str, Any]] = [
    {"type": "HyperbandPruner"},
    {"type": "HyperbandPruner", "min_resource": 3, "max_resource": "auto"},
    {"type": "HyperbandPruner", "max_resource": "auto", "bootstrap_count": 2},
    {"type": "SuccessiveHalvingPruner"},
    {"type": "SuccessiveHalvingPruner", "min_resource": "auto", "bootstrap_count": 2},
    {"type": "PatientPruner", "patience": 1, "wrapped_pruner": {"type": "HyperbandPruner"}},
    {"type": "PatientPruner", "patience": 0,
     "wrapped_pruner": {"type": "PatientPruner", "patience": 1,
                        "wrapped_pruner": {"type": "SuccessiveHalvingPruner"}}},
    {"type": "MedianPruner", "n_startup_trials": 2},
    {"type": "PercentilePruner", "percentile": 50.0, "n_startup_trials": 2},
    {"type": "WilcoxonPruner"},
]  # fmt: skip
SHORT = {"name": "short", "hyperparameters": {**REFERENCE, "epochs": 1}}
LONG = {"name": "long", "hyperparameters": {**REFERENCE, "epochs": 400}}


def spec_of(pruner: dict[str, Any], references: list[dict[str, Any]]) -> StudySpec:
    return make_spec(
        pruner=pruner,
        sampler={"type": "RandomSampler", "seed": 1},
        fixed={"batch_size": 32, "optimizer": "adam", "hidden_layers": 1, "units": 8},
        space={
            "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
            "epochs": {"type": "categorical", "choices": [9, EPOCHS]},
        },
        reference=references,
    )


def play(job: Job) -> list[float]:
    assert job.hyperparameters
    rate, epochs = job.hyperparameters.learning_rate, job.hyperparameters.epochs
    # the worse it is, the earlier it falls off
    return [0.5 + 0.4 * epoch / epochs - 3 * rate * epoch for epoch in range(1, epochs + 1)]


def ends(spec: StudySpec, *n_trials: int) -> list[tuple[str, int]]:
    """How the drawn trials ended, and after how many epochs."""
    store = optuna.storages.InMemoryStorage()
    for n in n_trials:
        study = optuna.create_study(
            study_name="one", storage=store, direction=spec.direction, load_if_exists=True
        )
        part = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": n})})
        search(part, study, ScriptedExecutor(play))
    known = study_store.read_trials(study)
    return [(each.state, each.n_epochs) for each in known if not each.reference]


@pytest.mark.parametrize("references", [[], [SHORT], [LONG]], ids=["none", "short", "long"])
@pytest.mark.parametrize("pruner", PRUNERS, ids=str)
def test_a_restart_changes_nothing(
    pruner: dict[str, Any], references: list[dict[str, Any]]
) -> None:
    spec = spec_of(pruner, references)
    assert ends(spec, 2, 3, 9, 30) == ends(spec, 30)


# Trials that are compared with others are pruned by what these had: not so the schedule.
SCHEDULED = [pruner for pruner in PRUNERS if "Halving" in str(pruner) or "Hyper" in str(pruner)]


@pytest.mark.parametrize("pruner", SCHEDULED, ids=str)
def test_the_schedule_is_that_of_the_space_from_the_first_trial_on(pruner: dict[str, Any]) -> None:
    spec = spec_of(pruner, [])
    inner = spec.pruner.arguments
    while "wrapped_pruner" in inner:
        inner = inner["wrapped_pruner"]
    built = samplers.build_pruner(spec.pruner, samplers.most_epochs(spec))
    while isinstance(built, optuna.pruners.PatientPruner):
        built = built._wrapped_pruner  # type: ignore[assignment]
    expected = (
        optuna.pruners.HyperbandPruner(
            inner.get("min_resource", 1), EPOCHS, bootstrap_count=inner.get("bootstrap_count", 0)
        )
        if isinstance(built, optuna.pruners.HyperbandPruner)
        else optuna.pruners.SuccessiveHalvingPruner(
            1, bootstrap_count=inner.get("bootstrap_count", 0)
        )
    )
    assert vars(built) == vars(expected)


def test_hyperband_has_the_brackets_of_the_space_after_a_short_reference() -> None:
    spec = spec_of({"type": "HyperbandPruner"}, [SHORT])
    study = optuna.create_study(study_name="one", direction=spec.direction)
    search(spec, study, ScriptedExecutor(play))
    assert isinstance(study.pruner, optuna.pruners.HyperbandPruner)
    assert study.pruner._n_brackets == 4  # from 1, 3, 9 and 27 epochs


@pytest.mark.parametrize("given", [[2], 2.0, "2", True], ids=str)
@pytest.mark.parametrize(
    ("kind", "key"),
    [("SuccessiveHalvingPruner", "min_resource"), ("HyperbandPruner", "max_resource")],
)
def test_a_resource_that_optuna_would_take_for_auto_is_refused(
    kind: str, key: str, given: object
) -> None:
    spec = make_spec(pruner={"type": kind, key: given})
    with pytest.raises(UsageError, match=f"{kind}: found {key} = .*, allowed is an integer"):
        samplers.rehearse(spec)
