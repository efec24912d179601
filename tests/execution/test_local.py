import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
from executor_conformance import (
    DATA,
    DEADLINE_SECONDS,
    ENDLESS,
    ENVIRONMENT,
    JOB,
    ExecutorConformance,
    events_until,
    failed,
    has_begun,
    has_ended,
    others,
    write,
)

from pipeline.errors import PipelineError
from pipeline.execution.devices import Devices
from pipeline.execution.local import LocalExecutor
from pipeline.task.source import DataSpec
from pipeline.training.job import Finished

ROOT = Path(__file__).parents[2]


def make(n_workers: int, folder: Path) -> LocalExecutor:
    return LocalExecutor(DATA, n_workers, folder / "workers.log", folder / "scratch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executor")


@pytest.fixture(scope="module")
def executor(folder: Path) -> Iterator[LocalExecutor]:
    """Shared, since TensorFlow is imported for each anew."""
    executor = make(2, folder)
    yield executor
    executor.close()


class TestLocalExecutor(ExecutorConformance):
    module = "test_local"

    @staticmethod
    def workers(executor: LocalExecutor) -> list[psutil.Process]:
        return [psutil.Process(worker.process.pid) for worker in executor._workers.values()]

    def test_stop_does_not_wait_for_a_job_before_it_kills_it(
        self, executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor.submit(replace(ENDLESS, trial=14))
        events_until(executor, has_begun(14))
        done: list[str] = []
        for name in ("kill", "join"):
            method = getattr(ForkServerProcess, name)

            def noted(*arguments: Any, _name: str = name, _method: Any = method) -> None:
                done.append(_name)
                _method(*arguments)

            monkeypatch.setattr(ForkServerProcess, name, noted)
        executor.stop(14)
        assert done == ["kill", "join"]

    def test_wake_ends_a_wait_for_events(self, executor: LocalExecutor) -> None:
        executor.wake()
        assert executor.events(DEADLINE_SECONDS) == []

    def test_workers_print_to_a_log(
        self, executor: LocalExecutor, folder: Path, tmp_path: Path
    ) -> None:
        executor.call(write, tmp_path / "text", "hello")
        assert "wrote hello" in (folder / "workers.log").read_text()

    def test_call_survives_the_death_of_the_server_at_its_beginning(
        self, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start, deaths = ForkServerProcess.start, iter([EOFError("unexpected EOF")])

        def start_or_die(process: ForkServerProcess) -> None:
            for death in deaths:
                raise death
            start(process)

        monkeypatch.setattr(ForkServerProcess, "start", start_or_die)
        executor.call(write, tmp_path / "text", "hello")
        assert (tmp_path / "text").read_text().startswith("hello")


def process_of(executor: LocalExecutor, trial: int) -> psutil.Process:
    return psutil.Process(executor._workers[trial].process.pid)


# What follows runs in a process of its own, since all executors of a process share one server.


def close_at_once(folder: Path) -> None:
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, folder / "log", folder / "scratch")
    executor.submit(ENDLESS)
    executor.close()


def close_during_import(folder: Path) -> None:
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, folder / "log", folder / "scratch")
    executor.submit(ENDLESS)
    assert executor.events(0.5) == []  # long enough for the import to begin, not for its end
    executor.close()


def share_gpus(folder: Path) -> None:
    """Nobody tells of GPUs at first, as where somebody else has shared them out; then two are."""
    devices = Devices(["1", "7"], 1)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    files = folder / "log", folder / "scratch"
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, *files, devices)
    executor.submit(replace(ENDLESS, trial=1))
    events_until(executor, has_begun(1))
    executor.submit(replace(JOB, trial=2, gpus=1.0))
    assert isinstance(events_until(executor, has_ended(2))[-1], Finished)
    assert devices.take(3) == "1"  # the first needs none, the second has given it back
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho GPU 0: some; echo GPU 1: more\n")
    (folder / "nvidia-smi").chmod(0o755)
    executor.submit(replace(JOB, trial=4, gpus=1.0))
    with pytest.raises(PipelineError, match="TensorFlow sees none of the GPUs 7: it may lack"):
        events_until(executor, has_ended(4))
    executor.stop(4)
    assert devices.take(5) == "7"
    executor.close()


def close_in_all_ways(folder: Path) -> None:
    for close in (close_at_once, close_during_import):
        close(folder)
        assert others() == [], close.__name__
        assert not (folder / "scratch").exists(), close.__name__


BROKEN = {
    "ImportError": "raise ImportError('libwhatever.so.8 is missing')",
    "SyntaxError": "def (",
    "RuntimeError": "raise RuntimeError('the driver is too old')",
    "exit code 3": "import os; os._exit(3)",
    "SystemExit: 4": "import sys; sys.exit(4)",
    "SIGSEGV": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
}


