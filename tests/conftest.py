"""Fixtures that several test modules use."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import empty_mlflow
import pytest
import recorded

from pipeline.paths import Project


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_environment() -> Iterator[None]:
    """No test touches a store that somebody's environment names."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def recorded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; `recorded_study` hands out copies."""
    folder = tmp_path_factory.mktemp("recorded")
    recorded.build(folder)
    return folder


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands are started in."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's, made once for all workers; `empty_mlflow.copy_into` gives a project its own."""
    return empty_mlflow.make(tmp_path_factory)


@pytest.fixture
def project_with_mlflow(project_folder: Path, empty_database: Path) -> Path:
    """The same folder as `project_folder`, with an empty MLflow database in it."""
    return empty_mlflow.copy_into(project_folder, empty_database)


@pytest.fixture
def recorded_study(project_folder: Path, recorded_folder: Path) -> Project:
    """A project with the study `recorded` in it, in the current folder: see `recorded.py`."""
    shutil.copytree(recorded_folder, project_folder, dirs_exist_ok=True)
    return Project(project_folder)
