"""What is asked of Ray itself: what a cluster has, and that agents are made there and heard."""

import threading
import traceback
from collections.abc import Callable
from typing import Any

import ray
from ray._private.state import available_resources_per_node  # public under no other name
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.errors import PipelineError, first_line
from pipeline.execution.ray import agent as agents
from pipeline.execution.ray.crew import COMMANDS, Agent, Heard, Seen
from pipeline.execution.ray.messages import Share, Wanted
from pipeline.execution.ray.parcel import Parcel
from pipeline.execution.worker import describe


def look() -> Seen:
    """Looks at the cluster that this process has joined."""
    return Seen(ray.nodes(), available_resources_per_node())


class Hiring:
    """Makes agents, all with the same data, which are put into Ray's object store once.

    Args:
        wanted: what is asked of the cluster.
        hear: is told what was heard of each, in some thread.
    """

    def __init__(self, wanted: Wanted, hear: Callable[[Heard], None]) -> None:
        self._wanted, self._hear = wanted, hear
        self._parcel = ray.put(Parcel.of(wanted.data))
        self._class = ray.remote(concurrency_groups={COMMANDS: 1})(agents.Agent)

    def begin(self, agent: Agent) -> None:
        """Has Ray make an agent on its node, with as much of that as its workers need."""
        wanted, n_workers = self._wanted, agent.n_workers
        share = Share(wanted.study, n_workers, wanted.gpus, agents.versions())
        agent.actor = self._class.options(
            num_cpus=n_workers * wanted.cpus,
            num_gpus=n_workers * wanted.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(agent.node, soft=False),
        ).remote(share, self._parcel)
        told = agent.actor.told.options(num_returns="streaming").remote()
        threading.Thread(target=self._listen, args=(agent, told), daemon=True).start()

    def end(self, agent: Agent) -> None:
        """Has Ray end an agent, whether it has begun or not."""
        ray.kill(agent.actor)

    def _listen(self, agent: Agent, told: Any) -> None:
        try:
            for each in told:
                self._hear(Heard(agent, ray.get(each)))
            last = Heard(agent, None, "it has ended")
        except Exception as error:
            traceback.print_exc()
            last = Heard(agent, None, _reason(error), isinstance(error, PipelineError))
        self._hear(last)


def _reason(error: Exception) -> str:
    """Says in a few words why an agent is gone."""
    if isinstance(error, ray.exceptions.RayTaskError):  # it was raised in the agent
        cause = error.cause
        return str(cause) if isinstance(cause, PipelineError) else describe(cause)
    if isinstance(error, ray.exceptions.RayActorError):
        if error.preempted or ("node" in str(error) and "died" in str(error)):
            return "the node is gone"
        if "creation task" in str(error):
            return str(error).strip().splitlines()[-1]
        return "its process was killed"
    return first_line(error)
