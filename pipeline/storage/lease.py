"""One supervisor for a study: who it is, and how a dead one's lease is taken over.

Two processes in one folder are kept apart by a lock, which the system takes from a process that
dies. Two folders or hosts that share a store are kept apart by a note in it; that its author lives
shows in a sign of life, which is noted every few seconds (`liveness`). One that was suspended
lives too, and goes on in the middle of anything: so a lease has a number, and whose number is not
the last one any more writes nothing.
"""

import contextlib
import errno
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline import snapshot
from pipeline.clock import now
from pipeline.disk import IsHeld
from pipeline.errors import PipelineError
from pipeline.outside import SYSTEM, Outside
from pipeline.paths import Project, display_path
from pipeline.storage import liveness, optuna_internals

if TYPE_CHECKING:
    import optuna

# User attributes of a study; their names are a contract with stores that there are.
LEASE, N_LEASES, HEARTBEAT = "claim", "n_claims", "heartbeat"
Lease = dict[str, Any]
READ_BACK_SECONDS = 1.0  # where taking a lease is not one step
SILENT_SECONDS = 30.0  # after which the author of a note in the store is thought dead
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def lock(project: Project, study: str, *, leaves_note: bool = True) -> Iterator[Lease]:
    """Holds a study in this folder for one process, and notes beside the lock which process.

    Args:
        project: whose folder.
        study: name of the study.
        leaves_note: False for who only looks, and leaves the note of a dead one where it is; where
            the lock cannot be written, who only looks does so without.

    Raises:
        IsSearchedError: another process holds it; the text says which, and since when.
        PipelineError: the lock cannot be written, and so the study neither.
    """
    outside, path = project.outside, project.supervisor_lock(study)
    disk, host, about = outside.disk, outside.host, project.lease_note(study)
    own = {
        "host": host.name(),
        "process": str(host.process()),
        "since": now(outside.clock),
        "lock": str(path),
        **host.identity(),
    }
    held = contextlib.ExitStack()
    try:
        held.enter_context(disk.hold(path))
    except IsHeld:
        known: Lease = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(disk.read(about))
        raise _refused(study, known) from None
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        if leaves_note:
            raise PipelineError(
                f"{display_path(path)}: {error.strerror}, and who searches or mends a study locks "
                f"it: {snapshot.CURE}"
            ) from None
        own["lock"] = ""  # held by nobody here, so whoever is noted in the store may be alive
    with held:
        try:
            if leaves_note:
                disk.make_folder(about.parent)
                disk.write(about, json.dumps(own).encode())
            yield own
        finally:
            if leaves_note:
                with contextlib.suppress(FileNotFoundError):
                    disk.unlink(about)


class IsSearchedError(PipelineError):
    """Somebody else searches the study."""


class LostLease(PipelineError):
    """Somebody else searches the study by now: who is told so writes nothing more."""

    def __init__(self, study: str) -> None:
        super().__init__(
            f"study {study} was taken over by another supervisor while this one was suspended or "
            "cut off: it writes nothing more"
        )


class ReplacedStudy(LostLease):
    """Somebody has made the study, or what is noted of it, anew: who is told so writes no more.

    Args:
        study: name.
        is_taken: whether somebody has taken the new one.
    """

    def __init__(self, study: str, is_taken: bool) -> None:
        self.is_taken = is_taken
        PipelineError.__init__(
            self,
            f"study {study} was deleted or replaced in Optuna, or its attributes were, while it "
            "was searched or mended, which has stopped: nothing more is written, and the same "
            "command begins with what is there now",
        )


@dataclass(frozen=True)
class Taken:
    """A lease that this process has taken.

    Attributes:
        study: whose.
        number: of the lease; the holder of the last one may write.
        judge: given the attributes of the study, raises if somebody else may write it.
        end_fence: lets the storage of `study` write whoever holds the lease.
        heartbeat: shows others that the holder lives.
    """

    study: "optuna.Study"
    number: int
    judge: Callable[[Mapping[str, Any]], None]
    end_fence: Callable[[], None]
    heartbeat: liveness.Heartbeat

    def check(self) -> None:
        """Looks whether this is still the last lease: before each write that Optuna does not see.

        Raises:
            LostLease: somebody has taken a later one, or the study was replaced.
        """
        with contextlib.suppress(KeyError):  # somebody has deleted the study, and so nobody has it
            self.judge(self.study.user_attrs)

    def check_others(self) -> None:
        """Looks whether somebody else has the study; of one that nobody has, runs may be closed.

        Raises:
            LostLease: somebody else has.
        """
        try:
            self.check()
        except ReplacedStudy as replaced:
            if replaced.is_taken:
                raise

    def give_back(self) -> None:
        """Removes the lease from the store, so that anybody may search the study.

        Raises:
            LostLease: it is somebody else's by now, and stays.
        """
        self.heartbeat.stop()
        self.check()
        self.study.set_user_attr(LEASE, None)
        self.end_fence()


