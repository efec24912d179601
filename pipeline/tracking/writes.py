"""What MLflow is asked for a write of a trial's beginning, or of what its run is to show."""

from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities import DatasetInput, Metric, Param, RunTag

from pipeline.escaping import for_tag
from pipeline.tracking import mlflow_internals, run_names

HYPERPARAMETERS_ARTIFACT = "hyperparameters.json"


def start(
    client: mlflow.MlflowClient,
    experiment: str,
    known: str,
    write: Mapping[str, Any],
    inputs: Sequence[DatasetInput],
) -> str:
    """Makes the run of a trial, and returns its id.

    Args:
        client: of the store.
        experiment: id of the study's.
        known: id of the run, if it was made before; "" if not.
        write: "start".
        inputs: of every run.

    Raises:
        MlflowException, OSError: MLflow is out of reach; a database has kept nothing, then.
    """
    with mlflow_internals.together(client):
        run = known or _create(client, experiment, write)
        client.log_inputs(run, inputs)
        if write["hyperparameters"]:
            client.log_dict(run, write["hyperparameters"], HYPERPARAMETERS_ARTIFACT)
        # at last, for by them the doctor sees that all of it was written
        params = [Param(key, for_tag(value)) for key, value in write["params"].items()]
        client.log_batch(run, params=params)
    return run


def _create(client: mlflow.MlflowClient, experiment: str, write: Mapping[str, Any]) -> str:
    created = client.create_run(
        experiment,
        start_time=write["started"],
        tags={key: for_tag(value) for key, value in write["tags"].items()},
        run_name=run_names.name_of(write["tags"]),
    )
    return str(created.info.run_id)


def log(client: mlflow.MlflowClient, run: str, write: Mapping[str, Any]) -> None:
    """Logs the metrics and tags of a write, and has the run's name go with them.

    Args:
        client: of the store.
        run: id of the run.
        write: has metrics, tags, and the run's name if that is known and set otherwise.
    """
    metrics = [Metric(*each) for each in write["metrics"]]
    client.log_batch(run, metrics=metrics, tags=as_tags(write["tags"]))
    if "state" in write["tags"] and not write.get("name"):
        run_names.rename(client, run)


def as_tags(values: Mapping[str, Any]) -> list[RunTag]:
    """Converts a mapping to the tags that MLflow takes."""
    return [RunTag(key, for_tag(str(value))) for key, value in values.items()]
