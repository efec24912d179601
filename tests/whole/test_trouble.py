"""Stores and disks in trouble: one sentence, nothing lost, and all well once the cause is gone.

Real stores, real servers, real disks; curves are computed, as nobody needs TensorFlow for this.
"""

import contextlib
import functools
import http.client
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import empty_mlflow
import mlflow
import preloaded
import pytest
import torture
from ports import free_port
from small import N_TRIALS as N_FIRST
from small import NAME, STUDY

from benchmarks.growth import Playback
from pipeline.errors import PipelineError
from pipeline.paths import Project
from pipeline.search.progress import PlainProgress
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import studies, study_store
from pipeline.study.load import parse
from pipeline.tracking import delivery, registry
from pipeline.tracking.outbox import Outbox
from pipeline.tracking.run_writer import RunWriter
from pipeline.training.job import Job

DEADLINE_SECONDS = 300.0  # for what should take seconds, on a machine that is busy

# `python -m pipeline.search` as it is, but for what trains, and with less patience.
SEARCH = """
import sys
from benchmarks.growth import Playback
from pipeline import paths
from pipeline.data import datasets
from pipeline.errors import run_command
from pipeline.execution import local
from pipeline.search.__main__ import main

paths.BUSY_SECONDS = 0.5
local.LocalExecutor = lambda *_, **__: Playback()
datasets.fetch = lambda _: None
sys.exit(run_command(main))
"""


def make_project(folder: Path) -> Path:
    (folder / "studies").mkdir(parents=True)
    (folder / "studies" / f"{NAME}.toml").write_text(STUDY)
    return folder


def search(folder: Path, n_trials: int) -> "subprocess.CompletedProcess[str]":
    arguments = ("-c", SEARCH, NAME, "--trials", str(n_trials))
    return preloaded.run(arguments, folder, torture.environment())


def refused(folder: Path, n_trials: int) -> str:
    """The one sentence with which a search gives up."""
    done = search(folder, n_trials)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert sentences == done.stderr.splitlines()[-1:], done.stderr
    return sentences[0]


def finished(folder: Path) -> Mapping[int, tuple[object, ...]]:
    """What is to stay as it is of every trial that counts, by number."""
    found = torture.trials_in(folder / "mlruns" / "optuna.db")
    return {number: trial.result for number, trial in found.items() if trial.counts}


def search_to_the_end(folder: Path, n_trials: int) -> None:
    """Goes on, and finds everything whole: the budget used exactly, and each trial's run."""
    before = finished(folder)
    done = search(folder, n_trials)
    assert done.returncode == 0, done.stderr
    after = finished(folder)
    assert len(after) == n_trials
    assert {number: after[number] for number in before} == before
    found = torture.trials_in(folder / "mlruns" / "optuna.db").values()
    assert {trial.state for trial in found} <= {"COMPLETE", "FAIL"}
    counted = [trial for trial in found if trial.counts]
    assert len({trial.identity for trial in counted}) == n_trials
    torture.check_runs(folder / "mlruns" / "mlflow.db", NAME, counted)
    left = {path.name for path in (folder / "mlruns").iterdir()}
    assert left == {"artifacts", "mlflow.db", "optuna.db", f"{NAME}.lock"}


# One file in trouble


