"""Which version of a study's registered model is the champion, which was before, and what is told.

MLflow takes one write at a time. After a kill between any two of them `champion` is on a whole
version, and the same command, given again, goes on to its end.
"""

import json
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.escaping import for_tag
from pipeline.wording import count_noun

CHAMPION, PREVIOUS = "champion", "previous"
# Tags of a version. Without `refit` and `ensemble` it is the very model of its trial.
RUN, TRIAL, REFIT, ENSEMBLE, WEIGHTS = "run_id", "trial", "refit", "ensemble", "weights"
FINALS = "finals"
INTERVAL = "interval_95"  # of the best value, from validation examples: "0.8955 to 0.9077"
ROLLED_BACK = "rolled_back"  # number of the version that took this one's place
_OF_RUN = (TRIAL, "git_commit", "data_fingerprint")
_BEST = "best_"  # begins metrics of the trial as a whole
_WHICH = (REFIT, ENSEMBLE, WEIGHTS)
# What MLflow says where there is no such model, version or alias.
_NO_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def find(client: MlflowClient, study: str, alias: str = CHAMPION) -> ModelVersion | None:
    """Finds the version that bears an alias; None if there is none.

    Raises:
        MlflowException: MLflow is out of reach.
    """
    try:
        return client.get_model_version_by_alias(study, alias)
    except MlflowException as error:
        if error.error_code not in _NO_SUCH:
            raise
        return None


def champion_run(client: MlflowClient, study: str) -> str | None:
    """Finds the run of the trial whose model bears the alias `champion`; None if there is none.

    Raises:
        MlflowException: MLflow is out of reach.
    """
    found = find(client, study)
    return run_of(found) if found else None


def champion_version(client: MlflowClient, study: str) -> str | None:
    """Finds the number of the version that bears the alias `champion`; None if there is none.

    Raises:
        MlflowException: MLflow is out of reach.
    """
    found = find(client, study)
    return str(found.version) if found else None


def run_of(version: ModelVersion) -> str:
    """Names the run of a version's trial, which is not the version's own if it was refitted."""
    return str(version.tags.get(RUN) or version.run_id)


def versions_of_model(
    client: MlflowClient, study: str, run: str, which: Mapping[str, str]
) -> list[ModelVersion]:
    """Lists the versions that are one model, the latest first.

    Args:
        client: of the store.
        study: name of the study, and so of the registered model.
        run: of the model's trial.
        which: tags `refit`, `ensemble` and `weights`; empty of the very model of the trial.
    """
    found = client.search_model_versions(f"name = '{study}'")
    wanted = (run, *(which.get(tag) for tag in _WHICH))
    same = [each for each in found if _identity(each) == wanted]
    return sorted(same, key=lambda each: int(each.version), reverse=True)


def rollback_of(client: MlflowClient, study: str, run: str, which: Mapping[str, str]) -> str:
    """Says that somebody has taken back the alias from a model; "" if nobody has.

    Arguments are those of `versions_of_model`.
    """
    if not any(ROLLED_BACK in each.tags for each in versions_of_model(client, study, run, which)):
        return ""
    return (
        f"models:/{study}@{CHAMPION} stays as it was rolled back; to take that back: "
        f".venv/bin/python -m pipeline.best {study} --rollback"
    )


def tag_version(
    client: MlflowClient, study: str, version: str, run: str, more: Mapping[str, str]
) -> None:
    """Tags a version with what its trial's run tells; tags that it has are brought up to date.

    Args:
        client: of the store.
        study: name of the study, and so of the registered model.
        version: number of the version.
        run: of the trial; is read.
        more: further tags, which go before those that are read.
    """
    for key, value in {**_tags(client, study, run), **more}.items():
        client.set_model_version_tag(study, version, key, for_tag(value))


def describe(version: ModelVersion) -> str:
    """Says in a line which model a version is, by its tags; an older one has none."""
    tags = version.tags
    if TRIAL not in tags:
        return f"the model of run {run_of(version)}"
    known = [key for key in tags if key.startswith(_BEST) and key != "best_epoch"]
    value = f" ({known[0].removeprefix(_BEST)} {float(tags[known[0]]):.5g})" if known else ""
    if ENSEMBLE in tags:
        return f"an ensemble of {count_noun(len(json.loads(tags[ENSEMBLE])), 'network')}{value}"
    again = ""
    if REFIT in tags:
        epochs = count_noun(int(tags[REFIT]), "epoch")
        again = f", trained again for {epochs} on all but the test set"
    return f"trial {tags[TRIAL]}{value}{again}"


