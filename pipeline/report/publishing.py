"""What somebody is told of a study who sees MLflow's UI alone: its story, and its report."""

import sys

from pipeline.errors import PipelineError
from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.names import file_of_study
from pipeline.paths import Project, display_path
from pipeline.report.document import Answers, as_markdown
from pipeline.report.sections.answers import answers
from pipeline.report.summary import StudySummary, summarize
from pipeline.report.writing import write
from pipeline.storage import note, studies
from pipeline.tracking import story, view
from pipeline.tracking.story import Story

_OF_VERDICT = 3  # answers: who won, by how much, how sure that is


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
        has_finals = any(trial.is_final for trial in facts.ended)
        views = view.tags(spec.metric, spec.direction, spec.space, has_finals=has_finals)
        story.tell(project, study, story_of(facts), views, files)
    except PipelineError as error:
        print(f"the report is not published: {error}", file=sys.stderr)
        return
    print(f"{display_path(files[0])}: the report", file=sys.stderr)


def note_of(facts: StudySummary) -> str:
    """Tells in Markdown what was asked, what the study has found, and where more is told."""
    name = facts.spec.name
    return (
        f"{for_markdown(facts.spec.goal)}\n\n{story_of(facts).text.strip()}\n\n"
        f"The whole report is `studies/{name}/report.html`; `make best STUDY={name}` shows the "
        "model."
    )


def story_of(facts: StudySummary) -> Story:
    """Tells in Markdown what the study has found; the first sentences are its verdict."""
    (asked,) = (block for block in answers(facts) if isinstance(block, Answers))
    verdict = " ".join(row.answer for row in asked.rows[:_OF_VERDICT]).replace("**", "")
    champion, metric = facts.champion, facts.spec.objective
    value, error = champion.value or 0.0, champion.kept(metric.error_name)
    interval = intervals.interval_of(metric, value, facts.n_independent, error)
    return Story(
        text=as_markdown("", [asked]),
        verdict=verdict,
        champion=champion.run_id,
        interval=interval.show(metric, value) if interval else "",
        task=facts.spec.task,
    )
