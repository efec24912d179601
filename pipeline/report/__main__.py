"""The report of a study: what was asked, what came out, and how far it can be trusted.

    python -m pipeline.report [STUDY]
    python -m pipeline.report STUDY OTHER

Writes `studies/<name>/report.md`, `report.html`, `report.json` and `trials.csv` from what the
search recorded. Every figure in it is computed from the store; a rerun writes the same again. Two
studies are set side by side: that is printed, and written into the folder of the first.
"""

import argparse
import sys
from pathlib import Path

from pipeline.errors import DONE, PipelineError, UsageError, run_command
from pipeline.files import write_atomically
from pipeline.paths import DEFAULT_STUDY, Project, display_path, parse_study_name


def main() -> int:
    """Writes the report of a study, or compares two."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.report",
        description="Writes the report of a study, or sets two studies side by side.",
    )
    parser.add_argument(
        "study", nargs="*", default=[DEFAULT_STUDY], help="name of a study, or of two to compare"
    )
    names = [parse_study_name(name) for name in parser.parse_args().study]
    if len(names) > 2 or len(set(names)) < len(names):
        found = ", ".join(map(repr, names))
        raise UsageError(f"study: found {found}, allowed is one study, or two that differ")
    project = Project.here()
    return _compare(project, *names) if len(names) == 2 else _report(project, *names)


def _report(project: Project, name: str) -> int:
    """Writes the four files, and prints where they are."""
    from pipeline.report import document, sections
    from pipeline.report.as_json import as_json
    from pipeline.report.summary import as_csv, summarize
    from pipeline.storage import studies

    stored = studies.stored_study(project, name)
    facts, spec = summarize(stored), stored.spec
    folder, title = project.report_dir(spec.name), f"Study {spec.name}"
    blocks = sections.blocks(facts)
    try:
        write_atomically(folder / "report.md", document.as_markdown(title, blocks))
        write_atomically(folder / "report.html", document.as_html(title, blocks))
        write_atomically(folder / "report.json", as_json(facts))
        write_atomically(folder / "trials.csv", as_csv(facts))
    except OSError as error:
        raise _unwritable(folder, error) from None
    for file in ("report.html", "report.md", "report.json", "trials.csv"):
        print(display_path(folder / file))
    return DONE


def _compare(project: Project, first: str, second: str) -> int:
    """Prints how two studies compare, and writes that as Markdown and as HTML."""
    from pipeline.report import document
    from pipeline.report.comparing import compare
    from pipeline.report.summary import summarize
    from pipeline.storage import studies

    both = [summarize(studies.stored_study(project, name)) for name in (first, second)]
    blocks = compare(*both)
    folder, title = project.report_dir(first), f"Studies {first} and {second}"
    text = document.as_markdown(title, blocks)
    print(text, end="")
    files = [folder / f"{first}_vs_{second}.{kind}" for kind in ("md", "html")]
    try:
        write_atomically(files[0], text)
        write_atomically(files[1], document.as_html(title, blocks))
    except OSError as error:
        raise _unwritable(folder, error) from None
    for file in files:
        print(display_path(file), file=sys.stderr)
    return DONE


def _unwritable(folder: Path, error: OSError) -> PipelineError:
    return PipelineError(
        f"{display_path(folder)}: the report cannot be written there: {error.strerror}"
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
