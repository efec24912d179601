"""Holds Optuna, MLflow and the disk against each other, and mends what a crash left behind.

    python -m pipeline.doctor [STUDY] [--fix]

A study that is being searched is left alone. What a search mends by itself when it starts (trials
and runs that a killed one left RUNNING, writes that MLflow has not got) is among what is found.
"""

import argparse
import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.errors import DONE, FAILED, PipelineError, run_command
from pipeline.paths import Project, parse_study_name
from pipeline.wording import doctor_command

if TYPE_CHECKING:
    from pipeline.doctor.plan import Kind, Repair
    from pipeline.doctor.subject import Subject

    Check = Callable[[Subject], Iterable[Repair]]


def main() -> int:
    """Examines a study or all of them; returns 0 if everything is in order or has been mended."""
    arguments = _parse(sys.argv[1:])
    name = parse_study_name(arguments.study) if arguments.study is not None else None
    from pipeline.doctor import store_checks
    from pipeline.doctor.plan import Kind
    from pipeline.storage import studies

    project = Project.here()
    damaged = list(store_checks.damaged_stores(project))
    for repair in damaged:
        _treat(repair, None, fix=False)
    if damaged:  # nothing that is read from it can be trusted
        return FAILED
    known = studies.stored_names(project)
    names = [name] if name else known
    lost = list(store_checks.lost_studies(project, known, name))
    left = [repair.kind for repair in lost if _treat(repair, None, fix=False)]
    if name and lost:
        return FAILED
    if not names and not lost:
        print("no study has been searched yet: all in order")
    for each in names:
        try:
            left += _examine(project, each, arguments.fix)
        except studies.ForeignStudyError as error:
            if name:
                raise
            print(error)
        except PipelineError as error:
            if len(names) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            left.append(Kind.ASK_USER)
    if set(left) - {Kind.ASK_USER} and not arguments.fix:
        print(f"mend what can be mended with: {doctor_command(name or '')}")
    return FAILED if left else DONE


def _examine(project: Project, name: str, fix: bool) -> "list[Kind]":
    """Prints what does not match in a study, and returns what of it is left."""
    from pipeline.storage import lease, studies

    stored = studies.stored_study(project, name)
    study = stored.study
    taken: lease.Taken | None = None
    with contextlib.ExitStack() as held:
        held.enter_context(studies.store_errors(project))
        note = project.lease_note(name)
        stale = note.read_text() if note.is_file() else ""
        claimed = study.user_attrs.get(lease.LEASE)
        try:
            own = held.enter_context(lease.lock(project, name, leaves_note=fix))
            if fix:
                taken = lease.take(study, own)
                held.callback(taken.give_back)
                scratch = held.enter_context(files.scratch_folder(project.runs_dir / name))
                held.enter_context(files.temporary_files_in(scratch))
            else:
                lease.refuse_if_alive(study, own)
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
        found = [(r.kind, _treat(r, subject, fix)) for r in _repairs(checks, subject, fix)]
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


def _treat(repair: "Repair", subject: "Subject | None", fix: bool) -> bool:
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
    from pipeline.wording import count_noun

    n_trials, n_runs = len(subject.ended), len(subject.match.own)
    counts = {"trial": n_trials, "run": n_runs, "model": subject.n_whole}
    return ", ".join(count_noun(count, noun) for noun, count in counts.items())


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.doctor",
        description="Holds Optuna, MLflow and the disk against each other.",
    )
    parser.add_argument("study", nargs="?", help="name of a study; all of them if there is none")
    parser.add_argument("--fix", action="store_true", help="mend what can be mended")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
