"""The report of a study: what was asked, what came out, and how far it can be trusted.

    python -m pipeline.report [STUDY]

Writes `studies/<name>/report.md`, `report.html` and `trials.csv` from what the search recorded.
Every figure in it is computed from the store; a rerun writes the same again.
"""

import argparse
import sys

from pipeline.errors import DONE, PipelineError, run_command
from pipeline.files import write_atomically
from pipeline.paths import DEFAULT_STUDY, Project, display_path, parse_study_name


def main() -> int:
    """Writes the three files."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.report", description="Writes the report of a study."
    )
    parser.add_argument("study", nargs="?", default=DEFAULT_STUDY, help="name of a study")
    name = parse_study_name(parser.parse_args().study)
    from pipeline.report import document, html_page, sections
    from pipeline.report.summary import as_csv, summarize
    from pipeline.storage import studies

    project = Project.here()
    stored = studies.stored_study(project, name)
    facts, spec = summarize(stored), stored.spec
    folder, title = project.report_dir(spec.name), f"Study {spec.name}"
    blocks = sections.blocks(facts)
    try:
        write_atomically(folder / "report.md", document.as_markdown(title, blocks))
        page = html_page.as_html(title, blocks, html_page.trials_of(facts))
        write_atomically(folder / "report.html", page)
        write_atomically(folder / "trials.csv", as_csv(facts))
    except OSError as error:
        raise PipelineError(
            f"{display_path(folder)}: the report cannot be written there: {error.strerror}"
        ) from None
    for file in ("report.html", "report.md", "trials.csv"):
        print(display_path(folder / file))
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