def promote(client: MlflowClient, study: str, version: str) -> None:
    """Gives a version the alias `champion`, and `previous` to the one that has it now.

    The latter first: in between both are on the same version, and nothing is lost. A version of
    the same model, which takes the place of one that is damaged, leaves `previous` where it is.

    Args:
        client: of the store.
        study: name of the study, and so of the registered model.
        version: number of the version.
    """
    before, new = find(client, study), client.get_model_version(study, version)
    if before and _identity(before) != _identity(new):
        client.set_registered_model_alias(study, PREVIOUS, before.version)
    which = {tag: new.tags[tag] for tag in _WHICH if tag in new.tags}
    for each in versions_of_model(client, study, run_of(new), which):
        _forget_rollback(client, study, each)
    client.set_registered_model_alias(study, CHAMPION, version)


def roll_back(client: MlflowClient, study: str) -> tuple[ModelVersion, ModelVersion] | None:
    """Swaps the aliases `champion` and `previous`; twice is where it started.

    The tag `rolled_back` comes first: it says to whom, so that neither a search nor the doctor
    takes the alias back, and what is left to do if both aliases are found on one version.

    Args:
        client: of the store.
        study: name of the study, and so of the registered model.

    Returns:
        The champion and the one before it, as they are now; None, and nothing is written, if
        there was no version before.
    """
    old, new = find(client, study), find(client, study, PREVIOUS)
    if not old or not new:
        return None
    if old.version == new.version:  # a kill came between the two aliases
        unfinished = _rolled_back_to(client, study, new)
        if unfinished is None:
            return None
        old = unfinished
    elif new.tags.get(ROLLED_BACK) != str(old.version):  # else this undoes an earlier one
        client.set_model_version_tag(study, old.version, ROLLED_BACK, str(new.version))
    client.set_registered_model_alias(study, CHAMPION, new.version)
    client.set_registered_model_alias(study, PREVIOUS, old.version)
    _forget_rollback(client, study, new)
    champion, previous = (client.get_model_version(study, v.version) for v in (new, old))
    return champion, previous


def _rolled_back_to(client: MlflowClient, study: str, new: ModelVersion) -> ModelVersion | None:
    """Finds the version whose place another has taken, though `previous` is not on it yet."""
    if taken := new.tags.get(ROLLED_BACK):  # an undoing was not finished
        return client.get_model_version(study, taken)
    found = client.search_model_versions(f"name = '{study}'")
    left = [each for each in found if each.tags.get(ROLLED_BACK) == str(new.version)]
    return max(left, key=lambda each: int(each.version), default=None)


def _forget_rollback(client: MlflowClient, study: str, version: ModelVersion) -> None:
    if ROLLED_BACK in version.tags:
        client.delete_model_version_tag(study, version.version, ROLLED_BACK)


def _identity(version: ModelVersion) -> tuple[str | None, ...]:
    """Says which model a version is, whatever its number."""
    return (run_of(version), *(version.tags.get(tag) for tag in _WHICH))


def show(value: float) -> str:
    """Spells a number as a tag, with all its digits; whole ones without a point."""
    return repr(float(value)).removesuffix(".0")


def _tags(client: MlflowClient, study: str, run: str) -> dict[str, str]:
    found = client.get_run(run)
    tags, metrics = found.data.tags, found.data.metrics
    first = tags.get("final_of") or tags.get(TRIAL, "")
    finals: list[Any] = []
    if first:
        of_network = f"tags.final_of = '{first}' and attributes.status = 'FINISHED'"
        finals = client.search_runs([found.info.experiment_id], of_network)
    return {
        "study": study,
        RUN: run,
        **{key: tags[key] for key in _OF_RUN if key in tags},
        **{key: show(metrics[key]) for key in metrics if key.startswith(_BEST)},
        FINALS: str(len(finals)),
    }
