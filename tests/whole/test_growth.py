"""The stores that `benchmarks/growth.py` measures are those that a search would have left."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
import small

from benchmarks import copies, growth
from pipeline.paths import DEFAULT_STUDY, Project
from pipeline.storage import studies, study_store
from pipeline.tracking.delivery import open_client

N, N_COPIES = 4, 2


@pytest.fixture
def grown(project_with_mlflow: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, list[float]]:
    """What a search of `N` trials cost; then each is in the stores with its copies."""
    studies = project_with_mlflow / "studies"
    studies.mkdir()
    (studies / f"{DEFAULT_STUDY}.toml").write_text(small.STUDY)
    growth.go_on(N)
    found: dict[str, list[float]] = json.loads(capsys.readouterr().out)
    copies.add(Project(project_with_mlflow), N_COPIES)
    return found


def test_copies_are_trials_and_runs_like_any_other(
    grown: dict[str, list[float]], project_folder: Path
) -> None:
    assert {name: len(grown[name]) for name in growth.STEPS} == {
        "ask, draw, start": N,
        "... of it MLflow": N,
        "report": 3 * N,
        "prune?": 3 * N,
        "tell": N,
    }
    project = Project(project_folder)
    study = studies.stored_study(project, DEFAULT_STUDY).study
    known = study_store.read_trials(study)
    assert [trial.number for trial in known] == list(range(N * (1 + N_COPIES)))
    assert len({trial.run_id for trial in known}) == len(known)
    client = open_client(project.mlflow_uri)
    for trial in known:
        first, run = known[trial.number % N], client.get_run(trial.run_id)
        assert (trial.value, trial.hyperparameters, trial.history) == (
            first.value, first.hyperparameters, first.history,
        )  # fmt: skip
        original = client.get_run(first.run_id)
        assert run.data.tags["trial"] == str(trial.number)
        assert {**run.data.tags, "trial": ""} == {**original.data.tags, "trial": ""}
        assert run.data.params == original.data.params
        assert run.data.metrics == original.data.metrics
        assert len(client.get_metric_history(trial.run_id, "val_accuracy")) == 3
    with contextlib.closing(sqlite3.connect(project.runs_dir / "mlflow.db")) as database:
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_search_goes_on_from_copies(grown: dict[str, list[float]], project_folder: Path) -> None:
    growth.go_on(2)
    study = studies.stored_study(Project(project_folder), DEFAULT_STUDY).study
    assert len(study_store.read_trials(study)) == N * (1 + N_COPIES) + 2
