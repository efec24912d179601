"""What a search relies on is deleted under its hands: one sentence, and nothing made in its place.

The command itself, with real stores; curves are computed.
"""

import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import small

from benchmarks.growth import Playback
from pipeline.data import datasets
from pipeline.errors import run_command
from pipeline.execution import local
from pipeline.paths import Project
from pipeline.search import __main__ as search_command
from pipeline.training.job import Event

Search = Callable[[Callable[[], None]], tuple[int, str]]


@pytest.fixture
def project(project_with_mlflow: Path) -> Project:
    (project_with_mlflow / "studies").mkdir()
    (project_with_mlflow / "studies" / f"{small.NAME}.toml").write_text(small.STUDY)
    return Project(project_with_mlflow)


@pytest.fixture(params=[1, 3, 7], ids="at event {}".format)
def search(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Search:
    """Runs the command, does something in its middle, and returns exit code and last line."""

    def run(damage: Callable[[], None]) -> tuple[int, str]:
        class Damaging(Playback):
            n_asked = 0
            n_workers = 2

            def events(self, timeout_seconds: float) -> list[Event]:
                self.n_asked += 1
                if self.n_asked == request.param:
                    damage()
                return super().events(timeout_seconds)

        monkeypatch.setattr(datasets, "fetch", lambda _: None)
        monkeypatch.setattr(local, "LocalExecutor", lambda *_, **__: Damaging())
        monkeypatch.setattr(sys, "argv", ["search", small.NAME])
        code = run_command(search_command.main)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert said.count("error: ") == 1
        return code, said.splitlines()[-1]

    return run


def statuses(project: Project) -> set[str]:
    """Of all runs in MLflow."""
    database = sqlite3.connect(project.runs_dir / "mlflow.db")
    found = {status for (status,) in database.execute("SELECT status FROM runs")}
    database.close()
    return found


def n_running(project: Project) -> int:
    study = optuna.load_study(study_name=small.NAME, storage=project.optuna_url)
    return len(study.get_trials(states=(optuna.trial.TrialState.RUNNING,)))


def test_the_study_in_optuna(search: Search, project: Project) -> None:
    def delete() -> None:
        optuna.delete_study(study_name=small.NAME, storage=project.optuna_url)

    code, said = search(delete)
    assert (code, said) == (
        1,
        "error: the study 'small' was deleted in Optuna while it was searched, and its trials "
        "with it; the same command starts anew",
    )
    assert optuna.get_all_study_names(project.optuna_url) == []
    assert "RUNNING" not in statuses(project)


def test_the_folder_of_the_stores(search: Search, project: Project) -> None:
    code, said = search(lambda: shutil.rmtree(project.runs_dir))
    assert code == 1
    assert said.startswith("error: mlruns/optuna.db was deleted or replaced during the search")
    assert not project.runs_dir.exists()


def test_the_folder_renamed_and_another_in_its_place(search: Search, project: Project) -> None:
    def move() -> None:
        project.runs_dir.rename(project.root / "kept")
        project.runs_dir.mkdir()

    code, said = search(move)
    assert code == 1
    assert said.startswith("error: mlruns/optuna.db was deleted or replaced during the search")
    assert list(project.runs_dir.iterdir()) == []


def test_optunas_file(search: Search, project: Project) -> None:
    code, said = search((project.runs_dir / "optuna.db").unlink)
    assert code == 1
    assert said.startswith("error: mlruns/optuna.db was deleted or replaced during the search")
    assert not (project.runs_dir / "optuna.db").exists()
    assert "RUNNING" not in statuses(project)


def test_mlflows_file(search: Search, project: Project) -> None:
    code, said = search((project.runs_dir / "mlflow.db").unlink)
    assert code == 1
    assert said.startswith("error: mlruns/mlflow.db was deleted or replaced during the search")
    assert "pipeline.doctor --fix" in said
    assert not (project.runs_dir / "mlflow.db").exists()
    assert n_running(project) == 0
