"""What every executor has to do, with real training: a test module holds its own to this.

def make(n_workers, folder): ...  # builds one of `DATA` that keeps its files in a folder

@pytest.fixture(scope="module")
def executor(tmp_path_factory): ...  # one of two workers, for all tests; closed at the end

class TestMine(ExecutorConformance):
    module = "test_mine"

    @staticmethod
    def workers(executor): ...  # the processes that train now
"""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.errors import PipelineError
from pipeline.execution.executor import Executor
from pipeline.names import state_file
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.source import DataSpec
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, JobEnd, Started

DEADLINE_SECONDS = 180.0  # for what should take seconds, on a machine that is busy
ROOT = Path(__file__).parents[2]

DATA = DataSpec("fashion_mnist")
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
    data=DATA,
    hyperparameters=NETWORK,
    seed=0,
    metric="val_accuracy",
    direction="maximize",
    patience=100_000,
)
ENDLESS = replace(JOB, hyperparameters=replace(NETWORK, epochs=100_000))


def events_until(executor: Executor, is_over: Callable[[list[Event]], bool]) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_over(events):
        assert time.monotonic() < deadline, f"only got {events}"
        events += executor.events(1.0)
    return events


def has_ended(*trials: int) -> Callable[[list[Event]], bool]:
    return lambda events: (
        set(trials) <= {event.trial for event in events if isinstance(event, JobEnd)}
    )


def has_begun(*trials: int) -> Callable[[list[Event]], bool]:
    return lambda events: set(trials) <= {event.trial for event in events}


def failed(executor: Executor, trial: int) -> Failed:
    """Waits for a trial to end as it should not."""
    last = [e for e in events_until(executor, has_ended(trial)) if e.trial == trial][-1]
    assert isinstance(last, Failed)
    return last


def curve(events: list[Event], trial: int) -> list[dict[str, float]]:
    """All that an epoch brings and that does not depend on the clock."""
    ends = [e for e in events if isinstance(e, EpochEnd) and e.trial == trial]
    return [{"epoch": end.epoch, **end.metrics, "seconds": 0} for end in ends]


class Greedy(Hyperparameters):
    """Wants more memory than any machine has, as soon as somebody asks for its layers."""

    def __getattribute__(self, name: str) -> Any:
        return bytearray(1 << 60) if name == "units" else super().__getattribute__(name)


def write(path: Path, text: str) -> None:
    path.write_text(f"{text} {'keras' in sys.modules} {os.getpid()}")
    print(f"wrote {text}")


