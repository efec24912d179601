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

from pipeline.errors import PipelineError
from pipeline.execution.devices import Devices
from pipeline.execution.local import LocalExecutor
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.source import DataSpec
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, Started

DEADLINE_SECONDS = 120.0  # for what should take seconds, on a machine that is busy
ROOT = Path(__file__).parents[2]

NETWORK = Hyperparameters(
    hidden_layers=0,
    units=(),
    optimizer="adam",
    learning_rate=0.001,
    batch_size=1000,
    epochs=2,
)
JOB = Job(
    trial=1,
    data=DataSpec("fashion_mnist"),
    hyperparameters=NETWORK,
    seed=0,
    metric="val_accuracy",
    direction="maximize",
    patience=100_000,
)
ENDLESS = replace(JOB, hyperparameters=replace(NETWORK, epochs=100_000))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executor") / "workers.log"


@pytest.fixture(scope="module")
def executor(log: Path) -> Iterator[LocalExecutor]:
    """Shared, since TensorFlow is imported for each anew."""
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, log, log.parent / "scratch")
    yield executor
    executor.close()


def events_until(executor: LocalExecutor, is_over: Callable[[list[Event]], bool]) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_over(events):
        assert time.monotonic() < deadline, f"only got {events}"
        events += executor.events(1.0)
    return events


def has_ended(*trials: int) -> Callable[[list[Event]], bool]:
    return lambda events: (
        set(trials) <= {event.trial for event in events if isinstance(event, Finished | Failed)}
    )


def has_begun(trial: int) -> Callable[[list[Event]], bool]:
    return lambda events: trial in {event.trial for event in events}


def process_of(executor: LocalExecutor, trial: int) -> psutil.Process:
    return psutil.Process(executor._workers[trial].process.pid)


def failed(executor: LocalExecutor, trial: int) -> Failed:
    """Waits for a trial to end as it should not."""
    last = [e for e in events_until(executor, has_ended(trial)) if e.trial == trial][-1]
    assert isinstance(last, Failed)
    return last


def failure(executor: LocalExecutor, trial: int) -> str:
    """Waits for a trial to end and returns why it failed."""
    return failed(executor, trial).reason


def test_two_jobs_run_side_by_side_and_finish(executor: LocalExecutor) -> None:
    for trial in (1, 2):
        executor.submit(replace(JOB, trial=trial, seed=trial))
    events = events_until(executor, has_ended(1, 2))
    for trial in (1, 2):
        first, *epochs, last = [event for event in events if event.trial == trial]
        assert isinstance(first, Started)
        ended = [event for event in epochs if isinstance(event, EpochEnd)]
        assert [event.epoch for event in ended] == [1, 2]
        assert isinstance(last, Finished)
        assert ended[0].n_parameters == 7_850
        assert ended[0].model is not None
    assert executor.events(0) == []


@pytest.mark.parametrize("cpus", [1, 2])
def test_same_job_gives_the_same_numbers_in_another_process(
    cpus: int, executor: LocalExecutor
) -> None:
    for trial in (3, 4):
        executor.submit(replace(JOB, trial=trial, cpus=cpus))
    events = events_until(executor, has_ended(3, 4))
    first, second = (
        [
            {**event.metrics, "seconds": 0}
            for event in events
            if isinstance(event, EpochEnd) and event.trial == trial
        ]
        for trial in (3, 4)
    )
    assert first == second


def test_stop_ends_a_job_at_once_and_for_good(executor: LocalExecutor) -> None:
    executor.submit(replace(ENDLESS, trial=5))
    events_until(executor, has_begun(5))
    process = process_of(executor, 5)
    executor.stop(5)
    assert not process.is_running()
    executor.submit(replace(JOB, trial=6))
    assert {event.trial for event in events_until(executor, has_ended(6))} == {6}


def test_stop_of_a_job_that_does_not_run_does_nothing(executor: LocalExecutor) -> None:
    executor.stop(1_000)
    assert executor.events(0) == []


def test_stop_ends_a_process_that_hangs(executor: LocalExecutor) -> None:
    executor.submit(replace(ENDLESS, trial=10))
    events_until(executor, has_begun(10))
    process = process_of(executor, 10)
    process.suspend()  # so that it takes no notice of SIGTERM
    executor.stop(10)
    assert not process.is_running()


