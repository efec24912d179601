import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
from executor_conformance import (
    DATA,
    ENDLESS,
    JOB,
    NETWORK,
    PYTHONPATH,
    ExecutorConformance,
    events_until,
    has_begun,
    has_ended,
)

from pipeline.execution.ray.executor import RayExecutor
from pipeline.execution.ray.messages import Cannot, Wanted
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.training.job import Failed, Finished, Lost


def make(n_workers: int, folder: Path) -> RayExecutor:
    """On a Ray of its own, whose workers find what a test module defines by PYTHONPATH."""
    wanted = Wanted("conformance", DATA, n_workers, cpus=1, gpus=0, address="")
    return RayExecutor(wanted, folder / "workers.log", folder / "scratch")


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayExecutor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PYTHONPATH)
        executor = make(2, tmp_path_factory.mktemp("executor"))
        yield executor
        executor.close()


class TestRayExecutor(ExecutorConformance):
    module = "test_ray"

    @staticmethod
    def workers(executor: RayExecutor) -> list[psutil.Process]:
        family = psutil.Process(executor._process.pid).children(recursive=True)
        servers = [each for each in family if "multiprocessing.forkserver" in command(each)]
        return [each for server in servers for each in server.children()]

    def test_nothing_of_a_ray_of_its_own_listens_to_other_machines(
        self, executor: RayExecutor
    ) -> None:
        assert executor.n_workers == 2
        bridge = psutil.Process(executor._process.pid)
        family = {each.pid for each in (bridge, *bridge.children(recursive=True))}
        open_ports = [
            each.laddr.ip.removeprefix("::ffff:")
            for each in psutil.net_connections("tcp")
            if each.laddr and each.status == psutil.CONN_LISTEN and each.pid in family
        ]
        assert len(open_ports) > 3
        assert set(open_ports) == {"127.0.0.1"}

    @pytest.mark.parametrize("killed", ["ray::Agent", "the process that speaks with Ray"])
    def test_what_is_lost_with_a_node_or_the_cluster_is_told_and_others_run(
        self, executor: RayExecutor, killed: str
    ) -> None:
        executor.submit(replace(ENDLESS, trial=20))
        events_until(executor, has_begun(20))
        bridge = psutil.Process(executor._process.pid)
        agents = [each for each in bridge.children(recursive=True) if killed in command(each)]
        for process in agents or [bridge]:
            process.kill()
        (*_, last) = events_until(executor, has_ended(20))
        assert isinstance(last, Lost)
        executor.submit(replace(JOB, trial=21))
        events = events_until(executor, has_ended(21))
        assert {event.trial for event in events} == {21}
        assert isinstance(events[-1], Finished)


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Telling(Hyperparameters):
    """Tells which GPUs the process sees in which somebody asks for its layers."""

    def __getattribute__(self, name: str) -> Any:
        if name == "units":
            with Path(os.environ["TOLD"]).open("a") as file:
                file.write(f"{os.environ['CUDA_VISIBLE_DEVICES']}\n")
        return super().__getattribute__(name)


@pytest.mark.parametrize(("gpus", "n_workers", "seen"), [(0.5, 4, {"0", "1"}), (2, 1, {"0,1"})])
def test_gpus_that_ray_declares_are_shared_out(
    gpus: float, n_workers: int, seen: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 4, "GPU": 2}')
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")  # of tests: none
    wanted = Wanted("gpus", DATA, None, cpus=1, gpus=gpus, address="")
    executor = RayExecutor(wanted, tmp_path / "workers.log", tmp_path / "scratch")
    with contextlib.closing(executor):
        assert executor.n_workers == n_workers
        job = replace(JOB, hyperparameters=Telling(**vars(NETWORK)), gpus=gpus)
        for trial in range(n_workers):
            executor.submit(replace(job, trial=trial))
        ends = events_until(executor, has_ended(*range(n_workers)))
        assert not [each for each in ends if isinstance(each, Failed)]
    told = (tmp_path / "told").read_text().split()
    assert set(told) == seen


def serve_where_nobody_answers(connection: Connection, log: Path) -> None:
    """Runs in a process of its own; a Ray whose head is lost tries for many minutes."""
    import ray

    from pipeline.execution.ray import cluster

    cluster.JOIN_SECONDS = 0.1
    ray.init = lambda **_: time.sleep(3600)
    wanted = Wanted("conformance", DATA, 1, cpus=1, gpus=0, address="127.0.0.1:9")
    cluster.serve(connection, wanted, log)


def test_a_cluster_that_does_not_answer_is_given_up_before_ray_does(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    connection, others = context.Pipe()
    process = context.Process(
        target=serve_where_nobody_answers, args=(others, tmp_path / "log"), daemon=True
    )
    process.start()
    others.close()
    assert connection.poll(60)
    assert connection.recv() == Cannot("Ray at 127.0.0.1:9 cannot be used: it does not answer")
    process.join(60)
    assert process.exitcode == 0