def take(study: "optuna.Study", own: Lease, outside: Outside = SYSTEM) -> Taken:
    """Notes in the store who supervises a study, under the next number.

    From then on the storage of `study` takes no write once somebody else has taken the lease. An
    Optuna with another inside knows nothing of the kind: there the number is read back after a
    moment, and only what MLflow is told is looked at.

    Args:
        study: as it will be written.
        own: what `lock` gave.
        outside: of this process.

    Raises:
        IsSearchedError: somebody in another folder or on another host does, and is alive.
    """
    before = study.user_attrs.get(N_LEASES)
    refuse_if_alive(study, own, outside)
    number = (before or 0) + 1
    noted = {**own, "number": number}
    judge = functools.partial(_judge, study.study_name, noted)
    storage, study_id = optuna_internals.storage_of(study)
    end_fence = close = _nothing
    sign = functools.partial(now, outside.clock)

    def beat() -> None:
        judge(study.user_attrs)
        study.set_user_attr(HEARTBEAT, sign())

    if hasattr(storage, "fence"):
        others = {LEASE: noted, HEARTBEAT: sign()}
        is_taken = storage.swap(study_id, N_LEASES, before, number, others)
        if is_taken:
            fence = storage.fence(study_id, (N_LEASES, LEASE), judge)
            end_fence = fence.put_up()
            beat, close = fence.writer(HEARTBEAT, sign)
    else:
        study.set_user_attr(N_LEASES, number)
        study.set_user_attr(LEASE, noted)
        outside.clock.sleep(READ_BACK_SECONDS)
        is_taken = study.user_attrs.get(LEASE) == noted
    if not is_taken:  # somebody was faster
        raise _refused(study.study_name, study.user_attrs.get(LEASE) or {})
    heartbeat = liveness.Heartbeat(beat, close, outside.clock)
    return Taken(study, number, judge, end_fence, heartbeat)


def refuse_if_alive(study: "optuna.Study", own: Lease, outside: Outside = SYSTEM) -> None:
    """Refuses a study that somebody elsewhere still searches or mends, by the note in the store.

    Raises:
        IsSearchedError: somebody in another folder or on another host does, and is alive.
    """
    known: Lease = study.user_attrs.get(LEASE) or {}
    is_here = _is_of(known, own["host"], own["lock"])  # who holds the same lock no longer is dead
    if not known or is_here or outside.host.is_gone(known):
        return
    print(f"looking whether {_whom(known)} still searches it ...", file=sys.stderr)
    clock, before = outside.clock, _signs_of_life(study)
    until = clock.monotonic() + SILENT_SECONDS
    while clock.monotonic() < until:
        clock.sleep(1)
        if _signs_of_life(study) != before:
            raise _refused(study.study_name, known)


def living_holder(study: "optuna.Study", outside: Outside = SYSTEM) -> str:
    """Names who searches or mends a study, as far as one look tells; "" if nobody does.

    Of another host's, by the clock of this one and its last sign of life.
    """
    known: Lease = study.user_attrs.get(LEASE) or {}
    if not known or outside.host.is_gone(known):
        return ""
    try:
        seen = datetime.fromisoformat(str(study.user_attrs.get(HEARTBEAT))).timestamp()
    except ValueError:  # of an earlier version
        return _whom(known)
    return _whom(known) if outside.clock.time() - seen <= SILENT_SECONDS else ""


def left_elsewhere(study: "optuna.Study", project: Project) -> str:
    """Names who has not given a study back and had another folder, dead or alive; "" if nobody."""
    known: Lease = study.user_attrs.get(LEASE) or {}
    host, lock = project.outside.host.name(), str(project.supervisor_lock(study.study_name))
    return "" if not known or _is_of(known, host, lock) else _whom(known)


def _is_of(known: Lease, host: str, lock: str) -> bool:
    return (known.get("host"), known.get("lock")) == (host, lock)


def last_holder(study: "optuna.Study") -> str:
    """Names who has not given a study back, and may be dead; "" if nobody has it."""
    known: Lease = study.user_attrs.get(LEASE) or {}
    return _whom(known) if known else ""


def _signs_of_life(study: "optuna.Study") -> list[Any]:
    """Reads what changes while somebody has the lease; the time used, of an earlier version."""
    from pipeline.storage import study_store

    attributes = study.user_attrs
    return [attributes.get(key) for key in (HEARTBEAT, study_store.SECONDS)]


def _judge(study: str, noted: Lease, attributes: Mapping[str, Any]) -> None:
    """Raises `LostLease` if a study's attributes say that another lease than this is the last."""
    number, last, holder = noted["number"], attributes.get(N_LEASES), attributes.get(LEASE)
    if last is None or last < number or (last == number and holder not in (None, noted)):
        raise ReplacedStudy(study, is_taken=last is not None)
    if last > number:
        raise LostLease(study)


def _nothing() -> None:
    pass


def _refused(study: str, holder: Lease) -> IsSearchedError:
    return IsSearchedError(f"study {study} is being searched already, by {_whom(holder)}")


def _whom(holder: Lease) -> str:
    if not {"process", "host", "since"} <= holder.keys():
        return "another process"
    return f"process {holder['process']} on {holder['host']} since {holder['since']}"
