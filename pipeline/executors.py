"""Where jobs run. A supervisor submits jobs, takes events, and may stop a job at any time."""

import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import PipelineError
from pipeline.jobs import Event, Failed, Finished, Job, Started
from pipeline.paths import shown

STOP_SECONDS = 2.0  # between SIGTERM and SIGKILL

# How the forkserver's environment tells `pipeline.preload` what to do.
PRELOAD_DATASET = "PIPELINE_PRELOAD_DATASET"
WORKER_LOG, WORKER_SCRATCH = "PIPELINE_WORKER_LOG", "PIPELINE_WORKER_SCRATCH"


class Executor(Protocol):
    """Runs jobs somewhere else."""

    n_workers: int

    def submit(self, job: Job) -> None:
        """Starts a job, or queues it until there is a place to run it."""

    def events(self, timeout_seconds: float) -> list[Event]:
        """Waits for something to happen, at most so long, and returns what did, oldest first.

        Every job that is not stopped ends with one `Finished` or `Failed`, whatever becomes of
        its process.

        Raises:
            PipelineError: no job can run at all; the text says why.
        """

    def stop(self, trial: int) -> None:
        """Ends a job now; no event of it comes any more."""

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Runs a function in a process that has imported Keras, and waits for it.

        Raises:
            PipelineError: it failed; the text says why.
        """

    def close(self) -> None:
        """Ends all jobs and everything that served them."""


@dataclass(frozen=True)
class _Worker:
    process: ForkServerProcess
    connection: Connection


class LocalExecutor:
    """One process for each job, forked from a server that has imported TensorFlow.

    The import (some ten seconds) goes on in the background from the moment this is built; jobs
    submitted meanwhile wait for it.

    Args:
        dataset: loaded once, shared by all workers.
        n_workers: how many jobs run at a time, each on one thread.
        log: file to which workers write what they print.
        scratch: folder for files that workers need for a moment; removed at start and end.
    """

    def __init__(self, dataset: str, n_workers: int, log: Path, scratch: Path) -> None:
        self.n_workers = n_workers
        self._log, self._scratch = log, scratch
        self._workers: dict[int, _Worker] = {}
        self._queue: deque[Job] = deque()
        self._context = multiprocessing.get_context("forkserver")
        self._ready, self._ready_signal = self._context.Pipe(duplex=False)
        self._is_ready = False
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        self._context.set_forkserver_preload(["pipeline.preload"])
        # left there, for a server that has to be started again after somebody killed it
        os.environ |= {
            PRELOAD_DATASET: dataset,
            WORKER_LOG: str(log),
            WORKER_SCRATCH: str(scratch),
        }
        forkserver.ensure_running()
        self._importing = threading.Thread(target=self._warm_up, daemon=True)
        self._importing.start()

    def submit(self, job: Job) -> None:
        """Starts a job, or queues it until TensorFlow is imported."""
        self._queue.append(job)
        self._start_queued()

    def events(self, timeout_seconds: float) -> list[Event]:
        """Waits for events of any worker, and for the import to be done."""
        if not self._is_ready:
            if not self._ready.poll(timeout_seconds):
                return []
            if not self._ready.recv():
                raise PipelineError(f"workers cannot start; {shown(self._log)} says why")
            self._is_ready = True
            self._start_queued()
            return []
        trials = {worker.connection: trial for trial, worker in self._workers.items()}
        happened: list[Event] = []
        for connection in wait(list(trials), timeout_seconds):
            happened += self._receive(trials[connection])  # type: ignore[index]
        return happened

    def stop(self, trial: int) -> None:
        """Ends a job's process by SIGTERM, and by SIGKILL if that does not help."""
        self._queue = deque(job for job in self._queue if job.trial != trial)
        worker = self._workers.pop(trial, None)
        if worker:
            worker.process.terminate()
            _reap(worker)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Runs a function in a process forked from the same server."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_call, args=(sender, function, arguments))
        process.start()
        sender.close()
        try:
            failure = receiver.recv()
        except EOFError:
            failure = _cause_of_death(process)
        finally:
            _reap(_Worker(process, receiver))
        if failure:
            raise PipelineError(failure)

    def close(self) -> None:
        """Ends all workers at once, then the server."""
        self._queue.clear()
        for worker in self._workers.values():
            worker.process.terminate()
        for trial in list(self._workers):
            self.stop(trial)
        _kill_forkserver()
        while self._importing.is_alive():  # it may have been about to start another
            self._importing.join(0.1)
            _kill_forkserver()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _warm_up(self) -> None:
        """Says when the server has forked its first child, that is, has imported all."""
        process = self._context.Process(target=_nothing)
        try:
            process.start()
            process.join()
        except Exception:  # whatever comes of a server that died, or was closed meanwhile
            self._ready_signal.send(False)
        else:
            self._ready_signal.send(process.exitcode == 0)

    def _start_queued(self) -> None:
        while self._is_ready and self._queue:
            job = self._queue.popleft()
            receiver, sender = self._context.Pipe(duplex=False)
            process = self._context.Process(target=_work, args=(sender, job), daemon=True)
            process.start()
            sender.close()  # the worker holds the other end alone, so its death is seen
            self._workers[job.trial] = _Worker(process, receiver)

    def _receive(self, trial: int) -> list[Event]:
        worker = self._workers[trial]
        received: list[Event] = []
        try:
            while not received or worker.connection.poll():
                event = worker.connection.recv()
                received.append(event)
                if isinstance(event, Finished | Failed):
                    break
            else:
                return received
        except (EOFError, OSError):
            received.append(Failed(trial, _cause_of_death(worker.process)))
        del self._workers[trial]
        _reap(worker)
        return received


def _work(connection: Connection, job: Job) -> None:
    """What a worker process does: one job."""
    _die_with_supervisor()
    from pipeline import logistic, training

    train = {"keras": training.train, "sgd_classifier": logistic.train}[job.trainer]
    training.use_threads(1)
    try:
        connection.send(Started(job.trial))
        for event in train(job):
            connection.send(event)
    except BrokenPipeError:  # the supervisor is gone
        pass
    except Exception as error:
        connection.send(Failed(job.trial, _first_line(error)))
    connection.close()
    os._exit(0)  # TensorFlow takes its time to say goodbye


def _call(connection: Connection, function: Callable[..., None], arguments: object) -> None:
    _die_with_supervisor()
    failure = None
    try:
        function(*arguments)  # type: ignore[misc]
    except Exception as error:
        failure = _first_line(error)
    connection.send(failure)
    connection.close()


def _nothing() -> None:
    os._exit(0)


def _die_with_supervisor() -> None:
    """Leaves Ctrl-C to the supervisor, and ends this process when the supervisor is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _cause_of_death(process: ForkServerProcess) -> str:
    process.join(STOP_SECONDS)
    code = process.exitcode
    if code == -signal.SIGKILL:
        return "the process was killed by SIGKILL; was it out of memory?"
    if code is not None and code < 0:
        return f"the process was killed by {signal.Signals(-code).name}"
    return f"the process ended with exit code {code} and without a result"


def _reap(worker: _Worker) -> None:
    worker.process.join(STOP_SECONDS)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    worker.process.close()
    worker.connection.close()


def _kill_forkserver() -> None:
    """Without waiting for its imports; a new one is started when it is needed again."""
    server: Any = forkserver._forkserver  # there is no public way to stop it
    if server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()
