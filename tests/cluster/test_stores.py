"""Every command on PostgreSQL and MLflow's server, both with passwords, which nobody gets to see.

One study is searched while PostgreSQL is restarted; another starts from it and has finals; the
tests look at what that left behind.
"""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import optuna
import psutil
import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from ports import free_port
from servers import MLFLOW_PASSWORD, USER, MlflowServer, Postgres

REPOSITORY = Path(__file__).parents[2]
FIRST = """
goal = "Get through on real servers."
dataset = "wine"
finals = false

[budget]
trials = 3

[sampler]
type = "RandomSampler"
seed = 1

[fixed]
hidden_layers = 1
optimizer = "adam"
batch_size = 16
epochs = 40

[space]
units = { type = "int", low = 8, high = 32 }
learning_rate = { type = "float", low = 1e-3, high = 3e-2, log = true }
"""
SECOND = FIRST.replace("trials = 3", "trials = 4").replace("epochs = 40", "epochs = 4")
SECOND = SECOND.replace("finals = false", 'start_from = ["first"]')
SECOND += "\n[finals]\nnetworks = 2\nseeds = 2\nshare = 0.5\n"
ROWS = "alcohol,malic_acid,ash,alcalinity_of_ash,magnesium,total_phenols,flavanoids,"
ROWS += "nonflavanoid_phenols,proanthocyanins,color_intensity,hue,"
ROWS += "od280/od315_of_diluted_wines,proline\n"
ROWS += "14.23,1.71,2.43,15.6,127,2.8,3.06,0.28,2.29,5.64,1.04,3.92,1065\n"


