"""A data set and a metric more, as docs/extending.md adds them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small
from extending import apply, copy_package, files_of

SCRIPT = """
import json, sys
from pathlib import Path
from pipeline.data import datasets
from pipeline.paths import Project
from pipeline.report import contents, document
from pipeline.report.summary import StudySummary, as_csv
from pipeline.search.dry_run import preview
from pipeline.study.assignment import Assignment
from pipeline.study.load import load
from pipeline.study.measures import MEASURES, measure
from pipeline.study.trial import State, Trial
from pipeline.training import loop
from pipeline.training.job import EpochEnd, Finished, Job

spec = load(Project(Path.cwd()), "./own.toml")
dry_run = preview(spec)
hyperparameters = spec.searched.corner(True)
epoch, finished = loop.train(Job.of(spec, 0, Assignment(hyperparameters, 1)))
history = {name: [value] for name, value in epoch.metrics.items()}
trial = Trial(0, State.COMPLETE, history[spec.metric][0], 1, hyperparameters, 1, history,
              n_parameters=epoch.n_parameters, scores=finished.scores)
n = datasets.n_validation_examples(spec.dataset)
summary = StudySummary(spec, [trial], 0, [trial], {}, [], 0.0, n, [], {"machine": "none"})
print(json.dumps({
    "dry_run": dry_run,
    "metrics": dict(epoch.metrics),
    "scores": dict(finished.scores),
    "has_model": epoch.model is not None,
    "n_parameters": epoch.n_parameters,
    "shapes": [datasets.load(spec.dataset).train_inputs.shape,
               datasets.load(spec.dataset).validation_inputs.shape,
               datasets.open_test_set(spec.dataset).inputs.shape],
    "report": document.as_markdown("", contents.blocks(summary)),
    "captions": [block.caption for block in contents.blocks(summary)
                 if isinstance(block, document.Figure)],
    "csv": as_csv(summary),
    "measures": {name: MEASURES[name].words for name in MEASURES if "error" in name},
    "last": measure("last_val_error", trial, spec.task),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with both examples in it, and a study that uses them."""
    folder = copy_package(tmp_path_factory.mktemp("extended"))
    for section in ("A data set", "A metric"):
        assert len(files_of(section)) == 1
        apply(section, folder)
    study = small.STUDY.replace('"fashion_mnist"', '"stripes"\nmetric = "val_error"')
    (folder / "own.toml").write_text(study.replace("epochs = 3", "epochs = 1"))
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PIPELINE_DATA_DIR": str(folder / "data")},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    ended = python(folder, "-c", SCRIPT)
    assert ended.returncode == 0, ended.stderr
    values: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return values


def test_the_data_set_is_split_and_trained_on(found: dict[str, Any]) -> None:
    assert found["shapes"] == [[160, 8, 8], [40, 8, 8], [50, 8, 8]]
    assert found["n_parameters"] == (64 + 1) * 50 + (50 + 1) * 3
    assert found["has_model"]


def test_the_dry_run_counts_its_parameters_and_says_the_direction(found: dict[str, Any]) -> None:
    assert "data      stripes, fingerprint 6b86b273ff34" in found["dry_run"]
    assert "metric    val_error, minimize" in found["dry_run"]
    assert "3,403 parameters" in found["dry_run"]


def test_the_metric_is_computed_of_either_part(found: dict[str, Any]) -> None:
    metrics, scores = found["metrics"], found["scores"]
    assert metrics["error"] == 1 - metrics["accuracy"]
    assert metrics["val_error"] == found["last"] == 1 - metrics["val_accuracy"]
    assert scores["train_error"] == 1 - scores["train_accuracy"]
    assert list(metrics) == [
        "loss", "accuracy", "error", "val_loss", "val_accuracy", "val_error",
        "learning_rate", "seconds",
    ]  # fmt: skip


def test_the_metric_is_in_the_report_and_among_the_measures(found: dict[str, Any]) -> None:
    value = f"{found['metrics']['val_error']:.4f}"
    assert f"| validation error | {value} |" in found["report"]
    assert any(each.startswith("Error of the champion.") for each in found["captions"])
    assert "| stripes, validation on 40 images" in found["report"].replace("data | ", "| ")
    assert "val_error" in found["csv"].splitlines()[0].split(",")
    assert found["measures"]["last_val_error"] == "validation error after the last epoch"


def test_a_study_file_is_held_against_both(folder: Path) -> None:
    text = (folder / "own.toml").read_text()
    for before, after, message in (
        (
            '"stripes"',
            '"mnist"',
            'dataset: found "mnist", allowed is "fashion_mnist", "stripes", ',
        ),
        ('"val_error"', '"errors"', "'val_accuracy' or 'val_loss' or 'val_error' or "),
    ):
        (folder / "wrong.toml").write_text(text.replace(before, after))
        ended = python(folder, "-m", "pipeline.search", "./wrong.toml", "--dry-run")
        assert ended.returncode == 2
        assert message in ended.stderr


def test_the_data_set_is_shown(folder: Path) -> None:
    ended = python(folder, "-m", "pipeline.data", "stripes")
    assert ended.returncode == 0, ended.stderr
    assert "stripes: 3 classes" in ended.stdout
    assert "test         50 images, sealed" in ended.stdout
