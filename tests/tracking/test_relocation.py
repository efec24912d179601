"""A project that is moved, copied or linked: MLflow finds its files, and writes nowhere else."""

import contextlib
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import empty_mlflow
import mlflow
import pytest
import recorded
from mlflow.entities import LoggedModelStatus
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from ports import free_port

from pipeline import best, ui
from pipeline.paths import Project
from pipeline.store_url import StoreUrl
from pipeline.tracking import reader, registry, relocation
from pipeline.tracking.run_writer import RunWriter

STUDY = "small"
MODEL = b"the model"


def client(project: Project) -> mlflow.MlflowClient:
    _artifact_repos_cache.clear()  # of this process, which knows where they were
    return mlflow.MlflowClient(project.mlflow_uri)


def search(project: Project, trial: int, said: list[str] | None = None) -> str:
    """Writes a trial with a model, as a search does."""
    _artifact_repos_cache.clear()
    writer = RunWriter.open(project, STUDY, (said if said is not None else []).append)
    writer.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    run = writer.start_trial(trial, None, {"seed": trial}, {})
    writer.store_model(trial, MODEL)
    writer.finish_trial(trial, "COMPLETE", {}, {})
    writer.close_study("FINISHED")
    assert writer.settle() == 0
    return run


@pytest.fixture
def old(tmp_path: Path, empty_database: Path) -> Project:
    """A project with a trial, its model, and a registered version of that."""
    project = Project(empty_mlflow.copy_into(tmp_path / "above" / "old", empty_database))
    run = search(project, 0)
    mlflow_client = client(project)
    experiment = mlflow_client.get_run(run).info.experiment_id
    model = mlflow_client.create_logged_model(experiment, "model", run)
    mlflow_client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    described = project.artifacts_dir / STUDY / "models" / str(model.model_id) / "artifacts"
    described.mkdir(parents=True)
    (described / "MLmodel").write_text(f"artifact_path: {model.artifact_location}\nflavors:\n")
    mlflow_client.create_registered_model(STUDY)
    mlflow_client.create_model_version(
        STUDY, model.artifact_location, run, model_id=model.model_id
    )
    return project


def places(project: Project) -> dict[str, list[str]]:
    """All that the store says of where things are, but for MLflow's own experiment."""
    columns = ["runs.artifact_uri", "logged_models.artifact_location"]
    columns += ["model_versions.storage_location"]
    file = project.mlflow_uri.file
    assert file
    with contextlib.closing(sqlite3.connect(file)) as database:
        found = {
            each: [row[0] for row in database.execute(f"SELECT {each} FROM {each.split('.')[0]}")]
            for each in columns
        }
        mine = "SELECT artifact_location FROM experiments WHERE name = ?"
        return {**found, "experiment": [row[0] for row in database.execute(mine, (STUDY,))]}


def is_all_under(project: Project) -> bool:
    return all(
        value.startswith(f"{project.artifacts_dir.as_uri()}/{STUDY}")
        for values in places(project).values()
        for value in values
    )


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def model_of(project: Project, run: str) -> Path:
    return project.artifacts_dir / STUDY / run / "artifacts" / "model.keras"


def moved(old: Project, name: str = "new") -> Project:
    """Moves the project, and removes what was above it: nothing may be made there again."""
    new = Project(old.root.parent.parent / "elsewhere" / name)
    new.root.parent.mkdir()
    old.root.rename(new.root)
    old.root.parent.rmdir()
    return new


