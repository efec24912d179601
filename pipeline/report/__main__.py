"""The report of a study: what was asked, what came out, and how far it can be trusted.

    python -m pipeline.report [STUDY]
    python -m pipeline.report STUDY --watch
    python -m pipeline.report STUDY OTHER

Writes `studies/<name>/report.md`, `report.html`, `report.json` and `trials.csv` from what the
search recorded. Every figure in it is computed from the store; a rerun writes the same again. Two
studies are set side by side: that is printed, and written into the folder of the first.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from pipeline.errors import DONE, UsageError, run_command
from pipeline.files import write_atomically
from pipeline.paths import DEFAULT_STUDY, Project, display_path, parse_study_name
from pipeline.wording import count_noun, search_command, wrap

if TYPE_CHECKING:
    from pipeline.report.summary import StudySummary

REFRESH_SECONDS = 30  # between two reports of a study that is searched
MOST_SECONDS = 86_400


def main() -> int:
    """Writes the report of a study, or compares two."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.report",
        description="Writes the report of a study, or sets two studies side by side.",
    )
    parser.add_argument(
        "study", nargs="*", default=[DEFAULT_STUDY], help="name of a study, or of two to compare"
    )
    parser.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=REFRESH_SECONDS,
        metavar="SECONDS",
        help="as long as the study is searched, write it again every so many seconds "
        f"({REFRESH_SECONDS}); an open page loads itself anew",
    )
    arguments = parser.parse_args()
    names = [parse_study_name(name) for name in arguments.study]
    if len(names) > 2 or len(set(names)) < len(names):
        found = ", ".join(map(repr, names))
        raise UsageError(f"study: found {found}, allowed is one study, or two that differ")
    project = Project.here()
    if len(names) == 2:
        if arguments.watch:
            raise UsageError("--watch: found two studies, allowed is one that is searched")
        return _compare(project, *names)
    if arguments.watch:
        return _watch(project, names[0], arguments.watch)
    if said := _state(_report(project, names[0])):
        print(said, file=sys.stderr)
    return DONE


def _seconds(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) <= MOST_SECONDS):
        allowed = f"a whole number of seconds, from 1 to {MOST_SECONDS}"
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed is {allowed}")
    return int(text)


def _watch(project: Project, name: str, seconds: int) -> int:
    """Writes the report again and again, until nobody searches the study any more."""
    again = f"written again every {seconds} seconds, until the search ends"
    while not _has_value(project, name):
        print(f"no trial has ended yet; {again}", flush=True)
        project.outside.clock.sleep(seconds)
    facts, over = _report(project, name, seconds), f"nobody searches study {name}"
    while facts.searched_by:
        print(f"{facts.read}: {count_noun(len(facts.ended), 'trial')}; {again}", flush=True)
        project.outside.clock.sleep(seconds)
        facts, over = _report(project, name, seconds, is_quiet=True), "the search is over"
    print(_state(facts) or f"{over}: the report is written for the last time")
    return DONE


def _has_value(project: Project, name: str) -> bool:
    """Tells whether there is anything to report, or nobody searches the study to find it."""
    from pipeline.storage import lease, studies, study_store

    study = studies.stored_study(project, name).study
    values = (trial.value for trial in study_store.read_trials(study))
    return any(value is not None for value in values) or not lease.living_holder(
        study, project.outside
    )


def _report(
    project: Project, name: str, refresh_seconds: int = 0, *, is_quiet: bool = False
) -> "StudySummary":
    """Writes the four files, prints where they are, and returns what they tell."""
    from pipeline.report.summary import summarize
    from pipeline.report.writing import write
    from pipeline.storage import studies

    facts = summarize(studies.stored_study(project, name))
    for file in write(project, facts, refresh_seconds if facts.searched_by else 0):
        if not is_quiet:
            print(display_path(file))
    return facts


def _state(facts: "StudySummary") -> str:
    """Says that a study is being searched, or that its search was killed, and a command; or ""."""
    name = facts.spec.name
    if facts.searched_by:
        said = (
            f"study {name} is being searched, by {facts.searched_by}; keep its report fresh with:"
        )
        command = f".venv/bin/python -m pipeline.report {name} --watch"
    elif facts.broken_off:
        said = f"study {name} is not being searched: {facts.broken_off} was killed; go on with:"
        command = search_command(name)
    else:
        return ""
    return f"{wrap(said)}\n  {command}"


def _compare(project: Project, first: str, second: str) -> int:
    """Prints how two studies compare, and writes that as Markdown and as HTML."""
    from pipeline.report import document, html_page
    from pipeline.report.comparing.compare import compare
    from pipeline.report.summary import summarize
    from pipeline.report.writing import unwritable
    from pipeline.storage import studies

    both = [summarize(studies.stored_study(project, name)) for name in (first, second)]
    blocks = compare(*both)
    folder, title = project.report_dir(first), f"Studies {first} and {second}"
    text = document.as_markdown(title, blocks)
    print(text, end="")
    files = [folder / f"{first}_vs_{second}.{kind}" for kind in ("md", "html")]
    try:
        write_atomically(files[0], text)
        write_atomically(files[1], html_page.as_html(title, blocks))
    except OSError as error:
        raise unwritable(folder, error) from None
    for file in files:
        print(display_path(file), file=sys.stderr)
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