class Walk:
    """Runs commands in a project, and keeps all that they print and are called."""

    def __init__(self, project: Path, variables: dict[str, str]) -> None:
        self.project, self.variables = project, variables
        self.said: dict[str, str] = {}
        self.called: set[str] = set()  # command lines of processes, as everybody can see them

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PIPELINE_"))}
        data = {k: v for k, v in os.environ.items() if k == "PIPELINE_DATA_DIR"}
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.project,
            env={**kept, **data, "PYTHONPATH": str(REPOSITORY), **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()
        return process

    def finish(self, process: subprocess.Popen[str], before: str = "") -> str:
        said = before + process.communicate(timeout=300)[0]
        key = " ".join(map(str, process.args[2:]))  # type: ignore[index]
        self.said[key] = self.said.get(key, "") + said
        return said

    def run(self, *arguments: str, expect: int = 0) -> str:
        process = self.start(*arguments)
        said = self.finish(process)
        assert process.returncode == expect, f"{arguments}:\n{said}"
        return said

    def _watch(self, process: subprocess.Popen[str]) -> None:
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                first = psutil.Process(process.pid)
                for each in (first, *first.children(recursive=True)):
                    self.called.add(" ".join(each.cmdline()))
            time.sleep(0.1)


def wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    """Reads what a command prints until a line matches, and returns all of it."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(f"no line with {pattern!r} in:\n{seen}")


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Iterator[MlflowServer]:
    """MLflow's server, with accounts."""
    with MlflowServer(postgres.create_database("runs"), has_accounts=True) as server:
        yield server


@pytest.fixture(scope="module")
def walk(
    postgres: Postgres, server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Walk:
    project = tmp_path_factory.mktemp("project")
    (project / "studies").mkdir()
    (project / "studies" / "first.toml").write_text(FIRST)
    (project / "studies" / "second.toml").write_text(SECOND)
    (project / "rows.csv").write_text(ROWS)
    stores = {
        "PIPELINE_STORAGE": postgres.create_database("trials"),
        "MLFLOW_TRACKING_URI": server.url_with_password,
    }
    walk = Walk(project, stores)
    searching = walk.start("pipeline.search", "first", "--workers", "1")
    said = wait_for(searching, "^complete")
    postgres.restart()
    walk.finish(searching, said)
    assert searching.returncode == 0, walk.said
    walk.run("pipeline.search", "second")
    # from here on as MLflow's own variables have it
    walk.variables = {**stores, "MLFLOW_TRACKING_URI": server.url, **server.account}
    walk.run("pipeline.best", "second", "--export", "--only-keras")
    return walk


def optuna_study(walk: Walk, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=walk.variables["PIPELINE_STORAGE"])


@pytest.fixture
def client(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    for name, value in server.account.items():
        monkeypatch.setenv(name, value)
    return mlflow.MlflowClient(server.url)


def test_a_search_outlives_a_restart_of_postgresql(walk: Walk) -> None:
    trials = optuna_study(walk, "first").get_trials()
    assert [each.state.name for each in trials] == ["COMPLETE"] * 3
    assert len({each.params["learning_rate"] for each in trials}) == 3


def test_a_second_study_starts_from_the_first_and_has_finals(walk: Walk) -> None:
    study = optuna_study(walk, "second")
    assert len(study.user_attrs["start_from"]) == 3
    assert study.user_attrs["finals"]["champion"] is not None
    assert "verdict\n" in walk.said["pipeline.search second"]


def test_all_is_in_order_and_the_artifacts_are_the_servers(
    walk: Walk, server: MlflowServer
) -> None:
    assert walk.run("pipeline.doctor").count("all in order") == 2
    assert [*server.artifacts.rglob("model.keras")]
    assert sorted(each.name for each in (walk.project / "mlruns").iterdir()) == [
        "first.lock", "first.workers.log", "second.lock", "second.workers.log",
    ]  # fmt: skip


def test_the_doctor_mends_what_was_broken(walk: Walk, client: mlflow.MlflowClient) -> None:
    experiment = client.get_experiment_by_name("first")
    assert experiment
    runs = client.search_runs([experiment.experiment_id], "tags.trial != ''")
    client.delete_run(runs[0].info.run_id)
    artifacts = get_artifact_repository(
        str(runs[1].info.artifact_uri), tracking_uri=client.tracking_uri
    )
    artifacts.delete_artifacts("model.keras")
    artifacts.delete_artifacts("hyperparameters.json")
    found = walk.run("pipeline.doctor", "first", expect=1)
    assert found.count("with --fix:") == 3
    assert walk.run("pipeline.doctor", "first", "--fix").count("mended:") == 3


def test_the_other_commands_work(walk: Walk) -> None:
    assert "report.html" in walk.run("pipeline.report", "second")
    assert (walk.project / "studies" / "second" / "report.html").is_file()
    assert "| " in walk.run("pipeline.report", "first", "second")
    assert json.loads(walk.run("pipeline.best", "second", "--json"))["study"] == "second"
    answer = json.loads(walk.run("pipeline.predict", "second", "--json", "rows.csv"))
    assert answer["class"].startswith("class_")
    said = walk.run("pipeline.ui", "mlflow", "--port", str(free_port()), expect=2)
    assert "is a server already: open it in a browser" in said


@pytest.mark.parametrize(
    ("command", "page"),
    [(("serve", "second"), "ping"), (("ui", "optuna"), "api/studies")],
    ids=["serve", "dashboard"],
)
def test_what_serves_does(walk: Walk, command: tuple[str, ...], page: str) -> None:
    port = free_port()
    serving = walk.start(f"pipeline.{command[0]}", *command[1:], "--port", str(port))
    said = wait_for(serving, r"\(Ctrl-C ends it\)")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}") as answer:
        assert answer.status == 200
    serving.send_signal(signal.SIGINT)
    walk.finish(serving, said)
    assert serving.returncode == 130


def test_no_password_is_anywhere(walk: Walk, postgres: Postgres, server: MlflowServer) -> None:
    assert f"{USER}:***@" in walk.run("pipeline.report", "third", expect=1)
    stems = [f"Of{at}{of}" for at in ("@", "%40", "%2540") for of in ("postgres", "mlflow")]
    header = base64.b64encode(f"{USER}:{MLFLOW_PASSWORD}".encode()).decode()
    secret = re.compile("|".join(map(re.escape, [*stems, header[:20]])))
    places = {
        **walk.said,
        **{f"argv: {each}": each for each in walk.called},
        "databases": postgres.dump(),
        "server": server.said(),
    }
    for folder in (walk.project, server.artifacts):
        files = [each for each in folder.rglob("*") if each.is_file()]
        places |= {str(each): each.read_bytes().decode("latin-1") for each in files}
    assert len(places) > 60
    assert [where for where, text in places.items() if secret.search(text)] == []
