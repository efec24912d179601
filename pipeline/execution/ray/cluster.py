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
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import ray
from ray._private.state import available_resources_per_node  # public under no other name
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import pipeline
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
from pipeline.masking import mask_output
from pipeline.streams import print_to
from pipeline.training.job import JobEnd
from pipeline.wording import count_noun

LOOK_SECONDS = 2.0  # between looks for free resources
BEGIN_SECONDS = 120.0  # for an agent to be there, whose resources somebody else may have taken
PATIENCE_SECONDS = 120.0  # until there is an agent at all
CLOSE_SECONDS = 5.0  # for agents to clear up
MAX_FAILURES = 3  # of agents of a node, one after the other, before they have run anything
_COMMANDS = "commands"  # what an agent does beside telling what happens
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
    has_run: bool = False  # anything

    @property
    def n_free(self) -> int:
        return self.n_workers - len(self.running)

    def command(self, name: str, *arguments: object) -> None:
        """Has it do something meanwhile, in the order of the commands; does not wait for it."""
        method = getattr(self.actor, name)
        method.options(concurrency_group=_COMMANDS).remote(*arguments)


@dataclass(frozen=True)
class _Heard:
    """What the thread that listens to an agent has heard: news, or why there are no more."""

    agent: _Agent
    told: list[Told] | None
    reason: str = ""
    is_final: bool = False  # whether another one would fare no better


Inbox: TypeAlias = "queue.SimpleQueue[Asked | _Heard | None]"  # None when nobody asks any more


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
            _join(wanted)
            _Cluster(connection, inbox, wanted).run()
        except PipelineError as error:
            connection.send(Cannot(str(error), is_final=True))
        except Exception as error:
            traceback.print_exc()
            where = f"Ray at {wanted.address}" if wanted.address else "Ray"
            connection.send(Cannot(f"{where} cannot be used: {first_line(error)}"))
    with contextlib.suppress(Exception):
        ray.shutdown()
    os._exit(0)


def _read(connection: Connection, inbox: "Inbox") -> None:
    """Takes what comes at once: who asks shall not have to wait for Ray."""
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        inbox.put(None)


def _join(wanted: Wanted) -> None:
    # Workers find the package where this process does: Ray tells them the folder of the program.
    sys.argv[:] = [str(Path(pipeline.__file__).parent)]
    os.environ |= {} if wanted.address else _OF_ITS_OWN
    ray.init(
        address=wanted.address or None,
        namespace="keras-search-pipeline",
        include_dashboard=None if wanted.address else False,
        log_to_driver=False,
    )


