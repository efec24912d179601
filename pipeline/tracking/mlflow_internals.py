"""What is used of MLflow that MLflow does not promise, with the reason for each.

No other file names it. Where it is not as it was in MLflow 3.17, what MLflow promises takes its
place: slower, and as right.
"""

import contextlib
from pathlib import Path

import mlflow
from mlflow.entities import Run

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
