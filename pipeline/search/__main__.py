"""Searches: runs a study until its budget is used. A rerun goes on where the last one stopped.

python -m pipeline.search [STUDY] [--trials N] [--minutes M] [--workers N]
    [--engine local|ray] [--dry-run]
"""

import argparse
import contextlib
import sys
from collections.abc import Callable

from pipeline.cores import n_cores
from pipeline.engine import Engine, add_engine
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
    from pipeline.search.session import search

    file, engine = project.study_file(arguments.study), arguments.engine
    return search(project, spec, file, arguments.workers, engine=engine)


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
        type=_positive(int),
        help="trials at a time (default: as many as there are cores and GPUs for)",
    )
    add_engine(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would happen, and stop")
    found = parser.parse_args(arguments)
    most = 4 * n_cores()  # more would bring the machine down
    if found.engine is not Engine.RAY and (found.workers or 0) > most:
        parser.error(
            f"argument --workers: found {found.workers}, allowed are at most {most}, four for "
            "each core"
        )
    return found


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
