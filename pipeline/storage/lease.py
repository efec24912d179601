"""One supervisor for a study: who it is, and how a dead one's lease is taken over.

Two processes in one folder are kept apart by a lock, which the system takes from a process that
dies. Two folders or hosts that share a store are kept apart by a note in it; whether its author
lives shows in the time used, which a supervisor notes every few seconds.
"""

import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.paths import Project

if TYPE_CHECKING:
    import optuna

LEASE = "claim"  # user attribute of a study; its name is a contract with stores that there are
Lease = dict[str, str]
SILENT_SECONDS = 30.0  # after which the author of a note in the store is thought dead


@contextlib.contextmanager
def lock(project: Project, study: str, *, leaves_note: bool = True) -> Iterator[Lease]:
    """Holds a study in this folder for one process, and notes beside the lock which process.

    Args:
        project: whose folder.
        study: name of the study.
        leaves_note: False for who only looks, and leaves the note of a dead one where it is.

    Raises:
        PipelineError: another process holds it; the text says which, and since when.
    """
    from filelock import FileLock, Timeout

    path = project.supervisor_lock(study)
    about = project.lease_note(study)
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        known: Lease = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(about.read_text())
        raise _refused(study, known) from None
    try:
        own = {
            "host": platform.node(),
            "process": str(os.getpid()),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
            "lock": str(path),
        }
        if leaves_note:
            about.write_text(json.dumps(own))
        yield own
    finally:
        if leaves_note:
            about.unlink(missing_ok=True)
        held.release()


def take(study: "optuna.Study", own: Lease) -> None:
    """Notes in the store who supervises a study.

    Raises:
        PipelineError: somebody in another folder or on another host does, and is alive.
    """
    refuse_if_alive(study, own)
    study.set_user_attr(LEASE, own)


def refuse_if_alive(study: "optuna.Study", own: Lease) -> None:
    """Refuses a study that a supervisor elsewhere still searches, by the note in the store.

    Raises:
        PipelineError: somebody in another folder or on another host does, and is alive.
    """
    from pipeline.storage import study_store

    known: Lease = study.user_attrs.get(LEASE) or {}
    is_foreign = known and any(known.get(key) != own[key] for key in ("host", "lock"))
    if is_foreign:  # who holds the same lock no longer is dead
        print(f"looking whether {_whom(known)} still searches it ...", file=sys.stderr)
        before, until = (
            study.user_attrs.get(study_store.SECONDS),
            time.monotonic() + SILENT_SECONDS,
        )
        while time.monotonic() < until:
            time.sleep(1)
            if study.user_attrs.get(study_store.SECONDS) != before:
                raise _refused(study.study_name, known)


def give_back(study: "optuna.Study") -> None:
    """Removes the lease from the store, so that anybody may search the study."""
    study.set_user_attr(LEASE, None)


def _refused(study: str, holder: Lease) -> PipelineError:
    return PipelineError(f"study {study} is being searched already, by {_whom(holder)}")


def _whom(holder: Lease) -> str:
    if not {"process", "host", "since"} <= holder.keys():
        return "another process"
    return f"process {holder['process']} on {holder['host']} since {holder['since']}"
