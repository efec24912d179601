"""Runs jobs on a Ray cluster, as seen by the supervisor: a process of its own speaks with Ray.

Jobs that are lost, with a node or with that process, are told as `Lost`. States of trainings lie
where the supervisor is, and travel with the jobs: a paused trial may go on on another node.
"""

import contextlib
import multiprocessing
import os
import secrets
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.execution.local import LocalExecutor
from pipeline.execution.ray.messages import (
    PATIENCE_SECONDS,
    Cannot,
    Capacity,
    Gone,
    Left,
    Reply,
    Stop,
    Ticket,
    Told,
    Wanted,
)
from pipeline.files import write_atomically
from pipeline.names import state_file
from pipeline.training.job import Event, Job, JobEnd, Lost

CLOSE_SECONDS = 20.0  # for that process to end what it has begun


class RayExecutor:
    """Runs each job on some node of a cluster.

    The cluster is joined in the background from the moment this is built; jobs that are submitted
    meanwhile wait for it.

    Args:
        wanted: what is asked of the cluster.
        log: file to which the process prints that speaks with Ray.
        scratch: folder for files that a process needs for a moment.
    """

    def __init__(self, wanted: Wanted, log: Path, scratch: Path) -> None:
        self._wanted, self._log, self._scratch = wanted, log, scratch
        self._context = multiprocessing.get_context("spawn")
        self._tickets: dict[int, Ticket] = {}  # by trial
        self._n_submitted = 0
        self._capacity: int | None = None  # not known before the cluster is joined
        self._lost_since: float | None = None
        self._held: list[Event] = []
        self._join()

    @property
    def n_workers(self) -> int:
        """How many jobs run at a time now, at least one; waits until that is known.

        Raises:
            PipelineError: the cluster cannot be joined; the text says why.
        """
        while self._capacity is None:
            self._held += self._receive(None)
        return max(1, self._capacity)

    def submit(self, job: Job) -> None:
        """Starts a job on a node that has room, or queues the job until one has."""
        self._n_submitted += 1
        state = None
        if job.goes_on_after:
            with contextlib.suppress(FileNotFoundError):
                state = _state(job, job.goes_on_after).read_bytes()
        ticket = self._tickets[job.trial] = Ticket(self._n_submitted, job, state)
        self._send(ticket)

    def events(self, timeout_seconds: float) -> list[Event]:
        """Waits for events from any node."""
        held, self._held = self._held, []
        return held or self._receive(timeout_seconds)

    def stop(self, trial: int) -> None:
        """Has a node kill the process of a job; no event of that job comes any more."""
        if ticket := self._tickets.pop(trial, None):
            self._send(Stop(ticket.number, trial))

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Runs a function where the supervisor is, in a process that has Keras; waits for it."""
        here = LocalExecutor(self._wanted.data, 1, self._log, self._scratch)
        with contextlib.closing(here):
            here.call(function, *arguments)

    def close(self) -> None:
        """Ends all jobs, and the process that speaks with Ray."""
        self._tickets.clear()
        self._leave()

    def _leave(self) -> None:
        self._connection.close()
        self._process.join(CLOSE_SECONDS)
        self._process.kill()
        self._process.join()

    def _join(self) -> None:
        self._is_joined = False
        self._connection, others = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(others, self._wanted, self._log), daemon=True
        )
        self._process.start()
        others.close()  # so that its death is seen

    def _send(self, asked: Ticket | Stop) -> None:
        with contextlib.suppress(OSError):  # it is dead: `events` will tell
            self._connection.send(asked)

    def _receive(self, timeout_seconds: float | None) -> list[Event]:
        """Waits for what comes, and returns the events of jobs that are not stopped."""
        happened: list[Event] = []
        wait([self._connection], timeout_seconds)
        try:
            while self._connection.poll():
                happened += self._events_of(self._connection.recv())
        except (EOFError, OSError):
            happened += self._join_again("the process that speaks with Ray has died")
        return happened

    def _events_of(self, reply: Reply) -> list[Event]:
        match reply:
            case Capacity(n_workers):
                self._capacity, self._lost_since, self._is_joined = n_workers, None, True
            case Cannot(reason, is_final):
                return self._join_again(reason, is_final=is_final)
            case Gone(tickets, reason):
                lost = [t.job.trial for t in self._tickets.values() if t.number in tickets]
                return self._lose(lost, reason)
            case told:
                return [event for each in told for event in self._current(each)]
        return []

    def _current(self, told: Told) -> list[Event]:
        """Keeps the state that a training has left; returns the event if its job runs still."""
        number, event = told
        ticket = self._tickets.get(event.trial)
        if ticket is None or ticket.number != number:
            return []
        if isinstance(event, Left):
            with contextlib.suppress(OSError):  # the disk is full, say; it is trained on, without
                write_atomically(_state(ticket.job, event.epoch), event.content)
            return []
        if isinstance(event, JobEnd):
            del self._tickets[event.trial]
        return [event]

    def _lose(self, trials: list[int], reason: str) -> list[Event]:
        for trial in trials:
            del self._tickets[trial]
        return [Lost(trial, reason) for trial in trials]

    def _join_again(self, reason: str, *, is_final: bool = False) -> list[Event]:
        """Starts the process anew that speaks with Ray; what it ran is lost, if it ran anything.

        Raises:
            PipelineError: the cluster was never joined, or has been lost for long.
        """
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        is_hopeless = is_final or self._capacity is None
        if is_hopeless or now - self._lost_since > PATIENCE_SECONDS:
            raise PipelineError(reason)
        lost = self._lose(list(self._tickets), "the cluster was lost") if self._is_joined else []
        self._leave()
        self._join()
        for waiting in self._tickets.values():
            self._send(waiting)
        return lost


def _serve(connection: Connection, wanted: Wanted, log: Path) -> None:
    """Runs in the other process, which alone imports Ray, and before that says how."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not wanted.address:  # nothing of a Ray of one's own listens to other machines, or to users
        own = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
        os.environ |= {**own, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    from pipeline.execution.ray.cluster import serve

    serve(connection, wanted, log)


def _state(job: Job, epoch: int) -> Path:
    return Path(job.state_folder) / state_file(job.trial, epoch)
