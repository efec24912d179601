"""What an export and a report leave when they are killed, and who removes that.

The commands themselves, killed before every step they take on the disk; TensorFlow is played.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import recorded
from killing import killed_at, killed_at_every_step

from pipeline import best, files
from pipeline.data import datasets
from pipeline.errors import run_command
from pipeline.export import bundle, stored_model, test_details, test_looks
from pipeline.export.folder import FILES, ROWS_FILE, SCRIPT_FILE, check_folder
from pipeline.formats import writing
from pipeline.paths import Project
from pipeline.report import __main__ as report_command
from pipeline.storage import study_store
from pipeline.storage.studies import StoredStudy
from pipeline.task.source import Examples

Run = Callable[..., tuple[int, str]]

FILES_OF_PICTURES = {*FILES} - {SCRIPT_FILE, ROWS_FILE}  # which need none to be asked


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command, and returns its exit code and what it says on stdout."""

    def command(main: Callable[[], int], *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["command", recorded.NAME, *arguments])
        capsys.readouterr()
        code = run_command(main)
        return code, capsys.readouterr().out

    return command


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def exporting(
    recorded_study: Project, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project whose champion is exported without TensorFlow."""

    def to_bytes(_: object) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(b"a model")
            return path.read_bytes()

    loop: Any = SimpleNamespace(to_bytes=to_bytes)
    monkeypatch.setitem(sys.modules, "pipeline.training.loop", loop)
    monkeypatch.setattr("pipeline.training.loop", loop, raising=False)
    monkeypatch.setattr(stored_model, "verified_model", lambda *_: (to_bytes(None), None))
    study = recorded.open_stored(recorded_study).study
    study.set_user_attr(study_store.TEST_LOOKS, [recorded.TEST_LOOK])
    monkeypatch.setattr(datasets, "fetch", lambda _: None)
    examples = Examples(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8))
    monkeypatch.setattr(datasets, "validation_sets", lambda _: (examples,))

    def fetch_details(stored: StoredStudy, _: object, folder: Path) -> bool:
        test_details.write(stored.spec.task, np.eye(10)[[3]], examples, None, folder)
        return True

    monkeypatch.setattr(test_looks, "fetch_details", fetch_details)
    monkeypatch.setattr(test_looks, "test_inputs", lambda _: examples.inputs)
    monkeypatch.setattr(writing, "write_formats", lambda *_: {})
    return recorded_study


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("is_second", [False, True])
def test_an_export(is_second: bool, exporting: Project, temporary: Path) -> None:
    folder = exporting.export_dir(recorded.NAME)
    kept = folder.parent / f".{recorded.NAME}.settings"  # of the user
    stored = recorded.open_stored(exporting)
    champion = study_store.champion(stored.study)

    def export() -> None:
        bundle.export(stored, champion, check_folder(folder, force=True))

    if is_second:
        export()
    n_left = 0
    for _ in killed_at_every_step(export):
        assert left_in(folder) in (set(), FILES_OF_PICTURES)
        n_left += bool(left_in(folder.parent) - {folder.name, kept.name})
        kept.mkdir(parents=True, exist_ok=True)
        export()
        assert left_in(folder) == FILES_OF_PICTURES
        assert left_in(folder.parent) == {folder.name, kept.name}
        assert left_in(temporary) == set()
        if not is_second:
            shutil.rmtree(folder.parent)
    assert n_left > 10


def test_an_export_that_is_refused_cleans_up_too(exporting: Project, run: Run) -> None:
    folder = exporting.export_dir(recorded.NAME)
    assert run(best.main, "--export")[0] == 0
    killed_at(os, "fsync", lambda: run(best.main, "--export", "--force"))
    assert len(left_in(folder.parent)) == 2
    assert run(best.main, "--export")[0] == 1
    assert left_in(folder.parent) == {folder.name}


def test_an_export_beside_one_that_lives(exporting: Project, run: Run) -> None:
    """Both come to their end, and neither removes what the other has begun."""
    folder = exporting.export_dir(recorded.NAME)
    with files.scratch_folder(folder.parent / "other") as scratch:
        (scratch / "model.keras").touch()
        assert run(best.main, "--export")[0] == 0
        assert left_in(scratch) == {"model.keras"}
    assert left_in(folder.parent) == {folder.name}


def test_a_report(recorded_study: Project, run: Run) -> None:
    folder = recorded_study.report_dir(recorded.NAME)
    assert run(report_command.main)[0] == 0
    written = left_in(folder)
    whole = (folder / "report.md").read_text()
    steps: list[tuple[object, str]] = [(os, "fsync"), (Path, "replace"), (shutil, "rmtree")]
    for owner, step in steps:
        killed_at(owner, step, lambda: run(report_command.main))
        assert (folder / "report.md").read_text() == whole
        assert left_in(folder) > written
        assert run(report_command.main)[0] == 0
        assert left_in(folder) == written
