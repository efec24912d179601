"""Holds Optuna, MLflow and the disk against each other, and mends what a crash left behind.

    python -m pipeline.doctor [STUDY] [--fix]

A study that is being searched is left alone. What a search mends by itself when it starts (trials
and runs that a killed one left RUNNING, writes that MLflow has not got) is among what is found.
"""

import argparse
import contextlib
import json
import sys
from typing import TYPE_CHECKING

from pipeline.errors import DONE, FAILED, PipelineError, run_command
from pipeline.paths import Project, display_path, parse_study_name

if TYPE_CHECKING:
    from pipeline.doctor.subject import Finding, Subject
    from pipeline.storage.lease import Lease


def main() -> int:
    """Examines a study or all of them; 0 if everything is in order, or has been mended."""
    arguments = _parse(sys.argv[1:])
    name = parse_study_name(arguments.study) if arguments.study is not None else None
    from pipeline.doctor import findings
    from pipeline.storage import study_store

    project = Project.here()
    damaged = list(findings.damaged_stores(project))
    for finding in damaged:
        _treat(finding, "", fix=False)
    if damaged:  # nothing that is read from it can be trusted
        return FAILED
    names = [name] if name else study_store.stored_names(project)
    if not names:
        print("no study has been searched yet: all in order")
    n_left = 0
    for each in names:
        try:
            n_left += _examine(project, each, arguments.fix)
        except PipelineError as error:
            if len(names) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            n_left += 1
    if n_left and not arguments.fix:
        again = f" {name}" if name else ""
        print(f"mend what can be mended with: .venv/bin/python -m pipeline.doctor{again} --fix")
    return FAILED if n_left else DONE


def _examine(project: Project, name: str, fix: bool) -> int:
    """Prints what does not match in a study, and returns how much of it is left."""
    from pipeline.doctor import findings, model_checks
    from pipeline.doctor.subject import Subject
    from pipeline.storage import lease, study_store

    study, spec = study_store.stored_study(project, name)
    subject = Subject(project, study, spec)
    # in this order: what one mends, the next finds mended
    checks = (
        findings.on_disk,
        findings.left_running,
        findings.runs_and_trials,
        model_checks.models,
    )
    with contextlib.ExitStack() as held:
        held.enter_context(study_store.store_errors(project))
        note = project.lease_note(name)
        stale = note.read_text() if note.is_file() else ""
        claimed = study.user_attrs.get(lease.LEASE)
        try:
            claim = held.enter_context(lease.lock(project, name, leaves_note=fix))
            if fix:
                lease.take(study, claim)
                held.callback(lease.give_back, study)
            else:
                lease.refuse_if_alive(study, claim)
        except PipelineError as busy:
            print(f"{busy}: it was not examined")
            return 0
        n_found = n_left = 0
        if stale or claimed:
            n_found += 1
            n_left += _treat(_stale_claim(project, name, stale, claimed), name, fix)
        for check in checks:
            for finding in check(subject):
                n_found += 1
                n_left += _treat(finding, name, fix)
                if fix:
                    subject.read_again()
        if not n_found:
            print(f"study {name}: {_contents(subject)}: all in order")
    return n_left


def _treat(finding: "Finding", study: str, fix: bool) -> int:
    """Prints a finding, mends it if that is wanted, and returns whether it is left: 0 or 1."""
    print(f"study {study}: {finding.what}" if study else finding.what)
    if finding.mend is None:
        print(f"  to do: {finding.cure}")
        return 1
    if not fix:
        print(f"  with --fix: {finding.cure}")
        return 1
    try:
        finding.mend()
    except (PipelineError, OSError) as error:
        print(f"  not mended: {error}")
        return 1
    print(f"  mended: {finding.cure}")
    return 0


def _stale_claim(project: Project, name: str, note: str, claimed: "Lease | None") -> "Finding":
    """Of a supervisor that is no more: whoever is next takes it over, as this command does."""
    from pipeline.doctor.subject import Finding

    known = dict(claimed or {})
    with contextlib.suppress(ValueError, TypeError):
        known |= json.loads(note)
    places = [display_path(project.lease_note(name))] if note else []
    places += ["Optuna's store"] if claimed else []
    whom = f"process {known.get('process', '?')} on {known.get('host', '?')}"
    return Finding(
        f"{' and '.join(places)} {'name' if len(places) > 1 else 'names'} {whom} as its "
        "supervisor, which is no more",
        "removed",
        lambda: None,  # done when the claim that took its place is given back
    )


def _contents(subject: "Subject") -> str:
    from pipeline.doctor.subject import count

    n_trials, n_runs = len(subject.ended), len(subject.match.own)
    return ", ".join(
        (count(n_trials, "trial"), count(n_runs, "run"), count(subject.whole, "model"))
    )


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
