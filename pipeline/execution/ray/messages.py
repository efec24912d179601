"""What a search and its process at a Ray cluster say to each other, and that to its agents."""

from dataclasses import dataclass

from pipeline.task.source import DataSpec
from pipeline.training.job import Event, Job

PATIENCE_SECONDS = 240.0  # with a cluster that is lost, or where no worker can begin


@dataclass(frozen=True)
class Wanted:
    """What is asked of a cluster.

    Attributes:
        study: name, for people who look at the cluster.
        data: on which networks are trained.
        n_workers: how many at a time, at most; None for as many as the cluster has room for.
        cpus: of each.
        gpus: of each.
        address: of the cluster, "host:port"; "" for a Ray of its own.
    """

    study: str
    data: DataSpec
    n_workers: int | None
    cpus: float
    gpus: float
    address: str


@dataclass(frozen=True)
class Stop:
    """Asks for a job to be stopped.

    Attributes:
        ticket: its number.
        trial: of the job.
    """

    ticket: int
    trial: int


@dataclass(frozen=True)
class Capacity:
    """Says how many jobs can run at a time now.

    Attributes:
        n_workers: of all agents.
    """

    n_workers: int


@dataclass(frozen=True)
class Gone:
    """Says that jobs are no more, with the agent that ran them.

    Attributes:
        tickets: their numbers.
        reason: what became of the agent.
    """

    tickets: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Cannot:
    """Says why no job can run, and that the process ends.

    Attributes:
        reason: what a user reads.
        is_final: whether another process would fare no better.
    """

    reason: str
    is_final: bool = False


@dataclass(frozen=True)
class Share:
    """What is an agent's of its node, and what it is for.

    Attributes:
        study: name; workers print to a file that bears it.
        n_workers: how many jobs it runs at a time.
        gpus: that each of them has.
        versions: of the package and what it trains with, where the supervisor is.
    """

    study: str
    n_workers: int
    gpus: float
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Ticket:
    """A job that was submitted; what is told of it bears its number, which no other job has.

    Attributes:
        number: counted by who submits.
        job: its `state_folder` is one of where it comes from.
        state: what its training has left there, if it goes on.
    """

    number: int
    job: Job
    state: bytes | None = None


@dataclass(frozen=True)
class Left:
    """A job's training has left its state; comes before the end of that epoch.

    Attributes:
        trial: number of the trial.
        epoch: after which it goes on from there.
        content: of the file.
    """

    trial: int
    epoch: int
    content: bytes


Told = tuple[int, Event | Left]  # with the number of the ticket
Asked = Ticket | Stop
Reply = list[Told] | Capacity | Gone | Cannot
