"""What an export does in the registry, and what `--rollback` says, in a real store of MLflow.

Versions are made without their models here; real ones are made end to end elsewhere.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import empty_mlflow
import mlflow
import pytest
import recorded

from pipeline import best, snapshot
from pipeline.errors import PipelineError, run_command
from pipeline.export import champion, registration
from pipeline.paths import Project
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import Trial
from pipeline.tracking import aliases, registry
from pipeline.tracking.run_writer import RunWriter

NAME = recorded.NAME
REFIT = {"refit": {"epochs": 5, "n_examples": 60_000}}
ENSEMBLE = {
    "ensemble": [{"trial": 9, "picks": 2}, {"trial": 7, "picks": 1}],
    "gain": {"of": "val_accuracy", "ensemble": 0.9125},
}


@pytest.fixture
def project(recorded_study: Project, empty_database: Path) -> Project:
    """With a run of the champion and one of the second, which is registered."""
    empty_mlflow.copy_into(recorded_study.root, empty_database)
    tracker = RunWriter.open(recorded_study, NAME)
    tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    study = recorded.open_stored(recorded_study).study
    for number in (recorded.SECOND, recorded.CHAMPION):
        run = tracker.start_trial(number, None, {"seed": 1}, {})
        tracker.finish_trial(number, "COMPLETE", {"best_val_accuracy": 0.895}, {})
        study_store.note_run(study, number, run)
    client(recorded_study).create_registered_model(NAME)
    publish(recorded_study.mlflow_uri, NAME, study_store.run_of(study, recorded.SECOND))
    return recorded_study


@pytest.fixture
def model(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of an export; what is published has no files."""
    monkeypatch.setattr(registry, "publish_champion", publish)
    folder = project.root / "exports"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"a model")
    return folder


def client(project: Project) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(project.mlflow_uri)


def publish(uri: str, study: str, run: str, *others: Any) -> None:
    tags: Mapping[str, str] = others[-1] if others else {}
    own = mlflow.MlflowClient(uri)
    version = str(own.create_model_version(study, "somewhere", run).version)
    aliases.tag_version(own, study, version, tags.get("run_id", run), tags)
    aliases.promote(own, study, version)


def register(project: Project, folder: Path, **more: Any) -> str:
    stored, best_trial = opened(project)
    found = {**champion.summary(stored, best_trial), **more}
    return registration.register(stored, best_trial, found, folder)


def opened(project: Project) -> tuple[StoredStudy, Trial]:
    stored = recorded.open_stored(project)
    return stored, study_store.champion(stored.study)


def versions(project: Project) -> dict[str, str]:
    """Versions by their aliases."""
    found = client(project).get_registered_model(NAME).aliases
    return {alias: str(version) for alias, version in found.items()}


def tags(project: Project, version: str) -> dict[str, str]:
    return dict(client(project).get_model_version(NAME, version).tags)


def test_an_export_makes_a_version_and_later_brings_its_tags_up_to_date(
    project: Project, model: Path
) -> None:
    assert register(project, model) == f"models:/{NAME}@champion is version 2 now"
    assert versions(project) == {"champion": "2", "previous": "1"}
    known = tags(project, "2")
    assert (known["trial"], known["run_id"]) == ("9", opened(project)[1].run_id)
    assert "test_accuracy" not in known
    study = opened(project)[0].study
    study.set_user_attr(study_store.TEST_LOOKS, [recorded.TEST_LOOK])
    assert register(project, model) == ""
    assert versions(project) == {"champion": "2", "previous": "1"}
    assert {"test_accuracy": "0.8871", "test_loss": "0.3215"}.items() <= tags(project, "2").items()
    said = client(project).get_model_version(NAME, "2").description
    assert said.startswith(f"**Version 2 of {NAME}: trial 9 (val_accuracy 0.895).**")
    assert "\n\nTakes raw pixels" in said


@pytest.mark.parametrize(("kind", "more"), [("refit", REFIT), ("ensemble", ENSEMBLE)])
def test_another_model_has_a_version_and_a_run_of_its_own(
    project: Project, model: Path, kind: str, more: dict[str, Any]
) -> None:
    register(project, model)
    assert register(project, model, **more) == f"models:/{NAME}@champion is version 3 now"
    assert versions(project) == {"champion": "3", "previous": "2"}
    known, run = tags(project, "3"), opened(project)[1].run_id
    assert known["run_id"] == run == aliases.champion_run(client(project), NAME)
    own = client(project).get_run(client(project).get_model_version(NAME, "3").run_id)
    assert own.info.run_id != run
    assert (own.info.status, own.data.tags["role"]) == ("FINISHED", kind)
    assert "trial" not in own.data.tags
    artifacts = client(project).list_artifacts(own.info.run_id)
    assert [each.path for each in artifacts] == ["model.keras"]
    if kind == "ensemble":
        assert (known["ensemble"], known["best_val_accuracy"]) == ('{"9": 2, "7": 1}', "0.9125")
    assert register(project, model, **more) == "", "it is the same one"
    assert register(project, model) == f"models:/{NAME}@champion is version 2 now"
    assert versions(project) == {"champion": "2", "previous": "3"}


