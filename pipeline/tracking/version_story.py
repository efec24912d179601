"""What MLflow's UI says of a registered model and of each version, whoever makes one."""

import json
from collections.abc import Mapping

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from pipeline.data import pixels
from pipeline.escaping import for_code, for_markdown
from pipeline.task.task import Task
from pipeline.tracking import aliases, orphans, view

NOTE = "mlflow.note.content"  # tag that the UI shows as a description, in Markdown
VERDICT = "verdict"  # tag of the study's run, in Markdown
MOST_SAID = 4000  # characters in the description of a version, of which MLflow takes 5,000
_NOT_SEARCHED = ("seed", "dataset")  # parameters of a run


def describe(client: mlflow.MlflowClient, study: str, version: str, task: Task) -> None:
    """Says of a version which model it is, what it is worth, how it is loaded, what is known.

    And of the registered model what the study says, if nothing is said of it yet.

    Args:
        client: of the store.
        study: name of the study, and so of the registered model.
        version: its number; it has its tags.
        task: what the model has learned.

    Raises:
        MlflowException, OSError: MLflow is out of reach.
    """
    found = client.get_model_version(study, version)
    run = client.get_run(aliases.run_of(found))
    experiment = run.info.experiment_id
    own = orphans.find_study_run(client, experiment)
    lines = [
        f"**Version {version} of {for_markdown(study)}: {aliases.describe(found)}.**"
        f"{_interval(found.tags)} "
        f"[Its run]({view.run_link(experiment, run.info.run_id)}).",
        *_test(found.tags),
        _network(found.tags, run),
    ]
    if own and VERDICT in own.data.tags:
        report = view.report_link(experiment, own.info.run_id)
        lines.append(
            f"The study's verdict: {own.data.tags[VERDICT]} See [the whole report]({report})."
        )
    elif own:
        link = view.run_link(experiment, own.info.run_id)
        lines.append(f"The [study's own run]({link}) has the report once the search has ended.")
    lines += [how_to_load(f"models:/{study}/{version}"), f"Takes {takes(task)}"]
    about = "\n\n".join(line for line in lines if line)
    if len(about) > MOST_SAID:
        about = f"{about[:MOST_SAID]} ..."
    client.update_model_version(study, version, about)
    if own and not client.get_registered_model(study).description:
        told = own.data.tags.get(NOTE, "")
        load = how_to_load(f"models:/{study}@{aliases.CHAMPION}")
        describe_model(client, study, told if load in told else f"{told}\n\n{load}".lstrip())


def describe_model(client: mlflow.MlflowClient, study: str, text: str) -> None:
    """Describes a registered model, if there is one.

    Raises:
        MlflowException, OSError: MLflow is out of reach.
    """
    try:
        client.update_registered_model(study, text)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def how_to_load(uri: str) -> str:
    """Says in Markdown how a registered model is loaded."""
    return (
        "Loaded in the project's folder, or with the address of this server as tracking URI:\n\n"
        "```python\n"
        "import mlflow\n\n"
        'mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")\n'
        f'model = mlflow.pyfunc.load_model("{uri}")\n'
        "```"
    )


def takes(task: Task) -> str:
    """Says what a model is given."""
    if task.features is None and task.input_dtype == "uint8":
        return f"{pixels.RANGE}. {pixels.CARE}"
    if task.features is None or not task.features.inputs:
        return "raw values"
    kinds = {"number": "number", "category": "text"}
    columns = ", ".join(
        f"{column.name} ({kinds.get(column.kind) or f'date, {column.date_format}'})"
        for column in task.features.inputs
    )
    return f"raw columns: {columns}"


def _interval(tags: Mapping[str, str]) -> str:
    known = tags.get(aliases.INTERVAL)
    return f" 95 % interval of that value: {known}, from validation examples." if known else ""


def _test(tags: Mapping[str, str]) -> list[str]:
    """What the test set has told, if somebody has looked."""
    known = {key.removeprefix("test_"): tags[key] for key in tags if key.startswith("test_")}
    told = ", ".join(f"{name} {float(value):.5g}" for name, value in known.items())
    return [f"On the test set: {told}."] if told else []


def _network(tags: Mapping[str, str], run: Run) -> str:
    """Hyperparameters of a version's network; of an ensemble which trials are in it."""
    if aliases.ENSEMBLE in tags:
        picks = json.loads(tags[aliases.ENSEMBLE])
        trials = ", ".join(
            f"trial {key} ({n} of {sum(picks.values())})" for key, n in picks.items()
        )
        return f"The mean answer of {trials}."
    known = {key: each for key, each in run.data.params.items() if key not in _NOT_SEARCHED}
    shown = ", ".join(f"{for_code(key)} {for_markdown(known[key])}" for key in sorted(known))
    return f"Hyperparameters: {shown}." if known else ""
