"""What may change in the file of a begun study, and how the rest is refused."""

import tomllib
from pathlib import Path
from typing import Any

import optuna
import pytest

from pipeline.data import datasets
from pipeline.errors import UsageError
from pipeline.paths import Project
from pipeline.storage import studies, study_store
from pipeline.study.changes import changes_since
from pipeline.study.load import parse

REFERENCE = {
    "name": "known",
    "hyperparameters": {"hidden_layers": 1, "units": 100, "optimizer": "adam",
                        "learning_rate": 0.001, "batch_size": 32, "epochs": 3},
}  # fmt: skip
QUICK = {
    **tomllib.loads((Path(__file__).parents[2] / "studies" / "quick.toml").read_text()),
    "reference": [REFERENCE],
    "comparison": [],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The study file with another value of one key, such as `space.learning_rate.high`."""
    *tables, key = path.split(".")
    content: dict[str, Any] = {**QUICK}
    table = content
    for name in tables:
        table[name] = {**table.get(name, {})}
        table = table[name]
    if value is None:
        del table[key]
    else:
        table[key] = value
    return content


def with_reference(**keys: Any) -> dict[str, Any]:
    return {**QUICK, "reference": [{**REFERENCE, **keys}]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed("space.learning_rate.high", 0.1), "[space] learning_rate high: 0.01 -> 0.1"),
        (changed("training.trial_minutes", 0.5), "[training] trial_minutes: 1.0 -> 0.5"),
        (changed("sampler", {"type": "RandomSampler"}), "'TPESampler' -> 'RandomSampler'"),
        (changed("metric", "val_loss"), "metric: 'val_accuracy' -> 'val_loss'"),
        (changed("start_from", ["other"]), "start_from: [] -> ['other']"),
        ({**QUICK, "reference": []}, "[[reference]] 'known' removed"),
        (with_reference(patience=9), "[[reference]] 'known' patience: None -> 9"),
        (with_reference(name="renamed"), "[[reference]] 'known' removed"),
    ],
)  # fmt: skip
def test_a_refusal_names_keys_and_both_values(
    content: dict[str, Any], said: str, project_folder: Path
) -> None:
    project = Project(project_folder)
    before = studies.open_study(project, parse("quick", QUICK)).user_attrs
    with pytest.raises(UsageError, match="a changed question is a new study") as caught:
        studies.open_study(project, parse("quick", content))
    assert said in str(caught.value)
    assert studies.open_study(project, parse("quick", QUICK)).user_attrs == before


@pytest.mark.parametrize(
    ("content", "noted"),
    [
        (changed("training.trial_minutes", 20), "[training] trial_minutes: 1.0 -> 20.0"),
        ({**QUICK, "reference": [REFERENCE, {**REFERENCE, "name": "new"}]},
         "[[reference]] 'new' added"),
        (with_reference(repeats=3), "[[reference]] 'known' repeats: 1 -> 3"),
        (with_reference(claim={"val_accuracy": 0.5}), None),
        (changed("goal", "Another."), None),
        (changed("budget.trials", 1), None),
        (changed("resources", {"cpus": 2, "gpus": 0.5}), None),
    ],
)  # fmt: skip
def test_what_changes_no_trial_is_taken_and_noted(
    content: dict[str, Any], noted: str | None, project_folder: Path
) -> None:
    project, spec = Project(project_folder), parse("quick", content)
    studies.open_study(project, parse("quick", QUICK))
    for _ in range(2):  # the second time there is nothing new
        attributes = studies.open_study(project, spec).user_attrs
    assert attributes[study_store.FINGERPRINT] == spec.fingerprint
    notes = attributes.get(study_store.CHANGES, [])
    assert [note["what"] for note in notes] == ([[noted]] if noted else [])


def test_a_change_is_noted_once_though_a_kill_came_before_the_file_was_stored(
    project_folder: Path,
) -> None:
    project, spec = Project(project_folder), parse("quick", changed("training.trial_minutes", 2))
    before = studies.open_study(project, parse("quick", QUICK)).user_attrs[study_store.SPEC]
    study = studies.open_study(project, spec)
    noted = study.user_attrs[study_store.CHANGES]
    study.set_user_attr(study_store.SPEC, before)
    assert studies.open_study(project, spec).user_attrs[study_store.CHANGES] == noted


def test_many_and_long_changes_are_cut() -> None:
    many = {**QUICK, "reference": [{**REFERENCE, "name": f"{i}" * 90} for i in range(9)]}
    spec = parse("quick", QUICK)
    differences = changes_since(parse("quick", many).model_dump_json(), spec)
    assert len(differences) == 10
    assert all(len(str(change)) < 120 for change in differences)


def test_other_data_are_refused(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, spec = Project(project_folder), parse("quick", QUICK)
    studies.open_study(project, spec)
    monkeypatch.setattr(datasets, "fingerprint", lambda _: "f" * 64)
    with pytest.raises(UsageError, match=r"was begun with other data: .* and is ffffffffffff"):
        studies.open_study(project, spec)


def test_a_study_of_another_program_is_left_alone(project_folder: Path) -> None:
    project, spec = Project(project_folder), parse("quick", QUICK)
    project.runs_dir.mkdir()
    foreign = optuna.create_study(storage=project.optuna_url, study_name="quick")
    with pytest.raises(UsageError, match="was not made by this program"):
        studies.open_study(project, spec)
    assert foreign.user_attrs == {}
