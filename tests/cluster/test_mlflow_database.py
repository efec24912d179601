"""MLflow's database, asked without a server: what a write says is one transaction, or none."""

import math
from pathlib import Path

import mlflow
import pytest
import sqlalchemy as sql
from servers import Postgres

from pipeline.paths import Project
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.tracking import delivery, mlflow_internals, mlflow_rows
from pipeline.tracking.run_writer import RunWriter

GIVEN = Hyperparameters(
    layer_kind="dense", hidden_layers=2, units=(64, 32), activation="relu", dropout=0.1,
    optimizer="adam", learning_rate=0.01, batch_size=32, epochs=7,
)  # fmt: skip

OF_RUN = {"inputs": "destination_id"}  # column of a table that names a run, if it is no other
ANEW = ("timestamp", "start_time", "end_time", "input_uuid", "experiment_id")


@pytest.fixture(params=["sqlite", "postgresql"])
def project(
    project_with_mlflow: Path,
    postgres: Postgres,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    if request.param == "postgresql":
        name = str(abs(hash(request.node.name)))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres.create_database(name))
    return Project(project_with_mlflow)


@pytest.fixture
def client(project: Project) -> mlflow.MlflowClient:
    return delivery.open_client(project.mlflow_uri)


def test_all_that_a_search_tells_arrives(project: Project, client: mlflow.MlflowClient) -> None:
    said: list[str] = []
    tracker = RunWriter(client, project, "small", said.append)
    with tracker.writing_much():
        tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
        run = tracker.start_trial(3, None, {"seed": 5}, {"origin": "drawn"})
        for epoch in (1, 2):
            tracker.log_epoch(3, epoch, {"loss": 0.5, "val_accuracy": epoch / 4})
        tracker.flush(3)
        tracker.set_paused(3, run, is_paused=True)
        assert client.get_run(run).info.status == "SCHEDULED"
        tracker.set_paused(3, run, is_paused=False)
        tracker.store_model(3, b"model")
        tracker.drop_model(3, run)
        tracker.finish_trial(3, "COMPLETE", {"best_val_accuracy": 0.5}, {"how": "complete"})
        tracker.close_study("FINISHED")
    assert (said, tracker.settle(), project.outbox("small").exists()) == ([], 0, False)
    found = client.get_run(run)
    assert (found.info.status, found.data.params) == ("FINISHED", {"seed": "5"})
    assert found.data.metrics == {"loss": 0.5, "val_accuracy": 0.5, "best_val_accuracy": 0.5}
    assert {"trial": "3", "origin": "drawn", "how": "complete"}.items() <= found.data.tags.items()
    steps = [(m.step, m.value) for m in client.get_metric_history(run, "val_accuracy")]
    assert steps == [(1, 0.25), (2, 0.5)]
    (given,) = found.inputs.dataset_inputs
    assert given.dataset.name == "fashion_mnist"


def tell_all(client: mlflow.MlflowClient, project: Project, study: str) -> None:
    """What two supervisors tell of a study, with all kinds of values, and some of it twice."""
    tracker = RunWriter(client, project, study)
    tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    for trial in (0, 1):
        given = GIVEN if trial else None
        run = tracker.start_trial(trial, given, {"long": "x" * 9_000}, {"long": "y" * 9_000})
        for epoch, value in enumerate((0.5, math.nan, math.inf, -math.inf, 0.25, 0.25), start=1):
            tracker.log_epoch(trial, epoch, {"loss": value, "accuracy": 1.0})
        tracker.flush(trial)
        tracker.set_paused(trial, run, is_paused=True)
        again = RunWriter(client, project, study)
        again.join_study("0" * 64, {})
        again.set_paused(trial, run, is_paused=False)
        for epoch in (3, 2, 7):
            again.log_epoch(trial, epoch, {"loss": epoch / 8})
            again.flush(trial)
        again.finish_trial(trial, ("COMPLETE", "KILLED")[trial], {"best": 0.5}, {"how": "x"})
    tracker.log_incumbent(0, "accuracy", 0.5)
    tracker.close_study("FINISHED")
    assert tracker.settle() == 0


