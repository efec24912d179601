"""What a search leaves in MLflow's store, on a real one."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import ViewType

from pipeline.paths import Project
from pipeline.tracking.delivery import open_client
from pipeline.tracking.orphans import ORPHAN
from pipeline.tracking.run_writer import RunWriter
from pipeline.tracking.tracker import End

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
    assert found.info.run_name == "trial 0000: paused"
    assert tracker.mend({}, {0: run}, paused=[0]) == 0, "it is none that was left running"
    again = RunWriter(client, Project(project_with_mlflow), "small")  # of another supervisor
    again.set_paused(0, run, is_paused=False)
    again.log_epoch(0, 1, {"val_accuracy": 0.5})
    found = client.get_run(run)
    assert (found.info.status, found.data.tags["state"]) == ("RUNNING", "RUNNING")
    assert found.info.run_name == "trial 0000"
    assert again.mend({}, {0: run}, paused=[0]) == 1, "killed before it was shown as paused"
    found = client.get_run(run)
    assert (found.info.status, found.data.tags["state"]) == ("SCHEDULED", "PAUSED")
    again.set_paused(0, run, is_paused=False)
    again.finish_trial(0, "COMPLETE", {"best_epoch": 1.0}, {})
    assert client.get_run(run).info.status == "FINISHED"


def test_a_run_that_is_shown_as_paused_though_its_trial_is_not_is_ended(
    tracker: RunWriter, client: mlflow.MlflowClient
) -> None:
    runs = [tracker.start_trial(number, None, {"seed": number}, {}) for number in range(3)]
    for number in range(3):
        tracker.set_paused(number, runs[number], is_paused=True)
    ends: dict[int, End] = {0: ("PRUNED", {"best_epoch": 2.0}, {})}
    assert tracker.mend(ends, dict(enumerate(runs)), paused=[2]) == 2
    found = [client.get_run(run) for run in runs]
    assert [run.info.status for run in found] == ["FINISHED", "KILLED", "SCHEDULED"]
    assert [run.data.tags["state"] for run in found] == ["PRUNED", "FAIL", "PAUSED"]
    assert found[0].data.metrics == {"best_epoch": 2.0}


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("noted", [0, 1])
def test_of_two_runs_of_a_trial_the_one_that_is_not_noted_is_set_aside(
    noted: int, is_paused: bool, tracker: RunWriter, client: mlflow.MlflowClient
) -> None:
    """A server may make two where its first answer was lost."""
    first = client.get_run(tracker.start_trial(0, None, {"seed": 0}, {}))
    second = client.create_run(first.info.experiment_id, tags=first.data.tags)
    runs, paused = [first.info.run_id, second.info.run_id], [0] if is_paused else []
    assert tracker.mend({}, {0: runs[noted]}, paused) == 2
    own, other = client.get_run(runs[noted]), client.get_run(runs[1 - noted])
    assert own.info.lifecycle_stage == "active"
    assert own.info.status == ("SCHEDULED" if is_paused else "KILLED")
    assert (other.info.lifecycle_stage, other.info.status) == ("deleted", "KILLED")
    assert other.data.tags[ORPHAN] == "true"
    assert tracker.mend({}, {0: runs[noted]}, paused) == 0


@pytest.mark.parametrize("has_trial", [False, True])
def test_of_two_runs_of_the_study_one_is_set_aside_that_has_no_trials(
    has_trial: bool, tracker: RunWriter, client: mlflow.MlflowClient, project_with_mlflow: Path
) -> None:
    found = client.get_experiment_by_name("small")
    assert found
    of_study = functools.partial(client.search_runs, [found.experiment_id], "tags.role = 'study'")
    (first,) = of_study()
    if has_trial:
        tracker.start_trial(0, None, {"seed": 0}, {})
    client.create_run(found.experiment_id, tags={"role": "study"})
    again = RunWriter(client, Project(project_with_mlflow), "small")
    again.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    left = {run.info.run_id for run in of_study()}
    deleted = of_study(run_view_type=ViewType.DELETED_ONLY)
    assert len(left) == 1
    assert first.info.run_id in left or not has_trial
    assert [run.data.tags[ORPHAN] for run in deleted] == ["true"]


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
