"""Searches: runs a study until its budget is used. A rerun goes on where the last one stopped.

python -m pipeline.search [STUDY] [--trials N] [--minutes M] [--workers N] [--dry-run]
"""

import argparse
import contextlib
import sys
from collections.abc import Callable

from pipeline.cores import n_cores
from pipeline.errors import DONE, run_command
from pipeline.paths import DEFAULT_STUDY, Project


def main() -> int:
    """Runs a study, or with --dry-run shows what it would do."""
    arguments = _parse(sys.argv[1:])
    from pipeline.study.load import load

    project = Project.here()
    spec = load(project, arguments.study)
    budget = {
        key: value
        for key, value in (("trials", arguments.trials), ("minutes", arguments.minutes))
        if value is not None
    }
    if budget:
        spec = spec.model_copy(update={"budget": spec.budget.model_copy(update=budget)})
    if arguments.dry_run:
        from pipeline.search import dry_run, warm_start

        print(dry_run.preview(spec, warm_start.find(project, spec)))
        return DONE
    from pipeline.execution.devices import n_workers
    from pipeline.search.session import search

    at_a_time = arguments.workers or n_workers(spec.resources)
    return search(project, spec, project.study_file(arguments.study), at_a_time)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.search",
        description="Searches until the study's budget is used; a rerun goes on.",
    )
    parser.add_argument(
        "study", nargs="?", default=DEFAULT_STUDY, help="name of a file in studies/, or a path"
    )
    parser.add_argument("--trials", type=_positive(int), help="budget instead of the study's")
    parser.add_argument("--minutes", type=_positive(float), help="budget instead of the study's")
    parser.add_argument(
        "--workers",
        type=_n_workers,
        help="trials at a time (default: as many as there are cores and GPUs for)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would happen, and stop")
    return parser.parse_args(arguments)


def _n_workers(text: str) -> int:
    """Converts an argument for argparse, and refuses what would bring the machine down."""
    number = int(_positive(int)(text))
    most = 4 * n_cores()
    if number > most:
        raise argparse.ArgumentTypeError(
            f"found {number}, allowed are at most {most}, four for each core"
        )
    return number


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """Makes a converter for argparse that refuses what is no number above 0."""

    def convert(text: str) -> float:
        number: float = 0
        with contextlib.suppress(ValueError):
            number = kind(text)
        if not 0 < number < float("inf"):
            noun = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"found {text!r}, allowed is {noun} above 0")
        return number

    return convert


if __name__ == "__main__":
    sys.exit(run_command(main))
