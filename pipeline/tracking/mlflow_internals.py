"""What is used of MLflow that MLflow does not promise, with the reason for each.

No other file names it. Where it is not as it was in MLflow 3.17, what MLflow promises takes its
place: slower, and as right.
"""

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Run, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from pipeline.store_url import StoreUrl


def create_tables(file: Path) -> None:
    """Makes the tables of a new SQLite store, and lets go of it.

    The class makes them in that file, and nothing else; a client does so at its first question.
    """
    url = StoreUrl.of(file)
    with contextlib.suppress(ImportError):
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(url, "mlruns").engine.dispose()
        return
    mlflow.MlflowClient(url).search_experiments(max_results=1)


def last_step(client: mlflow.MlflowClient, run: Run, metric: str) -> int:
    """Finds the last step that a run has a value of a metric for; 0 if it has none.

    MLflow reads it with the run, but shows the values alone: to ask for each run's history would
    take a question a run.

    Args:
        client: of the store.
        run: as a search of runs returned it.
        metric: its name.
    """
    if metric not in run.data.metrics:
        return 0
    known = getattr(run.data, "_metric_objs", None)
    if known is None:
        known = client.get_metric_history(run.info.run_id, metric)
    return max((int(each.step) for each in known if each.key == metric), default=0)


def is_database(client: mlflow.MlflowClient) -> bool:
    """Tells whether a client asks a database itself, and in such a way that `together` is one."""
    begin = getattr(_store(client), "ManagedSessionMaker", None)
    return begin is not None and "read_only" in inspect.signature(begin).parameters


def _store(client: mlflow.MlflowClient) -> Any:
    return getattr(getattr(client, "_tracking_client", None), "store", None)


@contextlib.contextmanager
def together(client: mlflow.MlflowClient) -> Iterator[None]:
    """Makes one transaction of what a `with` asks of a database, where MLflow makes one of each.

    All of it is stored, or nothing. A server that is asked instead does so one by one.

    Args:
        client: of the store.
    """
    if not is_database(client):
        yield
        return
    store = _store(client)
    begin = store.ManagedSessionMaker
    with begin(read_only=False) as session:

        @contextlib.contextmanager
        def go_on(read_only: bool = True) -> Iterator[Any]:
            yield session
            session.flush()

        store.ManagedSessionMaker = go_on
        try:
            yield
        finally:
            store.ManagedSessionMaker = begin


def update_run(
    client: mlflow.MlflowClient, run: str, status: str, name: str = "", ended: int | None = None
) -> None:
    """Sets status, name and end of a run: one question in the place of three or four.

    Args:
        client: of the store.
        run: id of the run.
        status: as MLflow spells it.
        name: of the run; "" to leave it as it is.
        ended: milliseconds since 1970; None of a run that has not.
    """
    store = _store(client)
    if hasattr(store, "update_run_info"):
        store.update_run_info(run, RunStatus.from_string(status), ended, name or None)
        return
    if name:
        client.set_tag(run, MLFLOW_RUN_NAME, name)
    if ended is None:
        client.update_run(run, status)
    else:
        client.set_terminated(run, status, ended)


def delete_artifact(client: mlflow.MlflowClient, run: str, artifact: str) -> None:
    """Deletes a file of a run's artifacts, if the store can do that; else it stays.

    Args:
        client: of the store.
        run: id of the run.
        artifact: its path there.
    """
    if delete := getattr(client, "delete_artifact", None):  # one that can do it itself
        delete(run, artifact)
        return
    with contextlib.suppress(ImportError, NotImplementedError):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri = client.get_run(run).info.artifact_uri
        get_artifact_repository(uri, tracking_uri=client.tracking_uri).delete_artifacts(artifact)
