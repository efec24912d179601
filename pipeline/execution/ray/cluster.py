"""The process in which a search speaks with Ray: it joins a cluster, and has agents on its nodes.

A process of its own, since Ray ends whoever has joined a cluster whose head is lost, and prints,
listens and hears signals besides. Its end costs a search no more than what was being trained.

What free resources there are on a node, is taken by an agent, as many workers' as are wanted; what
becomes free later, by another one. A job goes to the agent that has most workers free.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import ray
from ray._private.state import available_resources_per_node  # public under no other name
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.errors import PipelineError, first_line
from pipeline.execution.ray import agent as agents
from pipeline.execution.ray.messages import (
    Asked,
    Cannot,
    Capacity,
    Gone,
    Share,
    Stop,
    Ticket,
    Told,
    Wanted,
)
from pipeline.execution.ray.parcel import Parcel
from pipeline.training.job import Failed, Finished
from pipeline.wording import count_noun

LOOK_SECONDS = 2.0  # between looks for free resources
BEGIN_SECONDS = 120.0  # for an agent to be there, whose resources somebody else may have taken
PATIENCE_SECONDS = 120.0  # until there is an agent at all
CLOSE_SECONDS = 5.0  # for agents to clear up
MAX_FAILURES = 3  # of agents of a node, one after the other, before they have run anything
# A Ray of this process's own: as on one machine, nothing listens to others.
_OF_ITS_OWN = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass
class _Agent:
    node: str
    host: str
    n_workers: int
    actor: Any
    since: float  # by the monotonic clock
    running: dict[int, int] = field(default_factory=dict)  # trials, by ticket
    is_here: bool = False

    @property
    def n_free(self) -> int:
        return self.n_workers - len(self.running)


@dataclass(frozen=True)
class _Heard:
    """What the thread that listens to an agent has heard: news, or why there are no more."""

    agent: _Agent
    told: list[Told] | None
    reason: str = ""


def serve(connection: Connection, wanted: Wanted) -> None:
    """Joins a cluster and runs jobs there until the other end of a connection is closed.

    Args:
        connection: tickets and `Stop`s come, and each `Reply` goes.
        wanted: what is asked of the cluster.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which tells us
    with contextlib.suppress(OSError, EOFError):  # the supervisor is gone
        try:
            _join(wanted)
            _Cluster(connection, wanted).run()
        except PipelineError as error:
            connection.send(Cannot(str(error)))
        except Exception as error:
            where = f"Ray at {wanted.address}" if wanted.address else "Ray"
            connection.send(Cannot(f"{where} cannot be used: {first_line(error)}"))
    with contextlib.suppress(Exception):
        ray.shutdown()
    os._exit(0)


def _join(wanted: Wanted) -> None:
    os.environ |= {} if wanted.address else _OF_ITS_OWN
    ray.init(
        address=wanted.address or None,
        namespace="keras-search-pipeline",
        include_dashboard=None if wanted.address else False,
        log_to_driver=False,
    )


