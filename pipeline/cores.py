"""How many cores of the machine this process may use."""

import math
import os
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def n_cores(root: Path = _ROOT) -> int:
    """Counts the cores that this process may use, at least one.

    The least of what the machine has, what `taskset` leaves, what Python was told
    (`PYTHON_CPU_COUNT`, from 3.13 on), and what the quota of a container or service allows,
    rounded up.

    Args:
        root: of the file system, where Linux tells of quotas.
    """
    count = getattr(os, "process_cpu_count", os.cpu_count)
    limits: list[float] = [os.cpu_count() or 1, count() or 1, *_quotas(root)]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        limits.append(len(os.sched_getaffinity(0)))
    return max(1, math.ceil(min(limits)))


def _quotas(root: Path) -> list[float]:
    """Reads how many cores each control group around this process may use, of both versions.

    Linux, Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
    """
    groups = root / "sys/fs/cgroup"
    quotas: list[str] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        inner = PurePosixPath(path.lstrip("/"))
        for group in (inner, *inner.parents):  # the last one is the mount itself
            if not controllers:
                quotas.append(_read(groups / group / "cpu.max"))
            elif "cpu" in controllers.split(","):
                folder = groups / controllers / group
                if not folder.is_dir():
                    folder = groups / "cpu" / group
                parts = (_read(folder / f"cpu.cfs_{part}_us") for part in ("quota", "period"))
                quotas.append(" ".join(parts))
    return [cores for quota in quotas if (cores := _cores_of(quota))]


def _cores_of(quota: str) -> float:
    """Converts microseconds in how many: "150000 100000" to 1.5, no or an unlimited quota to 0."""
    try:
        used, period = (int(part) for part in quota.split())
        return max(0.0, used / period)
    except (ValueError, ZeroDivisionError):  # "max 100000", or nothing
        return 0.0


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""
