"""A look at the test set is recorded wherever it can be, and told to MLflow when that answers.

The model is played; Optuna's and MLflow's stores are real.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small

from benchmarks.growth import Playback
from pipeline.data import datasets
from pipeline.errors import PipelineError, run_command
from pipeline.execution import local
from pipeline.export import scores, test_looks
from pipeline.export.test_looks import Scored
from pipeline.names import DETAILS_FILE
from pipeline.paths import Project
from pipeline.search import __main__ as search_command
from pipeline.storage import studies, study_store
from pipeline.storage.studies import StoredStudy
from pipeline.task.source import Examples
from pipeline.tracking import looks, reader

TEN = Examples(np.zeros((10, 28, 28), np.uint8), np.arange(10, dtype=np.uint8))


@pytest.fixture
def stored(project_with_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> StoredStudy:
    """A searched study whose every network answers the second class."""
    monkeypatch.setattr(datasets, "fetch", lambda _: None)
    monkeypatch.setattr(datasets, "open_test_set", lambda _: TEN)
    monkeypatch.setattr(local, "LocalExecutor", lambda *_, **__: Playback())
    monkeypatch.setattr(scores, "answer", lambda *_: np.eye(10)[[1] * 10])
    (project_with_mlflow / "studies").mkdir()
    (project_with_mlflow / "studies" / f"{small.NAME}.toml").write_text(small.STUDY)
    monkeypatch.setattr(sys, "argv", ["search", small.NAME])
    assert run_command(search_command.main) == 0
    return studies.stored_study(Project(project_with_mlflow), small.NAME)


def runs(stored: StoredStudy) -> dict[str, Any]:
    """Tags and metrics by trial; "" is the study's own run."""
    with reader.opened(stored.project) as client:
        experiment = client.get_experiment_by_name(small.NAME)
        found = client.search_runs([experiment.experiment_id])
    return {each.data.tags.get("trial", ""): each for each in found}


def listed(stored: StoredStudy) -> list[dict[str, Any]]:
    """The looks as the study's run lists them."""
    (file,) = stored.project.root.rglob(looks.LIST_ARTIFACT)
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found


def test_a_look_is_told_with_who_asked(stored: StoredStudy, tmp_path: Path) -> None:
    model: Any = None
    test_looks.look(stored, Scored(1), model, "best --export --json", tmp_path / "details")
    (look,) = study_store.test_looks(stored.study)
    assert (look["command"], look["accuracy"], look["n_examples"]) == (
        "best --export --json", 0.1, 10,
    )  # fmt: skip
    found = runs(stored)
    assert found["1"].data.metrics["test_accuracy"] == 0.1
    assert found["1"].data.tags["test_looks"] == found[""].data.tags["test_looks"] == "1"
    assert "test_looks" not in found["0"].data.tags
    assert listed(stored) == [look]


def test_details_come_back(stored: StoredStudy, tmp_path: Path) -> None:
    model: Any = None
    assert not test_looks.fetch_details(stored, Scored(1), tmp_path / "none")
    test_looks.look(stored, Scored(1), model, "best --export", tmp_path / "details")
    assert test_looks.fetch_details(stored, Scored(1), tmp_path / "again")
    assert not test_looks.fetch_details(stored, Scored(2), tmp_path / "none")
    written = {path.name: path.read_bytes() for path in (tmp_path / "details").iterdir()}
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert DETAILS_FILE in written
    assert written == fetched
    assert json.loads(written[DETAILS_FILE])["classes"][1]["recall"] == 1


def test_of_a_look_of_an_older_version_nothing_comes_back(
    stored: StoredStudy, tmp_path: Path
) -> None:
    look = {"when": "2026-03-02 10:30:00+00:00", "trial": 1, "accuracy": 0.9, "n_examples": 10}
    stored.study.set_user_attr(study_store.TEST_LOOKS, [look])
    assert Scored(1).look(stored.study) == look
    assert not test_looks.fetch_details(stored, Scored(1), tmp_path / "details")


def test_a_look_that_breaks_off_is_told_before(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    model: Any = None
    monkeypatch.setattr(datasets, "open_test_set", fail)
    with pytest.raises(KeyboardInterrupt):
        test_looks.look(stored, Scored(1), model, "best --export", tmp_path / "details")
    assert listed(stored) == study_store.test_looks(stored.study)
    assert [each["accuracy"] for each in listed(stored)] == [None]
    assert runs(stored)["1"].data.tags["test_looks"] == "1"
    assert "test_accuracy" not in runs(stored)["1"].data.metrics


def test_what_mlflow_missed_is_told_by_the_next(
    stored: StoredStudy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model: Any = None
    store, away = stored.project.runs_dir / "mlflow.db", tmp_path / "away.db"
    shutil.move(store, away)
    test_looks.look(stored, Scored(1), model, "best --export", tmp_path / "details")
    assert (tmp_path / "details" / DETAILS_FILE).exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    (said,) = lines
    assert "MLflow's store" in said
    assert "the next export tells it" in said
    assert len(study_store.test_looks(stored.study)) == 1
    shutil.move(away, store)
    test_looks.look(stored, Scored(2), model, "best --export", tmp_path / "more")
    assert capsys.readouterr().err == ""
    assert len(listed(stored)) == 2
    assert runs(stored)["1"].data.metrics["test_accuracy"] == 0.1


def test_models_of_a_trial_are_told_apart(stored: StoredStudy, tmp_path: Path) -> None:
    model: Any = None
    kinds = (
        Scored(1),
        Scored(1, refit=7, weights="f" * 64),
        Scored(1, refit=7, weights="e" * 64),
        Scored(1, ensemble={"1": 2, "0": 1}),
    )
    for i, each in enumerate(kinds):
        assert each.look(stored.study) is None
        test_looks.look(stored, each, model, "best --export", tmp_path / str(i))
        assert each.look(stored.study)
    assert len({each.key for each in kinds}) == 4
    metrics = runs(stored)["1"].data.metrics
    assert {name for name in metrics if name.endswith("test_accuracy")} == {
        "test_accuracy", "refit_test_accuracy", "ensemble_test_accuracy",
    }  # fmt: skip
    assert runs(stored)["1"].data.tags["test_looks"] == "4"


def test_telling_twice_does_no_more_than_once(stored: StoredStudy, tmp_path: Path) -> None:
    model: Any = None
    test_looks.look(stored, Scored(1), model, "best --export", tmp_path / "details")
    assert test_looks.tell_mlflow(stored)
    with reader.opened(stored.project) as client:
        run = study_store.run_of(stored.study, 1)
        assert len(client.get_metric_history(run, "test_accuracy")) == 1


def test_a_deleted_run_keeps_no_other_from_being_told(stored: StoredStudy, tmp_path: Path) -> None:
    model: Any = None
    with reader.opened(stored.project) as client:
        client.delete_run(study_store.run_of(stored.study, 0))
    test_looks.look(stored, Scored(0), model, "best --export", tmp_path / "one")
    test_looks.look(stored, Scored(1), model, "best --export", tmp_path / "two")
    assert runs(stored)["1"].data.metrics["test_accuracy"] == 0.1


def test_inputs_come_without_the_answers(stored: StoredStudy) -> None:
    assert test_looks.test_inputs(stored) is TEN.inputs
    assert study_store.test_looks(stored.study) == []


def test_no_store_is_made_to_tell_a_look(stored: StoredStudy) -> None:
    store = stored.project.runs_dir / "mlflow.db"
    store.unlink()
    with pytest.raises(PipelineError, match="is not there"):
        looks.note_looks(stored.project, small.NAME, [], {})
    assert not store.exists()
