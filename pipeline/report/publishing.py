"""What somebody is told of a study who sees MLflow's UI alone: its story, and its report."""

import sys

from pipeline.errors import PipelineError
from pipeline.evaluation import intervals
from pipeline.names import file_of_study
from pipeline.paths import Project, display_path
from pipeline.report.document import Answers, as_markdown
from pipeline.report.sections.answers import answers
from pipeline.report.summary import StudySummary, summarize
from pipeline.report.writing import write
from pipeline.storage import studies
from pipeline.tracking import story, view
from pipeline.tracking.story import Story

_OF_VERDICT = 3  # answers: who won, by how much, how sure that is


def publish(project: Project, study: str) -> None:
    """Writes a study's report, and has MLflow show and keep it; says what cannot be done.

    Args:
        project: whose study it is; nobody searches it.
        study: its name.
    """
    print("writing the report ...", file=sys.stderr)
    try:
        facts = summarize(studies.stored_study(project, study))
        files = write(project, facts)
        if file := file_of_study(study, project.root / "studies"):
            files.append(file)
        spec = facts.spec
        has_finals = any(trial.is_final for trial in facts.ended)
        views = view.tags(spec.metric, spec.direction, spec.space, has_finals=has_finals)
        story.tell(project, study, story_of(facts), views, files)
    except PipelineError as error:
        print(f"the report is not published: {error}", file=sys.stderr)
        return
    print(f"{display_path(files[0])}: the report", file=sys.stderr)


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
