"""Networks found for real tables, against gradient-boosted trees at their defaults.

The study file is the one that `pipeline.new` writes; the search, and the export that opens the
test set, are the commands. Trees are fitted to the rows that the network was trained on: the
training part, or with folds all rows but the test rows. Both answer the same sealed test rows.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import projects, real_tables, results
from benchmarks.results import Section
from pipeline.evaluation.selection import N_DRAWS, paired_difference
from pipeline.report.document import Items, Paragraph, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.study.spec import StudySpec
    from pipeline.task.task import Task

SHORT, MINUTES, MINUTES_FULL = ("concrete", "jobs"), 1.0, 10.0
NEAR = 0.02  # relative to the trees' value
GOAL_AS_GOOD, GOAL_NEAR = 0.6, 0.9


@dataclass(frozen=True)
class Compared:
    """A table, and how good a network and trees are on its test rows.

    Attributes:
        table: its name.
        n_rows: of all parts.
        n_test: rows on which both were compared.
        kind: of task.
        metric: that the study optimized, in words.
        is_better_high: which way it gets better.
        network: its value of the network.
        trees: that of the trees.
        low: of the 95 % interval of the first less the second.
        high: of it.
        n_trials: that the search finished.
        hyperparameters: of the network, in a line.
    """

    table: str
    n_rows: int
    n_test: int
    kind: str
    metric: str
    is_better_high: bool
    network: float
    trees: float
    low: float
    high: float
    n_trials: int
    hyperparameters: str

    @property
    def ahead(self) -> float:
        """By how much the network is better, relative to the trees' value."""
        difference = self.network - self.trees
        return (difference if self.is_better_high else -difference) / abs(self.trees)

    @property
    def verdict(self) -> str:
        """What the interval says of it."""
        if self.low <= 0 <= self.high:
            return "none is better"
        return "network" if self.ahead > 0 else "trees"


def measure(full: bool) -> Section:
    """Two small tables, a minute each; in full all of them, ten minutes each."""
    names, minutes = (tuple(real_tables.TABLES), MINUTES_FULL) if full else (SHORT, MINUTES)
    found = [compare(name, "--minutes", f"{minutes:g}") for name in names]
    return section(found, minutes)


def section(found: Sequence[Compared], minutes: float) -> Section:
    """Says what was found."""
    n_as_good = sum(each.ahead >= 0 for each in found)
    n_near = sum(each.ahead >= -NEAR for each in found)
    n = len(found)
    return Section(
        "Tables",
        [
            Paragraph(
                f"The network that {minutes:g} minutes of search found, with the study file that "
                "`pipeline.new` wrote, against scikit-learn's gradient-boosted trees at their "
                "defaults, on the sealed test rows of the same split. Tables are R's and "
                "scikit-learn's (`benchmarks/real_tables.py`); of less than 6,000 rows the "
                "network is the mean of five, one for each fold. The difference is the network's "
                f"value less that of the trees, with the 95 % interval of {N_DRAWS:,} bootstrap "
                "draws of the test rows, both models answering the same rows; who is better, is "
                "said only if the interval leaves out 0. Ahead: by how much of the trees' value "
                "the network's is the better one."
            ),
            Table(
                ["table", "rows", "task", "metric", "network", "trees", "difference", "ahead",
                 "better"],
                [_row(each) for each in found],
            ),
            Items(
                [
                    f"at least as good as trees: {n_as_good} of {n} (goal: {GOAL_AS_GOOD:.0%})",
                    f"within {NEAR:.0%} or better: {n_near} of {n} (goal: {GOAL_NEAR:.0%})",
                ]
            ),
            Table(["table", "trials", "network"],
                  [[each.table, str(each.n_trials), each.hyperparameters] for each in found]),
        ],
    )  # fmt: skip