class _Cluster:
    def __init__(self, connection: Connection, inbox: Inbox, wanted: Wanted) -> None:
        self._connection, self._inbox, self._wanted = connection, inbox, wanted
        self._agents: list[_Agent] = []
        self._waiting: deque[Ticket] = deque()
        self._failures: dict[str, list[str]] = {}  # of nodes, of agents that ran nothing
        self._n_workers = 0
        self._next_look = 0.0
        self._without_since = time.monotonic()  # any agent
        self._parcel = ray.put(Parcel.of(wanted.data))
        self._class = ray.remote(concurrency_groups={_COMMANDS: 1})(agents.Agent)

    def run(self) -> None:
        """Does what comes in, until nobody is there any more to say anything."""
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

    def _handle(self, message: Asked | _Heard) -> None:
        match message:
            case Ticket():
                self._waiting.append(message)
            case Stop():
                self._stop(message)
            case _Heard(told=None):
                failures = MAX_FAILURES if message.is_final else 1
                self._lose(message.agent, message.reason, failures)
            case _Heard(agent, told) if told is not None:
                self._hear(agent, told)

    def _look(self) -> None:
        """Has an agent begin on each node with room, and gives up those that do not begin."""
        for agent in list(self._agents):
            if not agent.is_here and time.monotonic() - agent.since > BEGIN_SECONDS:
                ray.kill(agent.actor)
                self._lose(agent, f"did not begin within {BEGIN_SECONDS:.0f} s")
        free, n_expected = available_resources_per_node(), 0
        for node in ray.nodes():
            name, in_all = node["NodeID"], room_for(node["Resources"], self._wanted)
            has_failed = len(self._failures.get(name, ())) >= MAX_FAILURES
            if not node["Alive"] or not in_all or has_failed:
                continue
            n_expected += 1
            own = [agent for agent in self._agents if agent.node == name]
            if any(not agent.is_here for agent in own):
                continue
            left = in_all - sum(agent.n_workers for agent in own)
            room = min(left, room_for(free.get(name, {}), self._wanted), self._n_lacking())
            if room > 0:
                self._hire(name, node["NodeManagerHostname"], room)
        self._refuse_if_hopeless(n_expected)

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
        share = Share(self._wanted.study, n_workers, agents.versions())
        actor = self._class.options(**options).remote(share, self._parcel)
        agent = _Agent(node, host, n_workers, actor, time.monotonic())
        self._agents.append(agent)
        told = actor.told.options(num_returns="streaming").remote()
        threading.Thread(target=self._listen, args=(agent, told), daemon=True).start()

    def _listen(self, agent: _Agent, told: Any) -> None:
        try:
            for each in told:
                self._inbox.put(_Heard(agent, ray.get(each)))
            heard = _Heard(agent, None, "it has ended")
        except Exception as error:
            is_final = isinstance(error, PipelineError)
            heard = _Heard(agent, None, _reason(error), is_final)
        self._inbox.put(heard)

    def _hear(self, agent: _Agent, told: list[Told]) -> None:
        if not agent.is_here:
            agent.is_here = True
            self._tell_capacity()
        if told:
            agent.has_run = True
            self._failures.pop(agent.node, None)
            self._connection.send(told)
        for number, event in told:
            if isinstance(event, JobEnd):
                agent.running.pop(number, None)

    def _lose(self, agent: _Agent, reason: str, n_failures: int = 1) -> None:
        """Tells of what is lost with an agent; a new one begins, unless several have failed."""
        if agent not in self._agents:
            return
        self._agents.remove(agent)
        reason = f"{agent.host}: {reason}"
        if not agent.has_run or n_failures > 1:
            self._failures.setdefault(agent.node, []).extend(n_failures * [reason])
        if agent.running:
            self._connection.send(Gone(tuple(agent.running), reason))
        self._tell_capacity()

    def _tell_capacity(self) -> None:
        """Says how many workers there are, if that has changed."""
        n_workers = sum(agent.n_workers for agent in self._agents if agent.is_here)
        if n_workers != self._n_workers:
            self._n_workers = n_workers
            self._connection.send(Capacity(n_workers))

    def _refuse_if_hopeless(self, n_expected: int) -> None:
        """Gives up where no agent is to be expected.

        Args:
            n_expected: nodes with room for workers, used or not, where not all agents have failed.

        Raises:
            PipelineError: there is none, and has not been for a while; or all have failed.
        """
        if self._agents or n_expected:
            self._without_since = time.monotonic()
        failures = [each for node in self._failures.values() for each in node]
        if failures and not self._agents and not n_expected:
            raise PipelineError(f"no worker can begin in the Ray cluster: {failures[-1]}")
        if time.monotonic() - self._without_since > PATIENCE_SECONDS:
            raise PipelineError(f"no node of the Ray cluster has {_each(self._wanted)}")

    def _place(self) -> None:
        """Gives what waits to agents with free workers, first to those that are there."""
        while self._waiting:
            free = [agent for agent in self._agents if agent.n_free > 0]
            if not free:
                return
            ticket = self._waiting.popleft()
            chosen = max(free, key=lambda agent: (agent.is_here, agent.n_free))
            chosen.running[ticket.number] = ticket.job.trial
            chosen.command("submit", ticket)

    def _stop(self, stop: Stop) -> None:
        self._waiting = deque(each for each in self._waiting if each.number != stop.ticket)
        for agent in self._agents:
            if agent.running.pop(stop.ticket, None) is not None:
                agent.command("stop", stop.trial)

    def _close(self) -> None:
        """Has all agents clear up, and waits for them, though not long."""
        for agent in self._agents:
            agent.command("close")
        until = time.monotonic() + CLOSE_SECONDS
        while self._agents and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                heard = self._inbox.get(timeout=left)
                if isinstance(heard, _Heard) and heard.told is None:
                    self._agents.remove(heard.agent)


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
        if error.preempted or ("node" in str(error) and "died" in str(error)):
            return "the node is gone"
        if "creation task" in str(error):
            return str(error).strip().splitlines()[-1]
        return "its process was killed"
    return first_line(error)
