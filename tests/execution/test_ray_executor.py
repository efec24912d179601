"""What the supervisor's side makes of the process that speaks with Ray, which is scripted here."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from executor_conformance import DATA, JOB

from pipeline.execution.ray.executor import RayExecutor
from pipeline.execution.ray.messages import Cannot, Capacity, Wanted
from pipeline.training.job import Lost

WAIT_SECONDS = 5.0


class Scripted(RayExecutor):
    """Starts no process: `others` is its end of the connection."""

    others: Connection
    _process: Any

    def _join(self) -> None:
        self._is_joined = False
        self._connection, self.others = multiprocessing.Pipe()
        self._process = SimpleNamespace(join=lambda *_: None, kill=lambda: None)


def test_what_only_waits_for_a_cluster_is_not_lost_with_it(tmp_path: Path) -> None:
    wanted = Wanted("conformance", DATA, 1, cpus=1, gpus=0, address="127.0.0.1:9")
    executor = Scripted(wanted, tmp_path / "log", tmp_path)
    executor.submit(JOB)
    executor.others.send(Capacity(1))
    assert executor.events(WAIT_SECONDS) == []
    executor.others.send(Cannot("the head is gone"))
    (lost,) = executor.events(WAIT_SECONDS)
    assert isinstance(lost, Lost)
    executor.submit(JOB)
    for _ in range(2):
        ticket = executor.others.recv()
        assert ticket.job == JOB
        executor.others.send(Cannot("it does not answer"))
        assert executor.events(WAIT_SECONDS) == []
    executor.close()