def _row(of: Compared) -> list[str]:
    return [
        of.table,
        f"{of.n_rows:,}",
        of.kind,
        of.metric,
        _number(of.network),
        _number(of.trees),
        f"{_number(of.network - of.trees)} ({_number(of.low)} to {_number(of.high)})",
        f"{of.ahead:+.1%}",
        of.verdict,
    ]


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def compare(name: str, *budget: str) -> Compared:
    """Searches in a project of its own, and compares on its test rows.

    Args:
        name: of the table.
        budget: arguments of `pipeline.search`.
    """
    table = real_tables.TABLES[name]
    with projects.fresh() as folder:
        data = name
        if table.package:
            data = str(real_tables.write(name, folder / "data").relative_to(folder))
        target = ["--target", table.target] if table.target else []
        study = f"{name}_network"  # also where this repository has a study of the table's name
        for command in (
            ["-m", "pipeline.new", study, "--data", data, *target],
            ["-m", "pipeline.search", study, *budget],
            ["-m", "pipeline.best", study, "--export", "--only-keras"],
        ):
            _run(folder, command)
        code = "import sys; from benchmarks import tables; tables.score(*sys.argv[1:])"
        found = json.loads(_run(folder, ["-c", code, study]))
    return Compared(table=name, **found)


def _run(folder: Path, arguments: list[str]) -> str:
    """Runs Python in a project; returns what it said, and ends the benchmark if it failed."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=projects.environment() | {"PIPELINE_DATA_DIR": str(folder / "cache")},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return ran.stdout


def score(study: str) -> None:
    """Prints as JSON what `Compared` says of an exported study; the project is this folder."""
    import numpy as np

    from pipeline.data import datasets
    from pipeline.environment import hide_gpus, import_keras
    from pipeline.export import scores
    from pipeline.paths import Project
    from pipeline.storage.studies import stored_study

    hide_gpus()
    import_keras()
    import keras

    stored = stored_study(Project.here(), study)
    spec = stored.spec
    task, examples = spec.task, datasets.open_test_set(spec.data_spec)
    model = keras.saving.load_model(Project.here().export_dir(study) / "model.keras")
    metrics = json.loads((Project.here().export_dir(study) / "metrics.json").read_text())
    network, trees = scores.answer(model, examples), _answers_of_trees(spec)
    metric = task.score

    def value_of(answers: "NDArray[Any]", weights: "NDArray[Any] | None" = None) -> float:
        return scores.value_of(metric, task, answers, [examples], weights)

    value, exported = value_of(network), metrics["test"][metric.quantity]
    assert np.isclose(value, exported, rtol=1e-4), f"{value}, exported: {exported}"
    difference = paired_difference(value_of, network, trees, examples.weights)
    found = {
        "n_rows": task.n_examples,
        "n_test": len(examples.targets),
        "kind": _kind(task),
        "metric": metric.noun,
        "is_better_high": metric.direction == "maximize",
        "network": value,
        "trees": value_of(trees),
        "low": difference.low,
        "high": difference.high,
        "n_trials": sum(trial.state.is_finished() for trial in stored.study.trials),
        "hyperparameters": str(_champion(stored).hyperparameters),
    }
    print(json.dumps(found))


def _kind(task: "Task") -> str:
    return "regression" if task.is_regression else f"{len(task.class_names)} classes"


def _champion(stored: Any) -> Any:
    from pipeline.storage import study_store

    return study_store.champion(stored.study)


def _answers_of_trees(spec: "StudySpec") -> "NDArray[np.float64]":
    """Fits trees to the training part, with folds to all of it; returns answers to the test."""
    import numpy as np

    from pipeline.preparation import building, cache
    from pipeline.preparation.materials import material_of
    from pipeline.study.trainers import GRADIENT_BOOSTING
    from pipeline.task.dataset import Dataset
    from pipeline.task.scoring import restore
    from pipeline.task.source import DataSpec
    from pipeline.training import simple_models

    entry = cache.prepare(spec.data_spec).folder
    # in the target's own units, whatever suits the network: at their defaults
    settings = spec.data.model_copy(update={"target_transform": "none"})
    data = DataSpec.of(spec.data_spec.dataset, spec.target, settings)
    material = material_of(building.read(data), data)
    test = np.load(entry / "rows.npy")
    others = [test] if spec.data.folds else [test, np.load(entry / "0" / "rows.npy")]
    training = np.setdiff1d(np.arange(material.n_rows), np.concatenate(others))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        task = building.build_member(material, spec.task, data, training, test, path)
        rows = Dataset(name="", task=task, fingerprint="", **cache.arrays_in(path))
        found = simple_models.answers(GRADIENT_BOOSTING, rows, spec.seed)
    if task.is_regression:
        return restore(task.target, found)[:, None]
    return found[:, 1:] if found.shape[1] == 2 else found


if __name__ == "__main__":
    sys.exit(results.main(measure, "tables"))
