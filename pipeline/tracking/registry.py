"""MLflow's model registry: the champion's model, stored, registered and read."""

import importlib.metadata
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException

from pipeline import snapshot
from pipeline.data import pixels
from pipeline.environment import import_keras
from pipeline.errors import PipelineError, first_line
from pipeline.paths import Project
from pipeline.reading.column import Dialect
from pipeline.task.task import Task
from pipeline.tracking import aliases, relocation, rows_flavor, version_story
from pipeline.tracking.delivery import MODEL_ARTIFACT
from pipeline.wording import doctor_command

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_OF_BOTH = ("study", "mlflow.parentRunId", "data_fingerprint")  # tags


def load_model_bytes(project: Project, run: str) -> bytes:
    """Reads the `.keras` file of a trial whose model is kept.

    Raises:
        PipelineError: it is not there.
    """
    if not run:
        raise PipelineError(
            "MLflow has not got the run and its model yet; when it can be reached, they are sent "
            f"with: {doctor_command()}"
        )
    client = mlflow.MlflowClient(snapshot.readable(project.mlflow_uri))
    try:
        artifacts = relocation.local_path(project, client.get_run(run).info.artifact_uri)
        if artifacts is not None:
            return (artifacts / MODEL_ARTIFACT).read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            path = client.download_artifacts(run, MODEL_ARTIFACT, folder)
            return Path(path).read_bytes()
    except (MlflowException, OSError) as error:
        reason = first_line(error)
        raise PipelineError(
            f"the model of run {run} is not to be had ({reason}); if it is lost, its trial is "
            f"trained again with: {doctor_command()}"
        ) from None


def publish_champion(
    uri: str,
    study: str,
    run: str,
    best_epoch: int,
    task: Task,
    dialect: Dialect,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Makes a run's stored model a registered version with tags and the alias `champion`.

    What was the champion gets the alias `previous`. Imports Keras: meant for `Executor.call`.

    Args:
        uri: of MLflow's store.
        study: name of the study, and so of the registered model.
        run: where the model is stored: its trial's, unless `tags` name that.
        best_epoch: of the trial; the model is logged as of that step.
        task: what the model has learned.
        dialect: how the file was written that it has learned from.
        tags: what the trial's run does not tell (see `aliases`).
    """
    from mlflow.models import Model

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    flavor, given = _to_register(client, run, task, dialect)
    mlflow.set_experiment(experiment_id=client.get_run(run).info.experiment_id)
    info = Model.log(
        artifact_path=None,
        name="model",
        flavor=flavor,
        run_id=run,
        step=best_epoch,
        registered_model_name=study,
        **given,
    )
    version = str(info.registered_model_version)
    tell(client, study, version, tags.get(aliases.RUN, run), task, tags)
    aliases.promote(client, study, version)


def tell(
    client: mlflow.MlflowClient,
    study: str,
    version: str,
    run: str,
    task: Task,
    tags: Mapping[str, str],
) -> None:
    """Brings tags and description of a registered version up to date.

    Args:
        client: of the store.
        study: name of the study, and so of the registered model.
        version: its number.
        run: of the trial.
        task: what the model has learned.
        tags: what the run does not tell.
    """
    aliases.tag_version(client, study, version, run, tags)
    version_story.describe(client, study, version, task)


def store_apart(client: mlflow.MlflowClient, trial_run: str, role: str, model: Path) -> str:
    """Stores a model that is no trial's own in a run of its own; returns that run's id.

    Args:
        client: of the store.
        trial_run: run of the trial that it was made of; both have the same parent.
        role: tag of the run, which has no tag `trial`: it belongs to none.
        model: a file `model.keras`.
    """
    found = client.get_run(trial_run)
    tags = {key: found.data.tags[key] for key in _OF_BOTH if key in found.data.tags}
    name = f"{role} of {found.info.run_name}"
    created = client.create_run(
        found.info.experiment_id, run_name=name, tags={**tags, "role": role}
    )
    run = str(created.info.run_id)
    client.log_artifact(run, str(model))
    client.set_terminated(run)
    return run


def write_model_again(uri: str, run: str, model_id: str, task: Task, dialect: Dialect) -> None:
    """Writes the files of a logged model again, from the stored model of its trial.

    Imports Keras: meant for `Executor.call`.

    Args:
        uri: of MLflow's store.
        run: where the trial's model is stored.
        model_id: of a logged model of that run.
        task: what the model has learned.
        dialect: how the file was written that it has learned from.
    """
    from mlflow.models import Model

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    flavor, given = _to_register(client, run, task, dialect)
    location = client.get_logged_model(model_id).artifact_location
    known = Model(
        location, run, model_uuid=model_id, model_id=model_id, metadata=given.pop("metadata")
    )
    with tempfile.TemporaryDirectory() as folder:
        flavor.save_model(path=f"{folder}/model", mlflow_model=known, **given)
        client.log_model_artifacts(model_id, f"{folder}/model")


def _to_register(
    client: mlflow.MlflowClient, run: str, task: Task, dialect: Dialect
) -> tuple[ModuleType, dict[str, Any]]:
    """Makes of a trial's stored model what a flavour of MLflow takes: the flavour, arguments."""
    import_keras()
    import keras
    import mlflow.keras
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    with tempfile.TemporaryDirectory() as folder:
        network = keras.saving.load_model(client.download_artifacts(run, MODEL_ARTIFACT, folder))
    features = task.features
    is_by_column = features is not None and bool(features.inputs)
    needed = ["mlflow", "keras", "tensorflow", "numpy", *["pandas"] * is_by_column]
    given = {
        "model": network,
        "metadata": {"input": version_story.takes(task)},
        "pip_requirements": [f"{name}=={importlib.metadata.version(name)}" for name in needed],
    }
    if is_by_column:
        script = rows_flavor.predict_script(task, dialect)
        return rows_flavor, {**given, "signature": _signature(task), "script": script}
    model = pixels.accept_any_scale(network)
    # As the model has it. MLflow casts to it what a service is sent: to uint8 it would cast an
    # image divided by 255 to black.
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(model.inputs[0].dtype), (-1, *model.input_shape[1:]))]),
        outputs=Schema(
            [TensorSpec(np.dtype(model.outputs[0].dtype), (-1, *model.output_shape[1:]))]
        ),
    )
    return mlflow.keras, {**given, "model": model, "signature": signature}


def _signature(task: Task) -> "ModelSignature":
    """Names the columns that go in and come out.

    Of any type: MLflow would refuse whole numbers where others may have fractions, codes of
    numbers where there is text, and missing values in either; the model takes them all.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    assert task.features is not None
    return ModelSignature(
        Schema([ColSpec(AnyType(), column.name) for column in task.features.inputs]),
        Schema([ColSpec(DataType.double, name) for name in rows_flavor.answer_names(task)]),
    )
