"""Runs that belong to nobody, as where MLflow has made two of one: they are set aside."""

import mlflow

OF_STUDY = "tags.role = 'study'"  # filters the study's own run
ORPHAN = "orphan"  # tag of a run that belongs to no trial


def set_aside(client: mlflow.MlflowClient, run: str, status: str) -> None:
    """Tags a run as an orphan, ends and deletes it; MLflow keeps and can restore it."""
    client.set_tag(run, ORPHAN, "true")
    if status == "RUNNING":
        client.set_terminated(run, "KILLED")
    client.delete_run(run)


def set_twins_aside(client: mlflow.MlflowClient, experiment: str, own: str) -> None:
    """Sets a study's other runs of its own aside that are the parents of none.

    A server may be asked twice to make one run, and make two, where its first answer was lost.

    Args:
        client: of the store.
        experiment: id of the study's.
        own: id of the study's run.
    """
    for run in client.search_runs([experiment], OF_STUDY):
        of_it = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
        if run.info.run_id != own and not client.search_runs([experiment], of_it, max_results=1):
            set_aside(client, run.info.run_id, run.info.status)
