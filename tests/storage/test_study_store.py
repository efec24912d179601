"""The store of trials: opening it, reading it, samplers and pruners by name."""

import tomllib
from pathlib import Path
from typing import Any

import optuna
import pytest
import recorded

from pipeline.errors import PipelineError, UsageError
from pipeline.paths import Project
from pipeline.search import samplers
from pipeline.storage import studies, study_store
from pipeline.study.load import load, parse
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import StudySpec
from pipeline.study.trial import best_epoch, select_counted

QUICK = tomllib.loads((Path(__file__).parents[2] / "studies" / "quick.toml").read_text())


def spec_with(table: str, **content: Any) -> StudySpec:
    return parse("quick", {**QUICK, table: content})


def test_a_changed_question_is_refused(project_folder: Path) -> None:
    project = Project(project_folder)
    studies.open_study(project, parse("quick", QUICK))
    studies.open_study(
        project, parse("quick", {**QUICK, "goal": "Another.", "budget": {"trials": 1}})
    )
    with pytest.raises(UsageError, match="a changed question is a new study"):
        studies.open_study(project, spec_with("sampler", type="RandomSampler"))


def test_a_stored_study_is_read_with_the_claims_of_today(recorded_study: Project) -> None:
    file = recorded_study.root / "studies" / f"{recorded.NAME}.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(recorded.SPEC.replace("0.8726", "0.1234"))
    spec = studies.stored_study(recorded_study, recorded.NAME).spec
    assert spec.reference[0].claim["val_accuracy"] == 0.1234
    assert spec == load(recorded_study, recorded.NAME)


def test_but_not_with_another_question(recorded_study: Project) -> None:
    file = recorded_study.root / "studies" / f"{recorded.NAME}.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(recorded.SPEC.replace("seed = 7", "seed = 8"))
    spec = studies.stored_study(recorded_study, recorded.NAME).spec
    assert spec.seed == 7