def test_stop_does_not_wait_for_a_job_before_it_kills_it(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
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


# SIGKILL is what the kernel sends where memory is short
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_worker_is_a_failed_job_that_may_be_tried_again(
    executor: LocalExecutor, number: signal.Signals
) -> None:
    executor.submit(replace(ENDLESS, trial=7))
    events_until(executor, has_begun(7))
    process_of(executor, 7).send_signal(number)
    last = failed(executor, 7)
    assert number.name in last.reason
    assert last.is_transient


def test_an_exception_in_a_worker_is_a_failed_job(executor: LocalExecutor) -> None:
    executor.submit(replace(JOB, trial=8, data=DataSpec("no_such_dataset")))
    last = failed(executor, 8)
    assert 'found "no_such_dataset"' in last.reason
    assert not last.is_transient


def test_a_network_that_cannot_be_built_is_a_failed_job(executor: LocalExecutor) -> None:
    wrong = replace(NETWORK, hidden_layers=1, units=(8,), activation="no_such")
    executor.submit(replace(JOB, trial=9, hyperparameters=wrong))
    last = failed(executor, 9)
    assert "no_such" in last.reason
    assert not last.is_transient


def test_a_loss_that_is_not_a_number_is_a_failed_job(executor: LocalExecutor) -> None:
    diverging = replace(
        NETWORK, hidden_layers=4, units=(64,) * 4, optimizer="sgd", learning_rate=100.0, epochs=20
    )
    executor.submit(replace(JOB, trial=11, hyperparameters=diverging))
    last = failed(executor, 11)
    assert last.reason.startswith("loss became nan in epoch")
    assert not last.is_transient


class Greedy(Hyperparameters):
    """Wants more memory than any machine has, as soon as somebody asks for its layers."""

    def __getattribute__(self, name: str) -> Any:
        return bytearray(1 << 60) if name == "units" else super().__getattribute__(name)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        # its second layer alone has more weights than a process has addresses
        (replace(NETWORK, hidden_layers=2, units=(20_000, 2_000_000_000)), "ResourceExhausted"),
        (Greedy(**vars(NETWORK)), "MemoryError"),
    ],
    ids=["TensorFlow", "Python"],
)
def test_want_of_memory_is_a_failed_job_that_may_be_tried_again(
    executor: LocalExecutor, network: Hyperparameters, reason: str
) -> None:
    executor.submit(replace(JOB, trial=12, hyperparameters=network))
    last = failed(executor, 12)
    assert last.reason.startswith(reason)
    assert last.is_transient
    executor.submit(replace(JOB, trial=13))
    assert isinstance(events_until(executor, has_ended(13))[-1], Finished)


def write(path: Path, text: str) -> None:
    path.write_text(f"{text} {'keras' in sys.modules} {os.getpid()}")
    print(f"wrote {text}")


def fail() -> None:
    raise ValueError("for this reason\nand more that nobody reads")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_call_runs_a_function_in_a_worker_that_has_keras(
    executor: LocalExecutor, log: Path, tmp_path: Path
) -> None:
    executor.call(write, tmp_path / "text", "hello")
    text, has_keras, pid = (tmp_path / "text").read_text().split()
    assert (text, has_keras) == ("hello", "True")
    assert int(pid) != os.getpid()
    assert "wrote hello" in log.read_text()


def test_call_survives_the_death_of_the_server_at_its_beginning(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, deaths = ForkServerProcess.start, iter([EOFError("unexpected EOF")])

    def start_or_die(process: ForkServerProcess) -> None:
        for death in deaths:
            raise death
        start(process)

    monkeypatch.setattr(ForkServerProcess, "start", start_or_die)
    executor.call(write, tmp_path / "text", "hello")
    assert (tmp_path / "text").read_text().startswith("hello")


def test_call_tells_why_a_function_failed(executor: LocalExecutor) -> None:
    with pytest.raises(PipelineError, match=r"^ValueError: for this reason$"):
        executor.call(fail)


def test_call_tells_of_a_process_that_died(executor: LocalExecutor) -> None:
    with pytest.raises(PipelineError, match="SIGKILL"):
        executor.call(die)


def others() -> list[psutil.Process]:
    """Descendants but for multiprocessing's own tracker, which ends when this process does."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "resource_tracker" not in "".join(process.cmdline())
    ]


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


def close_during_jobs(folder: Path) -> None:
    executor = LocalExecutor(DataSpec("fashion_mnist"), 2, folder / "log", folder / "scratch")
    for trial in (1, 2):
        executor.submit(replace(ENDLESS, trial=trial))
    events_until(executor, lambda events: {event.trial for event in events} == {1, 2})
    assert len(others()) == 3  # two workers and their server
    executor.close()
    executor.close()  # once more does no harm


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
    for close in (close_at_once, close_during_import, close_during_jobs):
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
    events_until(executor, lambda events: {event.trial for event in events} == {1, 2})
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


def run_until_killed(folder: Path) -> None:
    executor = LocalExecutor(DataSpec("fashion_mnist"), 1, folder / "log", folder / "scratch")
    executor.submit(ENDLESS)
    events_until(executor, has_begun(ENDLESS.trial))
    print(*(process.pid for process in others()), flush=True)
    events_until(executor, has_ended(ENDLESS.trial))


def script(function: Callable[[Path], None], folder: Path) -> list[str]:
    name = function.__name__
    code = f"import pathlib, test_local; test_local.{name}(pathlib.Path({str(folder)!r}))"
    return [sys.executable, "-c", code]


PYTHONPATH = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
ENVIRONMENT = {**os.environ, "PYTHONPATH": PYTHONPATH}


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


def test_workers_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        script(run_until_killed, tmp_path), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        processes = [psutil.Process(int(pid)) for pid in supervisor.stdout.readline().split()]
        supervisor.kill()
    assert len(processes) == 2  # the worker and its server
    deadline = time.monotonic() + DEADLINE_SECONDS
    while processes := [process for process in processes if is_alive(process)]:
        assert time.monotonic() < deadline, f"still there: {processes}"
        psutil.wait_procs(processes, timeout=0.2)


def is_alive(process: psutil.Process) -> bool:
    """A zombie is not, though nobody may care to bury it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
