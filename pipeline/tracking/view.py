"""How MLflow's UI shows a study: all trials in one table, the best on top, with what was searched.

The UI keeps a view that somebody shares as a tag of the experiment, and a link names the tag's
key: https://mlflow.org/docs/latest/ml/tracking. Columns are named as its own links have them.
"""

import json
from collections.abc import Mapping, Sequence

from pipeline.study.ranges import Entry

KEY = "study"
TAG = f"mlflow.sharedViewState.{KEY}"  # of the experiment
_OF_TRIALS = "tags.trial != ''"  # without the study's own run, below which they are folded
_LAYERS_SHOWN = 2  # of what each layer has one of


def link(experiment: str, *, has_view: bool) -> str:
    """Makes the part of a link behind the server's address: of a study's trials.

    Args:
        experiment: id of the study's.
        has_view: whether the experiment has the tag; without it the UI complains of the key.
    """
    key = f"viewStateShareKey={KEY}&" * has_view
    return f"/#/experiments/{experiment}/runs?{key}workflowType=machine_learning"


def state(metric: str, direction: str, space: Mapping[str, Entry]) -> str:
    """Describes the view, for the tag.

    Args:
        metric: the study's, by whose best value trials are sorted.
        direction: "maximize" or "minimize".
        space: what is searched, a column each.
    """
    best = f"metrics.`best_{metric}`"
    searched = [name for key, entry in space.items() for name in _columns(key, entry)]
    columns = [best, "tags.`state`", "metrics.`best_epoch`"]
    columns += [f"params.`{name}`" for name in searched]
    columns += [f"tags.`{name}`" for name in ("reference", "final_of", "reason")]
    return json.dumps({
        "searchFilter": _OF_TRIALS,
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
    })  # fmt: skip


def _columns(name: str, entry: Entry) -> Sequence[str]:
    if entry.per is None:
        return [name]
    return [f"{name}_{layer}" for layer in range(1, _LAYERS_SHOWN + 1)]
