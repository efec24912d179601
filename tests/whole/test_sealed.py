"""Nothing but an export opens the test set: all else gets through while it cannot be opened.

That no other module names its loader is looked up in `test_architecture.py`.
"""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small
import sqlalchemy

from benchmarks.growth import Playback
from pipeline import best
from pipeline.data import datasets, pixels
from pipeline.doctor import __main__ as doctor_command
from pipeline.errors import run_command
from pipeline.execution import local
from pipeline.export import registration, scores, stored_model, test_looks
from pipeline.export.folder import CARD_FILE, FILES, PICTURES_FILE, ROWS_FILE, SCRIPT_FILE
from pipeline.formats import writing
from pipeline.paths import Project
from pipeline.predict import __main__ as predict_command
from pipeline.report import __main__ as report_command
from pipeline.search import __main__ as search_command
from pipeline.storage import studies, study_store
from pipeline.task.source import DataSpec, Examples
from pipeline.tracking import registry

TEN = Examples(np.zeros((10, 28, 28), np.uint8), np.zeros(10, np.uint8))


class Opened(BaseException):
    """The test set was opened; no `except Exception` hides it."""


@pytest.fixture
def searched(project_with_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project, its study searched by the command itself; curves are computed, as ever.

    From before the search on, whoever opens the test set comes to no good end.
    """

    def poison(*_: object) -> None:
        raise Opened

    monkeypatch.setattr(datasets, "open_test_set", poison)
    monkeypatch.setattr(datasets, "fetch", lambda _: None)
    monkeypatch.setattr(local, "LocalExecutor", lambda *_, **__: Playback())
    (project_with_mlflow / "studies").mkdir()
    (project_with_mlflow / "studies" / f"{small.NAME}.toml").write_text(small.STUDY)
    assert run(search_command.main, monkeypatch, small.NAME) == 0
    return Project(project_with_mlflow)


def run(main: Callable[[], int], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    return run_command(main)


COMMANDS = {
    "search, once more": (search_command.main, [small.NAME, "--trials", "4"]),
    "search, dry": (search_command.main, [small.NAME, "--dry-run"]),
    "report": (report_command.main, [small.NAME]),
    "best": (best.main, [small.NAME]),
    "best as JSON": (best.main, [small.NAME, "--json"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_all_but_an_export_do_without_the_test_set(
    command: str, searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, arguments = COMMANDS[command]
    assert run(main, monkeypatch, *arguments) == 0
    study = studies.stored_study(searched, small.NAME).study
    assert study_store.test_looks(study) == []


@pytest.mark.parametrize(("options", "code"), [([], 1), (["--fix"], 0)])
def test_the_doctor_does_without_the_test_set(
    options: list[str],
    code: int,
    searched: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has something to find, and to train again: computed curves have no real models."""
    assert run(doctor_command.main, monkeypatch, small.NAME, *options) == code
    assert "the models of trials 0, 1 and 2" in capsys.readouterr().out
    study = studies.stored_study(searched, small.NAME).study
    assert study_store.test_looks(study) == []


@pytest.fixture
def _loop(searched: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for TensorFlow: a model that scores what was recorded."""
    study = studies.stored_study(searched, small.NAME).study
    champion = study_store.champion(study)
    value = champion.history["val_accuracy"][champion.best_epoch - 1]
    means = {"loss": 0.3, "accuracy": value}
    model = SimpleNamespace(inputs=[SimpleNamespace(dtype="float32")])
    fake: Any = SimpleNamespace(from_bytes=lambda _: model, to_bytes=lambda _: b"a model")
    monkeypatch.setitem(sys.modules, "pipeline.training.loop", fake)
    monkeypatch.setattr("pipeline.training.loop", fake, raising=False)
    monkeypatch.setattr(registry, "load_model_bytes", lambda *_: b"a model")
    monkeypatch.setattr(stored_model, "import_keras", lambda: None)
    monkeypatch.setattr(pixels, "accept_any_scale", lambda model: model)
    examples = Examples(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8))
    monkeypatch.setattr(datasets, "validation_sets", lambda _: (examples,))
    monkeypatch.setattr(
        scores, "answer", lambda _, given: np.eye(10)[np.asarray(given.targets, int)]
    )
    monkeypatch.setattr(scores, "measure", lambda *_: means)
    monkeypatch.setattr(writing, "write_formats", lambda *_: {})
    monkeypatch.setattr(test_looks, "test_inputs", lambda _: TEN.inputs)
    monkeypatch.setattr(registration, "register", lambda *_, **__: "")


@pytest.mark.usefixtures("_loop")
@pytest.mark.parametrize("form", [[], ["--json"], ["--request"]])
def test_a_prediction_does_without_it(
    form: list[str], searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save("x.npy", np.zeros((28, 28), np.uint8))
    assert run(predict_command.main, monkeypatch, small.NAME, "x.npy", *form) == 0
    study = studies.stored_study(searched, small.NAME).study
    assert study_store.test_looks(study) == []


@pytest.mark.usefixtures("_loop")
def test_an_export_does_open_it(searched: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what stands above would show nothing."""
    with pytest.raises(Opened):
        run(best.main, monkeypatch, small.NAME, "--export")
    assert not searched.export_dir(small.NAME).exists()


@pytest.mark.usefixtures("_loop")
def test_a_look_that_breaks_off_is_recorded_and_told(
    searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill: `Opened` stands for one at the worst moment."""
    with pytest.raises(Opened):
        run(best.main, monkeypatch, small.NAME, "--export")
    (look,) = study_store.test_looks(studies.stored_study(searched, small.NAME).study)
    assert {look[key] for key in ("accuracy", "loss", "n_examples")} == {None}
    assert run(report_command.main, monkeypatch, small.NAME) == 0
    report = (searched.report_dir(small.NAME) / "report.md").read_text()
    assert f"trial {look['trial']} was to be scored, and the export broke off" in report
    monkeypatch.setattr(datasets, "open_test_set", lambda _: TEN)
    for _ in range(2):
        assert run(best.main, monkeypatch, small.NAME, "--export", "--force") == 0
    looks = study_store.test_looks(studies.stored_study(searched, small.NAME).study)
    assert [each["n_examples"] for each in looks] == [None, 10]
    card = (searched.export_dir(small.NAME) / CARD_FILE).read_text()
    assert "it has been looked at 2 times" in card


@pytest.mark.usefixtures("_loop")
@pytest.mark.parametrize("n_written", [0, 1])
def test_it_stays_sealed_where_a_look_cannot_be_recorded(
    n_written: int,
    searched: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SQLite itself refuses each write, or each but the first; opening raises `Opened`."""
    if n_written:
        monkeypatch.setattr(datasets, "open_test_set", lambda _: TEN)
    n_left = n_written

    def set_up(connection: sqlite3.Connection, _: object) -> None:
        def authorize(action: int, *_: object) -> int:
            nonlocal n_left
            if action not in (sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_INSERT):
                return sqlite3.SQLITE_OK
            n_left -= 1
            return sqlite3.SQLITE_OK if n_left >= 0 else sqlite3.SQLITE_DENY

        connection.set_authorizer(authorize)

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", set_up)
    try:
        assert run(best.main, monkeypatch, small.NAME, "--export") == 1
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", set_up)
    (said,) = capsys.readouterr().err.splitlines()[-1:]
    assert said.startswith("error: Optuna's store ")
    assert "cannot be used: not authorized" in said
    looks = study_store.test_looks(studies.stored_study(searched, small.NAME).study)
    assert [each["n_examples"] for each in looks] == [None] * n_written
    assert not searched.export_dir(small.NAME).exists()


@pytest.mark.usefixtures("_loop")
def test_an_export_opens_it_once_for_a_champion(
    searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[DataSpec] = []

    def open_test_set(data: DataSpec) -> Examples:
        opened.append(data)
        return TEN

    monkeypatch.setattr(datasets, "open_test_set", open_test_set)
    assert run(best.main, monkeypatch, small.NAME, "--export") == 0
    assert run(best.main, monkeypatch, small.NAME, "--export", "--force") == 0
    assert [data.dataset for data in opened] == ["fashion_mnist"]
    exported = {path.name for path in searched.export_dir(small.NAME).iterdir()}
    assert exported == {*FILES} - {SCRIPT_FILE, PICTURES_FILE, ROWS_FILE}  # no answer is wrong
