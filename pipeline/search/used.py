"""What is used of a study's budget over all reruns, trials and time; finals are counted apart."""

import math
from collections import Counter
from collections.abc import Callable

import optuna

from pipeline.search.policy import Left
from pipeline.storage import study_store
from pipeline.study.budget import Budget

SAVE_SECONDS = 10.0  # between two notes of the time used


class Used:
    """Counts on from what is noted in a study, and notes the time there now and then.

    Attributes:
        states: number of trials of the search by the state in which they ended.
        n_finals: number of finals that have ended.

    Args:
        study: whose supervisor this is.
        budget: of the search, without what finals have.
        clock: seconds in which this process could work, counted from some moment on.
    """

    def __init__(self, study: optuna.Study, budget: Budget, clock: Callable[[], float]) -> None:
        self.states: Counter[str] = Counter()
        self.n_finals = 0
        noted = study.user_attrs
        self._search_before = float(noted.get(study_store.SECONDS, 0.0))
        self._finals_before = float(noted.get(study_store.FINALS_SECONDS, 0.0))
        self._study, self._budget, self._clock = study, budget, clock
        self._started = self._saved = clock()
        self._finals_started: float | None = None

    @property
    def seconds(self) -> float:
        """For which supervisors have searched, this one included."""
        until = self._clock() if self._finals_started is None else self._finals_started
        return self._search_before + until - self._started

    @property
    def is_final(self) -> bool:
        """Whether the search is over and its finals are run."""
        return self._finals_started is not None

    @property
    def finals_seconds(self) -> float:
        """For which supervisors have run finals, this one included."""
        if self._finals_started is None:
            return self._finals_before
        return self._finals_before + self._clock() - self._finals_started

    def begin_finals(self) -> None:
        """Counts the time from now on for the finals, and notes what the search has used."""
        self._finals_started = self._clock()
        self.save(now=True)

    def count(self, state: str, *, is_final: bool) -> None:
        """Counts a trial that has ended."""
        if is_final:
            self.n_finals += 1
        else:
            self.states[state] += 1

    def is_all(self, n_running: int) -> bool:
        """Tells whether nothing is left for another trial of the search.

        Args:
            n_running: trials of the search under way.
        """
        return self._budget.is_used(self.states.total() + n_running, self.seconds)

    @property
    def seconds_left(self) -> float:
        """Of the search's minutes; infinite without a limit."""
        minutes = self._budget.minutes
        return math.inf if minutes is None else 60 * minutes - self.seconds

    def left(self, n_trials: int, may_begin: bool) -> Left:
        """Tells a policy what is left.

        Args:
            n_trials: that have begun, of those that the policy sees.
            may_begin: whether another one may.
        """
        share = self._budget.share_used(n_trials, self.seconds)
        return Left(may_begin, self.seconds_left, share)

    @property
    def is_over(self) -> bool:
        """Whether the minutes of the search are used."""
        return self.seconds_left <= 0

    def save(self, *, now: bool = False) -> None:
        """Notes the time in the study if the last note is long ago, or at once."""
        if not now and self._clock() - self._saved <= SAVE_SECONDS:
            return
        self._study.set_user_attr(study_store.SECONDS, self.seconds)
        if self._finals_started is not None:
            self._study.set_user_attr(study_store.FINALS_SECONDS, self.finals_seconds)
        self._saved = self._clock()
