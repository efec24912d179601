"""A study's own run, below which those of its trials lie: made, or taken up again."""

from collections.abc import Sequence

import mlflow
from mlflow.entities import DatasetInput, RunTag

from pipeline.tracking import orphans


def open_run(
    client: mlflow.MlflowClient,
    experiment: str,
    name: str,
    tags: Sequence[RunTag],
    inputs: Sequence[DatasetInput],
) -> str:
    """Sees to it that a study has one run of its own, which is RUNNING; returns the run's id.

    Args:
        client: of the store.
        experiment: id of the study's.
        name: of a new run.
        tags: that it gets, also if it was there before.
        inputs: the data, unless it has them.

    Raises:
        MlflowException, OSError: MLflow is out of reach.
    """
    if found := orphans.find_study_run(client, experiment):
        client.update_run(found.info.run_id, "RUNNING")
    else:
        made = client.create_run(
            experiment, run_name=name, tags={each.key: each.value for each in tags}
        )
        found = orphans.find_study_run(client, experiment) or made  # perhaps another's meanwhile
    run = str(found.info.run_id)
    if not found.inputs.dataset_inputs:
        client.log_inputs(run, inputs)
    orphans.set_twins_aside(client, found)
    client.log_batch(run, tags=tags)
    return run
