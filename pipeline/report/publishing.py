"""What somebody is told of a study who sees MLflow's UI alone: its story, and its report."""

import sys

from pipeline.errors import PipelineError
from pipeline.escaping import for_markdown
from pipeline.names import file_of_study
from pipeline.paths import Project, display_path
from pipeline.report.document import Answers, as_markdown
from pipeline.report.sections.answers import answers
from pipeline.report.summary import StudySummary, summarize
from pipeline.report.writing import write
from pipeline.storage import note, studies
from pipeline.tracking import aliases, story, view


def publish(project: Project, study: str) -> None:
    """Writes a study's report, and has MLflow and Optuna's dashboard show what came of it.

    What cannot be done is said.

    Args:
        project: whose study it is; nobody searches it.
        study: its name.
    """
    print("writing the report ...", file=sys.stderr)
    try:
        stored = studies.stored_study(project, study)
        facts = summarize(stored)
        files = write(project, facts)
        if file := file_of_study(study, project.root / "studies"):
            files.append(file)
        note.replace(stored.study, note_of(facts))
        spec = facts.spec
        shown = view.state(spec.metric, spec.direction, spec.space)
        story.tell(project, study, story_of(facts), shown, files)
    except PipelineError as error:
        print(f"the report is not published: {error}", file=sys.stderr)
        return
    print(f"{display_path(files[0])}: the report", file=sys.stderr)


def note_of(facts: StudySummary) -> str:
    """Tells in Markdown what was asked, and what the study has found."""
    return f"{for_markdown(facts.spec.goal)}\n\n{story_of(facts)}"


def story_of(facts: StudySummary) -> str:
    """Tells in Markdown what the study has found, and how its model is loaded."""
    (asked,) = (block for block in answers(facts) if isinstance(block, Answers))
    told = as_markdown(f"Study {facts.spec.name}", [asked])
    return (
        f"{told}\n"
        "The whole report is an artifact of the study's own run: `report/report.html`.\n\n"
        "```python\n"
        "import mlflow\n\n"
        f'model = mlflow.pyfunc.load_model("models:/{facts.spec.name}@{aliases.CHAMPION}")\n'
        "```\n"
    )
