"""What MLflow holds of a study's trials, read whole: a few questions, however many runs.

And what the doctor does with whole runs: it takes back a deletion, or sets a run aside.
"""

import contextlib
import json
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipeline import snapshot
from pipeline.paths import Project, display_path
from pipeline.tracking import aliases, mlflow_internals, orphans, relocation
from pipeline.tracking.delivery import MODEL_ARTIFACT, OUT_OF_REACH, client_of, unusable
from pipeline.tracking.writes import HYPERPARAMETERS_ARTIFACT

PAGE = 1_000  # runs that are read at a time


@dataclass(frozen=True)
class Run:
    """A run of a study's experiment.

    Attributes:
        id: MLflow's.
        trial: number of its trial; None if it is no trial's.
        is_of_study: whether it is the study's own.
        status: RUNNING, FINISHED, FAILED or KILLED.
        state: of its trial, as its tag has it.
        seed: of its trial, as it was logged; "" if it was not.
        n_epochs: the last epoch that it has the study's metric of; 0 without any.
        has_best: whether the metric's best value was logged, as is done at a trial's end.
        started: milliseconds since 1970.
        artifacts: URI of their folder.
        is_deleted: whether somebody has deleted it; MLflow keeps it until `mlflow gc`.
        is_orphan: whether it has been found to belong to no trial before.
        parent: id of the run that it lies below; "" if it lies below none.
        sizes: bytes of its artifacts, by path, once somebody has asked a server for them.
    """

    id: str
    trial: int | None
    is_of_study: bool
    status: str
    state: str
    seed: str
    n_epochs: int
    has_best: bool
    started: int
    artifacts: str
    is_deleted: bool
    is_orphan: bool
    parent: str
    sizes: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_apart(self) -> bool:
        """Whether it holds a model that was made of trials: trained again, or an ensemble."""
        return self.trial is None and not self.is_of_study and not self.is_orphan


def runs_of(project: Project, study: str, metric: str) -> list[Run]:
    """Reads all runs of a study's experiment, deleted ones too, the latest first.

    Args:
        project: whose store is read.
        study: name of the study, and so of the experiment.
        metric: the study's, by which epochs are counted.

    Raises:
        PipelineError: the store cannot be used.
    """
    if project.mlflow_uri.missing_file:
        return []
    with opened(project) as client:
        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            return []
        found: list[Run] = []
        token: str | None = None
        while True:
            page = client.search_runs(
                [experiment.experiment_id],
                run_view_type=ViewType.ALL,
                max_results=PAGE,
                page_token=token,
            )
            found += [_run(client, each, metric) for each in page]
            token = page.token
            if not token:
                return found


def champion_run(project: Project, study: str) -> str | None:
    """Finds the run whose model bears the alias `champion`; None if there is none."""
    with opened(project) as client:
        return aliases.champion_run(client, study)


def rollback_of(project: Project, study: str, run: str) -> str:
    """Says that the model of a trial's run was rolled back from; "" if it was not."""
    with opened(project) as client:
        return aliases.rollback_of(client, study, run, {})


def tags_of(project: Project, run: str) -> dict[str, str]:
    """Reads all tags of a run.

    Raises:
        PipelineError: the store cannot be used, or has no such run.
    """
    with opened(project) as client:
        return dict(client.get_run(run).data.tags)


def unknown_studies(project: Project, known: Collection[str]) -> dict[str, int]:
    """Counts the runs of trials of each study that only MLflow knows.

    Args:
        project: whose store is read.
        known: names of the studies that Optuna has.

    Raises:
        PipelineError: the store cannot be used.
    """
    with opened(project) as client:
        names = {
            each.experiment_id: each.name
            for each in client.search_experiments()
            if each.name not in known
        }
        if not names:
            return {}
        found: dict[str, int] = {}
        for run in client.search_runs([*names], "tags.role = 'study'", max_results=PAGE):
            of_trials = client.search_runs([run.info.experiment_id], "tags.trial != ''")
            found[names[run.info.experiment_id]] = len(of_trials)
        return found


def has_finished_runs(project: Project, study: str) -> bool:
    """Tells whether MLflow has runs of trials of a study that came to an end, and not deleted.

    Raises:
        PipelineError: the store cannot be used.
    """
    if project.mlflow_uri.missing_file:
        return False
    with opened(project) as client:
        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            return False
        finished = "attributes.status = 'FINISHED' and tags.trial != ''"
        return bool(client.search_runs([experiment.experiment_id], finished, max_results=1))


