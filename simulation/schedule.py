"""Which faults befall which process: all of it follows from one number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from simulation.faults import Fault, Kind, What, fits
from simulation.losses import Loss, Lost
from simulation.scenario import Scenario

SEARCH, LOOK, MEND = "search", "doctor", "doctor --fix"
MOST_LIVES, MOST_FAULTS = 4, 4  # of a schedule, and of a life
N_STUDIES = 4  # of each kind
EARLY = 30  # steps of a life
SHARE_OF_STOPPED = 0.1  # of lives, which end by Ctrl-C and nothing else
# Share of schedules in which something is lost, how much at most, the number of the first process
# that mends it, and how many of those something befalls.
SHARE_OF_LOST, MOST_LOSSES, MENDING, MOST_MENDING = 0.1, 3, 1_000, 2
# Swarm testing (Groce et al. 2012, ISSTA): most schedules have few kinds of faults, and more of
# each: those that meet in one part of the code.
GROUPS: tuple[Sequence[What], ...] = (
    (What.OUTAGE, What.FLAKY, What.KILL, What.KILL_AFTER, What.TEAR, What.FULL, What.BROKEN),
    (What.OUTAGE, What.FLAKY, What.LOST, What.REFUSED, What.POWER, What.POWER_AFTER),
    (What.KILL, What.KILL_AFTER, What.DIES, What.BACK, What.INTERRUPT),
    (What.POWER, What.POWER_AFTER, What.TEAR, What.BUSY, What.ENQUEUED),
    (What.SUSPEND, What.RIVAL, What.KILL, What.INTERRUPT, What.OUTAGE),
)
# Steps of a fault, counted among all or those of a kind: what comes later is in few lives.
MOST_OF: dict[Kind | None, int] = {
    None: 400, Kind.OPTUNA: 200, Kind.MLFLOW: 150, Kind.WORKERS: 150, Kind.DISK: 80,
}  # fmt: skip
WEIGHTS = {
    What.KILL: 12, What.KILL_AFTER: 8, What.TEAR: 4, What.POWER: 4, What.POWER_AFTER: 4,
    What.INTERRUPT: 6, What.SUSPEND: 2, What.SECOND: 1, What.RIVAL: 1, What.JUMP: 2,
    What.FULL: 3, What.BROKEN: 3, What.BUSY: 3, What.READ_ONLY: 1, What.ENQUEUED: 2,
    What.REFUSED: 6, What.LOST: 6, What.TWICE: 4, What.LATE: 2, What.OUTAGE: 6, What.FLAKY: 6,
    What.DIES: 6, What.DIES_LAST: 4, What.HANGS: 2, What.GONE: 1, What.BACK: 3, What.NODE: 3,
}  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """A scenario, the lives of its processes, and what befalls them.

    Attributes:
        scenario: what is searched.
        lives: what each process is, one after the other; then searches that nothing befalls.
        faults: of any process.
        losses: when all is over; then a doctor mends what was lost, and after as many lives as
            faults befall him, he has mended all.
    """

    scenario: Scenario
    lives: tuple[str, ...]
    faults: tuple[Fault, ...]
    losses: tuple[Loss, ...] = ()

    def __str__(self) -> str:
        """In some lines."""
        scenario = self.scenario
        given = [name for name, on in vars(scenario).items() if on is True]
        about = (
            f"{scenario.n_trials} trials, {scenario.n_workers} at a time, study {scenario.seed}"
        )
        lines = [", ".join([about, *given]), f"lives: {', '.join(self.lives)}"]
        return "\n".join([*lines, *map(str, self.faults), *map(str, self.losses)])

    @property
    def changes_nothing(self) -> bool:
        """Whether the same trials come out as where nothing befalls anybody."""
        scenario = self.scenario
        plain = scenario.n_workers == 1 and not scenario.is_timed
        # a reference that was interrupted is run behind the other: what is known comes in another
        # order, and so the model of curves differs in its last digits
        plain = plain and not (scenario.pauses and scenario.has_reference)
        changes = _CHANGES | (_STATES_ARE_LOST if scenario.pauses else set())
        return plain and not any(fault.what in changes for fault in self.faults)


# What changes how a trial ends, and not only when.
_CHANGES = {What.HANGS, What.ENQUEUED}
_STATES_ARE_LOST = {What.SUSPEND, What.FULL, What.BROKEN}  # and so nothing is paused


def from_seed(seed: int) -> Schedule:
    """Draws a schedule."""
    rng = random.Random(seed)
    scenario = Scenario(
        seed=rng.randrange(N_STUDIES),
        n_trials=rng.choice((3, 4, 7)),
        n_workers=rng.choice((1, 1, 2)),
        pauses=rng.random() < 0.4,
        audits=rng.random() < 0.2,
        prunes=rng.random() < 0.3,
        has_reference=rng.random() < 0.2,
        has_finals=rng.random() < 0.2,
        is_timed=rng.random() < 0.15,
    )
    kinds = rng.choice((*GROUPS, rng.sample(list(WEIGHTS), 3), list(WEIGHTS)))
    lives, faults = [], []
    for process in range(rng.randint(1, MOST_LIVES)):
        lives.append(
            rng.choices((SEARCH, LOOK, MEND), weights=(8, 1, 2))[0] if process else SEARCH
        )
        if rng.random() < SHARE_OF_STOPPED:
            faults.append(_draw(rng, process, (What.INTERRUPT,)))
            continue
        for _ in range(rng.randint(1, MOST_FAULTS)):
            faults.append(_draw(rng, process, kinds))
    losses = []
    if rng.random() < SHARE_OF_LOST:
        for _ in range(rng.randint(1, MOST_LOSSES)):
            losses.append(Loss(rng.choice(list(Lost)), round(rng.random(), 2)))
        for process in range(rng.randint(0, MOST_MENDING)):
            fault = _draw(rng, MENDING + process, kinds)
            if fault.what is not What.HANGS:  # the doctor waits for who trains again
                faults.append(fault)
    return Schedule(scenario, tuple(lives), tuple(faults), tuple(losses))


def _draw(rng: random.Random, process: int, kinds: Sequence[What]) -> Fault:
    """Draws what befalls a process: at any step, or at any of a kind, of which most are rare."""
    (what,) = rng.choices(kinds, weights=[WEIGHTS[each] for each in kinds])
    seconds = rng.choice((-90.0, 90.0)) if what is What.JUMP else rng.choice((3.0, 10.0, 60.0))
    of = rng.choice([kind for kind in MOST_OF if fits(what, kind)])
    most = MOST_OF[of]
    if process and rng.random() < 0.5:
        most = EARLY  # while it takes up what was left
    step = int(most * rng.random() ** 2)  # early ones in most lives
    return Fault(process, step, what, seconds, round(rng.random(), 2), of)