def test_a_store_that_is_no_database_is_said_in_a_sentence(project_folder: Path) -> None:
    project = Project(project_folder)
    project.runs_dir.mkdir()
    (project.runs_dir / "optuna.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(PipelineError, match=r"cannot be used: .*not a database"):
        studies.open_study(project, parse("quick", QUICK))


def test_the_champion_is_the_best_complete_trial(recorded_study: Project) -> None:
    study = studies.stored_study(recorded_study, recorded.NAME).study
    assert study_store.champion(study).number == recorded.CHAMPION


def test_interrupted_trials_do_not_count(recorded_study: Project) -> None:
    study = studies.stored_study(recorded_study, recorded.NAME).study
    known = study_store.read_trials(study)
    assert len(known) - len(select_counted(known)) == recorded.N_INTERRUPTED


@pytest.mark.parametrize(
    ("values", "direction", "epoch"),
    [
        ([0.5, 0.7, 0.7, 0.6], "maximize", 2),
        ([0.5, 0.4, 0.4], "minimize", 2),
        ([], "maximize", 0),
    ],
)
def test_best_epoch_is_the_first_of_the_best(
    values: list[float], direction: str, epoch: int
) -> None:
    assert best_epoch(values, direction) == epoch


def test_derived_seeds_follow_from_their_parts_alone() -> None:
    assert derived_seed(1, "trial", 2) == derived_seed(1, "trial", 2)
    seeds = {derived_seed(1, "trial", i) for i in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    "name", ["TPESampler", "RandomSampler", "NSGAIISampler", "QMCSampler", "CmaEsSampler"]
)
def test_samplers_by_name_draw_the_same_again(name: str) -> None:
    spec = spec_with("sampler", type=name, seed=3)
    assert samplers.rehearse(spec, 3) == samplers.rehearse(spec, 3)


@pytest.mark.parametrize(
    ("table", "content", "said"),
    [
        ("sampler", {"type": "TPESamplr"}, "found 'TPESamplr', allowed are"),
        ("sampler", {"type": "TPESampler", "n_startup": 3}, "unexpected keyword argument"),
        ("sampler", {"type": "TPESampler", "n_startup_trials": "5"}, "TPESampler: '<' not"),
        ("sampler", {"type": "BruteForceSampler"}, "step must be given"),
        ("pruner", {"type": "ThresholdPruner"}, "lower or upper must be specified"),
        ("pruner", {"type": "PatientPruner", "wrapped_pruner": {"type": "No"}}, "found 'No'"),
        (
            "pruner",
            {"type": "PatientPruner", "wrapped_pruner": {"type": "NopPruner"}, "patience": 2.5},
            "slice indices must be integers",
        ),
    ],
)
def test_arguments_of_samplers_and_pruners_are_checked(
    table: str, content: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        samplers.rehearse(spec_with(table, **content))
    assert str(caught.value).startswith(f"[{table}] ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_pruner_may_wrap_another() -> None:
    content = {"type": "PatientPruner", "patience": 2, "wrapped_pruner": {"type": "NopPruner"}}
    pruner = samplers.build_pruner(spec_with("pruner", **content).pruner)
    assert isinstance(pruner, optuna.pruners.PatientPruner)


# What is allowed


@pytest.mark.parametrize("table", ["sampler", "pruner"])
def test_only_what_can_be_used_is_listed(table: str) -> None:
    with pytest.raises(UsageError) as caught:
        samplers.rehearse(spec_with(table, type="Nonesuch"))
    listed = str(caught.value).partition("allowed are ")[2].split(", ")
    assert {"sampler": "TPESampler", "pruner": "MedianPruner"}[table] in listed
    more: dict[str, dict[str, Any]] = {
        "PartialFixedSampler": {"fixed_params": {"batch_size": 32},
                                "base_sampler": {"type": "RandomSampler"}},
        "PatientPruner": {"patience": 1},
        "PercentilePruner": {"percentile": 50.0},
        "ThresholdPruner": {"lower": 0.1},
    }  # fmt: skip
    more["PatientPruner"]["wrapped_pruner"] = {"type": "MedianPruner"}
    steps = {"learning_rate": {"type": "categorical", "choices": [0.001, 0.002]}}
    for name in listed:
        spec = parse("quick", {**QUICK, table: {"type": name, **more.get(name, {})},
                               "space": steps if name == "BruteForceSampler" else QUICK["space"],
                               "fixed": QUICK.get("fixed", {}) if name != "BruteForceSampler" else
                               {"hidden_layers": 1, "units": 8, "optimizer": "adam",
                                "batch_size": 32, "epochs": 2}})  # fmt: skip
        assert samplers.rehearse(spec, 2)


def test_a_sampler_whose_library_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(samplers._NEEDS, "CmaEsSampler", "no_such_library")
    with pytest.raises(UsageError) as caught:
        samplers.rehearse(spec_with("sampler", type="CmaEsSampler"))
    said, _, listed = str(caught.value).partition("allowed are ")
    assert said == "[sampler] type: found 'CmaEsSampler' (no_such_library is not installed), "
    assert "CmaEsSampler" not in listed


def test_a_trial_that_went_back_is_worth_what_it_had_come_to_there() -> None:
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    for epoch, value in enumerate([0.3, 0.5, 0.4, 0.7], start=1):
        trial.report(value, epoch)
    trial.set_user_attr("history", {"loss": [1.0, 0.8], "val_accuracy": [0.3, 0.5]})
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    (read,) = study_store.read_trials(study)
    assert (read.value, read.best_epoch, read.n_epochs) == (0.5, 2, 2)


@pytest.mark.parametrize("n_notes", range(5))
def test_a_study_whose_first_search_was_killed_before_it_had_begun_is_begun(
    n_notes: int, project_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of the notes that are made when it is opened first."""
    project, spec = Project(project_folder), parse("quick", QUICK)
    write, keys = optuna.Study.set_user_attr, list[str]()

    def dies(study: optuna.Study, key: str, value: Any) -> None:
        if len(keys) == n_notes:
            raise KeyboardInterrupt
        keys.append(key)
        write(study, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "set_user_attr", dies)
        with pytest.raises(KeyboardInterrupt):
            studies.open_study(project, spec)
    attributes = studies.open_study(project, spec).user_attrs
    assert len(attributes) == 5
    assert study_store.DATA_FINGERPRINT in attributes