def fail() -> None:
    raise ValueError("for this reason\nand more that nobody reads")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class ExecutorConformance:
    """Holds an executor to what the supervisor relies on."""

    module: str

    @staticmethod
    def workers(executor: Any) -> list[psutil.Process]:
        """Lists the processes that train, of one machine."""
        raise NotImplementedError

    def worker(self, executor: Any) -> psutil.Process:
        """The process of the only job that runs."""
        (process,) = self.workers(executor)
        return process

    def test_two_jobs_run_side_by_side_and_finish(self, executor: Executor) -> None:
        for trial in (1, 2):
            executor.submit(replace(JOB, trial=trial, seed=trial))
        events = events_until(executor, has_ended(1, 2))
        assert executor.n_workers == 2
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
        self, cpus: int, executor: Executor
    ) -> None:
        for trial in (3, 4):
            executor.submit(replace(JOB, trial=trial, cpus=cpus))
        events = events_until(executor, has_ended(3, 4))
        assert curve(events, 3) == curve(events, 4)

    def test_stop_ends_a_job_at_once_and_for_good(self, executor: Executor) -> None:
        executor.submit(replace(ENDLESS, trial=5))
        events_until(executor, has_begun(5))
        process = self.worker(executor)
        executor.stop(5)
        assert wait_until_gone([process]) == []
        executor.submit(replace(JOB, trial=6))
        assert {event.trial for event in events_until(executor, has_ended(6))} == {6}

    def test_a_trial_that_was_stopped_may_run_again(self, executor: Executor) -> None:
        """Nothing is heard of what it was before."""
        executor.submit(replace(ENDLESS, trial=5))
        events_until(executor, lambda events: len(curve(events, 5)) > 2)
        executor.stop(5)
        executor.submit(replace(JOB, trial=5))
        events = events_until(executor, has_ended(5))
        assert isinstance(events[0], Started)
        assert [each["epoch"] for each in curve(events, 5)] == [1, 2]

    def test_stop_of_a_job_that_does_not_run_does_nothing(self, executor: Executor) -> None:
        executor.stop(1_000)
        assert executor.events(0) == []

    def test_stop_ends_a_process_that_hangs(self, executor: Executor) -> None:
        executor.submit(replace(ENDLESS, trial=10))
        events_until(executor, has_begun(10))
        process = self.worker(executor)
        process.suspend()  # so that it takes no notice of SIGTERM
        executor.stop(10)
        assert wait_until_gone([process]) == []

    # SIGKILL is what the kernel sends where memory is short
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
    def test_a_killed_worker_is_a_failed_job_that_may_be_tried_again(
        self, executor: Executor, number: signal.Signals
    ) -> None:
        executor.submit(replace(ENDLESS, trial=7))
        events_until(executor, has_begun(7))
        self.worker(executor).send_signal(number)
        last = failed(executor, 7)
        assert number.name in last.reason
        assert last.is_transient

    def test_an_exception_in_a_worker_is_a_failed_job(self, executor: Executor) -> None:
        executor.submit(replace(JOB, trial=8, data=DataSpec("no_such_dataset")))
        last = failed(executor, 8)
        assert 'found "no_such_dataset"' in last.reason
        assert not last.is_transient

    def test_a_network_that_cannot_be_built_is_a_failed_job(self, executor: Executor) -> None:
        wrong = replace(NETWORK, hidden_layers=1, units=(8,), activation="no_such")
        executor.submit(replace(JOB, trial=9, hyperparameters=wrong))
        last = failed(executor, 9)
        assert "no_such" in last.reason
        assert not last.is_transient

    def test_a_loss_that_is_not_a_number_is_a_failed_job(self, executor: Executor) -> None:
        diverging = replace(
            NETWORK,
            hidden_layers=4,
            units=(64,) * 4,
            optimizer="sgd",
            learning_rate=100.0,
            epochs=20,
        )
        executor.submit(replace(JOB, trial=11, hyperparameters=diverging))
        last = failed(executor, 11)
        assert last.reason.startswith("loss became nan in epoch")
        assert not last.is_transient

    @pytest.mark.parametrize(
        ("network", "reason"),
        [
            # its second layer alone has more weights than a process has addresses
            (
                replace(NETWORK, hidden_layers=2, units=(20_000, 2_000_000_000)),
                "ResourceExhausted",
            ),
            (Greedy(**vars(NETWORK)), "MemoryError"),
        ],
        ids=["TensorFlow", "Python"],
    )
    def test_want_of_memory_is_a_failed_job_that_may_be_tried_again(
        self, executor: Executor, network: Hyperparameters, reason: str
    ) -> None:
        executor.submit(replace(JOB, trial=12, hyperparameters=network))
        last = failed(executor, 12)
        assert last.reason.startswith(reason)
        assert last.is_transient
        executor.submit(replace(JOB, trial=13))
        assert isinstance(events_until(executor, has_ended(13))[-1], Finished)

    def test_a_paused_job_goes_on_bit_for_bit_in_another_process(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """Its state is where the supervisor is, before that hears of the epoch."""
        whole = replace(
            JOB, trial=15, hyperparameters=replace(NETWORK, epochs=4), state_folder=str(tmp_path)
        )
        executor.submit(whole)
        expected = curve(events_until(executor, has_ended(15)), 15)
        paused = replace(whole, trial=16, rungs=(2,))
        executor.submit(paused)
        first = events_until(executor, lambda events: len(curve(events, 16)) >= 2)
        assert (tmp_path / state_file(16, 2)).is_file()
        executor.stop(16)
        executor.submit(replace(paused, goes_on_after=2))
        rest = events_until(executor, has_ended(16))
        assert [*curve(first, 16)[:2], *curve(rest, 16)] == expected

    def test_a_job_whose_state_is_gone_begins_anew(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        lost = replace(JOB, trial=17, state_folder=str(tmp_path), rungs=(1,), goes_on_after=1)
        executor.submit(lost)
        events = events_until(executor, has_ended(17))
        assert [each["epoch"] for each in curve(events, 17)] == [1, 2]

    def test_call_runs_a_function_here_in_a_process_that_has_keras(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        executor.call(write, tmp_path / "text", "hello")
        text, has_keras, pid = (tmp_path / "text").read_text().split()
        assert (text, has_keras) == ("hello", "True")
        assert int(pid) != os.getpid()

    def test_call_tells_why_a_function_failed(self, executor: Executor) -> None:
        with pytest.raises(PipelineError, match=r"^ValueError: for this reason$"):
            executor.call(fail)

    def test_call_tells_of_a_process_that_died(self, executor: Executor) -> None:
        with pytest.raises(PipelineError, match="SIGKILL"):
            executor.call(die)

    def test_close_leaves_no_process(self, tmp_path: Path) -> None:
        assert output_of("close_during_jobs", self.module, tmp_path) == ""

    def test_all_end_when_the_supervisor_is_killed(self, tmp_path: Path) -> None:
        with subprocess.Popen(
            script("run_until_killed", self.module, tmp_path),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        ) as supervisor:
            assert supervisor.stdout is not None
            processes = [psutil.Process(int(pid)) for pid in supervisor.stdout.readline().split()]
            supervisor.kill()
        assert len(processes) >= 2  # a worker and its server
        assert wait_until_gone(processes) == []


# What follows runs in a process of its own.


def close_during_jobs(module: str, folder: Path) -> None:
    """Closes an executor that trains; nothing of it is left."""
    executor = importlib.import_module(module).make(2, folder)
    for trial in (1, 2):
        executor.submit(replace(ENDLESS, trial=trial))
    events_until(executor, has_begun(1, 2))
    processes = others()
    assert len(processes) >= 3  # two workers and their server
    executor.close()
    executor.close()  # once more does no harm
    assert wait_until_gone(processes) == []
    assert others() == []


def run_until_killed(module: str, folder: Path) -> None:
    """Says which processes there are, and goes on."""
    executor = importlib.import_module(module).make(1, folder)
    executor.submit(ENDLESS)
    events_until(executor, has_begun(ENDLESS.trial))
    print(*(process.pid for process in others()), flush=True)
    events_until(executor, has_ended(ENDLESS.trial))


PATHS = [ROOT, Path(__file__).parent, ROOT / "tests" / "execution"]
PYTHONPATH = os.pathsep.join(map(str, PATHS))
ENVIRONMENT = {**os.environ, "PYTHONPATH": PYTHONPATH}


def script(function: str, module: str, folder: Path) -> list[str]:
    code = (
        "import pathlib, executor_conformance as tests; "
        f"__name__ == '__main__' and tests.{function}({module!r}, pathlib.Path({str(folder)!r}))"
    )
    return [sys.executable, "-c", code]


def output_of(function: str, module: str, folder: Path) -> str:
    """Runs it as a program of its own, which must end well and quietly."""
    done = subprocess.run(
        script(function, module, folder),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def others() -> list[psutil.Process]:
    """Descendants but for multiprocessing's own tracker, which ends when this process does."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "resource_tracker" not in "".join(process.cmdline())
    ]


def wait_until_gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Waits for processes to end; returns those that do not."""
    deadline = time.monotonic() + DEADLINE_SECONDS / 3
    while (left := [each for each in processes if is_alive(each)]) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.2)
    return left


def is_alive(process: psutil.Process) -> bool:
    """A zombie is not, though nobody may care to bury it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
