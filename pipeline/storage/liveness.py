"""How whoever holds a lease shows that he lives, and how one is known to be dead.

Anywhere, one lives who gives a sign now and then: a thread of its own does, whatever else goes on,
and it stops with a process that is killed or suspended. On the same system, the process itself is
looked for.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

BEAT_SECONDS = 5.0  # between two signs of life
# Of a claim: a process that has both is one process, and no other was or will be it.
SYSTEM, START = "system", "start"
_PROC = Path("/proc")


class Heartbeat:
    """Gives a sign of life every few seconds, until it is stopped or dropped.

    Args:
        beat: gives one, from another thread. What cannot be written is tried again the next time;
            a PipelineError says that it may not be, and is the end.
        close: called in that thread when all is over.
    """

    def __init__(self, beat: Callable[[], None], close: Callable[[], None]) -> None:
        is_over = threading.Event()
        self._thread = threading.Thread(
            target=_beat, args=(beat, close, is_over), name="heartbeat", daemon=True
        )
        self._end = weakref.finalize(self, is_over.set)  # who forgets the lease does not hold it
        self._thread.start()

    def stop(self) -> None:
        """Gives no more signs: none comes when this has returned."""
        self._end()
        self._thread.join()


def _beat(beat: Callable[[], None], close: Callable[[], None], is_over: threading.Event) -> None:
    while not is_over.wait(BEAT_SECONDS):
        try:
            beat()
        except PipelineError:
            break
        except Exception:  # of a store that is busy, out of reach or gone: others will say so
            continue
    with contextlib.suppress(Exception):
        close()


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
