"""How runs of trials are called: what MLflow's UI shows first of each, in every list."""

from collections.abc import Mapping

import mlflow
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

_STATES = {
    "PAUSED": "paused",
    "PRUNED": "pruned",
    "FAIL": "failed",
}  # of the others nothing is said


def name_of(tags: Mapping[str, str]) -> str:
    """Names the run of a trial: "trial 0077: final of 0063, failed".

    Args:
        tags: of the run; `trial` is one of them.
    """
    said = []
    if first := tags.get("final_of"):
        said.append(f"final of {_number(first)}")
    elif "reference" in tags:
        said.append("reference")
    state = _STATES.get(tags.get("state", ""), "")
    if state and "interrupted" in tags:
        state = "interrupted"
    if state and "retried" in tags:
        state += ", tried again"
    said += [state] if state else []
    name = f"trial {_number(tags['trial'])}"
    return f"{name}: {', '.join(said)}" if said else name


def rename(client: mlflow.MlflowClient, run: str) -> None:
    """Gives a trial's run the name that goes with its tags; a second time changes nothing.

    Raises:
        MlflowException, OSError: MLflow is out of reach, or has no such run.
    """
    found = client.get_run(run)
    if "trial" in found.data.tags and found.info.run_name != name_of(found.data.tags):
        client.set_tag(run, MLFLOW_RUN_NAME, name_of(found.data.tags))


def _number(text: str) -> str:
    return f"{int(text):04d}"
