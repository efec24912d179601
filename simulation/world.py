"""The world in which simulated processes live: its time, their steps, and what befalls them.

A step is whatever a process does that another could see, or that could fail: a write, a question,
a wait. Before each the world looks whether something happens there. A process that was killed
takes no step any more: whatever its `finally` clauses try is as if it had not been tried.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.training.job import Job
from simulation.faults import Fault, Kind, What

STEP_SECONDS = 0.001  # that each step takes
MOST_STEPS = 20_000  # of a process: whoever takes more does not come to an end
BOOTED = 1_700_000_000.0  # seconds since 1970 at which the world begins


class Killed(BaseException):
    """Ends a process at once: `except Exception` does not see it."""


class DoesNotEnd(Exception):
    """A process takes more steps than any that comes to an end."""


@dataclass
class Process:
    """A process, from its start to its end.

    Attributes:
        number: counted from 0, over all hosts; of whoever mends what was lost, from 1,000.
        host: on which it lives.
        is_dead: whether it was killed.
        is_suspended: whether it stands still.
        stood_still: seconds for which it did.
        n_steps: that it has taken.
        n_of: how many of each kind before the last one.
        interrupt: what a signal does to it.
    """

    number: int
    host: str
    is_dead: bool = False
    is_suspended: bool = False
    stood_still: float = 0.0
    n_steps: int = 0
    n_of: "dict[Kind, int]" = field(default_factory=dict)
    interrupt: Callable[[], None] = lambda: None


@dataclass
class _Repeated:
    """Something that a process does every so often; see `pipeline.clock.Repeated`."""

    process: Process
    seconds: float
    do: Callable[[], bool]
    at_end: Callable[[], None]
    due: float
    is_over: bool = False

    def end(self) -> None:
        self.is_over = True

    def join(self) -> None:
        """It is done between two steps of the others, and never meanwhile."""


@dataclass
class World:
    """What all processes of a simulation share.

    Attributes:
        faults: what happens at which step of which process.
        seconds: since the beginning.
        trace: each step in a line, if that is wanted.
        on_power_failure: what forgets what no disk has kept.
        on_suspension: what happens while a process stands still, or others begin beside it.
        happened: faults that did.
        jobs: all that were submitted, and by whom.
        deaths: of workers, or that hung, by the network and the seed that they trained.
    """

    faults: "dict[tuple[int, int, Kind | None], Fault]"
    seconds: float = 0.0
    wall_offset: float = 0.0
    trace: "list[str] | None" = None
    n_steps: int = 0
    repeated: list[_Repeated] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    on_power_failure: Callable[[Process], None] = lambda _: None
    on_suspension: Callable[[Process, Fault], None] = lambda *_: None
    happened: list[Fault] = field(default_factory=list)
    jobs: "list[tuple[Process, Job]]" = field(default_factory=list)
    deaths: "Counter[tuple[str, int]]" = field(default_factory=Counter)

    @property
    def befell(self) -> set[What]:
        """What kinds of faults happened so far."""
        return {fault.what for fault in self.happened}

    def begin(self, host: str, number: int | None = None) -> Process:
        """Starts a process; of the next number, unless another is given."""
        process = Process(len(self.processes) if number is None else number, host)
        self.processes.append(process)
        return process

    def step(self, process: Process, kind: Kind, what: str) -> Fault | None:
        """Takes a step of a process; returns a fault that who takes the step has to bring about.

        Args:
            process: whose it is.
            kind: of what it is a step.
            what: in a few words.

        Raises:
            Killed: the process is dead, or dies here.
        """
        if process.is_dead:
            raise Killed
        n = process.n_steps
        process.n_steps += 1
        self.n_steps += 1
        if n > MOST_STEPS:
            raise DoesNotEnd(f"process {process.number} has taken {n} steps")
        self.seconds += STEP_SECONDS
        n_of = process.n_of[kind] = process.n_of.get(kind, -1) + 1
        fault = self.faults.get((process.number, n, None))
        fault = fault or self.faults.get((process.number, n_of, kind))
        if self.trace is not None:
            self.trace.append(
                f"{process.number}.{n:<4} {self.seconds:8.1f} s  {kind.value}: {what}"
            )
        if fault is None:
            return None
        if not fault.fits(kind):
            return None
        self.happened.append(fault)
        if self.trace is not None:
            self.trace[-1] += f"   <-- {fault.what.value}"
        return self._bring_about(process, fault)

    def _bring_about(self, process: Process, fault: Fault) -> Fault | None:
        match fault.what:
            case fault.what.KILL:
                self.kill(process)
            case fault.what.POWER:
                self.fail_power(process)
            case fault.what.INTERRUPT:
                process.interrupt()
            case fault.what.JUMP:
                self.wall_offset += fault.seconds
            case fault.what.SUSPEND | fault.what.SECOND:
                self.suspend(process, fault)
            case fault.what.RIVAL:
                self.on_suspension(process, fault)  # whose signs of life go on
                if process.is_dead:
                    raise Killed
            case _:
                return fault
        return None

    def kill(self, process: Process) -> None:
        """Ends a process.

        Raises:
            Killed: always.
        """
        process.is_dead = True
        raise Killed

    def fail_power(self, process: Process) -> None:
        """Ends all processes of a host, and loses what no disk has kept.

        Raises:
            Killed: always.
        """
        for each in self.processes:
            each.is_dead = each.is_dead or each.host == process.host
        self.on_power_failure(process)
        raise Killed

    def suspend(self, process: Process, fault: Fault) -> None:
        """Stops a process, while others live, and lets it go on.

        Raises:
            Killed: it died meanwhile.
        """
        before, process.is_suspended = self.seconds, True
        self.on_suspension(process, fault)
        process.is_suspended = False
        process.stood_still += self.seconds - before
        if process.is_dead:
            raise Killed

    def advance(self, process: Process, seconds: float) -> None:
        """Lets time pass, in which what is due is done.

        Args:
            process: who waits.
            seconds: at most 0 if none pass.
        """
        until = self.seconds + max(seconds, 0.0)
        while due := min(
            (each for each in self.repeated if self._is_due(each, until)),
            key=lambda each: each.due,
            default=None,
        ):
            self.seconds = max(self.seconds, due.due)
            due.due = self.seconds + due.seconds
            if not due.do():
                due.is_over = True
        self.repeated = [
            each for each in self.repeated if not (each.is_over or each.process.is_dead)
        ]
        self.seconds = max(self.seconds, until)
        if process.is_dead:  # by what was done meanwhile
            raise Killed

    def shows_life(self, process: Process) -> bool:
        """Tells whether a process does something every so often."""
        return any(each.process is process and not each.is_over for each in self.repeated)

    def _is_due(self, each: _Repeated, until: float) -> bool:
        if each.is_over or each.process.is_dead or each.process.is_suspended:
            return False
        return each.due <= until


class SimulatedClock:
    """The clock of one process, as `pipeline.clock.Clock`."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def time(self) -> float:
        return BOOTED + self._world.seconds + self._world.wall_offset

    def monotonic(self) -> float:
        return self._world.seconds

    def sleep(self, seconds: float) -> None:
        self._world.step(self._process, Kind.TIME, f"waits {seconds:g} s")
        self._world.advance(self._process, seconds)

    @contextmanager
    def working(self) -> Iterator[Callable[[], float]]:
        world, process = self._world, self._process
        begun = world.seconds - process.stood_still
        yield lambda: world.seconds - process.stood_still - begun

    def every(
        self, seconds: float, do: Callable[[], bool], at_end: Callable[[], None]
    ) -> _Repeated:
        due = self._world.seconds + seconds
        found = _Repeated(self._process, seconds, do, at_end, due)
        self._world.repeated.append(found)
        return found


class SimulatedHost:
    """Who a process is, as `pipeline.host.Host`."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def name(self) -> str:
        return self._process.host

    def process(self) -> int:
        return 100 + self._process.number

    def identity(self) -> dict[str, str]:
        return {"system": self._process.host, "start": str(self._process.number)}

    def is_gone(self, noted: Mapping[str, Any]) -> bool:
        if noted.get("system") != self._process.host:
            return False
        start = int(str(noted["start"]))
        return any(each.is_dead for each in self._world.processes if each.number == start)
