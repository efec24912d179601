"""The incumbents of a search: the best network so far, by the trials and the time it had used."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.summary import StudySummary
from pipeline.study.trial import Trial, is_better


@dataclass(frozen=True)
class Incumbent:
    """A network that was the best so far when its trial ended.

    Attributes:
        trial: whose network it is.
        n_trials: of the search that had ended by then, this one included.
        minutes: that the search had used by then; None if that is not known.
    """

    trial: Trial
    n_trials: int
    minutes: float | None

    @property
    def value(self) -> float:
        """The study's metric; every incumbent has one."""
        assert self.trial.value is not None
        return self.trial.value


def incumbents(facts: StudySummary) -> list[Incumbent]:
    """Lists the networks that were the best so far when their trials ended, in that order.

    Runs of finals are left out: they train again what the search has found.
    """
    ranked = {trial.number for trial in facts.ranked}
    found: list[Incumbent] = []
    for n_trials, trial in enumerate(facts.searched_by_end, start=1):
        if trial.number not in ranked or trial.value is None:
            continue
        best = found[-1].value if found else None
        if is_better(trial.value, best, facts.spec.direction):
            found.append(Incumbent(trial, n_trials, facts.minutes_used.get(trial.number)))
    return found


def at_minutes(found: Sequence[Incumbent], minutes: float) -> Incumbent | None:
    """Finds the incumbent after so many minutes; None if there was none yet."""
    known = [each for each in found if each.minutes is not None and each.minutes <= minutes]
    return known[-1] if known else None


def at_trials(found: Sequence[Incumbent], n_trials: int) -> Incumbent | None:
    """Finds the incumbent after so many trials of the search; None if there was none yet."""
    known = [each for each in found if each.n_trials <= n_trials]
    return known[-1] if known else None
