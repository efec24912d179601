"""What MLflow gets to see. The only module that imports mlflow.

One experiment for a study, one parent run for the study itself, one child run for each trial, one
registered model whose alias `champion` is the best so far. Runs are addressed by id throughout:
MLflow's notion of an active run is a thread's own and would outlive nothing.
"""

import contextlib
import functools
import getpass
import importlib.metadata
import json
import logging
import platform
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from pipeline.errors import PipelineError
from pipeline.hyperparameters import Hyperparameters
from pipeline.paths import Project

for _name in ("alembic", "mlflow"):  # they tell of every table that they create
    logging.getLogger(_name).setLevel(logging.WARNING)

CHAMPION = "champion"
MODEL_ARTIFACT = "model.keras"
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}
FLUSH_SECONDS = 15.0  # how old a curve in the UI may be while its trial is running
_PACKAGES = ("tensorflow", "keras", "optuna", "mlflow", "numpy")


class Tracker:
    """Writes one study to MLflow.

    Args:
        project: whose store it is.
        study: name of the study, and so of the experiment and of the registered model.

    Raises:
        PipelineError: the store cannot be opened; the text says which and why.
    """

    def __init__(self, project: Project, study: str) -> None:
        self._uri, self._study = project.mlflow_uri, study
        self._buffer: dict[str, list[Metric]] = defaultdict(list)
        self._flushed = time.monotonic()
        project.runs_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._client = mlflow.MlflowClient(self._uri)
            self._experiment = self._experiment_id(project)
        except Exception as error:  # SQLAlchemy's, HTTP's and MLflow's own
            reason = str(error).strip().splitlines()[0]
            raise PipelineError(f"MLflow's store {self._uri} cannot be used: {reason}") from None
        self._parent = ""
        self._about: dict[str, str] = {}
        self._inputs: list[DatasetInput] = []

    def open_study(self, goal: str, tags: Mapping[str, str], data_fingerprint: str) -> None:
        """Starts the study's own run, or takes it up again.

        Args:
            goal: shown as the description of experiment and run.
            tags: of the study's run; `dataset` is one of them.
            data_fingerprint: SHA-256 of the data; noted in every run.
        """
        self._about = {"study": self._study, "data_fingerprint": data_fingerprint, **facts()}
        dataset = Dataset(
            name=tags["dataset"],
            digest=data_fingerprint[:8],
            source_type="local",
            source=json.dumps({"uri": tags["dataset"]}),
        )
        self._inputs = [DatasetInput(dataset, [])]
        self._client.set_experiment_tag(self._experiment, "mlflow.note.content", goal)
        found = self._client.search_runs([self._experiment], "tags.role = 'study'", max_results=1)
        if found:
            self._parent = found[0].info.run_id
            self._client.update_run(self._parent, status="RUNNING")
        else:
            self._parent = self._client.create_run(
                self._experiment, run_name=self._study
            ).info.run_id
            self._client.log_inputs(self._parent, self._inputs)
        about = {"role": "study", "mlflow.note.content": goal, **self._about, **tags}
        self._client.log_batch(self._parent, tags=_tags(about))

    def close_study(self, status: str) -> None:
        """Ends the study's own run as FINISHED, FAILED or KILLED."""
        self.flush()
        self._client.set_terminated(self._parent, status)

    def start_trial(
        self,
        trial: int,
        hyperparameters: Hyperparameters | None,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> str:
        """Creates the run of a trial and returns its id.

        Args:
            trial: its number.
            hyperparameters: logged by `flat` names, and whole as `hyperparameters.json`; if any.
            params: what else is fixed for the trial, such as the seed.
            tags: what else to search runs by.
        """
        about = {
            "mlflow.parentRunId": self._parent,
            "trial": str(trial),
            "state": "RUNNING",
            **self._about,
            **tags,
        }
        created = self._client.create_run(
            self._experiment, tags=about, run_name=f"trial {trial:04d}"
        )
        run = str(created.info.run_id)
        values = {**(hyperparameters.flat() if hyperparameters else {}), **params}
        self._client.log_batch(run, params=[Param(k, str(v)) for k, v in values.items()])
        self._client.log_inputs(run, self._inputs)
        if hyperparameters:
            self._client.log_dict(run, hyperparameters.as_dict(), "hyperparameters.json")
        return run

    def log_epoch(self, run: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Notes the metrics of an epoch; they are sent in batches."""
        self._log(run, metrics, step=epoch)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Sends what was noted."""
        for run in list(self._buffer):
            self._client.log_batch(run, metrics=self._buffer.pop(run))
        self._flushed = time.monotonic()

    def store_model(self, run: str, model: bytes) -> None:
        """Keeps the model of a trial that set a record, as an artifact of its run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / MODEL_ARTIFACT
            path.write_bytes(model)
            self._client.log_artifact(run, str(path))

    def finish_trial(
        self, run: str, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Ends a trial's run: COMPLETE, PRUNED, FAIL, or KILLED if it was interrupted."""
        self._buffer.pop(run, None)  # flushed before Optuna was told, unless interrupted
        now = int(time.time() * 1000)
        self._client.log_batch(
            run,
            metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
            tags=_tags({"state": "FAIL" if state == "KILLED" else state, **tags}),
        )
        self._client.set_terminated(run, STATUS.get(state, "KILLED"))

    def note_record(self, trial: int, metric: str, value: float) -> None:
        """Draws the best value so far over the trials, as a curve of the study's run."""
        self._log(self._parent, {f"best_{metric}": value}, step=trial)

    def mend(self, states: Mapping[int, str]) -> int:
        """Ends child runs that a killed supervisor left RUNNING; returns how many.

        Args:
            states: COMPLETE, PRUNED or FAIL by number of the trial; others were interrupted.
        """
        n_mended = 0
        running = "attributes.status = 'RUNNING' and tags.trial != ''"
        # page by page: those of the page before are not among them any more
        while left := self._client.search_runs([self._experiment], running):
            for run in left:
                state = states.get(int(run.data.tags["trial"]), "KILLED")
                self.finish_trial(run.info.run_id, state, {}, {})
            n_mended += len(left)
        return n_mended

    def champion_run(self) -> str | None:
        """The run whose model bears the alias `champion`, if there is one."""
        try:
            version = self._client.get_model_version_by_alias(self._study, CHAMPION)
        except MlflowException:
            return None
        return str(version.run_id)

    def _log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._buffer[run] += [Metric(key, value, now, step) for key, value in metrics.items()]

    def _experiment_id(self, project: Project) -> str:
        known = self._client.get_experiment_by_name(self._study)
        if known is not None:
            if known.lifecycle_stage == "deleted":
                self._client.restore_experiment(known.experiment_id)
            return str(known.experiment_id)
        is_local = self._uri.startswith("sqlite")
        location = (project.artifacts_dir / self._study).as_uri() if is_local else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # which pages the UI shows
        return str(self._client.create_experiment(self._study, location, tags=kind))


def load_model_bytes(project: Project, run: str) -> bytes:
    """The `.keras` file of a trial that set a record.

    Raises:
        PipelineError: it is not there.
    """
    client = mlflow.MlflowClient(project.mlflow_uri)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = client.download_artifacts(run, MODEL_ARTIFACT, folder)
            return Path(path).read_bytes()
        except (MlflowException, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise PipelineError(f"the model of run {run} is not to be had: {reason}") from None


def publish_champion(uri: str, study: str, run: str, best_epoch: int) -> None:
    """Makes a trial's stored model an MLflow model with the alias `champion`.

    Imports Keras: meant for `Executor.call`.
    """
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
    client.set_registered_model_alias(study, CHAMPION, str(info.registered_model_version))


@functools.cache
def facts() -> dict[str, str]:
    """Where and with what this runs: machine, versions, git commit."""
    known = {f"version.{name}": importlib.metadata.version(name) for name in _PACKAGES}
    known |= {"version.python": platform.python_version(), "machine": machine()}
    with contextlib.suppress(OSError, KeyError):
        known["mlflow.user"] = getpass.getuser()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        known["git_commit"] = described  # ends in -dirty if there were changes
        known["mlflow.source.git.commit"] = described.removesuffix("-dirty")
    known |= {"mlflow.source.name": "pipeline.search", "mlflow.source.type": "LOCAL"}
    return known


@functools.cache
def machine() -> str:
    """Processor, cores and memory, in a line."""
    import psutil

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{name}, {psutil.cpu_count()} cores, {memory} GiB, {platform.system()}"


def _tags(values: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(key, value) for key, value in values.items()]
