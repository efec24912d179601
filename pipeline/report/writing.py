"""The files of a report, written."""

from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import write_atomically
from pipeline.paths import Project, display_path
from pipeline.report import contents, document, html_page
from pipeline.report.as_json import as_json
from pipeline.report.summary import StudySummary, as_csv


def write(project: Project, facts: StudySummary, refresh_seconds: int = 0) -> list[Path]:
    """Writes `report.html`, `report.md`, `report.json` and `trials.csv`; returns their paths.

    Args:
        project: in whose `studies/` they are written.
        facts: what they tell.
        refresh_seconds: after which a browser loads the page again; 0 for never.

    Raises:
        PipelineError: the disk does not take them; the text says where and why.
    """
    folder, title = project.report_dir(facts.spec.name), f"Study {facts.spec.name}"
    blocks = contents.blocks(facts)
    page = html_page.as_html(title, blocks, html_page.trials_of(facts), refresh_seconds)
    texts = {
        "report.html": page,
        "report.md": document.as_markdown(title, blocks),
        "report.json": as_json(facts),
        "trials.csv": as_csv(facts),
    }
    try:
        for name, text in texts.items():
            write_atomically(folder / name, text)
    except OSError as error:
        raise unwritable(folder, error) from None
    return [folder / name for name in texts]


def unwritable(folder: Path, error: OSError) -> PipelineError:
    """Says that the disk does not take a report."""
    return PipelineError(
        f"{display_path(folder)}: the report cannot be written there: {error.strerror}"
    )
