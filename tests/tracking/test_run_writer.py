"""What a search leaves in MLflow's store, on a real one."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from pipeline.paths import Project
from pipeline.tracking.delivery import open_client
from pipeline.tracking.run_writer import RunWriter

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(project_with_mlflow: Path) -> mlflow.MlflowClient:
    return open_client(Project(project_with_mlflow).mlflow_uri)


@pytest.fixture
def tracker(project_with_mlflow: Path, client: mlflow.MlflowClient) -> RunWriter:
    opened = RunWriter(client, Project(project_with_mlflow), "small")
    opened.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    return opened


def test_runs_that_were_left_are_ended_however_many_pages_they_fill(
    tracker: RunWriter, client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [tracker.start_trial(number, None, {"seed": number}, {}) for number in range(5)]
    tracker.finish_trial(0, "COMPLETE", {}, {})
    known = dict(enumerate(runs))
    paged = functools.partial(client.search_runs, max_results=2)
    monkeypatch.setattr(client, "search_runs", paged)
    assert tracker.mend({1: ("PRUNED", {"best_epoch": 2.0}, {}), 2: ("FAIL", {}, {})}, known) == 4
    found = [client.get_run(run) for run in runs]
    assert [run.info.status for run in found] == [
        "FINISHED",
        "FINISHED",
        "FAILED",
        "KILLED",
        "KILLED",
    ]
    assert [run.data.tags["state"] for run in found] == [
        "COMPLETE",
        "PRUNED",
        "FAIL",
        "FAIL",
        "FAIL",
    ]
    assert found[1].data.metrics == {"best_epoch": 2.0}
    assert tracker.mend({}, known) == 0


def test_a_trial_that_an_earlier_supervisor_paused_may_end_without_going_on(
    tracker: RunWriter, client: mlflow.MlflowClient, project_with_mlflow: Path
) -> None:
    run = tracker.start_trial(0, None, {"seed": 0}, {})
    tracker.set_paused(0, run, is_paused=True)
    said: list[str] = []
    again = RunWriter(client, Project(project_with_mlflow), "small", said.append)
    assert again.mend({}, {0: run}, paused=[0]) == 0
    again.finish_trial(0, "PRUNED", {"best_epoch": 1.0}, {})
    found = client.get_run(run)
    assert (found.info.status, found.data.tags["state"]) == ("FINISHED", "PRUNED")
    assert said == []


def test_a_paused_trial_is_shown_as_such_until_it_goes_on(
    tracker: RunWriter, client: mlflow.MlflowClient, project_with_mlflow: Path
) -> None:
    run = tracker.start_trial(0, None, {"seed": 0}, {})
    tracker.set_paused(0, run, is_paused=True)
    found = client.get_run(run)
    assert (found.info.status, found.data.tags["state"]) == ("SCHEDULED", "PAUSED")
    assert tracker.mend({}, {0: run}, paused=[0]) == 0, "it is none that was left running"
    again = RunWriter(client, Project(project_with_mlflow), "small")  # of another supervisor
    again.set_paused(0, run, is_paused=False)
    again.log_epoch(0, 1, {"val_accuracy": 0.5})
    found = client.get_run(run)
    assert (found.info.status, found.data.tags["state"]) == ("RUNNING", "RUNNING")
    assert again.mend({}, {0: run}, paused=[0]) == 1, "killed before it was shown as paused"
    found = client.get_run(run)
    assert (found.info.status, found.data.tags["state"]) == ("SCHEDULED", "PAUSED")
    again.set_paused(0, run, is_paused=False)
    again.finish_trial(0, "COMPLETE", {"best_epoch": 1.0}, {})
    assert client.get_run(run).info.status == "FINISHED"


def test_a_kill_while_mlflow_makes_its_tables_leaves_nothing_that_cannot_be_opened(
    project_folder: Path,
) -> None:
    """Three of them, each in what the one before has left, and no copy of a database."""
    dies = """
import itertools, os, sqlalchemy, sys
from pathlib import Path
from pipeline.paths import Project
from pipeline.tracking.run_writer import RunWriter

steps, last = itertools.count(1), int(sys.argv[1])

@sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
def die(connection, cursor, statement, *_):
    if statement.lstrip().startswith(("CREATE", "ALTER", "DROP")) and next(steps) == last:
        os._exit(9)

RunWriter.open(Project(Path.cwd()), "small")
"""
    for n_steps in (1, 20, 60):
        done = subprocess.run(
            [sys.executable, "-c", dies, str(n_steps)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 9
        assert not (project_folder / "mlruns" / "mlflow.db").exists()
    RunWriter.open(Project(project_folder), "small").open_study("x", {"dataset": "x"}, "0" * 64)
    assert not list((project_folder / "mlruns").glob(".*.new*"))
