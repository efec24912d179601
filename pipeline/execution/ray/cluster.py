"""The process in which a search speaks with Ray: it joins a cluster, and has a crew there.

A process of its own, since Ray ends whoever has joined a cluster whose head is lost, and prints,
listens and hears signals besides. Its end costs a search no more than what was being trained.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

import ray

import pipeline
from pipeline.errors import PipelineError, first_line
from pipeline.execution.ray.crew import Agent, Crew, Heard, Seen
from pipeline.execution.ray.hiring import Hiring, look
from pipeline.execution.ray.messages import Asked, Cannot, Capacity, Gone, Stop, Ticket, Wanted
from pipeline.masking import mask_output
from pipeline.streams import print_to
from pipeline.training.job import JobEnd

JOIN_SECONDS = 60.0  # for a cluster to answer, at which Ray itself would knock for many minutes
LOOK_SECONDS = 2.0  # between looks at what a cluster has
CLOSE_SECONDS = 5.0  # for agents to clear up

Inbox: TypeAlias = "queue.SimpleQueue[Asked | Heard | Seen | None]"  # None: nobody asks any more


def serve(connection: Connection, wanted: Wanted, log: Path) -> None:
    """Joins a cluster and runs jobs there until the other end of a connection is closed.

    Args:
        connection: tickets and `Stop`s come, and each `Reply` goes.
        wanted: what is asked of the cluster.
        log: file to which this process prints, and what it starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which tells us
    print_to(log)
    mask_output()
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, inbox), daemon=True).start()
    with contextlib.suppress(OSError, EOFError):  # the supervisor is gone
        try:
            with _given_up_in_time(connection, wanted):
                _join(wanted)
            _Dispatcher(connection, inbox, wanted).run()
        except PipelineError as error:
            connection.send(Cannot(str(error), is_final=True))
        except Exception as error:
            traceback.print_exc()
            connection.send(_cannot(wanted, first_line(error)))
    with contextlib.suppress(Exception):
        ray.shutdown()
    os._exit(0)


def _cannot(wanted: Wanted, reason: str) -> Cannot:
    where = f"Ray at {wanted.address}" if wanted.address else "Ray"
    return Cannot(f"{where} cannot be used: {reason}")


@contextlib.contextmanager
def _given_up_in_time(connection: Connection, wanted: Wanted) -> Iterator[None]:
    """Ends this process if a cluster does not answer; a Ray of its own may take its time."""

    def give_up() -> None:
        with contextlib.suppress(OSError):
            connection.send(_cannot(wanted, "it does not answer"))
        os._exit(0)

    timer = threading.Timer(JOIN_SECONDS, give_up)
    timer.daemon = True
    if wanted.address:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read(connection: Connection, inbox: Inbox) -> None:
    """Takes what comes at once: who asks shall not have to wait for Ray."""
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        inbox.put(None)


def _join(wanted: Wanted) -> None:
    # Workers find the package where this process does: Ray tells them the folder of the program.
    sys.argv[:] = [str(Path(pipeline.__file__).parent)]
    ray.init(
        address=wanted.address or "local",
        namespace="keras-search-pipeline",
        include_dashboard=None if wanted.address else False,
        log_to_driver=False,
    )


class _Dispatcher:
    """Gives jobs to the crew, and tells the supervisor what comes of them."""

    def __init__(self, connection: Connection, inbox: Inbox, wanted: Wanted) -> None:
        self._connection, self._inbox = connection, inbox
        self._hiring = Hiring(wanted, inbox.put)
        self._crew = Crew(wanted, self._hiring.begin)
        self._waiting: deque[Ticket] = deque()
        self._n_workers, self._is_over = 0, False

    def run(self) -> None:
        """Does what comes in, until nobody is there any more to say anything."""
        threading.Thread(target=self._look, daemon=True).start()
        while (message := self._inbox.get()) is not None:
            self._handle(message)
            while self._waiting and self._crew.place(self._waiting[0]):
                self._waiting.popleft()
            if self._crew.n_workers != self._n_workers:
                self._n_workers = self._crew.n_workers
                self._connection.send(Capacity(self._n_workers))
        self._close()

    def _look(self) -> None:
        """Looks again and again, in a thread: where the cluster's head is slow, nobody waits."""
        while True:
            try:
                self._inbox.put(look())
            except Exception:
                if self._is_over:
                    return
                traceback.print_exc()
            time.sleep(LOOK_SECONDS)

    def _handle(self, message: Asked | Heard | Seen) -> None:
        match message:
            case Ticket():
                self._waiting.append(message)
            case Stop():
                self._stop(message)
            case Heard():
                self._hear(message)
            case Seen():
                for agent in self._crew.overdue():
                    self._hiring.end(agent)
                    self._lose(agent, "did not begin", is_final=False)
                self._crew.hire(message)

    def _hear(self, heard: Heard) -> None:
        agent, told = heard.agent, heard.told
        if agent not in self._crew.agents:
            return
        if told is None:
            self._lose(agent, heard.reason, is_final=heard.is_final)
            return
        agent.is_here = True
        if told:
            self._crew.has_told(agent)
            self._connection.send(told)
        for number, event in told:
            if isinstance(event, JobEnd):
                agent.running.pop(number, None)

    def _lose(self, agent: Agent, reason: str, *, is_final: bool) -> None:
        self._crew.lose(agent, reason, is_final=is_final)
        if agent.running:
            self._connection.send(Gone(tuple(agent.running), f"{agent.host}: {reason}"))

    def _stop(self, stop: Stop) -> None:
        self._waiting = deque(each for each in self._waiting if each.number != stop.ticket)
        for agent in self._crew.agents:
            if agent.running.pop(stop.ticket, None) is not None:
                agent.command("stop", stop.trial)

    def _close(self) -> None:
        """Has all agents clear up, and waits for them, though not long."""
        self._is_over = True
        left = list(self._crew.agents)
        for agent in left:
            agent.command("close")
        until = time.monotonic() + CLOSE_SECONDS
        while left and time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                heard = self._inbox.get(timeout=0.5)
                if isinstance(heard, Heard) and heard.told is None and heard.agent in left:
                    left.remove(heard.agent)
