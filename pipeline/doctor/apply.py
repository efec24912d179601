"""Does what a plan says: writes Optuna, MLflow and the disk, one repair at a time."""

import contextlib

from pipeline.doctor import model_checks, store_checks
from pipeline.doctor.plan import Kind, Repair
from pipeline.doctor.subject import Subject
from pipeline.errors import PipelineError
from pipeline.files import remove_leftovers
from pipeline.storage import queue, study_store
from pipeline.study.assignment import Assignment
from pipeline.study.trial import Trial
from pipeline.tracking import reader, relocation
from pipeline.tracking.delivery import MODEL_ARTIFACT, WRITTEN_ANEW
from pipeline.tracking.reader import Run
from pipeline.tracking.record import RunRecord
from pipeline.wording import count_noun, inflect

_EPOCHS_AT_A_TIME = 100  # MLflow takes 1,000 values at a time, and an epoch has six


def apply(repair: Repair, subject: Subject) -> None:
    """Mends what a repair says.

    Args:
        repair: of any kind but ASK_USER.
        subject: the study that it was found in; this process holds its lock.

    Raises:
        PipelineError: it could not be mended, or not all of it.
        OSError: the disk refuses.
    """
    disk = subject.project.outside.disk
    of_trials = dict(zip(repair.trials, repair.runs, strict=False))
    match repair.kind:
        case Kind.TAKE_OVER_LEASE:
            pass  # done when the lease that took its place is given back
        case Kind.RELOCATE:
            relocation.relocate(subject.project, lambda _: None)
        case Kind.REMOVE_SCRATCH:
            disk.remove_tree(subject.scratch)
        case Kind.REMOVE_LEFTOVERS:
            for folder in subject.folders:
                remove_leftovers(folder, disk)
        case Kind.REMOVE_STATES:
            subject.states.remove_others(subject.paused_epochs)
        case Kind.SEND_KEPT:
            _send_kept(subject)
        case Kind.REQUEUE:
            queue.requeue_left(subject.study, subject.spec, subject.paused)
        case Kind.WRITE_STUDY_RUN:
            subject.writer  # noqa: B018, writes it when it is opened
        case Kind.END_STUDY_RUN:
            subject.writer.close_study(subject.status)
        case Kind.SET_PARENT:
            parent = next(run for run in subject.match.of_study if not run.is_deleted)
            reader.set_parent(subject.project, repair.runs, parent)
        case Kind.RESTORE_STUDY_RUN | Kind.RESTORE_RUNS:
            reader.restore(subject.project, repair.runs)
        case Kind.NOTE_RUNS:
            for number, run in of_trials.items():
                study_store.note_run(subject.study, number, run.id)
        case Kind.WRITE_RUNS:
            for number in repair.trials:
                _write_anew(subject, subject.ended[number])
        case Kind.SET_ASIDE:
            reader.set_aside(subject.project, repair.runs)
        case Kind.END_RUNS | Kind.SEND_AGAIN:
            for number, run in of_trials.items():
                _catch_up(subject, subject.ended[number], run)
        case Kind.WRITE_FILES:
            for number, run in of_trials.items():
                values = store_checks.hyperparameters_of(subject.ended[number])
                reader.write_hyperparameters(subject.project, run, values)
        case Kind.TRAIN_AGAIN:
            with contextlib.closing(model_checks.train_again(subject, repair.trials)) as trained:
                for number, model in trained:
                    with subject.writer.resume_trial(number, of_trials[number].id):
                        subject.writer.store_model(number, model)
                    _send_kept(subject)
        case Kind.RESTORE_VERSIONS:
            model_checks.restore_versions(subject, repair.runs)
        case Kind.REGISTER:
            for number, run in of_trials.items():
                model_checks.register(subject, subject.ended[number], run)
        case Kind.ASK_USER:
            raise AssertionError(repair)


def _send_kept(subject: Subject) -> None:
    """Sends all that is kept on disk.

    Raises:
        PipelineError: MLflow does not take all of it.
    """
    if n_kept := subject.writer.settle():
        kept = f"{count_noun(n_kept, 'write')} {inflect('waits', n_kept, 'wait')} for it on disk"
        raise PipelineError(f"{subject.writer.trouble}, and {kept}")


def _write_anew(subject: Subject, trial: Trial) -> None:
    """Writes the run of a trial that ended, and notes it; its times are those of today."""
    folder = subject.project.artifacts_dir / subject.spec.name
    model = folder / trial.run_id / "artifacts" / MODEL_ARTIFACT
    disk = subject.project.outside.disk
    content = disk.read(model) if trial.run_id and disk.is_file(model) else None
    record, writer = RunRecord.of(trial, subject.spec), subject.writer
    run = _start(subject, trial, record)
    _log_from(subject, trial, 0)
    if content:
        writer.store_model(trial.number, content)
    writer.finish_trial(trial.number, *record.end)
    _send_kept(subject)
    if run:  # else it was noted when it was created
        study_store.note_run(subject.study, trial.number, run)


def _catch_up(subject: Subject, trial: Trial, run: Run) -> None:
    """Sends the epochs that a trial's run has not got, and how the trial ended."""
    record = RunRecord.of(trial, subject.spec)
    state, metrics, tags = record.end
    with subject.writer.resume_trial(trial.number, run.id):
        if record.params and not run.seed:
            _start(subject, trial, record)
        _log_from(subject, trial, run.n_epochs)
        # those that it has would be there twice
        subject.writer.finish_trial(trial.number, state, {} if run.has_best else metrics, tags)
    _send_kept(subject)


def _start(subject: Subject, trial: Trial, record: RunRecord) -> str:
    """Writes what a run begins with; returns the id of the run, which is made if need be."""
    assignment = Assignment.read(subject.frozen[trial.number].user_attrs)
    tags = {**(assignment.tags if assignment else {}), WRITTEN_ANEW: "true"}
    return subject.writer.start_trial(trial.number, trial.hyperparameters, record.params, tags)


def _log_from(subject: Subject, trial: Trial, n_known: int) -> None:
    n_epochs = max((len(values) for values in trial.history.values()), default=0)
    for epoch in range(n_known + 1, n_epochs + 1):
        metrics = {
            name: values[epoch - 1]
            for name, values in trial.history.items()
            if epoch <= len(values)
        }
        subject.writer.log_epoch(trial.number, epoch, metrics)
        if epoch % _EPOCHS_AT_A_TIME == 0:
            subject.writer.flush()
    subject.writer.flush()
