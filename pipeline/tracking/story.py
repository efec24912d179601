"""What is asked of a study, and what it has found, told where MLflow's UI shows it."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow

from pipeline.errors import PipelineError
from pipeline.escaping import for_markdown, for_tag
from pipeline.paths import Project
from pipeline.task.task import Task
from pipeline.tracking import aliases, orphans, reader, version_story, view
from pipeline.tracking.delivery import OUT_OF_REACH
from pipeline.tracking.version_story import NOTE, VERDICT


@dataclass(frozen=True)
class Story:
    """What a study has found.

    Attributes:
        text: all of it, in Markdown.
        verdict: the same in a few sentences.
        champion: the run of its champion.
        interval: 95 % interval of that one's value; "" if none is known.
        task: what its models have learned.
    """

    text: str
    verdict: str
    champion: str
    interval: str
    task: Task


def begin(
    client: mlflow.MlflowClient, experiment: str, study: str, goal: str, views: Mapping[str, str]
) -> str:
    """Describes the experiment of a study that is about to be searched; returns what it says.

    A search does without it: what MLflow does not take now is told when the search has ended.

    Args:
        client: of the store.
        experiment: id of the study's.
        study: its name.
        goal: what is asked.
        views: how the UI is to show the trials, by `view.tags`.
    """
    trials = f"[table of its trials]({view.link(experiment, view.KEY)})"
    shown = f", in the {trials}, the best on top" if view.TAG in views else ""
    note = for_tag(
        f"{for_markdown(goal)}\n\nThe search has begun. What it has found so far can be seen"
        f"{shown}; its story is told here when it has ended. One that was broken off goes on with "
        f"`make search STUDY={study}`."
    )
    with contextlib.suppress(*OUT_OF_REACH):
        for key, value in {NOTE: note, **views}.items():
            client.set_experiment_tag(experiment, key, value)
    return note


def tell(
    project: Project, study: str, told: Story, views: Mapping[str, str], files: Sequence[Path]
) -> None:
    """Describes experiment, study run and registered model, and keeps files in the study's run.

    Args:
        project: whose store is written.
        study: name of the study, and so of the experiment and of the registered model.
        told: what it has found.
        views: how the UI is to show the trials, by `view.tags`.
        files: the report's; those of an earlier one are replaced.

    Raises:
        PipelineError: MLflow is out of reach, or has no run of the study.
    """
    with reader.opened(project) as client:
        known = client.get_experiment_by_name(study)
        run = orphans.find_study_run(client, known.experiment_id) if known else None
        if run is None:
            raise PipelineError(f"MLflow has no run of study {study}")
        experiment, own = known.experiment_id, run.info.run_id
        for file in files:
            client.log_artifact(own, str(file), view.REPORT)
        note = for_tag(
            f"{told.text.rstrip()}\n\n{_where(experiment, own, views)}\n\n{_load(study)}"
        )
        for key, value in {NOTE: note, **views}.items():
            client.set_experiment_tag(experiment, key, value)
        client.set_tag(own, NOTE, note)
        client.set_tag(own, VERDICT, for_tag(told.verdict))
        for each in client.search_model_versions(f"name = '{study}'"):
            is_another = each.tags.keys() & {aliases.REFIT, aliases.ENSEMBLE}
            if told.interval and aliases.run_of(each) == told.champion and not is_another:
                client.set_model_version_tag(study, each.version, aliases.INTERVAL, told.interval)
            version_story.describe(client, study, each.version, told.task)
        version_story.describe_model(client, study, note)


def _where(experiment: str, run: str, views: Mapping[str, str]) -> str:
    """Links to what tells more."""
    trials = view.link(experiment, view.KEY)
    links = [f"[the whole report]({view.report_link(experiment, run)})", f"[all trials]({trials})"]
    if f"{view.PREFIX}{view.FINALS}" in views:
        finals = view.link(experiment, view.FINALS)
        links.append(f"[the finals, by network]({finals})")
    return (
        f"See {', '.join(links)}; report, `trials.csv` and study file are artifacts of the "
        f"[study's own run]({view.run_link(experiment, run)}), in `{view.REPORT}/`."
    )


def _load(study: str) -> str:
    return version_story.how_to_load(f"models:/{study}@{aliases.CHAMPION}")