def tables(client: mlflow.MlflowClient, study: str) -> dict[str, list[str]]:
    """The rows of all tables that tell of a study, without what each of two writings has anew."""
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    found: dict[str, list[str]] = {}
    numbers: dict[str, str] = {experiment.artifact_location: "artifacts", study: "study"}
    with client._tracking_client.store.engine.connect() as connection:
        for name in ("datasets", "runs", "tags", "params", "metrics", "latest_metrics", "inputs"):
            table = sql.Table(name, sql.MetaData(), autoload_with=connection)
            order = [table.c.start_time] if name == "runs" else []
            for row in connection.execute(sql.select(table).order_by(*order)).mappings():
                if name in ("datasets", "runs"):
                    is_of_study = str(row["experiment_id"]) == experiment.experiment_id
                else:
                    is_of_study = row[OF_RUN.get(name, "run_uuid")] in numbers
                if is_of_study:
                    if name in ("datasets", "runs"):
                        numbers[row[f"{name[:-1]}_uuid"]] = f"{name} {len(numbers)}"
                    known = [(key, row[key]) for key in sorted(row) if key not in ANEW]
                    found.setdefault(name, []).append(str(known))
    for name, rows in found.items():
        for each, number in numbers.items():
            rows = [row.replace(each, number) for row in rows]
        found[name] = sorted(rows)
    return found


def test_rows_are_those_that_mlflow_writes_itself(
    project: Project, client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mlflow_rows.of(client)
    tell_all(client, project, "rows")
    monkeypatch.setattr(mlflow_rows, "of", lambda _: None)
    tell_all(client, project, "asked")
    rows, asked = tables(client, "rows"), tables(client, "asked")
    assert {name: len(each) for name, each in rows.items()} == {
        "datasets": 1, "runs": 3, "tags": len(rows["tags"]), "params": len(rows["params"]),
        "metrics": 2 * (6 * 2 + 3 + 1) + 1, "latest_metrics": 2 * 3 + 1, "inputs": 3,
    }  # fmt: skip
    assert rows == asked


def test_a_run_is_made_as_a_whole_or_not_at_all(
    project: Project, client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when its artifact is written, and the run is made when it is not."""
    tracker = RunWriter(client, project, "small")
    tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_internals, "log_at", refuse)
        assert tracker.start_trial(0, GIVEN, {"seed": 5}, {}) == ""
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.trial != ''")
    assert (len(found), tracker.settle()) == (0, 0)
    (run,) = client.search_runs([experiment.experiment_id], "tags.trial != ''")
    assert run.data.params["seed"] == "5"
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == [
        "hyperparameters.json"
    ]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_mlflow_refuses_is_refused(
    project: Project, client: mlflow.MlflowClient, is_deleted: bool
) -> None:
    said: list[str] = []
    tracker = RunWriter(client, project, "small", said.append)
    tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    run = tracker.start_trial(0, None, {"seed": 5}, {})
    if is_deleted:
        client.delete_run(run)
    else:
        tracker._delivery.runs[0] = "f" * 32
    tracker.log_epoch(0, 1, {"loss": 0.5})
    tracker.flush(0)
    tracker.finish_trial(0, "COMPLETE", {"best": 0.5}, {})
    assert len(said) == 2
    assert all("MLflow refuses what it is told of trial 0" in each for each in said)
    assert client.get_run(run).data.metrics == {}


def test_a_deleted_experiment_gets_no_runs(project: Project, client: mlflow.MlflowClient) -> None:
    said: list[str] = []
    tracker = RunWriter(client, project, "small", said.append)
    tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    assert tracker.start_trial(0, None, {"seed": 5}, {}) == ""
    assert len(said) == 1


def test_an_mlflow_with_other_tables_is_asked_itself(
    client: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mlflow_rows.of(client)
    mlflow_rows._of_store.cache_clear()
    others = {**mlflow_rows._TABLES, "SqlTag": "key value run_uuid colour"}
    monkeypatch.setattr(mlflow_rows, "_TABLES", others)
    assert mlflow_rows.of(client) is None
    mlflow_rows._of_store.cache_clear()