@pytest.mark.parametrize("name", ["new", "a b 한글", "old"])
def test_a_project_that_was_moved_goes_on_where_it_is(old: Project, name: str) -> None:
    n_places = {key: len(values) for key, values in places(old).items()}
    assert min(n_places.values()) > 0
    new = moved(old, name)
    said: list[str] = []
    run = search(new, 1, said)
    assert said == [
        f"the project was moved or copied from {old.root} to {new.root}: "
        "MLflow's store now says so"
    ]
    assert model_of(new, run).read_bytes() == MODEL
    assert is_all_under(new)
    assert not old.root.parent.exists()
    assert not [path for path, held in files(new.artifacts_dir).items() if b"above/old" in held]
    found = client(new).search_model_versions(f"name = '{STUDY}'")[0]
    assert (
        client(new)
        .get_model_version_download_uri(STUDY, found.version)
        .startswith(new.artifacts_dir.as_uri())
    )
    said.clear()
    search(new, 2, said)
    assert said == [], "it is said once"


def test_a_project_that_was_moved_twice(old: Project) -> None:
    new = moved(old)
    search(new, 1)
    last = Project(new.root.with_name("last"))
    new.root.rename(last.root)
    said: list[str] = []
    search(last, 2, said)
    assert len(said) == 1
    assert is_all_under(last)
    assert not new.root.exists()


def test_what_was_moved_is_read_before_the_store_says_so(old: Project) -> None:
    """Of a store, say, that nobody may write."""
    new = moved(old)
    before = places(new)
    (run,) = (each for each in reader.runs_of(new, STUDY, "val_accuracy") if each.trial == 0)
    assert "is damaged" in reader.model_trouble(new, run), "found, and no zip file"
    assert registry.load_model_bytes(new, run.id) == MODEL
    assert places(new) == before


@pytest.mark.parametrize("has_artifacts", [True, False])
def test_a_copy_writes_into_its_own_folder(old: Project, has_artifacts: bool) -> None:
    copy = Project(old.root.with_name("copy"))
    shutil.copytree(old.root, copy.root)
    if not has_artifacts:
        shutil.rmtree(copy.artifacts_dir)
    before = files(old.root)
    run = search(copy, 1)
    assert model_of(copy, run).is_file()
    assert is_all_under(copy)
    assert files(old.root) == before


@pytest.mark.parametrize("has_artifacts", [True, False])
@pytest.mark.parametrize("place", ["mlflow.db", "stores/m.db", "mlruns/other.db", "mlruns/a/b.db"])
def test_a_copy_with_its_store_anywhere_in_it_writes_into_its_own_folder(
    old: Project, monkeypatch: pytest.MonkeyPatch, place: str, has_artifacts: bool
) -> None:
    (old.root / place).parent.mkdir(parents=True, exist_ok=True)
    (old.runs_dir / "mlflow.db").rename(old.root / place)
    copy = Project(old.root.with_name("copy"))
    # of a relative one, MLflow would know the file of the test before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", StoreUrl.of(copy.root / place))
    shutil.copytree(old.root, copy.root)
    if not has_artifacts:
        shutil.rmtree(copy.artifacts_dir)
    before = files(old.root)
    assert relocation.old_places(copy, STUDY) == [str(old.root)]
    run = search(copy, 1)
    assert model_of(copy, run).is_file()
    assert is_all_under(copy)
    assert files(old.root) == before


