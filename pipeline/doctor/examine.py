"""Examines one study: finds what does not match, and mends it if that is wanted."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.errors import PipelineError
from pipeline.paths import Project
from pipeline.storage import lease, studies
from pipeline.wording import count_noun

if TYPE_CHECKING:
    from pipeline.doctor.plan import Kind, Repair
    from pipeline.doctor.subject import Subject

    Check = Callable[[Subject], Iterable[Repair]]


def examine(project: Project, name: str, fix: bool) -> "list[Kind]":
    """Prints what does not match in a study, and returns what of it is left.

    Args:
        project: whose study it is; nobody searches it, or it is left alone.
        name: of the study.
        fix: whether to mend what can be mended.

    Raises:
        PipelineError: a store cannot be used, or there is no such study.
    """
    stored = studies.stored_study(project, name)
    study = stored.study
    taken: lease.Taken | None = None
    with contextlib.ExitStack() as held:
        held.enter_context(studies.store_errors(project))
        note = project.lease_note(name)
        disk = project.outside.disk
        stale = disk.read(note).decode() if disk.is_file(note) else ""
        claimed = study.user_attrs.get(lease.LEASE)
        try:
            own = held.enter_context(lease.lock(project, name, leaves_note=fix))
            if fix:
                taken = lease.take(study, own, project.outside)
                held.callback(taken.give_back)
                scratch = held.enter_context(files.scratch_folder(project.runs_dir / name, disk))
                held.enter_context(files.temporary_files_in(scratch))
            else:
                lease.refuse_if_alive(study, own, project.outside)
        except lease.IsSearchedError as busy:
            print(f"{busy}: it was not examined")
            return []
        # they import MLflow, for which nobody waits who is told that there is no such study
        from pipeline.doctor import model_checks, store_checks
        from pipeline.doctor.subject import Subject

        subject = Subject(stored, taken)
        checks: tuple[Check, ...] = (
            lambda _: store_checks.stale_lease(project, name, stale, claimed),
            store_checks.moved,
            store_checks.left_on_disk,
            Subject.plan_queue,
            Subject.plan_runs,
            store_checks.lost_files,
            model_checks.check_models,
        )
        found = [(r.kind, treat(r, subject, fix)) for r in _repairs(checks, subject, fix)]
        if not found:
            print(f"study {name}: {_contents(subject)}: all in order")
    return [kind for kind, is_left in found if is_left]


def _repairs(checks: "Iterable[Check]", subject: "Subject", fix: bool) -> "Iterator[Repair]":
    """Yields what each check finds; once a repair is made, the same check reads anew."""
    for check in checks:
        if not fix:
            yield from check(subject)
            continue
        treated: set[Kind] = set()
        while repair := next((r for r in check(subject) if r.kind not in treated), None):
            yield repair
            treated.add(repair.kind)
            subject.read_again()


def treat(repair: "Repair", subject: "Subject | None", fix: bool) -> bool:
    """Prints a repair, does it if that is wanted, and returns whether it is left."""
    from pipeline.doctor.plan import Kind

    print(f"study {subject.spec.name}: {repair.what}" if subject else repair.what)
    if repair.kind is Kind.ASK_USER:
        print(f"  to do: {repair.cure}")
        return True
    if not fix or subject is None:
        print(f"  with --fix: {repair.cure}")
        return True
    from pipeline.doctor.apply import apply
    from pipeline.storage.lease import LostLease

    try:
        subject.check()
        apply(repair, subject)
    except LostLease:
        raise
    except (PipelineError, OSError, sqlite3.Error) as error:
        print(f"  not mended: {error}")
        return True
    print(f"  mended: {repair.cure}")
    return False


def _contents(subject: "Subject") -> str:
    n_trials, n_runs = len(subject.ended), len(subject.match.own)
    counts = {"trial": n_trials, "run": n_runs, "model": subject.n_whole}
    return ", ".join(count_noun(count, noun) for noun, count in counts.items())
