"""What can befall a step of a process."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Of what something is a step."""

    TIME = "time"
    DISK = "disk"
    OPTUNA = "Optuna"
    MLFLOW = "MLflow"
    WORKERS = "workers"


class What(Enum):
    """What happens."""

    KILL = "the process is killed"
    KILL_AFTER = "the process is killed when that is done"
    TEAR = "the process is killed in the middle of that"
    POWER = "the power fails"
    POWER_AFTER = "the power fails when that is done"
    INTERRUPT = "Ctrl-C"
    SUSPEND = "the process is suspended, and another host goes on"
    SECOND = "somebody starts a second search in the same folder"
    RIVAL = "somebody starts a second search on another host"
    JUMP = "somebody sets the clock"
    FULL = "the disk is full"
    BROKEN = "the disk has an error"
    BUSY = "the store is busy for too long"
    READ_ONLY = "the store cannot be written"
    ENQUEUED = "somebody enqueues a trial by hand"
    REFUSED = "MLflow is out of reach"
    LOST = "MLflow does it, and its answer is lost"
    TWICE = "MLflow does it twice"
    LATE = "MLflow does it, and answers after a minute"
    OUTAGE = "MLflow is out of reach for a while"
    FLAKY = "MLflow is out of reach now and then, for a while"
    DIES = "a worker dies"
    DIES_LAST = "a worker dies after its last epoch"
    HANGS = "a worker hangs"
    NODE = "the machine of half of the workers is gone"
    GONE = "the forkserver is gone"
    BACK = "a worker of a dead supervisor writes its state"


_ANY = {
    What.KILL, What.POWER, What.INTERRUPT, What.SUSPEND, What.SECOND, What.RIVAL, What.JUMP,
}  # fmt: skip
_ALLOWED = {
    Kind.TIME: _ANY,
    Kind.DISK: _ANY | {What.KILL_AFTER, What.TEAR, What.POWER_AFTER, What.FULL, What.BROKEN},
    Kind.OPTUNA: _ANY
    | {What.KILL_AFTER, What.POWER_AFTER, What.BUSY, What.READ_ONLY, What.FULL}
    | {What.ENQUEUED},
    Kind.MLFLOW: _ANY
    | {What.KILL_AFTER, What.REFUSED, What.LOST, What.TWICE, What.LATE, What.OUTAGE, What.FLAKY},
    Kind.WORKERS: _ANY
    | {What.DIES, What.DIES_LAST, What.HANGS, What.GONE, What.BACK}
    | {What.NODE},
}


def fits(what: What, kind: "Kind | None") -> bool:
    """Tells whether something can happen at a step of a kind."""
    return kind is None or what in _ALLOWED[kind]


@dataclass(frozen=True)
class Fault:
    """Something that happens at a step.

    Attributes:
        process: number of the process.
        step: of that process, from 0; counted among those of a kind if one is given.
        what: happens.
        seconds: that a clock jumps, or an outage lasts.
        share: from 0 to 1: how much of a write is done that is torn, or of what was not synced is
            kept; which worker it is.
        of: kind of the steps that are counted; None: all.
    """

    process: int
    step: int
    what: What
    seconds: float = 0.0
    share: float = 0.5
    of: Kind | None = None

    def fits(self, kind: Kind) -> bool:
        """Tells whether it can happen at such a step; else nothing does."""
        return fits(self.what, kind)

    def __str__(self) -> str:
        more = (
            f" ({self.seconds:+.0f} s)"
            if self.what in (What.JUMP, What.OUTAGE, What.FLAKY)
            else ""
        )
        of = f" of {self.of.value}" if self.of else ""
        return f"process {self.process}, step {self.step}{of}: {self.what.value}{more}"
