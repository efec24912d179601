"""Searches that are stopped at bad moments: for good by Ctrl-C and SIGTERM, or for a while.

Real processes and signals. Curves are computed, as nobody needs TensorFlow for this.
"""

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import empty_mlflow
import preloaded
import psutil
import pytest
import torture
from small import N_TRIALS, NAME, STUDY

DEADLINE_SECONDS = 300.0  # for what takes seconds, on a machine that is busy
PAUSE_SECONDS = 10.0

# `python -m pipeline.search` as it is, but for what trains, and for what `{twist}` does to it.
SEARCH = """
import os, signal, sqlite3, sys, threading, time
from benchmarks.growth import Playback
from pipeline.data import datasets
from pipeline.errors import run_command
from pipeline.execution import local
from pipeline.search.__main__ import main

class Executor(Playback):
    n_calls = 0

    def events(self, timeout_seconds):
        Executor.n_calls += 1
        if Executor.n_calls == 6:
            twist()
        return super().events(timeout_seconds)

def say():
    print("now", flush=True)

{twist}

local.LocalExecutor = lambda *_, **__: Executor()
datasets.fetch = lambda _: None
sys.exit(run_command(main))
"""
PLAIN = "def twist(): pass"


@pytest.fixture
def project(tmp_path: Path, empty_database: Path) -> Path:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / f"{NAME}.toml").write_text(STUDY)
    return empty_mlflow.copy_into(tmp_path, empty_database)


@contextlib.contextmanager
def searching(project: Path, twist: str, study: str = NAME) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-c", SEARCH.replace("{twist}", twist), study],
        cwd=project,
        env=torture.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: "subprocess.Popen[str]", code: int) -> str:
    _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == code, err
    return err


def search_to_the_end(project: Path) -> None:
    """Goes on, and finds that nothing was lost."""
    code = SEARCH.replace("{twist}", PLAIN)
    done = preloaded.run(["-c", code, NAME], project, torture.environment())
    assert done.returncode == 0, done.stderr
    found = torture.trials_in(project / "mlruns" / "optuna.db").values()
    assert {trial.state for trial in found} <= {"COMPLETE", "FAIL"}
    counted = [trial for trial in found if trial.counts]
    assert len(counted) == N_TRIALS
    torture.check_runs(project / "mlruns" / "mlflow.db", NAME, counted)


BLOCKED = {
    "a worker's end": """
def twist():
    say()
    threading.Event().wait()
""",
    "a store that is locked": """
def twist():
    other = sqlite3.connect("locked.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    say()
    sqlite3.connect("locked.db", timeout=1000).execute("BEGIN EXCLUSIVE")
""",
    "MLflow": """
from pipeline.tracking.delivery import Delivery

def twist():
    def hang(*_):
        say()
        while True:
            try:
                time.sleep(1000)
            except BaseException:
                pass
    Delivery._deliver = hang
""",
}


@pytest.mark.parametrize(
    ("what", "number"),
    list(zip(BLOCKED, (signal.SIGINT, signal.SIGTERM, signal.SIGINT), strict=True)),
)
def test_a_supervisor_that_waits_for_something_can_be_interrupted(
    project: Path, what: str, number: signal.Signals
) -> None:
    with searching(project, BLOCKED[what]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(number)
        said = end(process, 130)
    assert said.splitlines()[-1] == f"interrupted; go on with: make search STUDY={NAME}"
    search_to_the_end(project)


def searching_unread(project: Path, twist: str, terminal: int) -> "subprocess.Popen[str]":
    """Starts a search whose stderr is a pipe or a terminal that nobody reads."""
    return subprocess.Popen(
        [sys.executable, "-c", SEARCH.replace("{twist}", twist), NAME],
        cwd=project,
        env=torture.environment(),
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    )


@pytest.mark.parametrize("blocks", [True, False])
def test_a_search_goes_on_where_nobody_reads_what_it_says(project: Path, *, blocks: bool) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, blocks)
    with searching_unread(project, PLAIN, writer) as process:
        process.communicate(timeout=DEADLINE_SECONDS)
    os.close(reader)
    os.close(writer)
    assert process.returncode == 0
    search_to_the_end(project)


