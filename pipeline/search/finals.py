"""How a search ends: the best networks once more with fresh seeds, round by round.

They are ordinary trials, queued in Optuna as all that waits. What is to be trained follows from
the plan in the store and from the trials that have ended, so that a kill changes nothing.
"""

import math
import statistics as stats
from collections.abc import Callable, Sequence
from typing import Any

import optuna

from pipeline.errors import PipelineError
from pipeline.search.used import Used
from pipeline.storage import finals as store
from pipeline.storage import queue, study_store
from pipeline.study import finals
from pipeline.study.budget import Budget
from pipeline.study.spec import Finals as Asked
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial


class Finals:
    """The finals of one study.

    Attributes:
        budget_of_search: what is searched with before them.
        only: what was asked for instead of a search, without a limit; None if nothing was.
        stage: how far they are: "finals, round 2 of 3"; "" before.

    Args:
        study: noted by `storage.finals.note_due`.
        spec: its study file.
        n_workers: how many trials are trained at a time.
        only: to hold finals now, whatever is left of a budget.
    """

    def __init__(
        self, study: optuna.Study, spec: StudySpec, n_workers: int, only: Asked | None = None
    ) -> None:
        self._study, self._spec, self._n_workers = study, spec, n_workers
        self.budget_of_search, self._budget = store.split_budget(study, spec)
        self.only, self.stage = only, ""

    @property
    def are_to_come(self) -> bool:
        """Whether a part of the budget is kept for them, as long as they have not begun."""
        return self._budget is not None and not self.stage

    def begin(self, used: Used) -> bool:
        """Decides on what is to be trained, unless that is known; tells whether there is anything.

        None are begun as long as other trials wait, which come first.

        Args:
            used: what the search and earlier finals have used.

        Raises:
            PipelineError: finals were asked for, and there is no network for them.
        """
        asked = self.only or (self._spec.finals if self._budget else None)
        if asked is None:
            return False
        trials = study_store.read_trials(self._study)
        plan, given = store.read_plan(self._study), self._asked(asked, trials)
        if plan and (plan.asked == given or self._is_wider(plan, given)):
            return True
        if queue.count_waiting(self._study) and not self.only:
            return False
        n_runs = None if self.only else self._n_runs(trials, used)
        found = finals.lay_out(
            trials, self._spec.direction, asked.networks, asked.seeds, n_runs, given
        )
        if found is None and self.only:
            raise PipelineError(
                f"study {self._spec.name!r} has no network that was drawn and has a value, and so "
                "no finals: they compare such networks"
            )
        if found is None:
            return False
        store.note_plan(self._study, found)
        return True

    def queue_round(self, is_interrupted: Callable[[], bool]) -> bool:
        """Queues what the round under way lacks, or notes who has won; tells whether any waits.

        Args:
            is_interrupted: looked at before each; the rest is queued by the next search.
        """
        trials, plan = study_store.read_trials(self._study), store.read_plan(self._study)
        assert plan is not None
        lacking = finals.wanted(plan, trials, self._spec.direction)
        if lacking:
            _, under_way = finals.take_part(plan, trials, self._spec.direction)
            place = 1 + plan.rounds.index(under_way) if under_way else len(plan.rounds)
            self.stage = f"finals, round {place} of {len(plan.rounds)}"
            queue.queue_finals(self._study, self._spec, lacking, is_interrupted)
            return queue.is_final_waiting(self._study)
        best = finals.winner(plan, trials, self._spec.direction)
        store.note_champion(self._study, best.number if best else None)
        return False

    def _asked(self, asked: Asked, trials: Sequence[Trial]) -> dict[str, Any]:
        return {
            "n_searched": store.count_searched(trials),
            "share": None if self.only else asked.share,
            "networks": asked.networks,
            "seeds": asked.seeds,
        }

    def _is_wider(self, plan: finals.Plan, given: dict[str, Any]) -> bool:
        """Tells whether a plan came of asking for finals without a limit, of the same trials."""
        return (
            self.only is None
            and plan.asked["share"] is None
            and plan.asked["n_searched"] == given["n_searched"]
        )

    def _n_runs(self, trials: Sequence[Trial], used: Used) -> int | None:
        """Says for how many trainings the budget of finals suffices, so far as is known."""
        budget, found = self._budget or Budget.model_construct(), []
        if budget.trials is not None:
            found.append(budget.trials - used.n_finals)
        assert self._spec.finals is not None
        best = finals.rank(finals.networks_of(trials), self._spec.direction)
        known = [_seconds_of(each) for each in best[: self._spec.finals.networks] if each.values]
        if budget.minutes is not None and known and (each := stats.fmean(known)):
            left = 60 * budget.minutes - used.finals_seconds
            found.append(math.floor(left * self._n_workers / each))
        return max(0, min(found)) if found else None


def _seconds_of(network: finals.Network) -> float:
    """Guesses how long a network is trained to its end; a pruned one was not."""
    run = max(network.runs, key=lambda each: each.n_epochs)
    given = run.hyperparameters
    if run.ending and given and run.n_epochs:
        return run.seconds / run.n_epochs * given.epochs
    return run.seconds
