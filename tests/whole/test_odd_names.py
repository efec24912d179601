"""A project in a folder with whatever name a folder can have: all of it stays in there."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import mlflow
import pytest
import small
from empty_mlflow import copy_into
from scripted import make_spec

from pipeline import best, store_url, ui
from pipeline.data import fashion_mnist
from pipeline.doctor import __main__ as doctor_command
from pipeline.errors import BAD_USAGE, UsageError, run_command
from pipeline.paths import Project
from pipeline.reading.column import Dialect
from pipeline.search import __main__ as search_command
from pipeline.storage import studies
from pipeline.tracking import reader, registry
from pipeline.tracking.run_writer import RunWriter

NAMES = [
    "what?now", "a#b", "100%", "50%2", "?timeout=1", "a b", "back\\slash", "내 폴더",
    "new\nline", "tab\there", "a&b=c", "a;b", "a:b", "user:secret@host", "a+b", "it's", '"quoted"',
    "[x]", "{x}", "{SCHEMA_VERSION}", "~", "$HOME", "*", "-rf", "file:", "sqlite:", "é",
]  # fmt: skip


REFUSED = ["50%25", "%3F", "a%20b", os.fsdecode(b"\xff"), "%41/inside"]


@pytest.fixture(params=NAMES, ids=ascii)
def project(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    folder = tmp_path / "home" / request.param
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return Project(copy_into(folder, empty_database))


def test_both_stores_and_the_models_are_in_the_project(project: Project, tmp_path: Path) -> None:
    spec = make_spec()
    study = studies.open_study(project, spec)
    study.tell(study.ask(), 0.5)
    assert project.optuna_url.missing_file is project.mlflow_uri.missing_file is None
    assert studies.stored_names(project) == [spec.name]
    writer = RunWriter.open(project, spec.name)
    writer.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    run_id = writer.start_trial(0, None, {"seed": 1}, {})
    writer.store_model(0, b"model")
    writer.finish_trial(0, "COMPLETE", {}, {})
    assert writer.settle() == 0
    assert registry.load_model_bytes(project, run_id) == b"model"
    (run,) = [run for run in reader.runs_of(project, spec.name, spec.metric) if run.trial == 0]
    assert reader.model_trouble(project, run) != f"{run_id} is missing"
    assert list(project.artifacts_dir.rglob("model.keras"))
    ui.mlflow_server(project, project.mlflow_uri, 5000)
    assert [path.name for path in (tmp_path / "home").iterdir()] == [project.root.name]
    assert {path.name for path in project.root.iterdir()} == {"mlruns"}
    left = {path.name for path in project.runs_dir.iterdir()}
    assert left <= {"optuna.db", "optuna.db-wal", "optuna.db-shm", "mlflow.db", "artifacts"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["what?now", "back\\slash", "50% #;{x}\\내\n&"], ids=ascii)
def test_a_champion_is_published_and_loaded_in_place(
    name: str, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    import mlflow.keras

    from pipeline.training import loop

    folder = tmp_path / "home" / name
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow itself will set both, to be undone
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    project = Project(copy_into(folder, empty_database))
    writer = RunWriter.open(project, "small")
    writer.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    run_id = writer.start_trial(0, None, {"seed": 1}, {})
    model = keras.Sequential(
        [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what MLflow imports for Keras
        writer.store_model(0, loop.to_bytes(model))
        registry.publish_champion(
            project.mlflow_uri, "small", run_id, 1, fashion_mnist.SOURCE.task, Dialect()
        )
        loaded = mlflow.keras.load_model("models:/small@champion")
    mlflow.set_tracking_uri("")
    assert loaded.count_params() == model.count_params()
    assert reader.champion_run(project, "small") == run_id
    version = mlflow.MlflowClient(project.mlflow_uri).get_model_version("small", "1")
    assert (version.tags["trial"], version.tags["run_id"]) == ("0", run_id)
    assert version.description.startswith("**Version 1 of small: trial 0.** [Its run](#/")
    assert "\n\nTakes raw pixels" in version.description
    assert [path.name for path in (tmp_path / "home").iterdir()] == [name]
    assert {path.name for path in folder.iterdir()} == {"mlruns"}
    assert {path.name for path in project.runs_dir.iterdir()} == {"mlflow.db", "artifacts"}


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
@pytest.mark.parametrize(
    "module", [search_command, doctor_command, best], ids=lambda m: m.__name__
)
def test_a_name_that_mlflow_would_take_for_another_is_refused_before_anything_is_written(
    name: str,
    module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "home" / name
    (folder / "studies").mkdir(parents=True)
    (folder / "studies" / "small.toml").write_text(small.STUDY)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["command", "small"])
    assert run_command(module.main) == BAD_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "in the project's path, allowed is all else" in line
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert written == [folder / "studies" / "small.toml"]


@pytest.mark.parametrize("name", ["100%", "a%%b", "%(here)s"])
@pytest.mark.parametrize("command", ["search", "doctor", "best"])
def test_packages_where_mlflow_can_use_no_database_are_refused_before_anything_is_written(
    name: str, command: str, tmp_path: Path
) -> None:
    """As those of a `.venv` in the project are."""
    folder = tmp_path / name
    (folder / "studies").mkdir(parents=True)
    (folder / "studies" / "small.toml").write_text(small.STUDY)
    (folder / "site").symlink_to(Path(mlflow.__file__).parents[1])
    path = os.pathsep.join([str(folder / "site"), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-m", f"pipeline.{command}", "small"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == BAD_USAGE
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {folder / 'site' / 'mlflow'}: found '%' in the path")
    assert {path.name for path in folder.rglob("*")} == {"site", "studies", "small.toml"}


def test_a_server_is_used_from_wherever_mlflow_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_url, "_folder_of_mlflow", lambda: "/100%/mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert Project.here().mlflow_uri == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://somewhere/x")
    with pytest.raises(UsageError, match=r"^/100%/mlflow: found '%' in the path"):
        Project.here().mlflow_uri  # noqa: B018
