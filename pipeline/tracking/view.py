"""How MLflow's UI shows a study: all trials in one table, the best on top, with what was searched.

The UI keeps a view that somebody shares as a tag of the experiment, and a link names the tag's
key: https://mlflow.org/docs/latest/ml/tracking. Columns are named as its own links have them.
"""

import json
from collections.abc import Mapping, Sequence

from pipeline.study.ranges import Entry

KEY = "study"  # of the view of all trials
FINALS = "finals"  # of that of networks which were trained again, the runs of each together
PREFIX = "mlflow.sharedViewState."  # of the experiment's tags; a key goes behind it
TAG = f"{PREFIX}{KEY}"
REPORT = "report"  # folder of artifacts of the study's run
_OF_TRAINING = "workflowType=machine_learning"  # else the UI shows what is for language models
_MOST_COLUMNS = 100  # that are searched; MLflow takes a tag of 20,000 characters
_LAYERS_SHOWN = 2  # of what each layer has one of


def link(experiment: str, key: str = "") -> str:
    """Makes a link to a study's trials that works anywhere in the UI, as `run_link` does.

    Args:
        experiment: id of the study's.
        key: of the view; "" for none. The UI complains of a key that the experiment has no tag of.
    """
    shared = f"viewStateShareKey={key}&" if key else ""
    return f"#/experiments/{experiment}/runs?{shared}{_OF_TRAINING}"


def run_link(experiment: str, run: str, artifact: str = "") -> str:
    """Makes a link to a run, or to an artifact of it, that works anywhere in the UI."""
    path = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment}/runs/{run}{path}?{_OF_TRAINING}"


def report_link(experiment: str, run: str) -> str:
    """Makes a link to the report that a study's run keeps, as `run_link` does."""
    return run_link(experiment, run, f"{REPORT}/report.html")


def tags(
    metric: str, direction: str, space: Mapping[str, Entry], *, has_finals: bool = False
) -> dict[str, str]:
    """Describes the views of a study, as tags of its experiment.

    Args:
        metric: the study's, by whose best value trials are sorted.
        direction: "maximize" or "minimize".
        space: what is searched, a column each.
        has_finals: whether there are finals to be shown apart; trials are shown in any case.
    """
    best = f"metrics.`best_{metric}`"
    searched = [name for key, entry in space.items() for name in _columns(key, entry)]
    columns = [best, *(f"params.`{name}`" for name in searched[:_MOST_COLUMNS])]
    columns += [f"tags.`{name}`" for name in ("state", "reference", "final_of", "reason")]
    view = {
        # without the study's own run, below which they are folded
        "searchFilter": "tags.trial != ''",
        "orderByKey": best,
        "orderByAsc": direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "groupBy": None,
        "groupsExpanded": {},
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "autoRefreshEnabled": True,
    }
    found = {TAG: json.dumps(view)}
    if has_finals:
        by_network = {"mode": "tag", "groupByData": "final_of"}
        # Of each network without the run that it was chosen by, whose luck would be in the mean.
        view |= {"searchFilter": "tags.final_of != ''"}
        view |= {"groupBy": {"aggregateFunction": "average", "groupByKeys": [by_network]}}
        found[f"{PREFIX}{FINALS}"] = json.dumps(view)
    return found


def _columns(name: str, entry: Entry) -> Sequence[str]:
    if entry.per is None:
        return [name]
    return [f"{name}_{layer}" for layer in range(1, _LAYERS_SHOWN + 1)]