def test_an_export_of_what_was_rolled_back_leaves_the_alias(project: Project, model: Path) -> None:
    register(project, model)
    registration.roll_back(project, NAME)
    assert versions(project) == {"champion": "1", "previous": "2"}
    said = register(project, model)
    assert said.startswith(f"models:/{NAME}@champion stays as it was rolled back; ")
    assert versions(project) == {"champion": "1", "previous": "2"}


def test_a_store_that_cannot_be_written_is_no_trouble_of_an_export(
    project: Project, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "is_writable", lambda _: False)
    assert register(project, model) == "not registered: MLflow's store is read-only for this user"
    assert versions(project) == {"champion": "1"}


def test_a_store_that_does_not_take_it_is_told_in_one_sentence(
    project: Project, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise mlflow.exceptions.MlflowException("no room")

    monkeypatch.setattr(registry, "publish_champion", refuse)
    with pytest.raises(PipelineError, match=r"^it is exported, but not registered: .*no room$"):
        register(project, model)


# The command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Rolls back by the command, and returns its exit code, stdout and stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["best", NAME, "--rollback", *arguments])
        capsys.readouterr()
        code = run_command(best.main)
        said, complaints = capsys.readouterr()
        return code, said, complaints

    return command


def test_a_rollback_says_what_is_champion_now(project: Project, model: Path, run: Any) -> None:
    register(project, model)
    assert run() == (
        0,
        f"models:/{NAME}@champion is version 1 now: trial 7 (val_accuracy 0.895)\n"
        f"models:/{NAME}@previous is version 2 now: trial 9 (val_accuracy 0.895)\n",
        "",
    )
    code, said, _ = run("--json")
    found = json.loads(said)
    assert (code, found["champion"]["version"], found["champion"]["trial"]) == (0, "2", "9")
    assert (found["previous"]["version"], "rolled_back" in said) == ("1", False)


def test_without_one_before_it_is_refused(project: Project, run: Any) -> None:
    code, said, complaints = run()
    assert (code, said) == (1, "")
    (line,) = complaints.splitlines()
    assert line.startswith(f"error: models:/{NAME}@previous: there is no such version to roll ")
    assert versions(project) == {"champion": "1"}


def test_without_a_store_it_is_refused_and_none_is_made(recorded_study: Project, run: Any) -> None:
    assert run()[0] == 1
    assert not (recorded_study.runs_dir / "mlflow.db").exists()


def test_a_server_that_is_out_of_reach_is_told_in_one_sentence(
    recorded_study: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, said, complaints = run()
    (line,) = complaints.splitlines()
    assert (code, said) == (1, "")
    assert line.startswith("error: MLflow's store http://127.0.0.1:9 cannot be used: ")


def test_a_version_and_its_model_are_described_though_no_search_has_ended(
    project: Project,
) -> None:
    stored, best_trial = opened(project)
    own, run = client(project), best_trial.run_id
    version = str(own.create_model_version(NAME, "somewhere", run).version)
    shown = {aliases.INTERVAL: "0.8894 to 0.9004", "test_accuracy": "0.8871"}
    registry.tell(own, NAME, version, run, stored.spec.task, shown)
    said = own.get_model_version(NAME, version).description
    assert said.startswith(f"**Version {version} of recorded: trial 9 (val_accuracy 0.895).**")
    assert "95 % interval of that value: 0.8894 to 0.9004" in said
    assert "On the test set: accuracy 0.8871." in said
    assert f'load_model("models:/recorded/{version}")' in said
    assert f"/runs/{run}?" in said
    assert "has the report once the search has ended" in said
    of_model = own.get_registered_model(NAME).description
    assert of_model.startswith("Tests.")
    assert 'load_model("models:/recorded@champion")' in of_model
    own.update_registered_model(NAME, "A user's words.")
    registry.tell(own, NAME, version, run, stored.spec.task, {})
    assert own.get_registered_model(NAME).description == "A user's words."


def test_an_ensemble_names_its_trials(project: Project) -> None:
    stored, best_trial = opened(project)
    own, run = client(project), best_trial.run_id
    version = str(own.create_model_version(NAME, "somewhere", run).version)
    tags = {aliases.RUN: run, aliases.ENSEMBLE: '{"9": 2, "7": 1}'}
    registry.tell(own, NAME, version, run, stored.spec.task, tags)
    said = own.get_model_version(NAME, version).description
    assert "The mean answer of trial 9 (2 of 3), trial 7 (1 of 3)." in said
