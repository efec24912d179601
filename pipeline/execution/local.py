"""Runs jobs on this machine: one process for each, forked from a server with TensorFlow."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from pipeline.environment import NO_GPU
from pipeline.errors import PipelineError, one_line
from pipeline.execution import forkserver
from pipeline.execution.devices import Devices
from pipeline.execution.worker import (
    PRELOAD_DATASET,
    WORKER_LOG,
    WORKER_SCRATCH,
    CannotRun,
    call,
    tell_preload,
    work,
)
from pipeline.paths import display_path
from pipeline.study.trial import Cause
from pipeline.task.source import DataSpec
from pipeline.training.job import Event, Failed, Finished, Job, Started

STOP_SECONDS = 2.0  # for a process to be gone
MAX_RESTARTS = 3  # of a server that is killed, or of jobs whose processes die, before one starts
_KILLED = "the process was killed by SIGKILL; was it out of memory?"
_UNKNOWN_EXIT_CODE = 255  # what multiprocessing says when the forkserver is dead


@dataclass
class _Worker:
    job: Job | None  # None for a call
    process: ForkServerProcess
    connection: Connection
    has_started: bool = False  # the job: from here on it may be at fault


class LocalExecutor:
    """Runs each job in a process of its own, forked from a server that has TensorFlow.

    The import (some ten seconds) goes on in the background from the moment this is built; jobs
    submitted meanwhile wait for it.

    Args:
        data: loaded once, shared by all workers.
        n_workers: how many jobs run at a time.
        log: file to which workers write what they print.
        scratch: folder for files that workers and this process need for a moment; removed at
            start and end, so that what a killed process left is removed by the next.
        devices: GPUs, shared out to the jobs that ask for some; None to leave them alone.
    """

    def __init__(
        self,
        data: DataSpec,
        n_workers: int,
        log: Path,
        scratch: Path,
        devices: Devices | None = None,
    ) -> None:
        self.n_workers, self._devices = n_workers, devices
        self._log, self._scratch = log, scratch
        self._workers: dict[int, _Worker] = {}
        self._queue: deque[Job] = deque()
        self._context = multiprocessing.get_context("forkserver")
        self._ready, self._ready_signal = self._context.Pipe(duplex=False)
        self._woken, self._wake = self._context.Pipe(duplex=False)
        self._is_ready, self._n_restarts = False, 0
        self._n_deaths = 0  # in a row, of processes whose job had not started
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True, exist_ok=True)  # what a dead supervisor left may write to it
        self._temporary = contextlib.ExitStack()
        self._temporary.enter_context(forkserver.temporary_files_in(scratch))
        self._context.set_forkserver_preload(["pipeline.execution.preload"])
        # left there, for a server that has to be started again after somebody killed it
        os.environ |= {
            PRELOAD_DATASET: json.dumps(dataclasses.astuple(data)),
            WORKER_LOG: str(log),
            WORKER_SCRATCH: str(scratch),
        }
        self._start_server()

    def submit(self, job: Job) -> None:
        """Starts a job, or queues the job until TensorFlow is imported."""
        self._queue.append(job)
        self._start_queued()

    def events(self, timeout_seconds: float) -> list[Event]:
        """Waits for events of any worker, and for the import to be done."""
        trials = {worker.connection: trial for trial, worker in self._workers.items()}
        sources = [*trials, self._woken, *([] if self._is_ready else [self._ready])]
        happened: list[Event] = []
        for source in wait(sources, timeout_seconds):
            if source is self._woken:
                self._woken.recv()
            elif source is self._ready:
                self._hear_of_server(self._ready.recv())
            else:
                happened += self._receive(trials[source])  # type: ignore[index]
        return happened

    def wake(self) -> None:
        """Has `events` return now; may be called from another thread."""
        self._wake.send(None)

    def stop(self, trial: int) -> None:
        """Kills the process of a trial's job; no event of that job comes any more."""
        self._queue = deque(job for job in self._queue if job.trial != trial)
        if worker := self._workers.get(trial):
            worker.process.kill()  # it has nothing to clear up
        self._end(trial)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Runs a function in a process forked from the same server, and waits for the function."""
        receiver, sender = self._context.Pipe(duplex=False)
        for _ in range(1 + MAX_RESTARTS):
            process = self._context.Process(target=call, args=(sender, function, arguments))
            try:
                process.start()
                break
            except (EOFError, OSError):  # the server is killed at this moment
                forkserver.was_killed(STOP_SECONDS)
                forkserver.start()
        else:
            raise self._cannot_start("their server was killed")
        sender.close()
        try:
            failure = receiver.recv()
        except EOFError:
            failure, _ = _cause_of_death(process)
        finally:
            _reap(_Worker(None, process, receiver))
        if failure:
            raise PipelineError(failure)

    def close(self) -> None:
        """Kills all workers at once, then the server, then waits for all of them to be gone."""
        self._queue.clear()
        for worker in self._workers.values():
            worker.process.kill()
        forkserver.kill()  # else, if it hangs, it would be waited for to tell of each worker's end
        for trial in list(self._workers):
            self.stop(trial)
        forkserver.kill()
        while self._importing.is_alive():  # it may have been about to start another
            self._importing.join(0.1)
            forkserver.kill()
        self._temporary.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _start_server(self) -> None:
        """Starts the server, unless it runs; `events` learns when all is imported."""
        forkserver.start()
        self._is_ready = False
        self._importing = threading.Thread(target=self._warm_up, daemon=True)
        self._importing.start()

    def _warm_up(self) -> None:
        """Sends what the server's first child tells: None, or why not all could be imported."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=tell_preload, args=(sender,))
        try:
            process.start()
            sender.close()
            failure = receiver.recv()
            process.join()
        except Exception as error:  # whatever comes of a server that died, or was closed meanwhile
            self._ready_signal.send(error)
        else:
            self._ready_signal.send(failure)
        finally:
            receiver.close()

    def _hear_of_server(self, failure: str | Exception | None) -> None:
        """Starts what is queued; a server that somebody killed is started again."""
        if failure is None:
            self._is_ready, self._n_restarts = True, 0
            self._start_queued()
        elif isinstance(failure, str):
            raise self._cannot_start(failure)
        elif forkserver.was_killed(STOP_SECONDS) and self._n_restarts < MAX_RESTARTS:
            self._n_restarts += 1
            self._start_server()
        else:
            raise self._cannot_start(f"while importing TensorFlow, {forkserver.how_it_ended()}")

    def _cannot_start(self, reason: str) -> PipelineError:
        log = display_path(self._log)
        return PipelineError(f"workers cannot start: {one_line(reason)} ({log} may say more)")

    def _start_queued(self) -> None:
        while self._is_ready and self._queue:
            if forkserver.was_killed():
                self._start_server()
                return
            receiver, sender = self._context.Pipe(duplex=False)
            job, gpus = self._queue[0], NO_GPU
            if self._devices and job.gpus:
                gpus = self._devices.take(job.trial)
            process = self._context.Process(target=work, args=(sender, job, gpus), daemon=True)
            try:
                process.start()
            except (EOFError, OSError):  # killed at this moment
                receiver.close()
                self._start_server()
                return
            finally:
                sender.close()  # the worker holds this end alone, so its death is seen
            self._queue.popleft()
            self._workers[job.trial] = _Worker(job, process, receiver)

    def _receive(self, trial: int) -> list[Event]:
        worker = self._workers[trial]
        received: list[Event] = []
        try:
            while not received or worker.connection.poll():
                event = worker.connection.recv()
                if isinstance(event, CannotRun):
                    raise self._cannot_start(event.reason)
                if isinstance(event, Started):
                    worker.has_started, self._n_deaths = True, 0
                received.append(event)
                if isinstance(event, Finished | Failed):
                    break
            else:
                return received
        except (EOFError, OSError):
            reason, is_transient = _cause_of_death(worker.process)
            if worker.has_started:
                cause = Cause.TOO_LARGE if reason == _KILLED else None
                received.append(Failed(trial, reason, is_transient, cause, is_guess=True))
            else:
                self._n_deaths += 1
                if self._n_deaths > MAX_RESTARTS:
                    raise self._cannot_start(reason) from None
        self._end(trial)
        if not worker.has_started:  # no fault of the job
            assert worker.job
            self._queue.appendleft(worker.job)
            self._start_queued()
        return received

    def _end(self, trial: int) -> None:
        """Waits for the end of a trial's process, if it has one, and gives back its GPUs."""
        if worker := self._workers.pop(trial, None):
            _reap(worker)
        if self._devices:
            self._devices.release(trial)


def _cause_of_death(process: ForkServerProcess) -> tuple[str, bool]:
    """Says why a process is gone, and whether that may not happen another time."""
    process.join(STOP_SECONDS)
    code = process.exitcode
    if code == _UNKNOWN_EXIT_CODE:
        return "the process ended, and so had the server that knows why", True
    if code == -signal.SIGKILL:
        return _KILLED, True
    if code is not None and code < 0:
        return f"the process was killed by {signal.Signals(-code).name}", True
    return f"the process ended with exit code {code} and without a result", False


def _reap(worker: _Worker) -> None:
    """Waits for a process that is at its end, and has the server killed if that does not tell."""
    worker.process.join(STOP_SECONDS)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join(STOP_SECONDS)
    if worker.process.is_alive():  # for all that is known: the server is stopped, or hangs
        forkserver.kill()
        worker.process.join()
    worker.process.close()
    worker.connection.close()
