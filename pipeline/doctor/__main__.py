"""Holds Optuna, MLflow and the disk against each other, and mends what a crash left behind.

    python -m pipeline.doctor [STUDY] [--fix]

A study that is being searched is left alone. What a search mends by itself when it starts (trials
and runs that a killed one left RUNNING, writes that MLflow has not got) is among what is found.
"""

import argparse
import sys

from pipeline.errors import DONE, FAILED, PipelineError, run_command
from pipeline.paths import Project, parse_study_name
from pipeline.wording import doctor_command


def main() -> int:
    """Examines a study or all of them; returns 0 if everything is in order or has been mended."""
    arguments = _parse(sys.argv[1:])
    name = parse_study_name(arguments.study) if arguments.study is not None else None
    from pipeline.doctor import store_checks
    from pipeline.doctor.examine import examine, treat
    from pipeline.doctor.plan import Kind
    from pipeline.storage import studies

    project = Project.here()
    damaged = list(store_checks.damaged_stores(project))
    for repair in damaged:
        treat(repair, None, fix=False)
    if damaged:  # nothing that is read from it can be trusted
        return FAILED
    known = studies.stored_names(project)
    names = [name] if name else known
    lost = list(store_checks.lost_studies(project, known, name))
    left = [repair.kind for repair in lost if treat(repair, None, fix=False)]
    if name and lost:
        return FAILED
    if not names and not lost:
        print("no study has been searched yet: all in order")
    for each in names:
        try:
            left += examine(project, each, arguments.fix)
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
