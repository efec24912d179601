"""What a study has found, told where MLflow's UI shows it."""

from collections.abc import Sequence
from pathlib import Path

from mlflow.exceptions import MlflowException

from pipeline.errors import PipelineError
from pipeline.escaping import for_tag
from pipeline.paths import Project
from pipeline.tracking import orphans, reader, view

FOLDER = "report"  # of the study's own run
NOTE = "mlflow.note.content"  # tag that the UI shows as a description, in Markdown


def tell(project: Project, study: str, text: str, shown: str, files: Sequence[Path]) -> None:
    """Describes experiment, study run and registered model, and keeps files in the study's run.

    Args:
        project: whose store is written.
        study: name of the study, and so of the experiment and of the registered model.
        text: in Markdown.
        shown: how the UI is to show the trials, by `view.state`.
        files: the report's; those of an earlier one are replaced.

    Raises:
        PipelineError: MLflow is out of reach, or has no run of the study.
    """
    note = for_tag(text)
    with reader.opened(project) as client:
        experiment = client.get_experiment_by_name(study)
        run = orphans.find_study_run(client, experiment.experiment_id) if experiment else None
        if run is None:
            raise PipelineError(f"MLflow has no run of study {study}")
        for key, value in {NOTE: note, view.TAG: shown}.items():
            client.set_experiment_tag(experiment.experiment_id, key, value)
        client.set_tag(run.info.run_id, NOTE, note)
        for file in files:
            client.log_artifact(run.info.run_id, str(file), FOLDER)
        try:
            client.update_registered_model(study, note)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
