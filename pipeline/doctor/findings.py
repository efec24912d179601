"""What does not match between Optuna, MLflow and the disk, and how it is mended.

Optuna is the truth: MLflow is made to say what Optuna says, never the other way. Nothing searches
the study meanwhile: `doctor`, who asks, holds its lock.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.doctor.subject import (
    N_NAMED,
    Finding,
    Subject,
    count,
    join_names,
    name_trials,
    plural,
)
from pipeline.errors import PipelineError
from pipeline.paths import Project, display_path

if TYPE_CHECKING:
    from pipeline.study.trial import Trial
    from pipeline.tracking.reader import Run


def damaged_stores(project: Project) -> Iterator[Finding]:
    """SQLite files that SQLite itself finds damaged.

    Raises:
        PipelineError: a file cannot be opened.
    """
    cures = {
        project.optuna_url: "put a copy of it in its place, or move it away and get what can be "
        "read with: sqlite3 DAMAGED .recover | sqlite3 mlruns/optuna.db",
        project.mlflow_uri: "move it away; then --fix writes all runs anew from what Optuna holds",
    }
    for url, cure in cures.items():
        file = url.file
        if not file or not file.is_file():
            continue
        try:
            with contextlib.closing(sqlite3.connect(file)) as database:
                said = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.OperationalError as error:  # locked, or not to be read
            raise PipelineError(f"{display_path(file)} cannot be examined: {error}") from None
        except sqlite3.DatabaseError as error:
            said = str(error)
        if said != "ok":
            yield Finding(f"{display_path(file)} is damaged: {' '.join(said.split())}", cure)


def on_disk(subject: Subject) -> Iterator[Finding]:
    """What a supervisor that was killed, or could not reach MLflow, has left in `mlruns/`."""
    from pipeline.tracking.outbox import Outbox

    name = subject.spec.name
    if subject.scratch.exists():
        yield Finding(
            f"{display_path(subject.scratch)} is left of a search that was killed",
            "removed",
            lambda: shutil.rmtree(subject.scratch),
        )
    folder = subject.project.outbox(name)
    if folder.exists():
        try:
            n_kept = len(Outbox(folder))
        except ValueError:
            yield Finding(
                f"{display_path(folder)} cannot be read, and MLflow waits for what is in it",
                "move the folder away; then --fix writes anew from Optuna what MLflow has not got",
            )
            return
        yield Finding(
            f"{display_path(folder)} keeps {count(n_kept, 'write')} that MLflow has not got yet; "
            "its runs are compared when it has",
            "sent",
            lambda: subject.mender.send_kept(),  # opened only then
        )


def left_running(subject: Subject) -> Iterator[Finding]:
    """Trials that Optuna calls RUNNING though nothing runs."""
    from optuna.trial import TrialState

    from pipeline.storage import queue

    left = [n for n, each in subject.frozen.items() if each.state == TrialState.RUNNING]
    if left:
        yield Finding(
            f"Optuna calls {name_trials('trial', left)} RUNNING, but nothing searches the study",
            "queued again with the same hyperparameters and seed, and told as FAIL",
            lambda: queue.requeue_left(subject.study, subject.spec),
        )


def runs_and_trials(subject: Subject) -> Iterator[Finding]:
    """Runs and trials that do not match."""
    if subject.is_behind:
        return
    yield from _of_study(subject)
    yield from _lost_runs(subject)
    yield from _strangers(subject)
    yield from _differing(subject)


def _of_study(subject: Subject) -> Iterator[Finding]:
    """The study's own run, the parent of all others."""
    from pipeline.tracking import reader

    of_study = subject.match.of_study
    if not of_study:
        if subject.ended:
            yield Finding(
                "MLflow has no run of the study itself",
                "written anew",
                lambda: subject.mender,  # does it when it is opened
            )
    elif all(run.is_deleted for run in of_study):
        yield Finding(
            f"the study's own run {of_study[0].id} is deleted in MLflow",
            "restored",
            lambda: reader.restore(subject.project, of_study[:1]),
        )
    elif next(run for run in of_study if not run.is_deleted).status == "RUNNING":
        yield Finding(
            "MLflow calls the study's own run RUNNING, but nothing searches the study",
            "ended as KILLED",
            lambda: subject.mender.close_study("KILLED"),
        )


