"""Answers of networks to validation examples, kept as artifacts of their runs in MLflow."""

import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException

from pipeline import snapshot
from pipeline.paths import Project
from pipeline.tracking import relocation
from pipeline.tracking.delivery import OUT_OF_REACH, unusable

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANSWERS_ARTIFACT = "validation_answers.npz"


def keep_answers(project: Project, run: str, answers: "NDArray[Any]") -> None:
    """Keeps what the model of a run answers to the validation set, (n, outputs), as float32.

    Raises:
        PipelineError: MLflow is out of reach.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ANSWERS_ARTIFACT
        np.savez_compressed(path, answers=answers.astype(np.float32))
        try:
            mlflow.MlflowClient(project.mlflow_uri).log_artifact(run, str(path))
        except OUT_OF_REACH as error:
            raise unusable(project.mlflow_uri, error) from None


def load_answers(project: Project, run: str) -> "NDArray[Any] | None":
    """Loads what `keep_answers` has kept of a run; None if there is nothing, or it is damaged."""
    client = mlflow.MlflowClient(snapshot.readable(project.mlflow_uri))
    try:
        artifacts = relocation.local_path(project, client.get_run(run).info.artifact_uri)
        if artifacts is not None:
            return _read(artifacts / ANSWERS_ARTIFACT)
        with tempfile.TemporaryDirectory() as folder:
            return _read(Path(client.download_artifacts(run, ANSWERS_ARTIFACT, folder)))
    except (MlflowException, OSError):
        return None


def _read(path: Path) -> "NDArray[Any] | None":
    try:
        with np.load(path, allow_pickle=False) as file:
            found: NDArray[Any] = file["answers"]
            return found
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
