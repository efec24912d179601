"""Runs that belong to nobody, as where MLflow has made two of one: they are set aside."""

import mlflow
from mlflow.entities import Run

_OF_STUDY = "tags.role = 'study'"  # filters the study's own run
ORPHAN = "orphan"  # tag of a run that belongs to no trial


def set_aside(client: mlflow.MlflowClient, run: str, status: str) -> None:
    """Tags a run as an orphan, ends and deletes it; MLflow keeps and can restore it."""
    client.set_tag(run, ORPHAN, "true")
    if status == "RUNNING":
        client.set_terminated(run, "KILLED")
    client.delete_run(run)


def find_study_run(client: mlflow.MlflowClient, experiment: str) -> Run | None:
    """Finds a study's own run; of several the one that is the parent of others.

    There are several where a server was asked twice to make one, for its first answer was lost, or
    where a supervisor that was suspended goes on though it has lost the study.

    Args:
        client: of the store.
        experiment: id of the study's.
    """
    found = client.search_runs([experiment], _OF_STUDY)
    parents = (run for run in found[1:] and found if _is_parent(client, run))
    return next(parents, found[0] if found else None)


def set_twins_aside(client: mlflow.MlflowClient, own: Run) -> None:
    """Sets a study's other runs of its own aside that are the parents of none.

    Args:
        client: of the store.
        own: the study's run.
    """
    for run in client.search_runs([own.info.experiment_id], _OF_STUDY):
        if run.info.run_id != own.info.run_id and not _is_parent(client, run):
            set_aside(client, run.info.run_id, run.info.status)


def _is_parent(client: mlflow.MlflowClient, run: Run) -> bool:
    children = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    return bool(client.search_runs([run.info.experiment_id], children, max_results=1))