def _lost_runs(subject: Subject) -> Iterator[Finding]:
    """Trials without a run: deleted, never noted, or gone for good."""
    from pipeline.tracking import reader

    match = subject.match
    deleted = [run for run in match.own.values() if run.is_deleted]
    if deleted:
        numbers = [number for number, run in match.own.items() if run.is_deleted]
        yield Finding(
            f"the {plural('run', numbers)} of {name_trials('trial', numbers)} "
            f"{'is' if len(numbers) == 1 else 'are'} deleted in MLflow",
            "restored, with all that belongs to it",
            lambda: reader.restore(subject.project, deleted),
        )
    if match.unnoted:
        yield Finding(
            f"Optuna does not know the run of {name_trials('trial', match.unnoted)} in MLflow",
            "found by its tags, and noted",
            lambda: _note(subject, {number: match.own[number].id for number in match.unnoted}),
        )
    if match.lost:
        yield Finding(
            f"{name_trials('trial', match.lost)} {'has' if len(match.lost) == 1 else 'have'} "
            "no run in MLflow",
            "written anew from what Optuna holds, with the model if it still lies on disk",
            lambda: _write_anew(subject, match.lost),
        )


def _note(subject: Subject, ids: Mapping[int, str]) -> None:
    from pipeline.storage import study_store

    for number, run in ids.items():
        study_store.note_run(subject.study, number, run)


def _write_anew(subject: Subject, numbers: Sequence[int]) -> None:
    from pipeline.tracking.delivery import MODEL_ARTIFACT

    folder = subject.project.artifacts_dir / subject.spec.name
    for number in numbers:
        trial = subject.ended[number]
        model = folder / trial.run_id / "artifacts" / MODEL_ARTIFACT
        content = model.read_bytes() if trial.run_id and model.is_file() else None
        subject.mender.write_anew(trial, subject.frozen[number].user_attrs, content)


def _strangers(subject: Subject) -> Iterator[Finding]:
    """Runs without a trial: of a study of that name that was deleted in Optuna, for instance."""
    from pipeline.tracking import reader

    strangers = subject.match.strangers
    if strangers:
        is_one = len(strangers) == 1
        ids = join_names([run.id for run in strangers])
        yield Finding(
            f"{'run' if is_one else 'runs'} {ids} in MLflow {'belongs' if is_one else 'belong'} "
            "to no trial in Optuna",
            "tagged as orphan and deleted; MLflow keeps what is deleted, and its UI restores it",
            lambda: reader.set_aside(subject.project, strangers),
        )


def _differing(subject: Subject) -> Iterator[Finding]:
    """Runs that do not say what Optuna holds of their trials."""
    match, ended = subject.match, subject.ended
    zombies = [n for n, run in match.own.items() if run.status == "RUNNING"]
    numbers = sorted([*zombies, *(run.trial or 0 for run in match.left_running)])
    if numbers:
        yield Finding(
            f"MLflow calls the {plural('run', numbers)} of {name_trials('trial', numbers)} "
            "RUNNING, but nothing searches the study",
            "ended as Optuna has it",
            lambda: _catch_up(subject, zombies),
        )
    differences = {
        n: said
        for n, run in match.own.items()
        if n not in zombies and (said := _difference(ended[n], run))
    }
    if differences:
        named = "; ".join(f"trial {n}: {differences[n]}" for n in list(differences)[:N_NAMED])
        n_more = len(differences) - N_NAMED
        more = f"; and {n_more} more" if n_more > 0 else ""
        yield Finding(
            f"MLflow does not say what Optuna holds: {named}{more}",
            "sent again",
            lambda: _catch_up(subject, list(differences)),
        )


def _difference(trial: "Trial", run: "Run") -> str:
    from pipeline.tracking.tracker import STATUS

    if run.state != trial.state:
        return f"state {run.state or 'unknown'}, not {trial.state}"
    # one that was interrupted was KILLED, one that is tried again has FAILED
    allowed = ("KILLED", "FAILED") if trial.interrupted else (STATUS[trial.state],)
    if run.status not in allowed:
        return f"status {run.status}, not {allowed[0]}"
    if trial.interrupted:  # Optuna holds no curves of it
        return ""
    n_epochs = len(trial.history.get("val_accuracy", ()))
    if run.n_epochs < n_epochs:
        return f"{run.n_epochs} of {count(n_epochs, 'epoch')}"
    if trial.best_epoch and trial.history and not run.has_best:
        return "without its best value"
    return ""


def _catch_up(subject: Subject, numbers: Sequence[int]) -> None:
    for number in numbers:
        subject.mender.catch_up(subject.ended[number], subject.match.own[number])
