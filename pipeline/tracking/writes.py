"""What MLflow is asked for a write of a trial's beginning, or of what its run is to show."""

from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow.entities import DatasetInput, Metric, Param, RunTag

from pipeline.escaping import for_tag
from pipeline.tracking import mlflow_internals, mlflow_rows, run_names

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
    values = write["hyperparameters"]

    def keep(uri: str) -> None:
        if values:
            mlflow_internals.log_at(client, uri, values, HYPERPARAMETERS_ARTIFACT)

    params = {key: for_tag(value) for key, value in write["params"].items()}
    if known:
        made = client.get_run(known)
    else:
        tags = {key: for_tag(value) for key, value in write["tags"].items()}
        started, name = write["started"], run_names.name_of(write["tags"])
        rows = mlflow_rows.of(client)
        if rows and (run := rows.start(experiment, started, name, tags, params, inputs, keep)):
            return run
        made = client.create_run(experiment, start_time=started, tags=tags, run_name=name)
    run = str(made.info.run_id)
    client.log_inputs(run, inputs)
    if values:
        mlflow_internals.log_new(client, made, values, HYPERPARAMETERS_ARTIFACT)
    # at last, for by them the doctor sees that all of it was written
    client.log_batch(run, params=[Param(key, value) for key, value in params.items()])
    return run


def tell(client: mlflow.MlflowClient, run: str, write: Mapping[str, Any]) -> None:
    """Does what a write says of a run that is there, and has the run's name go with its tags.

    Args:
        client: of the store.
        run: id of the run.
        write: "log", "status" or "end": may have metrics and tags, and the run's status, end, and
            name if that is known and set otherwise.

    Raises:
        MlflowException, OSError: MLflow is out of reach; a database has kept nothing, then.
    """
    metrics = [Metric(*each) for each in write.get("metrics", ())]
    tags, status = as_tags(write.get("tags", {})), write.get("status", "")
    name, ended = write.get("name", ""), write.get("ended")
    rows = mlflow_rows.of(client)
    by_key = {tag.key: tag.value for tag in tags}
    if not (rows and rows.write(run, metrics, by_key, status, name, ended)):
        if metrics or tags:
            client.log_batch(run, metrics=metrics, tags=tags)
        if status:
            mlflow_internals.update_run(client, run, status, name, ended)
    if "state" in by_key and not name:
        run_names.rename(client, run)


def as_tags(values: Mapping[str, Any]) -> list[RunTag]:
    """Converts a mapping to the tags that MLflow takes."""
    return [RunTag(key, for_tag(str(value))) for key, value in values.items()]