def test_a_search_on_a_terminal_that_stands_still_can_be_stopped(project: Path) -> None:
    reader, writer = pty.openpty()
    twist = """
from pipeline.search import progress
progress.LiveProgress = progress.PlainProgress  # so that it is full when all has begun

def twist():
    say()
    while True:
        print("x" * 1_000, file=sys.stderr)
"""
    with searching_unread(project, twist, writer) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3.0)  # the terminal is full by then
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 130
    os.close(reader)
    os.close(writer)
    search_to_the_end(project)


@pytest.mark.parametrize(
    ("study", "again"),
    [
        (f"./studies/../studies/{NAME}.toml", f"make search STUDY={NAME}"),
        (f"../elsewhere/{NAME}.toml", "the same command"),  # though one in studies/ has its name
    ],
)
def test_who_goes_on_goes_on_with_the_same_study_file(
    project: Path, study: str, again: str
) -> None:
    other = project / "../elsewhere"
    other.mkdir(exist_ok=True)
    (other / f"{NAME}.toml").write_text(STUDY.replace("epochs = 3", "epochs = 4"))
    with searching(project, "def twist(): os.kill(os.getpid(), signal.SIGINT)", study) as process:
        assert end(process, 130).splitlines()[-1] == f"interrupted; go on with: {again}"


REFERENCE = """
[[reference]]
name = "many"
hyperparameters = { hidden_layers = 1, units = 8, optimizer = "adam", learning_rate = 0.001, \
batch_size = 1000, epochs = 1 }
repeats = 10000
"""


def test_references_being_queued_can_be_interrupted(project: Path) -> None:
    file = project / "studies" / f"{NAME}.toml"
    file.write_text(STUDY + REFERENCE.replace("\\\n", ""))
    twist = """
from pipeline.storage import queue
enqueue, n_queued = queue._enqueue, []

def enqueue_and_say(*arguments):
    enqueue(*arguments)
    n_queued.append(1)
    if len(n_queued) == 20:
        say()

queue._enqueue = enqueue_and_say
"""
    with searching(project, twist) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGINT)
        end(process, 130)
    with contextlib.closing(sqlite3.connect(project / "mlruns" / "optuna.db")) as database:
        ((n_queued,),) = database.execute("SELECT count(*) FROM trials WHERE state = 'WAITING'")
    assert 20 <= n_queued < 10_000


def test_time_in_which_a_search_was_stopped_does_not_count(project: Path) -> None:
    twist = """
def twist():
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    file = project / "studies" / f"{NAME}.toml"
    limit = PAUSE_SECONDS / 60
    file.write_text(
        STUDY.replace("[sampler]", f"[training]\ntrial_minutes = {limit}\n\n[sampler]")
    )
    with searching(project, twist) as process:
        supervisor = psutil.Process(process.pid)
        for _ in range(10_000):
            if supervisor.status() == psutil.STATUS_STOPPED:
                break
            with contextlib.suppress(psutil.TimeoutExpired):
                supervisor.wait(0.1)
        with pytest.raises(psutil.TimeoutExpired):
            supervisor.wait(PAUSE_SECONDS)
        process.send_signal(signal.SIGCONT)
        said = end(process, 0)
    assert "stopped after" not in said
    found = torture.trials_in(project / "mlruns" / "optuna.db").values()
    assert {trial.state for trial in found} == {"COMPLETE"}
    with contextlib.closing(sqlite3.connect(project / "mlruns" / "optuna.db")) as database:
        ((value,),) = database.execute(
            "SELECT value_json FROM study_user_attributes WHERE key = 'seconds'"
        )
    assert json.loads(value) < PAUSE_SECONDS