def fail_to_import(folder: Path) -> None:
    """Runs a job where a library that only workers import is broken."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, folder / "log", folder / "scratch")
    executor.submit(JOB)
    try:
        events_until(executor, has_ended(JOB.trial))
    except PipelineError as error:
        print(error)
    finally:
        executor.close()


def fail_in_worker(folder: Path) -> None:
    """Runs a job that imports a broken library of its own."""
    sys.path.insert(0, str(folder))  # which workers get, but not their server
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, folder / "log", folder / "scratch")
    executor.submit(replace(JOB, trainer="sgd_classifier", hyperparameters=None))
    try:
        print(events_until(executor, has_ended(JOB.trial)))
    except PipelineError as error:
        print(error)
    finally:
        executor.close()


def die_before_the_job(folder: Path) -> None:
    """Has the first process of a job die before the job has started, then all of them."""
    executor = LocalExecutor(DataSpec("fashion_mnist"), 1, folder / "log", folder / "scratch")
    for mortal in (Mortal(folder / "once", 1), Mortal(folder / "ever", 1_000)):
        executor.submit(replace(JOB, trainer=mortal))
        try:
            print(type(events_until(executor, has_ended(JOB.trial))[-1]).__name__)
        except PipelineError as error:
            print(error)
    executor.close()


class Mortal(str):
    """Is `keras`; the first few processes that unpickle it are killed."""

    file: Path
    n_times: int

    def __new__(cls, file: Path, n_times: int) -> "Mortal":
        made = super().__new__(cls, "keras")
        made.file, made.n_times = file, n_times
        return made

    def __reduce__(self) -> Any:
        return kill_some, (self.file, self.n_times)


def kill_some(file: Path, n_times: int) -> str:
    n_dead = len(file.read_text()) if file.exists() else 0
    if n_dead < n_times:
        file.write_text("x" * (n_dead + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return "keras"


def hang(folder: Path) -> None:
    """Stops a job, and closes all, while the server does not answer."""
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, folder / "log", folder / "scratch")
    for trial in (1, 2):
        executor.submit(replace(ENDLESS, trial=trial))
    events_until(executor, has_begun(1, 2))
    for process in others():
        process.suspend()
    executor.stop(1)
    executor.stop(2)
    executor.submit(replace(JOB, trial=3))
    print(type(events_until(executor, has_ended(3))[-1]).__name__)
    executor.close()
    assert others() == []


def kill_server() -> None:
    """Kills the forkserver as soon as it is one: before that it bears its parent's name."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        for process in psutil.Process().children():
            if "multiprocessing.forkserver" in " ".join(process.cmdline()):
                process.kill()
                return
    raise AssertionError("there is no forkserver")


def outlive_the_server(folder: Path) -> None:
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, folder / "log", folder / "scratch")
    kill_server()  # at its imports
    executor.submit(replace(JOB, trial=1))
    print(type(events_until(executor, has_ended(1))[-1]).__name__)
    executor.submit(replace(ENDLESS, trial=2))
    events_until(executor, has_begun(2))
    worker = process_of(executor, 2)
    kill_server()  # which alone would know what becomes of the worker
    worker.kill()
    print(failed(executor, 2).is_transient)
    executor.submit(replace(JOB, trial=3))
    print(type(events_until(executor, has_ended(3))[-1]).__name__)
    executor.close()
    assert others() == []


def script(function: Callable[[Path], None], folder: Path) -> list[str]:
    name = function.__name__
    code = f"import pathlib, test_local; test_local.{name}(pathlib.Path({str(folder)!r}))"
    return [sys.executable, "-c", code]


def output_of(function: Callable[[Path], None], folder: Path) -> str:
    """Runs it as a program of its own, which must end well and quietly."""
    done = subprocess.run(
        script(function, folder),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_job_that_asks_for_gpus_has_some_of_its_own(tmp_path: Path) -> None:
    output_of(share_gpus, tmp_path)


def test_close_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    output_of(close_in_all_ways, tmp_path)


@pytest.mark.parametrize("said", BROKEN)
def test_a_library_that_cannot_be_imported_is_an_error_in_its_own_words(
    tmp_path: Path, said: str
) -> None:
    (tmp_path / "keras.py").write_text(BROKEN[said])
    printed = output_of(fail_to_import, tmp_path)
    assert printed.startswith("workers cannot start: ")
    assert said in printed
    assert str(tmp_path / "log") in printed
    if said == "ImportError":
        assert "libwhatever.so.8 is missing" in printed
        assert "libwhatever.so.8 is missing" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("said", BROKEN)
def test_a_library_that_a_job_cannot_import_is_no_fault_of_the_job(
    tmp_path: Path, said: str
) -> None:
    (tmp_path / "sklearn.py").write_text(BROKEN[said])
    printed = output_of(fail_in_worker, tmp_path)
    assert printed.startswith("workers cannot start: ")
    assert said in printed.replace("the process ended with exit code 4", "SystemExit: 4")


def test_a_death_before_the_job_has_started_is_no_fault_of_the_job(tmp_path: Path) -> None:
    once, ever = output_of(die_before_the_job, tmp_path).splitlines()
    assert once == "Finished"
    assert ever.startswith("workers cannot start: the process was killed by SIGKILL")


def test_a_server_that_hangs_is_replaced(tmp_path: Path) -> None:
    assert output_of(hang, tmp_path) == "Finished\n"


def test_the_death_of_the_forkserver_costs_no_job(tmp_path: Path) -> None:
    said = output_of(outlive_the_server, tmp_path)
    assert said.split() == ["Finished", "True", "Finished"]
    assert not (tmp_path / "scratch").exists()