def test_a_copy_of_a_folder_of_projects_with_their_store_writes_into_itself(
    old: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old.runs_dir / "mlflow.db").rename(old.root.parent / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///../mlflow.db")
    above = old.root.parent.with_name("below")
    shutil.copytree(old.root.parent, above)
    before = files(old.root.parent)
    copy = Project(above / old.root.name)
    monkeypatch.chdir(copy.root)
    search(copy, 1)
    assert is_all_under(copy)
    assert files(old.root.parent) == before


@pytest.mark.parametrize("place", ["../mlflow.db", "mlruns/mlflow.db"])
def test_a_store_that_projects_share_is_the_same_file_and_no_copy(
    old: Project, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    shared = old.root.parent / "mlflow.db"
    (old.runs_dir / "mlflow.db").rename(shared)
    other = Project(old.root.with_name("other"))
    other.artifacts_dir.joinpath(STUDY).mkdir(parents=True)
    for project in (old, other):
        if not (project.root / place).exists():
            (project.root / place).symlink_to(shared)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    monkeypatch.chdir(other.root)
    relocation.relocate(other, pytest.fail)
    assert not relocation.is_own_store(other)


def test_what_was_rewritten_in_part_by_hand_is_rewritten_to_the_end(old: Project) -> None:
    new = moved(old)
    with contextlib.closing(sqlite3.connect(new.runs_dir / "mlflow.db")) as database, database:
        pair = (old.root.as_uri(), new.root.as_uri())
        database.execute(
            "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)", pair
        )
    assert not is_all_under(new)
    search(new, 1)
    assert is_all_under(new)


def test_a_plain_path_stays_one(old: Project) -> None:
    with contextlib.closing(sqlite3.connect(old.runs_dir / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, 'file://', '')")
    new = moved(old)
    relocation.relocate(new, lambda _: None)
    assert places(new)["experiment"] == [str(new.artifacts_dir / STUDY)]


@pytest.fixture
def linked(old: Project) -> Project:
    link = old.root.with_name("link")
    link.symlink_to(old.root)
    return Project(link)


def test_a_project_behind_a_link_is_not_moved(linked: Project) -> None:
    before = places(linked)
    relocation.relocate(linked, pytest.fail)
    assert places(linked) == before
    assert relocation.old_places(linked) == []


@pytest.mark.parametrize("kind", ["a folder", "a server", "one that is named alike"])
def test_artifacts_that_are_elsewhere_on_purpose_stay_there(
    tmp_path: Path, empty_database: Path, kind: str
) -> None:
    project = Project(empty_mlflow.copy_into(tmp_path / "project", empty_database))
    location = {
        "a folder": (tmp_path / "disk" / STUDY).as_uri(),
        "a server": f"s3://mlruns/artifacts/{STUDY}",
        "one that is named alike": (tmp_path / "disk" / "mlruns" / "artifacts" / STUDY).as_uri(),
    }[kind]
    if kind != "a server":
        os.makedirs(location.removeprefix("file://"))  # noqa: PTH103
    client(project).create_experiment(STUDY, location)
    relocation.relocate(project, pytest.fail)
    assert client(project).get_experiment_by_name(STUDY).artifact_location == location


def test_a_store_outside_the_project_is_rewritten_if_that_is_sure(
    old: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = old.root.parent.with_name("shared.db")
    (old.runs_dir / "mlflow.db").rename(shared)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", StoreUrl.of(shared))
    other = Project(old.root.with_name("other"))
    other.runs_dir.mkdir(parents=True)
    relocation.relocate(other, pytest.fail)  # another project, which shares the store
    shutil.rmtree(other.root)
    new = moved(old)
    search(new, 1)
    assert is_all_under(new)
    assert not old.root.exists()


def test_a_store_that_cannot_be_written_is_said_to_be_so(
    old: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = moved(old)
    said: list[str] = []
    connect: Any = sqlite3.connect

    def read_only(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*arguments, **options)
        database.execute("PRAGMA query_only = ON")
        return database

    monkeypatch.setattr(sqlite3, "connect", read_only)
    relocation.relocate_if_writable(new, said.append)
    (sentence,) = said
    assert "cannot be written: attempt to write a readonly database" in sentence


@pytest.mark.parametrize("command", ["best", "ui"])
def test_commands_that_are_started_first_make_the_store_name_the_new_place(
    old: Project,
    recorded_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    shutil.copytree(recorded_folder, old.root, dirs_exist_ok=True)
    new = moved(old)
    monkeypatch.chdir(new.root)
    monkeypatch.setattr(ui, "serve_mlflow", lambda *_: 0)
    arguments = {"best": [recorded.NAME], "ui": ["mlflow", "--port", str(free_port())]}[command]
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    main = {"best": best.main, "ui": ui.main}[command]
    main()
    said = capsys.readouterr().err
    assert f"moved or copied from {old.root} to {new.root}" in said
    assert is_all_under(new)
