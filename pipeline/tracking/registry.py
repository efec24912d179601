"""MLflow's model registry: the champion's model, stored, registered and read."""

import importlib.metadata
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline import snapshot
from pipeline.data import pixels
from pipeline.environment import import_keras
from pipeline.errors import PipelineError, first_line
from pipeline.paths import Project
from pipeline.reading.column import Dialect
from pipeline.task.task import Task
from pipeline.tracking import relocation, rows_flavor
from pipeline.tracking.delivery import MODEL_ARTIFACT
from pipeline.wording import doctor_command

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CHAMPION_ALIAS = "champion"
MOST_SAID = 4000  # characters in the description of a version, of which MLflow takes 5,000
# What MLflow says where there is no such model, version or alias.
_NO_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def champion_run(client: mlflow.MlflowClient, study: str) -> str | None:
    """Finds the run whose model bears the alias `champion`; None if there is none.

    Raises:
        MlflowException: MLflow is out of reach.
    """
    found = _champion(client, study)
    return str(found.run_id) if found else None


def champion_version(client: mlflow.MlflowClient, study: str) -> str | None:
    """Finds the version that bears the alias `champion`; None if there is none.

    Raises:
        MlflowException: MLflow is out of reach.
    """
    found = _champion(client, study)
    return str(found.version) if found else None


def _champion(client: mlflow.MlflowClient, study: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(study, CHAMPION_ALIAS)
    except MlflowException as error:
        if error.error_code not in _NO_SUCH:
            raise
        return None


def load_model_bytes(project: Project, run: str) -> bytes:
    """Reads the `.keras` file of a trial that beat the incumbent.

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
    uri: str, study: str, run: str, best_epoch: int, task: Task, dialect: Dialect
) -> None:
    """Makes a trial's stored model an MLflow model with the alias `champion`.

    Imports Keras: meant for `Executor.call`.

    Args:
        uri: of MLflow's store.
        study: name of the study, and so of the registered model.
        run: where the trial's model is stored.
        best_epoch: of the trial; the model is logged as of that step.
        task: what the model has learned.
        dialect: how the file was written that it has learned from.
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
    about = f"Takes {given['metadata']['input']}"
    if len(about) > MOST_SAID:
        about = f"{about[:MOST_SAID]} ..."
    client.update_model_version(study, version, about)
    client.set_registered_model_alias(study, CHAMPION_ALIAS, version)


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
        "metadata": {"input": _takes(task)},
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


def _takes(task: Task) -> str:
    """Says what a model is given."""
    if task.features is None and task.input_dtype == "uint8":
        return f"{pixels.RANGE}. {pixels.CARE}"
    if task.features is None or not task.features.inputs:
        return "raw values"
    kinds = {"number": "number", "category": "text"}
    columns = ", ".join(
        f"{column.name} ({kinds.get(column.kind) or f'date, {column.date_format}'})"
        for column in task.features.inputs
    )
    return f"raw columns: {columns}"
