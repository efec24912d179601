"""What a process has outside of itself, as one value: time, disk, host, and what opens stores.

A command has the system's. Who wants to see what a fault anywhere does to a search gives others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.clock import Clock, SystemClock
from pipeline.disk import SYSTEM_DISK, Disk
from pipeline.host import Host, SystemHost


@dataclass(frozen=True)
class Outside:
    """The world of one process.

    Attributes:
        clock: its time.
        disk: its files.
        host: who it is.
        optuna: opens Optuna's storage in the place of the URL's; None for the URL's.
        mlflow: opens a client of MLflow's store in the place of the URI's; None for the URI's.
        executor: makes what runs jobs, of the number of workers; None for local processes.
    """

    clock: Clock = field(default_factory=SystemClock)
    disk: Disk = SYSTEM_DISK
    host: Host = field(default_factory=SystemHost)
    optuna: Callable[[], Any] | None = None
    mlflow: Callable[[], Any] | None = None
    executor: Callable[[int], Any] | None = None


SYSTEM = Outside()
