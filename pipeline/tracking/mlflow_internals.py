"""What is used of MLflow that MLflow does not promise, with the reason for each.

No other file names it. Where it is not as it was in MLflow 3.17, what MLflow promises takes its
place: slower, and as right.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import sqlalchemy as sql
from mlflow.entities import Run, RunStatus
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from pipeline import write_ahead
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


def store_of(client: mlflow.MlflowClient) -> Any:
    """Returns what a client asks: a database or a server; None of a client with another inside."""
    return getattr(getattr(client, "_tracking_client", None), "store", None)


@contextlib.contextmanager
def writing_ahead(client: mlflow.MlflowClient, file: Path | None) -> Iterator[Callable[[], None]]:
    """Has what a `with` asks of a SQLite file wait for the disk seldom; see `write_ahead`.

    Args:
        client: of the store.
        file: the store's; None if it is no file.

    Yields:
        What waits until a power failure takes nothing back of what was written.
    """
    engine = getattr(store_of(client), "engine", None)
    if file is None or not isinstance(engine, sql.Engine):
        yield lambda: None
        return
    with contextlib.closing(write_ahead.Log(engine, file)) as log:

        def wait() -> None:
            with contextlib.suppress(OSError):  # what MLflow misses, Optuna has
                log.wait_for_disk()

        try:
            yield wait
        finally:  # the file has no log any more when nobody has it open
            with contextlib.suppress(ImportError, AttributeError, KeyError):
                from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

                SqlAlchemyStore._engine_map[client.tracking_uri].dispose()


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
    store = store_of(client)
    if hasattr(store, "update_run_info"):
        store.update_run_info(run, RunStatus.from_string(status), ended, name or None)
        return
    if name:
        client.set_tag(run, MLFLOW_RUN_NAME, name)
    if ended is None:
        client.update_run(run, status)
    else:
        client.set_terminated(run, status, ended)


def log_new(
    client: mlflow.MlflowClient, run: Run, values: Mapping[str, Any], artifact: str
) -> None:
    """Keeps values as an artifact of a run that was just made, of which MLflow would ask again.

    Args:
        client: of the store.
        run: as it was made.
        values: that JSON can hold.
        artifact: its path there, without a folder.
    """
    if store_of(client) is not None:
        with contextlib.suppress(ImportError):
            log_at(client, run.info.artifact_uri, values, artifact)
            return
    client.log_dict(run.info.run_id, values, artifact)


def log_at(
    client: mlflow.MlflowClient, uri: str, values: Mapping[str, Any], artifact: str
) -> None:
    """Keeps values as an artifact, by the URI of those of a run."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / artifact
        file.write_text(json.dumps(values, indent=2))
        get_artifact_repository(uri, tracking_uri=client.tracking_uri).log_artifact(str(file))


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
