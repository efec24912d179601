"""Looks at the test set in MLflow: what Optuna has recorded of them, and their details as files.

Optuna's record is made first and is the truth. All of it is written here at each look, so that one
that MLflow has missed gets there with the next export.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from pipeline.errors import PipelineError
from pipeline.paths import Project
from pipeline.store_url import StoreUrl
from pipeline.tracking import reader, relocation, writes

TAG = "test_looks"  # number of looks: at the models of a run's trial, or for the whole study
LIST_ARTIFACT = "test_looks.json"  # of the study's run: all of them, as Optuna has them
FOLDER = "test_looks"  # of a trial's run: with a folder of files for each model that was scored
_NO_SCORES = ("trial", "refit", "n_examples", "n_groups")  # numbers in a look, besides its scores
_GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")


def note_looks(
    project: Project, study: str, looks: Sequence[Mapping[str, Any]], runs: Mapping[int, str]
) -> None:
    """Writes all looks to the study's run, and their scores to the runs of the trials.

    Writing them twice does no more than once. A run that was deleted is passed over.

    Args:
        project: whose store is written.
        study: name of the study.
        looks: by `study_store.test_looks`.
        runs: ids of the runs of the trials that were looked at, by number; "" if there is none.

    Raises:
        PipelineError: MLflow is out of reach.
    """
    with _opened(project) as client:
        if (experiment := client.get_experiment_by_name(study)) is None:
            return
        ids, of_study = [experiment.experiment_id], "tags.role = 'study'"
        for run in client.search_runs(ids, of_study, max_results=1):
            client.set_tag(run.info.run_id, TAG, str(len(looks)))
            client.log_dict(run.info.run_id, [dict(look) for look in looks], LIST_ARTIFACT)
        for trial, run_id in runs.items():
            own = [(i, look) for i, look in enumerate(looks) if look["trial"] == trial]
            metrics = [each for i, look in own for each in _metrics(i, look)]
            try:
                if run_id and own:
                    tags = writes.as_tags({TAG: len(own)})
                    client.log_batch(run_id, metrics=metrics, tags=tags)
            except MlflowException as error:
                if error.error_code not in _GONE:
                    raise


def keep_details(project: Project, run: str, key: str, folder: Path) -> None:
    """Keeps files that tell of a look as artifacts of a run.

    Args:
        project: whose store is written.
        run: id of the run.
        key: of the model that was scored.
        folder: with the files.

    Raises:
        PipelineError: MLflow is out of reach.
    """
    with _opened(project) as client:
        client.log_artifacts(run, str(folder), f"{FOLDER}/{key}")


def fetch_details(project: Project, run: str, key: str, folder: Path) -> bool:
    """Copies what `keep_details` has kept into a new folder; returns whether there was anything.

    Raises:
        PipelineError: MLflow is out of reach.
    """
    path = f"{FOLDER}/{key}"
    if not run or project.mlflow_uri.missing_file:
        return False
    with reader.opened(project) as client, tempfile.TemporaryDirectory() as scratch:
        try:
            artifacts = relocation.local_path(project, client.get_run(run).info.artifact_uri)
            if artifacts is None and not client.list_artifacts(run, path):
                return False
        except MlflowException as error:
            if error.error_code not in _GONE:
                raise
            return False
        found = artifacts / path if artifacts else Path(scratch) / path
        if artifacts is None:
            client.download_artifacts(run, path, scratch)
        if not found.is_dir():
            return False
        shutil.copytree(found, folder)
        return True


def _metrics(step: int, look: Mapping[str, Any]) -> Iterator[Metric]:
    """Names what a look found: `test_accuracy`; another model of the trial has a prefix."""
    kind = "ensemble_" * bool(look.get("ensemble")) + "refit_" * bool(look.get("refit"))
    when = int(datetime.fromisoformat(look["when"]).timestamp() * 1000)
    for name, value in look.items():
        if name not in _NO_SCORES and isinstance(value, int | float):
            yield Metric(f"{kind}test_{name}", value, when, step)


@contextlib.contextmanager
def _opened(project: Project) -> Iterator[Any]:
    """Opens a store that is there; makes none."""
    if project.mlflow_uri.missing_file:
        where = StoreUrl(project.mlflow_uri).display
        raise PipelineError(f"MLflow's store {where} is not there")
    with reader.opened(project) as client:
        yield client
