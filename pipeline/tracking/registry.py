"""MLflow's model registry: the champion's model, stored, registered and read."""

import importlib.metadata
import tempfile
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from pipeline.environment import import_keras
from pipeline.errors import PipelineError, first_line
from pipeline.paths import Project
from pipeline.tracking.delivery import MODEL_ARTIFACT

CHAMPION_ALIAS = "champion"


def champion_run(client: mlflow.MlflowClient, study: str) -> str | None:
    """Finds the run whose model bears the alias `champion`; None if there is none."""
    try:
        return str(client.get_model_version_by_alias(study, CHAMPION_ALIAS).run_id)
    except MlflowException:  # there is no such model, version or alias
        return None


def load_model_bytes(project: Project, run: str) -> bytes:
    """Reads the `.keras` file of a trial that beat the incumbent.

    Raises:
        PipelineError: it is not there.
    """
    if not run:
        raise PipelineError(
            "MLflow has not got the run and its model yet: when it answers, the study's search "
            "sends them (make search)"
        )
    client = mlflow.MlflowClient(project.mlflow_uri)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = client.download_artifacts(run, MODEL_ARTIFACT, folder)
            return Path(path).read_bytes()
        except (MlflowException, OSError) as error:
            reason = first_line(error)
            raise PipelineError(f"the model of run {run} is not to be had: {reason}") from None


def publish_champion(uri: str, study: str, run: str, best_epoch: int) -> None:
    """Makes a trial's stored model an MLflow model with the alias `champion`.

    Imports Keras: meant for `Executor.call`.

    Args:
        uri: of MLflow's store.
        study: name of the study, and so of the registered model.
        run: where the trial's model is stored.
        best_epoch: of the trial; the model is logged as of that step.
    """
    import_keras()
    import keras
    import mlflow.keras
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run, MODEL_ARTIFACT, folder)
        model = keras.saving.load_model(path)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *model.input_shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *model.output_shape[1:]))]),
    )
    mlflow.set_experiment(experiment_id=client.get_run(run).info.experiment_id)
    info = Model.log(
        artifact_path=None,
        name="model",
        flavor=mlflow.keras,
        run_id=run,
        step=best_epoch,
        registered_model_name=study,
        model=model,
        signature=signature,
        pip_requirements=[
            f"{name}=={importlib.metadata.version(name)}"
            for name in ("mlflow", "keras", "tensorflow", "numpy")
        ],
    )
    client.set_registered_model_alias(study, CHAMPION_ALIAS, str(info.registered_model_version))
