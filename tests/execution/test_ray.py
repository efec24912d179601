from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from executor_conformance import DATA, PYTHONPATH, ExecutorConformance

from pipeline.execution.ray.executor import RayExecutor
from pipeline.execution.ray.messages import Wanted


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


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
