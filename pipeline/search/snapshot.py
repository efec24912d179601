"""What people see of a search while it runs, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.wording import count_noun

_KNOWN_SHARE = 0.05  # of the budget; what less than that tells of the rest, is not said


@dataclass(frozen=True)
class RunningTrial:
    """A trial under way.

    Attributes:
        trial: its number.
        epoch: epochs done.
        epochs: epochs at most.
        value: the metric after the last epoch, as people see it; "" before the first.
        about: its hyperparameters in a line.
    """

    trial: int
    epoch: int
    epochs: int
    value: str
    about: str


@dataclass(frozen=True)
class Snapshot:
    """A search at one moment.

    Attributes:
        study: its name.
        metric: name of the metric.
        states: number of trials by state: COMPLETE, PRUNED, FAIL.
        n_trials: budget in trials, None if there is none.
        seconds: supervisor's time so far, over all reruns.
        minutes: budget in minutes, None if there is none.
        running: trials under way.
        best: the best so far in a line, or "".
        is_ready: whether workers have done their imports.
        n_finals: number of finals that have ended, if the search has come to them.
        stage: of the finals, such as "finals, round 2 of 3".
        n_paused: number of trials that are paused.
        has_finals: whether finals come when the search is over.
    """

    study: str
    metric: str
    states: Mapping[str, int]
    n_trials: int | None
    seconds: float
    minutes: float | None
    running: tuple[RunningTrial, ...] = field(default_factory=tuple)
    best: str = ""
    is_ready: bool = True
    n_finals: int | None = None
    stage: str = ""
    n_paused: int = 0
    has_finals: bool = False

    @property
    def n_ended(self) -> int:
        """Trials that count for the budget."""
        return sum(self.states.values())

    @property
    def share(self) -> float:
        """How much of the budget is used, 0 to 1: of trials or of minutes, whichever is more."""
        shares = [0.0]
        if self.n_trials:
            shares.append(self.n_ended / self.n_trials)
        if self.minutes:
            shares.append(self.seconds / (60 * self.minutes))
        return min(1.0, max(shares))

    @property
    def budget(self) -> str:
        """What is used of the budget: `12 of 60 trials, 3.4 of 15 minutes`."""
        trials = count_noun(self.n_trials or self.n_ended, "trial")
        trials = f"{self.n_ended:,} of {trials}" if self.n_trials else trials
        used = round(self.seconds / 60, 1)
        most = round(self.minutes, 1) or self.minutes if self.minutes else used
        minutes = count_noun(most, "minute")
        said = f"{trials}, " + (f"{used:,.1f} of {minutes}" if self.minutes else minutes)
        return said if self.n_finals is None else f"{said}; {self.stage}: {self.n_finals} ended"

    @property
    def left(self) -> str:
        """How long the search will go on, as far as what is used of the budget tells; or ""."""
        share = self.share
        if self.n_finals is not None or share < _KNOWN_SHARE:
            return ""
        minutes = round(self.seconds / 60 * (1 - share) / share)
        said = f"about {count_noun(minutes, 'minute')} left" if minutes else "under a minute left"
        if share >= 1:
            said = "the last trials are under way"
        return said + ", then finals" * self.has_finals
