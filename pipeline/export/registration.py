"""What is handed over as a version of the study's registered model, and back to the one before."""

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import snapshot
from pipeline.data import datasets
from pipeline.errors import PipelineError
from pipeline.export.folder import MODEL_FILE
from pipeline.paths import Project
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.trial import Trial
from pipeline.tracking import aliases, reader, registry


def register(stored: StoredStudy, champion: Trial, found: Mapping[str, Any], folder: Path) -> str:
    """Sees to it that an exported model is a registered version with the alias `champion`.

    One that is registered already has its tags brought up to date. One that was rolled back from
    does not get the alias again.

    Args:
        stored: the study.
        champion: its best trial.
        found: what the export has written to `metrics.json`.
        folder: of the export, which is whole.

    Returns:
        A line that says what was done; "" if that was the champion before.

    Raises:
        PipelineError: MLflow does not take it.
    """
    project, study = stored.project, stored.spec.name
    file = project.mlflow_uri.file
    if project.mlflow_uri.missing_file:
        return ""  # and so there is no model either: nothing is made for this alone
    if file and not snapshot.is_writable(file):
        return "not registered: MLflow's store is read-only for this user"
    which, tags, task = _which(stored, champion, found), _tags(stored, found), stored.spec.task
    try:
        with reader.opened(project) as client:
            known = aliases.find(client, study)
            same = aliases.versions_of_model(client, study, champion.run_id, which)
            is_champion = known is not None and known.version in [each.version for each in same]
            if known is not None and is_champion:
                same = [known]
            for each in same[:1]:
                registry.tell(client, study, each.version, champion.run_id, task, tags)
            if is_champion:
                return ""
            if said := aliases.rollback_of(client, study, champion.run_id, which):
                return said
            if same:
                aliases.promote(client, study, same[0].version)
            else:
                _publish(stored, champion, client, {**which, **tags}, folder)
            now = aliases.find(client, study)
    except PipelineError as error:
        raise PipelineError(f"it is exported, but not registered: {error}") from None
    assert now is not None
    return f"{_name(study, aliases.CHAMPION)} is version {now.version} now"


def roll_back(project: Project, study: str) -> dict[str, dict[str, str]]:
    """Swaps the aliases `champion` and `previous`; twice is where it started.

    Args:
        project: in whose store the model is registered.
        study: name of the study, and so of the registered model.

    Returns:
        By alias, of its version now: `version`, `model`, which says what it is, and its tags.

    Raises:
        PipelineError: there is no version to go back to, or MLflow does not take it.
    """
    snapshot.refuse_unless_writable(project.mlflow_uri, "a rollback moves aliases there")
    found = None
    if not project.mlflow_uri.missing_file:
        with reader.opened(project) as client:
            found = aliases.roll_back(client, study)
    if found is None:
        raise PipelineError(
            f"{_name(study, aliases.PREVIOUS)}: there is no such version to roll back to; one "
            "gets that alias when another becomes the champion"
        )
    return {
        alias: {
            "version": str(each.version),
            "model": aliases.describe(each),
            aliases.RUN: aliases.run_of(each),
            **each.tags,
        }
        for alias, each in zip((aliases.CHAMPION, aliases.PREVIOUS), found, strict=True)
    }


def rollback_text(study: str, found: Mapping[str, Mapping[str, str]]) -> str:
    """Shows what `roll_back` returned."""
    lines = [
        f"{_name(study, alias)} is version {each['version']} now: {each['model']}"
        for alias, each in found.items()
    ]
    return "\n".join(lines)


def _name(study: str, alias: str) -> str:
    return f"models:/{study}@{alias}"


def _which(stored: StoredStudy, champion: Trial, found: Mapping[str, Any]) -> dict[str, str]:
    """Tags of what is another model than that of the champion's run."""
    if picks := found.get("ensemble"):
        return {
            aliases.ENSEMBLE: json.dumps({str(each["trial"]): each["picks"] for each in picks})
        }
    if "refit" not in found:
        return {}
    epochs = found["refit"]["epochs"]
    look = study_store.last_look(stored.study, champion.number, refit=epochs) or {}
    return {aliases.REFIT: str(epochs), aliases.WEIGHTS: str(look.get("weights"))}


def _tags(stored: StoredStudy, found: Mapping[str, Any]) -> dict[str, str]:
    """Tags that the run of the trial does not tell: what the test set has told, above all."""
    test = found["test"] or {}
    tags = {
        f"test_{metric.quantity}": aliases.show(test[metric.quantity])
        for metric in stored.spec.task.objectives
        if test.get(metric.quantity) is not None
    }
    metric = stored.spec.objective
    interval = found["validation"].get(f"{metric.quantity}_95")
    if interval and "ensemble" not in found:
        tags[aliases.INTERVAL] = f"{metric.show(interval[0])} to {metric.show(interval[1])}"
    if "gain" in found:
        tags[f"best_{found['gain']['of']}"] = aliases.show(found["gain"]["ensemble"])
    return tags


def _publish(
    stored: StoredStudy, champion: Trial, client: Any, tags: Mapping[str, str], folder: Path
) -> None:
    spec, run = stored.spec, champion.run_id
    if aliases.REFIT in tags or aliases.ENSEMBLE in tags:
        tags = {**tags, aliases.RUN: run}
        role = aliases.REFIT if aliases.REFIT in tags else aliases.ENSEMBLE
        run = registry.store_apart(client, champion.run_id, role, folder / MODEL_FILE)
    dialect = datasets.dialect(spec.data_spec)
    arguments = (spec.name, run, champion.best_epoch, spec.task, dialect)
    with contextlib.redirect_stderr(io.StringIO()):  # MLflow tells of each version that it makes
        registry.publish_champion(stored.project.mlflow_uri, *arguments, tags)
