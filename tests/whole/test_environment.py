"""Searches in environments that are set for something else, that are broken, or that hang.

Real workers, with TensorFlow.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import empty_mlflow
import mlflow
import psutil
import pytest
import torture
from small import N_TRIALS, NAME, STUDY

from pipeline.data import datasets
from pipeline.paths import Project, data_dir
from pipeline.storage import studies, study_store
from pipeline.study.trial import Trial, select_counted

NOTHING: Mapping[str, str] = {}
OF_A_USER = ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PIPELINE_DATA_DIR")
NO_USER = """
import pwd

def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

pwd.getpwuid = getpwuid
"""
DEADLINE_SECONDS = 300.0  # for what takes seconds, on a machine that is busy


@pytest.fixture
def project(tmp_path: Path, empty_database: Path) -> Path:
    (tmp_path / "studies").mkdir()
    quick = STUDY.replace("batch_size = 32", "batch_size = 1000").replace(
        "epochs = 3", "epochs = 1"
    )
    (tmp_path / "studies" / f"{NAME}.toml").write_text(quick)
    return empty_mlflow.copy_into(tmp_path, empty_database)


def start(
    project: Path, *arguments: str, variables: Mapping[str, str] = NOTHING
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=project,
        env=torture.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    project: Path, *arguments: str, expect: int = 0, variables: Mapping[str, str] = NOTHING
) -> str:
    """Runs a command, and returns what it says on stderr."""
    with start(project, *arguments, variables=variables) as process:
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == expect, err
    assert "Traceback" not in err
    return err


def trials(project: Path) -> list[Trial]:
    return study_store.read_trials(studies.stored_study(Project(project), NAME).study)


def test_what_somebody_has_set_for_other_work_changes_nothing(project: Path) -> None:
    home = project / "keras"
    home.mkdir()
    settings = {
        "backend": "jax",
        "floatx": "float16",
        "image_data_format": "channels_first",
        "epsilon": 0.5,
    }
    (home / "keras.json").write_text(json.dumps(settings))
    variables = {
        "KERAS_HOME": str(home),
        "KERAS_BACKEND": "torch",
        "KERAS_MAX_EPOCHS": "none",
        "TF_USE_LEGACY_KERAS": "1",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
        "MLFLOW_RUN_ID": "0" * 32,
        "MLFLOW_EXPERIMENT_NAME": "something else",
        "MLFLOW_REGISTRY_URI": "sqlite:///elsewhere.db",
        "MLFLOW_ENABLE_WORKSPACES": "true",
        "MLFLOW_WORKSPACE_STORE_URI": "sqlite:///elsewhere.db",
        "MLFLOW_ACTIVE_MODEL_ID": "m-0",
        "MLFLOW_RUN_CONTEXT": "no JSON",
        "PYTHONWARNINGS": "error",
    }
    run(project, "pipeline.search", NAME, "--workers", "2", variables=variables)
    run(project, "pipeline.best", NAME, "--export", "--only-keras", variables=variables)
    assert [trial.state for trial in trials(project)] == ["COMPLETE"] * N_TRIALS
    found = json.loads((project / "exports" / NAME / "metrics.json").read_text())
    assert found["test"]["accuracy"] > 0.5
    counted = torture.trials_in(project / "mlruns" / "optuna.db").values()
    torture.check_runs(project / "mlruns" / "mlflow.db", NAME, list(counted))
    assert not (project / "elsewhere.db").exists()
    client = mlflow.MlflowClient(Project(project).mlflow_uri)
    assert [model.name for model in client.search_registered_models()] == [NAME]


def test_a_user_without_a_home_has_one_in_the_project(project: Path) -> None:
    """As in a container, where the system does not know the user; with `.home` filled already."""
    unknown = project / "unknown"
    unknown.mkdir()
    (unknown / "sitecustomize.py").write_text(NO_USER)
    cache = project / ".home" / ".cache"
    cache.mkdir(parents=True)
    (cache / data_dir().name).symlink_to(datasets.fetch("fashion_mnist").parent.resolve())
    variables = dict.fromkeys(OF_A_USER, "") | {
        "PYTHONPATH": os.pathsep.join([str(unknown), torture.environment()["PYTHONPATH"]])
    }
    run(project, "pipeline.search", NAME, "--workers", "2", variables=variables)
    assert [trial.state for trial in trials(project)] == ["COMPLETE"] * N_TRIALS
    run(project, "pipeline.best", NAME, "--export", "--only-keras", variables=variables)
    run(project, "pipeline.report", NAME, variables=variables)
    run(project, "pipeline.doctor", NAME, "--fix", variables=variables)
    run(project, "pipeline.data", variables=variables)


def test_workers_that_cannot_import_stop_the_search_and_cost_no_trial(project: Path) -> None:
    broken = project / "broken"
    broken.mkdir()
    (broken / "keras.py").write_text("raise ImportError('libwhatever.so.8: no such file')")
    path = {"PYTHONPATH": os.pathsep.join([str(broken), torture.environment()["PYTHONPATH"]])}
    said = run(project, "pipeline.search", NAME, expect=1, variables=path).splitlines()[-1]
    assert said.startswith("error: workers cannot start: ImportError: libwhatever.so.8")
    assert ".log" in said
    assert select_counted(trials(project)) == []
    run(project, "pipeline.search", NAME)
    assert [trial.state for trial in select_counted(trials(project))] == ["COMPLETE"] * N_TRIALS
    said = run(project, "pipeline.best", NAME, "--export", expect=1, variables=path)
    assert said.startswith("error: TensorFlow cannot be imported: ImportError: libwhatever.so.8")


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The forkserver and its workers, those that have been there for a while."""
    found = []
    for each in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            name, age = " ".join(each.cmdline()), time.time() - each.create_time()
            if "multiprocessing.forkserver" in name and age > 1:
                found.append(each)
    return found


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("n_processes", "number"),
    [(1, signal.SIGTERM), (2, signal.SIGINT)],
    ids=["importing", "training"],
)
def test_processes_that_do_not_answer_do_not_keep_a_search_from_ending(
    project: Path, n_processes: int, number: signal.Signals
) -> None:
    file = project / "studies" / f"{NAME}.toml"
    file.write_text(file.read_text().replace("epochs = 1", "epochs = 100000"))
    with start(project, "pipeline.search", NAME, "--workers", "1") as process:
        wait_until(lambda: len(family(process)) >= n_processes)
        stopped = family(process)
        for each in stopped:
            each.suspend()
        process.send_signal(number)
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(stopped, timeout=DEADLINE_SECONDS)
    assert alive == []
