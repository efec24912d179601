"""Jobs on two nodes of a real Ray cluster, of which one is killed."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from executor_conformance import (
    DATA,
    JOB,
    NETWORK,
    ROOT,
    curve,
    events_until,
    has_ended,
)
from nodes import cluster_of

from pipeline.execution.ray.executor import RayExecutor
from pipeline.execution.ray.messages import Wanted
from pipeline.names import state_file
from pipeline.training.job import Lost

WHOLE = replace(JOB, hyperparameters=replace(NETWORK, epochs=4))


def test_paused_jobs_go_on_bit_for_bit_on_the_node_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "states").mkdir()
    with contextlib.ExitStack() as opened:
        nodes, _ = opened.enter_context(cluster_of(2, 1, tmp_path, variables, on_loopback=True))
        for node in nodes:
            node.start()
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            monkeypatch.setenv(name, nodes[0].environment[name])
        wanted = Wanted("nodes", DATA, None, 1, 0, nodes[0].environment["RAY_ADDRESS"])
        executor = RayExecutor(wanted, tmp_path / "workers.log", tmp_path / "scratch")
        opened.callback(executor.close)
        while executor.n_workers < 2:
            assert executor.events(1.0) == []
        expected = {}
        for trial in (1, 2):
            executor.submit(replace(WHOLE, trial=trial, seed=trial))
        events = events_until(executor, has_ended(1, 2))
        expected = {trial: curve(events, trial) for trial in (1, 2)}
        paused = replace(WHOLE, state_folder=str(tmp_path / "states"), rungs=(2,))
        for trial in (1, 2):
            executor.submit(replace(paused, trial=trial, seed=trial))
        first = events_until(
            executor, lambda seen: min(len(curve(seen, trial)) for trial in (1, 2)) >= 2
        )
        agents = [node.processes(of="ray::Agent") for node in nodes]
        assert all(agents)  # each has had one of them
        for trial in (1, 2):
            executor.stop(trial)
            assert (tmp_path / "states" / state_file(trial, 2)).is_file()
        nodes[1].kill()
        while executor.n_workers > 1:
            assert executor.events(1.0) == []
        for trial in (1, 2):
            executor.submit(replace(paused, trial=trial, seed=trial, goes_on_after=2))
        rest = events_until(executor, has_ended(1, 2))
        assert not [event for event in rest if isinstance(event, Lost)]
        for trial in (1, 2):
            assert [*curve(first, trial)[:2], *curve(rest, trial)] == expected[trial]
