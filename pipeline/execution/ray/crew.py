"""The agents of a search: one on each node of a Ray cluster that has room, and what each runs.

What free resources there are on a node, is taken by an agent, as many workers' as are wanted; what
becomes free later, by another one. A job goes to the agent that has most workers free.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import PipelineError
from pipeline.execution.ray.messages import PATIENCE_SECONDS, Ticket, Told, Wanted
from pipeline.wording import count_noun

BEGIN_SECONDS = 120.0  # for an agent to be there, whose resources somebody else may have taken
MAX_FAILURES = 3  # of agents of a node, one after the other, before they have run anything
COMMANDS = "commands"  # what an agent does beside telling what happens


@dataclass
class Agent:
    """An agent, as seen from here.

    Attributes:
        node: on which it is, by Ray's name for it.
        host: the same, for people.
        n_workers: how many jobs it runs at a time.
        since: moment of the monotonic clock at which it was asked to begin.
        actor: Ray's handle of it.
        running: numbers of trials, by the number of the ticket.
        is_here: whether it has begun.
        has_run: whether anything was ever heard of a job.
    """

    node: str
    host: str
    n_workers: int
    since: float
    actor: Any = None
    running: dict[int, int] = field(default_factory=dict)
    is_here: bool = False
    has_run: bool = False

    @property
    def n_free(self) -> int:
        """How many more jobs it can run."""
        return self.n_workers - len(self.running)

    def command(self, name: str, *arguments: object) -> None:
        """Has it do something meanwhile, in the order of the commands; does not wait for it."""
        method = getattr(self.actor, name)
        method.options(concurrency_group=COMMANDS).remote(*arguments)


@dataclass(frozen=True)
class Heard:
    """What was heard of an agent.

    Attributes:
        agent: which.
        told: news; None if there are no more of it.
        reason: why there are no more.
        is_final: whether another one there would fare no better.
    """

    agent: Agent
    told: list[Told] | None
    reason: str = ""
    is_final: bool = False


@dataclass(frozen=True)
class Seen:
    """What a cluster has.

    Attributes:
        nodes: as Ray describes each.
        free: resources that nobody has, by the name of a node.
    """

    nodes: list[dict[str, Any]]
    free: dict[str, dict[str, float]]


class Crew:
    """The agents.

    Args:
        wanted: what is asked of the cluster.
        begin: has Ray make an agent, whose `actor` it sets.
    """

    def __init__(self, wanted: Wanted, begin: Callable[[Agent], None]) -> None:
        self._wanted, self._begin = wanted, begin
        self.agents: list[Agent] = []
        self._failures: dict[str, list[str]] = {}  # of nodes, of agents that ran nothing
        self._without_since = time.monotonic()  # any agent

    @property
    def n_workers(self) -> int:
        """How many jobs all agents run at a time that have begun."""
        return sum(agent.n_workers for agent in self.agents if agent.is_here)

    def overdue(self) -> list[Agent]:
        """Lists the agents that have not begun for long."""
        latest = time.monotonic() - BEGIN_SECONDS
        return [each for each in self.agents if not each.is_here and each.since < latest]

    def hire(self, seen: Seen) -> None:
        """Has an agent begin on each node with room.

        Raises:
            PipelineError: there is no agent, and none is to be expected.
        """
        n_expected = 0
        for node in seen.nodes:
            name, in_all = node["NodeID"], room_for(node["Resources"], self._wanted)
            has_failed = len(self._failures.get(name, ())) >= MAX_FAILURES
            if not node["Alive"] or not in_all or has_failed:
                continue
            n_expected += 1
            own = [agent for agent in self.agents if agent.node == name]
            if any(not agent.is_here for agent in own):  # what it takes may count as free yet
                continue
            left = in_all - sum(agent.n_workers for agent in own)
            free = room_for(seen.free.get(name, {}), self._wanted)
            if (room := min(left, free, self._n_lacking())) > 0:
                agent = Agent(name, node["NodeManagerHostname"], room, time.monotonic())
                self.agents.append(agent)
                self._begin(agent)
        self._refuse_if_hopeless(n_expected)

    def place(self, ticket: Ticket) -> bool:
        """Gives a job to an agent with a free worker, first to one that has begun; if there is."""
        free = [agent for agent in self.agents if agent.n_free > 0]
        if free:
            chosen = max(free, key=lambda agent: (agent.is_here, agent.n_free))
            chosen.running[ticket.number] = ticket.job.trial
            chosen.command("submit", ticket)
        return bool(free)

    def has_told(self, agent: Agent) -> None:
        """Notes that something was heard of a job: if it fails now, it is worth another."""
        agent.has_run = True
        self._failures.pop(agent.node, None)

    def lose(self, agent: Agent, reason: str, *, is_final: bool) -> None:
        """Takes an agent from the crew that is gone; another may begin, unless several failed."""
        self.agents.remove(agent)
        if is_final or not agent.has_run:
            reasons = [f"{agent.host}: {reason}"] * (MAX_FAILURES if is_final else 1)
            self._failures.setdefault(agent.node, []).extend(reasons)

    def _n_lacking(self) -> int:
        if self._wanted.n_workers is None:
            return sys.maxsize
        return self._wanted.n_workers - sum(agent.n_workers for agent in self.agents)

    def _refuse_if_hopeless(self, n_expected: int) -> None:
        """Gives up where no agent is to be expected.

        Args:
            n_expected: nodes with room for workers, if nobody else had any, and where not all
                agents have failed.
        """
        if self.agents:
            self._without_since = time.monotonic()
            return
        failures = [each for node in self._failures.values() for each in node]
        if failures and not n_expected:
            raise PipelineError(f"no worker can begin in the Ray cluster: {failures[-1]}")
        if time.monotonic() - self._without_since > PATIENCE_SECONDS:
            gpus = f" and {count_noun(self._wanted.gpus, 'GPU')}" if self._wanted.gpus else ""
            has = f"{count_noun(self._wanted.cpus, 'CPU')}{gpus}"
            free = " free" if n_expected else ""
            raise PipelineError(f"no node of the Ray cluster has {has}{free}, as a trial wants")


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