class _Cluster:
    def __init__(self, connection: Connection, wanted: Wanted) -> None:
        self._connection, self._wanted = connection, wanted
        self._inbox: queue.SimpleQueue[Asked | _Heard | None] = queue.SimpleQueue()
        self._agents: list[_Agent] = []
        self._waiting: deque[Ticket] = deque()
        self._failures: dict[str, list[str]] = {}  # of nodes, of agents that ran nothing
        self._n_workers = 0
        self._next_look = 0.0
        self._without_since = time.monotonic()  # any agent
        self._parcel = ray.put(Parcel.of(wanted.data))
        self._class = agents.actor()

    def run(self) -> None:
        """Does what comes in, until nobody is there any more to say anything."""
        self._start(self._read)
        while True:
            if time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + LOOK_SECONDS
                self._look()
            with contextlib.suppress(queue.Empty):
                message = self._inbox.get(timeout=LOOK_SECONDS)
                if message is None:
                    break
                self._handle(message)
            self._place()
        self._close()

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(self._connection.recv())
        except (EOFError, OSError):
            self._inbox.put(None)

    def _handle(self, message: Asked | _Heard) -> None:
        match message:
            case Ticket():
                self._waiting.append(message)
            case Stop():
                self._stop(message)
            case _Heard(agent, None, reason):
                self._lose(agent, reason)
            case _Heard(agent, told):
                self._hear(agent, told)

    def _look(self) -> None:
        """Has an agent begin on each node with room, and gives up those that do not begin."""
        for agent in list(self._agents):
            if not agent.is_here and time.monotonic() - agent.since > BEGIN_SECONDS:
                ray.kill(agent.actor)
                self._lose(agent, f"did not begin within {BEGIN_SECONDS:.0f} s")
        free = available_resources_per_node()
        for node in ray.nodes():
            name = node["NodeID"]
            own = [agent for agent in self._agents if agent.node == name]
            if not node["Alive"] or any(not agent.is_here for agent in own):
                continue
            if len(self._failures.get(name, ())) >= MAX_FAILURES:
                continue
            held = sum(agent.n_workers for agent in own)
            room = min(
                room_for(free.get(name, {}), self._wanted),
                room_for(node["Resources"], self._wanted) - held,
                self._n_lacking(),
            )
            if room > 0:
                self._hire(name, node["NodeManagerHostname"], room)
        self._tell_capacity()

    def _n_lacking(self) -> int:
        wanted = self._wanted.n_workers
        return sys.maxsize if wanted is None else wanted - self._n_held()

    def _n_held(self) -> int:
        return sum(agent.n_workers for agent in self._agents)

    def _hire(self, node: str, host: str, n_workers: int) -> None:
        options = {
            "num_cpus": n_workers * self._wanted.cpus,
            "num_gpus": n_workers * self._wanted.gpus,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }
        share = Share(n_workers, agents.versions())
        actor = self._class.options(**options).remote(share, self._parcel)
        agent = _Agent(node, host, n_workers, actor, time.monotonic())
        self._agents.append(agent)
        told = actor.told.options(num_returns="streaming").remote()
        self._start(self._listen, agent, told)

    def _listen(self, agent: _Agent, told: "ray.ObjectRefGenerator[Any]") -> None:
        try:
            for each in told:
                self._inbox.put(_Heard(agent, ray.get(each)))
            reason = "it has ended"
        except Exception as error:
            reason = _reason(error)
        self._inbox.put(_Heard(agent, None, reason))

    def _hear(self, agent: _Agent, told: list[Told]) -> None:
        agent.is_here = True
        if told:
            self._failures.pop(agent.node, None)
            self._connection.send(told)
        for number, event in told:
            if isinstance(event, Finished | Failed):
                agent.running.pop(number, None)

    def _lose(self, agent: _Agent, reason: str) -> None:
        """Tells of what is lost with an agent; a new one begins, unless several have failed."""
        if agent not in self._agents:
            return
        self._agents.remove(agent)
        if not agent.is_here:
            self._failures.setdefault(agent.node, []).append(f"{agent.host}: {reason}")
        if agent.running:
            self._connection.send(Gone(tuple(agent.running), f"{agent.host}: {reason}"))
        self._tell_capacity()

    def _tell_capacity(self) -> None:
        """Says how many workers there are, if that has changed.

        Raises:
            PipelineError: there are none, and none is to be expected.
        """
        if (n_workers := self._n_held()) != self._n_workers:
            self._n_workers = n_workers
            self._connection.send(Capacity(n_workers))
        if n_workers:
            self._without_since = time.monotonic()
        elif time.monotonic() - self._without_since > PATIENCE_SECONDS:
            failures = [each for node in self._failures.values() for each in node]
            reason = failures[-1] if failures else f"no node has {_each(self._wanted)} free"
            raise PipelineError(f"no worker can begin in the Ray cluster: {reason}")

    def _place(self) -> None:
        """Gives what waits to agents with free workers, first to those that are there."""
        while self._waiting:
            free = [agent for agent in self._agents if agent.n_free > 0]
            if not free:
                return
            ticket = self._waiting.popleft()
            chosen = max(free, key=lambda agent: (agent.is_here, agent.n_free))
            chosen.running[ticket.number] = ticket.job.trial
            chosen.actor.submit.remote(ticket)

    def _stop(self, stop: Stop) -> None:
        self._waiting = deque(each for each in self._waiting if each.number != stop.ticket)
        for agent in self._agents:
            if agent.running.pop(stop.ticket, None) is not None:
                agent.actor.stop.remote(stop.trial)

    def _close(self) -> None:
        """Has all agents clear up, and waits for them, though not long."""
        for agent in self._agents:
            agent.actor.close.remote()
        until = time.monotonic() + CLOSE_SECONDS
        while self._agents and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                heard = self._inbox.get(timeout=left)
                if isinstance(heard, _Heard) and heard.told is None:
                    self._agents.remove(heard.agent)

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=function, args=arguments, daemon=True).start()


def room_for(resources: Mapping[str, float], wanted: Wanted) -> int:
    """Counts the jobs for which resources suffice.

    Args:
        resources: "CPU" and "GPU", of a node.
        wanted: says what each job has.
    """
    each = {"CPU": wanted.cpus, "GPU": wanted.gpus}
    rooms = [
        # of fractions as Ray counts them: in ten thousandths
        round(resources.get(name, 0.0) * 10_000) // round(amount * 10_000)
        for name, amount in each.items()
        if amount
    ]
    return int(min(rooms))


def _each(wanted: Wanted) -> str:
    gpus = f" and {count_noun(wanted.gpus, 'GPU')}" if wanted.gpus else ""
    return f"{count_noun(wanted.cpus, 'CPU')}{gpus}"


def _reason(error: Exception) -> str:
    """Says in a few words why an agent is gone."""
    cause = getattr(error, "cause", None)  # of what was raised in an agent
    if isinstance(cause, PipelineError):
        return str(cause)
    if isinstance(error, ray.exceptions.RayActorError):
        if error.preempted or "node" in str(error) and "died" in str(error):
            return "the node is gone"
        if "creation task" in str(error):
            return str(error).strip().splitlines()[-1]
        return "its process was killed"
    return first_line(error)