@pytest.fixture(scope="module")
def searched_once(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Copied by `searched`."""
    folder = make_project(tmp_path_factory.mktemp("searched") / "project")
    empty_mlflow.copy_into(folder, empty_database)
    search_to_the_end(folder, N_FIRST)
    return folder


@pytest.fixture
def searched(searched_once: Path, tmp_path: Path) -> Path:
    """A project whose study is complete."""
    return Path(shutil.copytree(searched_once, tmp_path / "project"))


STORES = ("optuna.db", "mlflow.db")


@pytest.mark.parametrize("store", STORES)
def test_a_locked_store(searched: Path, store: str) -> None:
    holder = sqlite3.connect(searched / "mlruns" / store, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        sentence = refused(searched, N_FIRST + 1)
        holder.execute("ROLLBACK")
    finally:
        holder.close()
    assert store in sentence
    assert "database is locked" in sentence
    search_to_the_end(searched, N_FIRST + 1)


@pytest.mark.parametrize(("store", "damage"), [("optuna.db", "cut"), ("mlflow.db", "overwritten")])
def test_a_damaged_store(searched: Path, store: str, damage: str) -> None:
    file = searched / "mlruns" / store
    whole = file.read_bytes()
    if damage == "overwritten":
        damaged, says = b"nobody's file..." * 256 + whole[4096:], "is not a database"
    else:
        damaged, says = whole[: len(whole) // 2], "malformed"
    file.write_bytes(damaged)
    sentence = refused(searched, N_FIRST + 1)
    assert store in sentence
    assert says in sentence
    assert file.read_bytes() == damaged
    file.write_bytes(whole)
    if damage == "overwritten":  # once for each store is enough
        search_to_the_end(searched, N_FIRST + 1)


@pytest.mark.parametrize(
    ("store", "version"), [("optuna.db", "v99.0.0.a"), ("mlflow.db", "ffffffffffff")]
)
def test_a_store_written_by_a_newer_version(searched: Path, store: str, version: str) -> None:
    file = searched / "mlruns" / store
    known = set_version(file, version)
    content = file.read_bytes()
    sentence = refused(searched, N_FIRST + 1)
    assert store in sentence
    assert "version" in sentence
    assert file.read_bytes() == content
    set_version(file, known)
    search_to_the_end(searched, N_FIRST + 1)


def set_version(file: Path, version: str) -> str:
    """Sets the version of a store's tables, and returns what it was."""
    database = sqlite3.connect(file)
    with database:
        (known,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("UPDATE alembic_version SET version_num = ?", [version])
    database.close()
    return str(known)


# The disk in trouble

DISK_BYTES = 32 * 2**20


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk of its own."""
    folder = tmp_path / "project" / "mlruns"
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk; .ci/run runs this as root")
    mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def ballast(disk: Path) -> Path:
    """A file that is to fill the disk."""
    return disk / "ballast"


def fill(ballast: Path, n_free_bytes: int) -> None:
    """Takes all of a disk but so much."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(2**16)):
            pass
    os.truncate(ballast, ballast.stat().st_size - n_free_bytes)


@pytest.mark.parametrize("n_free_bytes", [0, 400_000], ids=["from the start", "in the middle"])
def test_a_full_disk(disk: Path, ballast: Path, n_free_bytes: int, empty_database: Path) -> None:
    project = empty_mlflow.copy_into(make_project(disk.parent), empty_database)
    search_to_the_end(project, N_FIRST)
    before = finished(project)
    fill(ballast, n_free_bytes)
    sentence = refused(project, 12)
    assert any(words in sentence for words in ("No space left", "is full", "disk I/O error"))
    after = finished(project)
    assert {number: after[number] for number in before} == before
    with torture.reading(disk / "mlflow.db"):  # which looks whether it is whole
        pass
    ballast.unlink()
    search_to_the_end(project, 12)


def test_a_disk_that_is_full_in_the_middle_of_a_line_damages_no_other(
    disk: Path, ballast: Path
) -> None:
    folder = disk / "small.outbox"
    outbox = Outbox(folder)
    outbox.add({"n": 1})
    fill(ballast, 8192)
    with pytest.raises(OSError, match="No space left"):
        outbox.add({"n": 2, "text": "x" * 100_000})
    ballast.unlink()
    outbox.add({"n": 3})
    got: list[object] = []
    Outbox(folder).deliver(lambda write, _: got.append(write["n"]))
    assert got == [1, 3]


def test_a_folder_that_cannot_be_written(disk: Path, empty_database: Path) -> None:
    project = empty_mlflow.copy_into(make_project(disk.parent), empty_database)
    search_to_the_end(project, N_FIRST)
    mount("-o", "remount,ro", str(disk))
    assert "Read-only file system" in refused(project, N_FIRST + 1)
    for command in ("best", "report"):
        done = preloaded.run(["-m", f"pipeline.{command}", NAME], project, torture.environment())
        assert (done.returncode, done.stderr) == (0, "")
    mount("-o", "remount,rw", str(disk))
    search_to_the_end(project, N_FIRST + 1)


def test_a_folder_that_cannot_be_written_from_the_start(disk: Path) -> None:
    project = make_project(disk.parent)
    mount("-o", "remount,ro", str(disk))
    assert "Read-only file system" in refused(project, N_FIRST)
    mount("-o", "remount,rw", str(disk))
    search_to_the_end(project, N_FIRST)


# Two supervisors

HOLDER = """
import sys
from pipeline.paths import Project
from pipeline.storage import lease

with lease.lock(Project.here(), "small"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_supervisor_is_refused_and_a_dead_ones_claim_is_taken_over(
    tmp_path: Path, empty_database: Path
) -> None:
    project = empty_mlflow.copy_into(make_project(tmp_path / "project"), empty_database)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=project,
        env=torture.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        sentence = refused(project, N_FIRST)
        assert f"process {holder.pid} on {socket.gethostname()} since 20" in sentence
        holder.send_signal(signal.SIGKILL)
    assert (project / "mlruns" / f"{NAME}.lock.json").exists(), "or there is nothing to take over"
    search_to_the_end(project, N_FIRST)


# Suspends itself after some events, as a closed lid or Ctrl-Z would; waits little for silence.
SUSPENDED = SEARCH.replace(
    "local.LocalExecutor =",
    """
import os, signal
from pipeline.storage import lease

lease.SILENT_SECONDS = 2.0
n_events = 0

class Suspended(Playback):
    def events(self, timeout_seconds):
        global n_events
        n_events += 1
        if n_events == int(os.environ["SUSPEND_AT"]):
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().events(timeout_seconds)

Playback = Suspended
local.LocalExecutor =""",
)


@pytest.mark.parametrize("suspend_at", [3, 9])  # five events a trial
def test_who_was_suspended_and_taken_over_writes_nothing_more(
    tmp_path: Path, empty_database: Path, suspend_at: int
) -> None:
    first, second = make_project(tmp_path / "first"), make_project(tmp_path / "second")
    stores = empty_mlflow.copy_into(first, empty_database) / "mlruns"
    shared = torture.environment(
        PIPELINE_STORAGE=f"sqlite:///{stores / 'optuna.db'}",
        MLFLOW_TRACKING_URI=f"sqlite:///{stores / 'mlflow.db'}",
    )
    command = [sys.executable, "-c", SUSPENDED, NAME, "--trials", "3"]
    with subprocess.Popen(
        command,
        cwd=first,
        env={**shared, "SUSPEND_AT": str(suspend_at)},
        stderr=subprocess.PIPE,
        text=True,
    ) as begun:
        try:
            _, status = os.waitpid(begun.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status), begun.communicate()
            done = preloaded.run(command[1:], second, {**shared, "SUSPEND_AT": "0"})
            assert done.returncode == 0, done.stderr
            assert f"looking whether process {begun.pid} on " in done.stderr
            before = dump(stores / "optuna.db"), dump(stores / "mlflow.db")
        finally:
            begun.send_signal(signal.SIGCONT)
        _, said = begun.communicate(timeout=DEADLINE_SECONDS)
    assert begun.returncode == 1, said
    assert "Traceback" not in said
    sentence = said.splitlines()[-1]
    assert sentence.startswith(f"error: study {NAME} was taken over by another supervisor")
    assert (dump(stores / "optuna.db"), dump(stores / "mlflow.db")) == before
    trials = torture.trials_in(stores / "optuna.db").values()
    counted = [trial for trial in trials if trial.counts]
    assert len({trial.identity for trial in counted}) == len(counted) == N_FIRST
    assert not [trial for trial in trials if trial.state == "RUNNING"]
    torture.check_runs(stores / "mlflow.db", NAME, counted)


def dump(file: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return list(database.iterdump())


# MLflow behind a server


class Server:
    """A real `mlflow server` that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.database, self.port = folder / "mlflow.db", free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        options = {
            "--backend-store-uri": f"sqlite:///{self.database}",
            "--artifacts-destination": (self._folder / "artifacts").as_uri(),
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--workers": "1",
        }
        flat = [part for option in options.items() for part in option]
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *flat],
                cwd=self._folder,
                env=torture.environment(
                    MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true"
                ),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self._answers():
            log_so_far = (self._folder / "log").read_text()
            assert self._process.poll() is None, log_so_far
            assert time.monotonic() < deadline, log_so_far
            time.sleep(0.1)

    def stop(self) -> None:
        """Kills it with all its children."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It runs before and after each test, which may stop it meanwhile."""
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def project(project_with_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project, the current folder; a search in it does not wait for MLflow."""
    monkeypatch.setattr(delivery, "RETRY_SECONDS", 0.0)
    return Project(make_project(project_with_mlflow))


@pytest.fixture
def served(project: Project, server: Server, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same, with its runs on the server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # else seconds for each call
    return project


class Hooked(Playback):
    """Calls something when a trial begins."""

    def __init__(self, hooks: Mapping[int, Callable[[], None]]) -> None:
        super().__init__()
        self._hooks = hooks

    def submit(self, job: Job) -> None:
        super().submit(job)
        if hook := self._hooks.get(job.trial):
            hook()


class Searched:
    """A study searched in this process, with its own name, as experiments of a server are many.

    Args:
        project: where.
        name: of the study.
        n_trials: its budget.
        hooks: what happens when the trial of a number has begun.
    """

    def __init__(
        self,
        project: Project,
        name: str,
        n_trials: int,
        hooks: Mapping[int, Callable[[], None]],
    ) -> None:
        content = tomllib.loads(STUDY)
        self.project = project
        self.spec = parse(name, {**content, "budget": {"trials": n_trials}})
        self.study = studies.open_study(project, self.spec)
        self.said: list[str] = []
        self.tracker = self.opened()
        self.outcome = Supervisor(
            self.spec, self.study, Hooked(hooks), self.tracker, PlainProgress()
        ).run()

    def opened(self) -> RunWriter:
        """A tracker as a search has it at its start."""
        note_run = functools.partial(study_store.note_run, self.study)
        tracker = RunWriter.open(self.project, self.spec.name, self.said.append, note_run)
        about = {"dataset": self.spec.dataset, "metric": self.spec.metric}
        tracker.open_study(self.spec.goal, about, "0" * 64)
        return tracker

    @property
    def outbox(self) -> Path:
        return self.project.outbox(self.spec.name)

    def assert_whole(self, database: Path) -> None:
        """Everything is there, once, and the champion's model too."""
        found = torture.trials_in(self.project.runs_dir / "optuna.db").values()
        counted = [trial for trial in found if trial.counts]
        assert len(counted) == len(found) == self.spec.budget.trials
        torture.check_runs(database, self.spec.name, counted)
        champion = study_store.champion(self.study)
        assert registry.load_model_bytes(self.project, champion.run_id) == b"a model"
        assert not self.outbox.exists()


def test_a_server_that_is_stopped_and_comes_back(served: Project, server: Server) -> None:
    def comes_back() -> None:
        assert served.outbox("back").is_dir()
        server.start()

    searched = Searched(served, "back", 8, {2: server.stop, 5: comes_back})
    assert searched.outcome is SearchEnd.BUDGET_USED
    assert searched.tracker.settle() == 0
    searched.tracker.close_study("FINISHED")
    searched.assert_whole(server.database)
    assert searched.said[0].startswith("MLflow does not answer")
    assert searched.said[-1].startswith("MLflow answers")
    assert all("\n" not in line for line in searched.said)


def test_a_server_that_comes_back_after_the_search(served: Project, server: Server) -> None:
    searched = Searched(served, "later", 4, {1: server.stop})
    try:
        assert searched.outcome is SearchEnd.BUDGET_USED
        assert searched.tracker.settle() > 0
        searched.tracker.close_study("FAILED")
        assert searched.outbox.is_dir()
        with pytest.raises(PipelineError, match=r"^MLflow's store http://.* cannot be used: "):
            RunWriter.open(served, "later")
    finally:
        server.start()
    later = searched.opened()
    assert not searched.outbox.exists()
    later.close_study("FINISHED")
    searched.assert_whole(server.database)


class Relay(BaseHTTPRequestHandler):
    """Passes a request on, and may lose the answer."""

    protocol_version = "HTTP/1.1"

    def relay(self) -> None:
        assert isinstance(self.server, Line)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("Content-Type", "application/json")
        behind = http.client.HTTPConnection("127.0.0.1", self.server.port_behind, timeout=60)
        behind.request(self.command, self.path, body, {"Content-Type": kind})
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        if self.server.loses and self.path.endswith(self.server.loses):
            self.server.loses = ""
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = relay

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Line(ThreadingHTTPServer):
    """A line to a server that may be cut between a request and its answer.

    Attributes:
        loses: end of the path of the next request whose answer is to be lost.
    """

    daemon_threads = True

    def __init__(self, port_behind: int) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.port_behind, self.loses = port_behind, ""


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    with Line(server.port) as line:
        thread = threading.Thread(target=line.serve_forever)
        thread.start()
        yield line
        line.shutdown()
        thread.join()


def test_an_answer_that_is_lost_on_the_line_leads_to_no_second_run(
    project: Project, line: Line, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own client sends a request again whose answer is lost: here it must not."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{line.server_port}")

    def lose_next() -> None:
        line.loses = "runs/create"

    searched = Searched(project, "lossy", 3, {0: lose_next})
    assert searched.outcome is SearchEnd.BUDGET_USED
    assert line.loses == "", "or nothing was lost"
    assert searched.tracker.settle() == 0
    searched.tracker.close_study("FINISHED")
    searched.assert_whole(server.database)


def test_a_run_that_somebody_deletes_does_not_end_the_search(project: Project) -> None:
    client = mlflow.MlflowClient(project.mlflow_uri)

    def delete() -> None:
        experiment = client.get_experiment_by_name(NAME)
        (run,) = client.search_runs([experiment.experiment_id], "tags.trial = '1'")
        client.delete_run(run.info.run_id)

    searched = Searched(project, NAME, 4, {1: delete})
    assert searched.outcome is SearchEnd.BUDGET_USED
    searched.tracker.close_study("FINISHED")
    found = torture.trials_in(project.runs_dir / "optuna.db").values()
    assert [trial.state for trial in found] == ["COMPLETE"] * 4
    others = [trial for trial in found if trial.number != 1]
    torture.check_runs(project.runs_dir / "mlflow.db", NAME, others)
    assert not searched.outbox.exists()
    assert searched.said
    assert all("refuses" in line for line in searched.said)
