"""Runs written after the event, from what Optuna holds of their trials."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.paths import Project
from pipeline.storage import study_store
from pipeline.study.assignment import Assignment
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial
from pipeline.tracking.reader import Run
from pipeline.tracking.run_writer import RunWriter
from pipeline.tracking.tracker import END_OF_INTERRUPTED

if TYPE_CHECKING:
    import optuna

_EPOCHS_AT_A_TIME = 100  # MLflow takes 1,000 values at a time, and an epoch has six


class Mender:
    """Writes what MLflow misses of a study that nobody searches.

    Args:
        project: whose stores they are.
        study: the stored study.
        spec: its study file.
        say: told what MLflow refuses.

    Raises:
        PipelineError: the store cannot be used.
    """

    def __init__(
        self,
        project: Project,
        study: "optuna.Study",
        spec: StudySpec,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._study, self._spec = study, spec
        self._writer = RunWriter.open(
            project, spec.name, say, functools.partial(study_store.note_run, study)
        )
        data = study.user_attrs.get(study_store.DATA_FINGERPRINT, "")
        versions = study.user_attrs.get(study_store.VERSIONS, {})
        if not self._writer.join_study(data, versions):  # as a search would
            about = {"dataset": spec.dataset, "metric": spec.metric}
            self._writer.open_study(spec.goal, {**about, "fingerprint": spec.fingerprint}, data)
            self._writer.close_study("KILLED")
            self._writer.join_study(data, versions)

    def close_study(self) -> None:
        """Ends the study's own run, which a killed supervisor left RUNNING."""
        self._writer.close_study("KILLED")

    def send_kept(self) -> None:
        """Sends all that is kept on disk.

        Raises:
            PipelineError: MLflow does not take all of it.
        """
        if n_kept := self._writer.settle():
            raise PipelineError(f"MLflow does not answer, and {n_kept} writes wait for it on disk")

    def write_anew(self, trial: Trial, attributes: Mapping[str, Any], model: bytes | None) -> None:
        """Writes the run of a trial that ended, and notes it; its times are those of today.

        Args:
            trial: what Optuna holds of it.
            attributes: the trial's user attributes.
            model: a `.keras` file to keep with it.
        """
        assignment = Assignment.read(attributes)
        tags = assignment.tags if assignment else {}
        run = self._writer.start_trial(
            trial.number,
            trial.hyperparameters,
            {"seed": trial.seed, "dataset": self._spec.dataset},
            {**tags, "written_anew": "true"},
        )
        self._log_from(trial, 0)
        if model:
            self._writer.store_model(trial.number, model)
        self._finish(trial, has_best=False)
        self.send_kept()
        study_store.note_run(self._study, trial.number, run)

    def catch_up(self, trial: Trial, run: Run) -> None:
        """Sends the epochs that a trial's run has not got, and how the trial ended."""
        with self._writer.resume_trial(trial.number, run.id):
            self._log_from(trial, run.n_epochs)
            self._finish(trial, run.has_best)
        self.send_kept()

    def add_model(self, trial: int, run: str, model: bytes) -> None:
        """Stores the model of a trial whose run has ended."""
        with self._writer.resume_trial(trial, run):
            self._writer.store_model(trial, model)
        self.send_kept()

    def _log_from(self, trial: Trial, n_known: int) -> None:
        n_epochs = max((len(values) for values in trial.history.values()), default=0)
        for epoch in range(n_known + 1, n_epochs + 1):
            metrics = {
                name: values[epoch - 1]
                for name, values in trial.history.items()
                if epoch <= len(values)
            }
            self._writer.log_epoch(trial.number, epoch, metrics)
            if epoch % _EPOCHS_AT_A_TIME == 0:
                self._writer.flush()
        self._writer.flush()

    def _finish(self, trial: Trial, has_best: bool) -> None:
        state, metrics, tags = (
            END_OF_INTERRUPTED if trial.interrupted else trial.end(self._spec.metric)
        )
        # those that it has would be there twice
        self._writer.finish_trial(trial.number, state, {} if has_best else metrics, tags)
