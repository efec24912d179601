"""Who is hired on a Ray cluster, and who gets which job: without Ray."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.execution.ray import crew
from pipeline.execution.ray.crew import Agent, Crew, Seen, room_for
from pipeline.execution.ray.messages import Ticket, Wanted
from pipeline.task.source import DataSpec
from pipeline.training.job import Job

WANTED = Wanted("s", DataSpec("fashion_mnist"), None, cpus=1, gpus=0, address="")
JOB = Job(0, WANTED.data, None, 0, "val_accuracy", "maximize", 3)


class Commanded:
    """Stands for an actor: keeps what it is told to do."""

    def __init__(self) -> None:
        self.submitted: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return self

    def options(self, **_: Any) -> "Commanded":
        return self

    def remote(self, ticket: Ticket) -> None:
        self.submitted.append(ticket.number)


def crew_of(**changes: Any) -> Crew:
    def begin(agent: Agent) -> None:
        agent.actor = Commanded()

    return Crew(replace(WANTED, **changes), begin)


def seen(nodes: dict[str, dict[str, float]], **free: dict[str, float]) -> Seen:
    """Nodes that are on; of all but those that are named everything is free."""
    listed: list[dict[str, Any]] = [
        {"NodeID": name, "NodeManagerHostname": f"host {name}", "Alive": True, "Resources": has}
        for name, has in nodes.items()
    ]
    return Seen(listed, {**nodes, **free})


def shares(found: Crew) -> list[tuple[str, int]]:
    return [(agent.node, agent.n_workers) for agent in found.agents]


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "n"),
    [
        ({"CPU": 8.0}, 1, 0, 8),
        ({"CPU": 8.0}, 3, 0, 2),
        ({"CPU": 0.9}, 1, 0, 0),
        ({}, 1, 0, 0),
        ({"CPU": 8.0}, 1, 1, 0),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 0.25, 8),
        ({"CPU": 64.0, "GPU": 1.0}, 1, 0.1, 10),
        ({"CPU": 64.0, "GPU": 0.3}, 1, 0.1, 3),
        ({"CPU": 64.0, "GPU": 7.0}, 4, 2, 3),
    ],
)
def test_room_is_what_both_cpus_and_gpus_suffice_for(
    resources: dict[str, float], cpus: float, gpus: float, n: int
) -> None:
    assert room_for(resources, replace(WANTED, cpus=cpus, gpus=gpus)) == n


def test_an_agent_begins_on_each_node_with_room_and_takes_all_of_it() -> None:
    found = crew_of()
    found.hire(seen({"a": {"CPU": 4.0}, "b": {"CPU": 2.0}, "head": {}}, b={"CPU": 1.0}))
    assert shares(found) == [("a", 4), ("b", 1)]
    assert found.n_workers == 0
    found.agents[0].is_here = True
    assert found.n_workers == 4


def test_no_more_are_hired_than_are_wanted() -> None:
    found = crew_of(n_workers=5)
    found.hire(seen({"a": {"CPU": 4.0}, "b": {"CPU": 4.0}, "c": {"CPU": 4.0}}))
    assert shares(found) == [("a", 4), ("b", 1)]


def test_what_becomes_free_is_another_agents_but_not_what_ray_has_not_noticed_yet() -> None:
    found = crew_of()
    nodes = {"a": {"CPU": 4.0}}
    found.hire(seen(nodes, a={"CPU": 2.0}))
    found.hire(seen(nodes))  # the first has not begun
    assert shares(found) == [("a", 2)]
    found.agents[0].is_here = True
    found.hire(seen(nodes))
    assert shares(found) == [("a", 2), ("a", 2)]
    found.agents[1].is_here = True
    found.hire(seen(nodes))
    assert shares(found) == [("a", 2), ("a", 2)]


def test_a_job_goes_to_who_has_most_workers_free_of_those_that_are_there() -> None:
    found = crew_of()
    found.hire(seen({"a": {"CPU": 1.0}, "b": {"CPU": 2.0}, "c": {"CPU": 9.0}}))
    first, second, late = found.agents
    first.is_here = second.is_here = True
    placed = [found.place(Ticket(number, replace(JOB, trial=number))) for number in range(13)]
    assert placed == 12 * [True] + [False]
    assert second.running == {0: 0, 1: 1} or second.running == {0: 0, 2: 2}
    assert len(first.running) == 1
    assert len(late.running) == 9
    assert first.actor.submitted == list(first.running)


def test_a_node_whose_agents_fail_before_they_run_anything_is_given_up() -> None:
    found, nodes = crew_of(), {"a": {"CPU": 1.0}, "b": {"CPU": 1.0}}
    for _ in range(crew.MAX_FAILURES):
        found.hire(seen(nodes))
        (failing,) = (agent for agent in found.agents if agent.node == "a")
        found.lose(failing, "its process was killed", is_final=False)
    found.hire(seen(nodes))
    assert shares(found) == [("b", 1)]
    found.lose(found.agents[0], "has keras 1, and the search runs with keras 2", is_final=True)
    with pytest.raises(
        PipelineError, match="no worker can begin in the Ray cluster: host b: has keras 1"
    ):
        found.hire(seen(nodes))


def test_a_node_whose_agent_has_run_jobs_gets_another() -> None:
    found, nodes = crew_of(), {"a": {"CPU": 1.0}}
    for _ in range(2 * crew.MAX_FAILURES):
        found.hire(seen(nodes))
        found.has_told(found.agents[0])
        found.lose(found.agents[0], "the node is gone", is_final=False)
    found.hire(seen(nodes))
    assert shares(found) == [("a", 1)]


def test_a_cluster_without_room_for_a_trial_is_given_up_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = crew_of(cpus=2, gpus=1)
    found.hire(seen({"a": {"CPU": 4.0}}))
    monkeypatch.setattr(crew, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(PipelineError, match="no node of the Ray cluster has 2 CPUs and 1 GPU, as"):
        found.hire(seen({"a": {"CPU": 4.0}}))
    with pytest.raises(PipelineError, match="has 2 CPUs and 1 GPU free, as a trial wants"):
        found.hire(seen({"a": {"CPU": 4.0, "GPU": 1.0}}, a={"CPU": 4.0}))
