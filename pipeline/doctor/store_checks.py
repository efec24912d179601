"""Stores that are damaged, and what a supervisor that is no more has left beside them."""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from pipeline.doctor.plan import Kind, Repair
from pipeline.doctor.wording import name_trials
from pipeline.errors import PipelineError
from pipeline.files import leftovers
from pipeline.paths import Project, display_path
from pipeline.snapshot import readable
from pipeline.study.trial import Trial
from pipeline.tracking import relocation
from pipeline.tracking.outbox import Outbox
from pipeline.wording import count_noun, inflect, join_names

if TYPE_CHECKING:
    from pipeline.doctor.subject import Subject
    from pipeline.storage.lease import Lease


def damaged_stores(project: Project) -> Iterator[Repair]:
    """Finds SQLite files that SQLite itself calls damaged.

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
        if file is None or not file.is_file():
            continue
        try:
            with contextlib.closing(sqlite3.connect(readable(url).file or file)) as database:
                said = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.OperationalError as error:  # locked, or not to be read
            raise PipelineError(f"{display_path(file)} cannot be examined: {error}") from None
        except sqlite3.DatabaseError as error:
            said = str(error)
        if said != "ok":
            what = f"{display_path(file)} is damaged: {' '.join(said.split())}"
            yield Repair(Kind.ASK_USER, what, cure)


def lost_studies(
    project: Project, known: Collection[str], name: str | None = None
) -> Iterator[Repair]:
    """Finds studies whose runs MLflow has, and of which Optuna's store knows nothing.

    Args:
        project: whose stores are read.
        known: names of the studies that Optuna has.
        name: of the study that is asked for; None: all of them.

    Raises:
        PipelineError: MLflow's store cannot be used.
    """
    if project.mlflow_uri.missing_file or not relocation.is_own_store(project):
        return  # a store elsewhere may be of other projects too
    from pipeline.tracking import reader  # imports MLflow, for which nobody waits without a store

    for study, n_runs in sorted(reader.unknown_studies(project, known).items()):
        if name not in (None, study):
            continue
        yield Repair(
            Kind.ASK_USER,
            f"MLflow has {count_noun(n_runs, 'run')} of study {study}, and Optuna's store "
            f"{project.optuna_url.display} has no such study",
            "put a copy of Optuna's store in its place, or name the store it is in with "
            "PIPELINE_STORAGE: the trials are nowhere else; if the study is not wanted any more, "
            "delete its experiment in MLflow, with: make ui",
        )


def moved(subject: "Subject") -> Iterator[Repair]:
    """Finds artifacts that MLflow looks for where the project was before it was moved.

    Raises:
        PipelineError: MLflow's store cannot be read.
    """
    project = subject.project
    try:
        places = relocation.old_places(project, subject.spec.name)
    except sqlite3.Error as error:
        where = project.mlflow_uri.display
        raise PipelineError(f"MLflow's store {where} cannot be used: {error}") from None
    if places:
        yield Repair(
            Kind.RELOCATE,
            f"{relocation.describe(project, places)}, and MLflow's store does not say so",
            "made to name this folder",
        )


def stale_lease(
    project: Project, name: str, note: str, claimed: "Lease | None"
) -> Iterator[Repair]:
    """Finds the lease of a supervisor that is no more; the next search takes that lease over.

    Args:
        project: where the lock is.
        name: of the study.
        note: what stood beside the lock before this command held it.
        claimed: what stood in Optuna's store before.
    """
    if not note and not claimed:
        return
    known = dict(claimed or {})
    with contextlib.suppress(ValueError, TypeError):
        known |= json.loads(note)
    places = [display_path(project.lease_note(name))] if note else []
    places += ["Optuna's store"] if claimed else []
    yield Repair(
        Kind.TAKE_OVER_LEASE,
        f"{' and '.join(places)} {'name' if len(places) > 1 else 'names'} process "
        f"{known.get('process', '?')} on {known.get('host', '?')} as its supervisor, which is no "
        "more",
        "removed",
    )


def lost_files(subject: "Subject") -> Iterator[Repair]:
    """Finds runs whose file of hyperparameters is missing, damaged or another trial's."""
    if subject.is_behind:
        return
    from pipeline.tracking import reader

    own = {number: run for number, run in subject.match.own.items() if not run.is_deleted}
    lost = [
        number
        for number, run in own.items()
        if (values := hyperparameters_of(subject.ended[number]))
        and not reader.has_hyperparameters(subject.project, run, values)
    ]
    if lost:
        yield Repair(
            Kind.WRITE_FILES,
            f"hyperparameters.json of {name_trials(lost)} is missing or says something else",
            "written anew from what Optuna holds",
            lost,
            [own[number] for number in lost],
        )


def hyperparameters_of(trial: Trial) -> dict[str, Any]:
    """Returns what a trial's `hyperparameters.json` should hold; nothing of what is no network."""
    return trial.hyperparameters.as_dict() if trial.hyperparameters else {}


def left_on_disk(subject: "Subject") -> Iterator[Repair]:
    """Finds what a command that was killed left, and a supervisor that could not reach MLflow."""
    disk = subject.project.outside.disk
    if disk.is_folder(subject.scratch):
        what = f"{display_path(subject.scratch)} is left of a search that was killed"
        yield Repair(Kind.REMOVE_SCRATCH, what, "removed")
    if left := [path for folder in subject.folders for path in leftovers(folder, disk)]:
        shown = join_names([display_path(path) for path in left])
        what = f"{shown} {inflect('is', len(left), 'are')} left of a command that was killed"
        yield Repair(Kind.REMOVE_LEFTOVERS, what, "removed")
    paused, folder = subject.paused_epochs, subject.project.paused_dir(subject.spec.name)
    if subject.states.others(paused) or (disk.is_folder(folder) and not paused):
        what = f"{display_path(folder)} holds states of trials that are not paused any more"
        yield Repair(Kind.REMOVE_STATES, what, "removed")
    if not subject.is_behind:
        return
    folder = subject.project.outbox(subject.spec.name)
    try:
        n_kept = len(Outbox(folder, disk))
    except ValueError:
        yield Repair(
            Kind.ASK_USER,
            f"{display_path(folder)} cannot be read, and MLflow waits for what is in it",
            "move the folder away; then --fix writes anew from Optuna what MLflow has not got",
        )
        return
    if not n_kept:  # all that a kill left of a write that was not kept yet; it is gone
        return
    yield Repair(
        Kind.SEND_KEPT,
        f"{display_path(folder)} keeps {count_noun(n_kept, 'write')} that MLflow has not got yet; "
        "its runs are compared when it has",
        "sent",
    )
