"""SQLite with a log: a kill takes nothing back, a power failure little, and nobody else's."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import optuna
import pytest
from sqlite_files import journal_mode, noted_syncs

from pipeline import write_ahead
from pipeline.paths import Project
from pipeline.storage.rdb import open_storage
from pipeline.tracking import delivery
from pipeline.tracking.run_writer import RunWriter

ROOT = Path(__file__).parents[2]


def killed(script: str) -> None:
    """Runs a script to its end, in which it kills itself."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = f"import os\n{script}\nos.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -9


def test_the_log_of_a_store_that_is_gone_is_not_played_back_into_a_new_one(
    project_folder: Path,
) -> None:
    """A search is killed, and somebody deletes its store, but not what lies beside it."""
    killed("""
import optuna
from pipeline.storage.rdb import open_storage
study = optuna.create_study(storage=open_storage("sqlite:///optuna.db", to_write=True))
for _ in range(50):
    study.tell(study.ask(), 0.5)
""")
    (project_folder / "optuna.db").unlink()
    assert (project_folder / "optuna.db-wal").stat().st_size > 0
    storage = open_storage("sqlite:///optuna.db", to_write=True)
    assert optuna.get_all_study_names(storage) == []
    study = optuna.create_study(storage=storage)
    study.tell(study.ask(), 0.25)
    assert [trial.value for trial in study.get_trials()] == [0.25]
    with contextlib.closing(sqlite3.connect("optuna.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def tracker(project_with_mlflow: Path) -> RunWriter:
    project = Project(project_with_mlflow)
    opened = RunWriter(delivery.open_client(project.mlflow_uri), project, "small")
    opened.open_study("Tests.", {"dataset": "x"}, "0" * 64)
    return opened


def test_mlflows_store_has_a_log_while_a_search_writes_it(tracker: RunWriter) -> None:
    file = Path("mlruns/mlflow.db")
    champion = mlflow.MlflowClient(Project(Path.cwd()).mlflow_uri)
    champion.search_model_versions()
    before = {path.name for path in file.parent.iterdir()}
    with tracker.writing_much():
        tracker.start_trial(0, None, {"seed": 1}, {})
        assert journal_mode(file) == "wal"
        assert file.with_name("mlflow.db-wal").stat().st_size > 0
        champion.search_model_versions()  # is another connection, which stays open
    for trial in (1, 2):
        assert journal_mode(file) == "delete"
        assert {path.name for path in file.parent.iterdir()} == before
        tracker.start_trial(trial, None, {"seed": 1}, {})
    assert journal_mode(file) == "delete"
    assert {path.name for path in file.parent.iterdir()} == before


def test_somebody_else_may_have_mlflows_store_open_all_the_time(tracker: RunWriter) -> None:
    with contextlib.closing(sqlite3.connect("mlruns/mlflow.db")) as other:
        n_runs = "SELECT count(*) FROM runs"
        (before,) = other.execute(n_runs).fetchone()
        with tracker.writing_much():
            tracker.start_trial(0, None, {"seed": 1}, {})
            assert other.execute(n_runs).fetchone() == (before + 1,)
        tracker.start_trial(1, None, {"seed": 1}, {})
        assert other.execute(n_runs).fetchone() == (before + 2,)
    assert tracker.settle() == 0


def test_a_store_that_somebody_deletes_meanwhile_is_not_made_anew(tracker: RunWriter) -> None:
    with tracker.writing_much():
        Path("mlruns/mlflow.db").unlink()
    assert not Path("mlruns/mlflow.db").exists()


def test_what_is_flushed_is_on_the_disk(
    tracker: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracker.writing_much():
        synced = noted_syncs(monkeypatch)
        tracker.start_trial(0, None, {"seed": 1}, {})
        tracker.log_epoch(0, 1, {"loss": 0.5})
        assert synced == []
        tracker.flush(0)
        assert synced == ["mlflow.db-wal"]


def test_a_killed_search_loses_nothing_of_what_it_told_mlflow(
    project_with_mlflow: Path,
) -> None:
    killed("""
from pathlib import Path
from pipeline.paths import Project
from pipeline.tracking.run_writer import RunWriter
tracker = RunWriter.open(Project(Path.cwd()), "small")
tracker.writing_much().__enter__()
tracker.open_study("Tests.", {"dataset": "x"}, "0" * 64)
tracker.start_trial(0, None, {"seed": 1}, {})
tracker.log_epoch(0, 1, {"loss": 0.5})
tracker.flush(0)
""")
    client = mlflow.MlflowClient(Project(project_with_mlflow).mlflow_uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id], "tags.trial = '0'")
    assert run.data.metrics == {"loss": 0.5}


def test_where_no_log_can_be_had_nothing_changes(
    tracker: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems: SQLite leaves the mode as it was."""

    def refused(connection: sqlite3.Connection, _: object) -> None:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    monkeypatch.setattr(write_ahead, "_set_up", refused)
    with tracker.writing_much():
        run = tracker.start_trial(0, None, {"seed": 1}, {})
        tracker.flush(0)
    assert run
