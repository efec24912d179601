"""Who this process is, among all others anywhere, and whether another one is known to be dead."""

import contextlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

# Of a claim: a process that has both is one process, and no other was or will be it.
SYSTEM, START = "system", "start"
_PROC = Path("/proc")


class Host(Protocol):
    """What a process knows of itself and of others."""

    def name(self) -> str:
        """Names the host."""

    def process(self) -> int:
        """Returns the id of this process."""

    def identity(self) -> dict[str, str]:
        """Returns what tells this process from all others, at any time; {} if that is unknown.

        The id of a process says nothing outside its container, or after the next boot.
        """

    def is_gone(self, noted: Mapping[str, Any]) -> bool:
        """Tells whether a process is known to be dead; False also if that cannot be told here.

        Args:
            noted: its `identity`, and its id as `process`.
        """


class SystemHost:
    """The system's own answers, by Linux's `/proc`."""

    def name(self) -> str:
        """Names the host."""
        return platform.node()

    def process(self) -> int:
        """Returns the id of this process."""
        return os.getpid()

    def identity(self) -> dict[str, str]:
        """Returns what tells this process from all others."""
        return identity()

    def is_gone(self, noted: Mapping[str, Any]) -> bool:
        """Tells whether a process is known to be dead."""
        return is_gone(noted)


def identity() -> dict[str, str]:
    """Returns what tells this process from all others, at any time; {} where that is unknown.

    The id of a process says nothing outside its container, or after the next boot.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        ids = (_PROC / "self/ns/pid").readlink()  # the space of their ids
        return {SYSTEM: f"{boot} {ids}", START: _stat(os.getpid())[1]}
    except (OSError, IndexError):  # no Linux
        return {}


def is_gone(noted: Mapping[str, Any]) -> bool:
    """Tells whether a process is known to be dead; False also if that cannot be told from here.

    Args:
        noted: its `identity`, and its id as `process`.
    """
    here = identity()
    if not here or noted.get(SYSTEM) != here[SYSTEM] or START not in noted:
        return False
    try:
        process = int(noted["process"])
        with contextlib.suppress(PermissionError):  # it is there, and another user's
            os.kill(process, 0)
        state, start = _stat(process)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, ValueError, LookupError):  # hidden, or no process's id
        return False
    return start != noted[START] or state in "ZX"  # killed, and nobody has asked how it ended


def _stat(process: int) -> tuple[str, str]:
    """Reads a process's state and when it started, in ticks since the boot.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the second field may hold anything.
    """
    fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]