def model_trouble(project: Project, run: Run) -> str:
    """Says what is wrong with the model of a run that ought to have one; "" if nothing is."""
    if artifacts := relocation.local_path(project, run.artifacts):
        return keras_file_trouble(artifacts / MODEL_ARTIFACT)
    sizes = _sizes(project, run)
    where = f"{MODEL_ARTIFACT} of run {run.id}"
    if MODEL_ARTIFACT not in sizes:
        return f"{where} is missing"
    return "" if sizes[MODEL_ARTIFACT] else f"{where} is empty"


def _sizes(project: Project, run: Run) -> dict[str, int]:
    """Asks MLflow once for the bytes of each of a run's artifacts, by its path."""
    if not run.sizes:
        with opened(project) as client:
            listed = client.list_artifacts(run.id)
        run.sizes.update({each.path: each.file_size for each in listed})
    return run.sizes


def has_hyperparameters(project: Project, run: Run, expected: Mapping[str, Any]) -> bool:
    """Tells whether a run's `hyperparameters.json` is right; elsewhere, whether there is one."""
    folder = relocation.local_path(project, run.artifacts)
    if folder is None:
        return bool(_sizes(project, run).get(HYPERPARAMETERS_ARTIFACT))
    try:
        return bool(json.loads((folder / HYPERPARAMETERS_ARTIFACT).read_bytes()) == expected)
    except (OSError, ValueError):
        return False


def write_hyperparameters(project: Project, run: Run, values: Mapping[str, Any]) -> None:
    """Writes a run's `hyperparameters.json`."""
    with opened(project) as client:
        client.log_dict(run.id, dict(values), HYPERPARAMETERS_ARTIFACT)


def restore(project: Project, found: Sequence[Run]) -> None:
    """Restores deleted runs."""
    with opened(project) as client:
        for run in found:
            client.restore_run(run.id)


def set_parent(project: Project, found: Sequence[Run], parent: Run) -> None:
    """Puts runs below another."""
    with opened(project) as client:
        for run in found:
            client.set_tag(run.id, MLFLOW_PARENT_RUN_ID, parent.id)


def set_aside(project: Project, found: Sequence[Run]) -> None:
    """Tags runs as orphans, ends and deletes them; MLflow keeps and can restore them."""
    with opened(project) as client:
        for run in found:
            orphans.set_aside(client, run.id, run.status)


def _run(client: Any, found: Any, metric: str) -> Run:
    tags, data, info = found.data.tags, found.data, found.info
    trial = tags.get("trial", "")
    return Run(
        id=str(info.run_id),
        trial=int(trial) if trial.isdecimal() else None,
        is_of_study=tags.get("role") == "study",
        status=str(info.status),
        state=tags.get("state", ""),
        seed=data.params.get("seed", ""),
        n_epochs=mlflow_internals.last_step(client, found, metric),
        has_best=f"best_{metric}" in data.metrics,
        started=int(info.start_time or 0),
        artifacts=str(info.artifact_uri),
        is_deleted=info.lifecycle_stage == "deleted",
        is_orphan=orphans.ORPHAN in tags,
        parent=tags.get(MLFLOW_PARENT_RUN_ID, ""),
    )


def keras_file_trouble(path: Path) -> str:
    """Says why a `.keras` file cannot be loaded; "" if it can."""
    if not path.is_file():
        return f"{display_path(path)} is missing"
    return "" if is_whole(path) else f"{display_path(path)} is damaged"


def is_whole(path: Path) -> bool:
    """Tells whether a `.keras` file, which is a zip file, can be read to its end."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError):
        return False


@contextlib.contextmanager
def opened(project: Project) -> Iterator[Any]:
    """Opens a client of MLflow's store, and says in a sentence if the store cannot be used.

    A store that this user cannot write is read all the same.

    Raises:
        PipelineError: the store cannot be used.
    """
    try:
        client = client_of(project, snapshot.readable(project.mlflow_uri))
    except Exception as error:  # SQLAlchemy's, HTTP's and MLflow's own
        raise unusable(project.mlflow_uri, error) from None
    try:
        yield client
    except OUT_OF_REACH as error:
        raise unusable(project.mlflow_uri, error) from None
