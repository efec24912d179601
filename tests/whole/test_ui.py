"""Both servers listen on 127.0.0.1 alone, and start only when there is something to show."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import optuna
import psutil
import pytest
from ports import free_port

from pipeline import ui
from pipeline.errors import PipelineError, UsageError
from pipeline.paths import Project
from pipeline.store_url import StoreUrl

REPOSITORY = Path(__file__).parents[2]
STORES = {"mlflow": "mlflow.db", "optuna": "optuna.db"}


@pytest.fixture
def project(project_folder: Path) -> Project:
    (project_folder / "mlruns").mkdir()
    return Project(project_folder)


def run_ui(monkeypatch: pytest.MonkeyPatch, which: str, port: int) -> int:
    monkeypatch.setattr(sys, "argv", ["ui", which, "--port", str(port)])
    return ui.main()


def option(command: Sequence[str], name: str) -> str:
    assert command.count(name) == 1
    return command[command.index(name) + 1]


def test_mlflow_shows_this_projects_store_on_127_0_0_1_alone(project: Project) -> None:
    command, variables = ui.mlflow_server(project, project.mlflow_uri, 5123)
    assert option(command, "--host") == "127.0.0.1"
    assert option(command, "--port") == "5123"
    assert option(command, "--workers") == "1"
    assert command[0] == sys.executable
    assert variables["MLFLOW_BACKEND_STORE_URI"] == project.mlflow_uri
    assert variables["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == project.artifacts_dir.as_uri()


def test_a_store_that_is_no_file_is_taken_as_it_is_and_is_on_no_command_line(
    project: Project,
) -> None:
    url = StoreUrl("postgresql://bob:secret@somewhere/store")
    command, variables = ui.mlflow_server(project, url, 5123)
    assert variables["MLFLOW_BACKEND_STORE_URI"] == url
    assert "MLFLOW_DEFAULT_ARTIFACT_ROOT" not in variables
    assert not any("somewhere" in each for each in command)


@pytest.mark.parametrize("which", ["mlflow", "optuna"])
def test_with_nothing_to_show_it_says_how_to_start(
    project: Project, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PipelineError) as caught:
        run_ui(monkeypatch, which, 5123)
    assert str(caught.value) == (
        f"mlruns/{STORES[which]}: nothing to show yet; start with: make search STUDY=quick"
    )
    assert list(project.runs_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("which", "variable"), [("mlflow", "UI_PORT"), ("optuna", "DASHBOARD_PORT")]
)
def test_a_port_in_use_is_said_at_once_with_the_way_to_another(
    project: Project, which: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.runs_dir / STORES[which]).touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PipelineError) as caught:
            run_ui(monkeypatch, which, port)
    said = str(caught.value)
    assert said.startswith(f"no server can listen on 127.0.0.1:{port} (Address already in use); ")
    makefile = (REPOSITORY / "Makefile").read_text()
    assert re.search(rf"make (ui|dashboard) {variable}=\d+$", said)
    assert f"--port $({variable})" in makefile


def test_a_storage_that_cannot_be_opened_is_said_in_a_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.runs_dir / "optuna.db").write_text("This is no database. " * 100)
    with pytest.raises(PipelineError, match=r"optuna.db cannot be opened: .*not a database"):
        run_ui(monkeypatch, "optuna", free_port())


@pytest.mark.parametrize(
    "url", ["http://bob:hunter2@somewhere", "https://somewhere/?token=hunter2", "databricks"]
)
def test_a_server_is_not_served_once_more(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    with pytest.raises(UsageError, match="is a server already: open it in a browser") as caught:
        run_ui(monkeypatch, "mlflow", 5123)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("which", "variable"), [("mlflow", "MLFLOW_TRACKING_URI"), ("optuna", "PIPELINE_STORAGE")]
)
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+nope://bob:hunter2@somewhere/store", "Can't load plugin"),
        ("mysql://bob:hunter2@somewhere/store", "No module named"),
        ("sqlite:///mlruns/none.db", "not a database"),
    ],
)
def test_a_database_that_cannot_be_opened_is_said_before_a_server_starts(
    project: Project, which: str, variable: str, url: str, reason: str,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (project.runs_dir / "none.db").write_text("This is no database. " * 100)
    monkeypatch.setenv(variable, url)
    with pytest.raises(PipelineError, match=rf"cannot be opened: .*{reason}") as caught:
        run_ui(monkeypatch, which, free_port())
    assert "hunter2" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_what_a_server_says_at_its_end_is_masked(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (project.runs_dir / "mlflow.db").touch()
    monkeypatch.setenv("DB_PASSWORD", "hunter2secret")
    said = "print('[MLflow] Security middleware enabled with', file=sys.stderr)"
    code = f"import os, sys; {said}; sys.exit('no ' + os.environ['DB_PASSWORD'] + '!')"
    monkeypatch.setattr(ui, "mlflow_server", lambda *_: ([sys.executable, "-c", code], {}))
    with pytest.raises(PipelineError, match="server ended with exit code 1; "):
        run_ui(monkeypatch, "mlflow", free_port())
    assert capfd.readouterr().err == "MLflow's server is starting ...\nno ***!\n"


def start_ui(project: Project, which: str, port: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.ui", which, "--port", str(port)],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_address(server: "subprocess.Popen[str]", port: int, before: str) -> None:
    """Reads what is printed until somebody may open it in a browser."""
    assert server.stderr is not None
    said = ""
    for line in server.stderr:
        if line.startswith(f"http://127.0.0.1:{port} "):
            break
        said += line
    assert said == before


@pytest.mark.slow
def test_who_kills_it_kills_all_and_the_next_one_starts(project_with_mlflow: Path) -> None:
    project, port = Project(project_with_mlflow), free_port()
    for _ in range(2):
        server = start_ui(project, "mlflow", port)
        processes = [psutil.Process(server.pid)]
        try:
            wait_for_address(server, port, "MLflow's server is starting ...\n")
            processes += processes[0].children(recursive=True)
            server.kill()
            server.communicate(timeout=60)
            assert psutil.wait_procs(processes, timeout=30)[1] == []
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "asked"),
    [
        ("mlflow", signal.SIGINT),
        ("mlflow", signal.SIGTERM),
        ("optuna", signal.SIGINT),
        ("optuna", signal.SIGHUP),
    ],
)
def test_a_server_is_light_and_ends_quietly(
    project_with_mlflow: Path, which: str, asked: signal.Signals
) -> None:
    project = Project(project_with_mlflow)
    optuna.create_study(storage=project.optuna_url, study_name="shown")
    port = free_port()
    server = start_ui(project, which, port)
    try:
        before = "MLflow's server is starting ...\n" if which == "mlflow" else ""
        wait_for_address(server, port, before)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.status == 200
        own = psutil.Process(server.pid)
        processes = [own, *own.children(recursive=True)]
        assert len(processes) <= 3
        assert not any("sqlite" in part for each in processes for part in each.cmdline())
        server.send_signal(asked)
        _, said = server.communicate(timeout=60)
        assert said == "interrupted\n"
        assert server.returncode == 130
        assert psutil.wait_procs(processes, timeout=10)[1] == []
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999999", "5e3", "", "٣", "five", "80 80"])
def test_a_port_that_is_none_is_refused(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ui", "mlflow", f"--port={port}"])
    with pytest.raises(SystemExit, match="2"):
        ui.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"found {port!r}, allowed is a number from 1 to 65535")
