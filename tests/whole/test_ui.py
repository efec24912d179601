"""Both servers listen on 127.0.0.1 alone, and start only when there is something to show."""

import sys
from pathlib import Path

import pytest

from pipeline import ui
from pipeline.errors import PipelineError
from pipeline.paths import Project

STORES = {"mlflow": "mlflow.db", "optuna": "optuna.db"}
VARIABLES = {"mlflow": "MLFLOW_TRACKING_URI", "optuna": "PIPELINE_STORAGE"}


@pytest.fixture
def project(project_folder: Path) -> Project:
    (project_folder / "mlruns").mkdir()
    return Project(project_folder)


def option(command: list[str], name: str) -> str:
    assert command.count(name) == 1
    return command[command.index(name) + 1]


@pytest.mark.parametrize("which", ["mlflow", "optuna"])
def test_a_server_listens_on_127_0_0_1_alone(project: Project, which: str) -> None:
    (project.runs_dir / STORES[which]).touch()
    command = ui.server_command(project, which, 5123)
    assert option(command, "--host") == "127.0.0.1"
    assert option(command, "--port") == "5123"
    assert "0.0.0.0" not in " ".join(command)


@pytest.mark.parametrize("which", ["mlflow", "optuna"])
def test_a_server_shows_this_projects_store(project: Project, which: str) -> None:
    (project.runs_dir / STORES[which]).touch()
    command = ui.server_command(project, which, 5123)
    assert f"sqlite:///{project.runs_dir / STORES[which]}" in command
    assert Path(command[0]).parent == Path(sys.executable).parent
    assert Path(command[0]).exists()


def test_mlflow_serves_artifacts_of_this_project(project: Project) -> None:
    (project.runs_dir / "mlflow.db").touch()
    command = ui.server_command(project, "mlflow", 5123)
    assert option(command, "--default-artifact-root") == project.artifacts_dir.as_uri()


@pytest.mark.parametrize("which", ["mlflow", "optuna"])
def test_with_nothing_to_show_it_says_how_to_start(project: Project, which: str) -> None:
    with pytest.raises(PipelineError) as caught:
        ui.server_command(project, which, 5123)
    assert str(caught.value) == (
        f"mlruns/{STORES[which]}: nothing to show yet; start with: make search STUDY=quick"
    )
    assert list(project.runs_dir.iterdir()) == []


@pytest.mark.parametrize("which", ["mlflow", "optuna"])
def test_a_store_that_is_no_file_is_taken_as_it_is(
    project: Project, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[which], "postgresql://somewhere/store")
    command = ui.server_command(project, which, 5123)
    assert "postgresql://somewhere/store" in command
    assert "--default-artifact-root" not in command


def test_the_command_becomes_the_server(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.runs_dir / "optuna.db").touch()
    became: list[tuple[str, list[str]]] = []

    def become(program: str, command: list[str]) -> None:
        became.append((program, command))
        raise SystemExit(0)

    monkeypatch.setattr("os.execv", become)
    monkeypatch.setattr(sys, "argv", ["ui", "optuna", "--port", "8123"])
    with pytest.raises(SystemExit):
        ui.main()
    command = ui.server_command(project, "optuna", 8123)
    assert became == [(command[0], command)]
    assert capsys.readouterr().err.startswith("http://127.0.0.1:8123 ")


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999999", "5e3", "", "٣", "five", "80 80"])
def test_a_port_that_is_none_is_refused(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ui", "mlflow", f"--port={port}"])
    with pytest.raises(SystemExit, match="2"):
        ui.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"found {port!r}, allowed is a number from 1 to 65535")


def test_a_server_that_is_not_installed_is_said_in_a_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    (project.runs_dir / "optuna.db").touch()
    monkeypatch.setattr("os.execv", missing)
    monkeypatch.setattr(sys, "argv", ["ui", "optuna", "--port", "8123"])
    with pytest.raises(PipelineError, match=r"cannot be started \(No such file or directory\); "):
        ui.main()
