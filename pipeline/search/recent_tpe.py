"""TPE for long searches: what a draw costs does not grow with the number of trials for ever."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.storage.optuna_internals import StudyOfSomeTrials, whole_study
from pipeline.study.assignment import FINAL_OF

# TPE models its best tenth, at most 25 trials, against all others, and the older these are the
# less they weigh: of 10,000 trials all that tells is in the best and the latest.
N_BEST, N_LATEST = 100, 900


class RecentTPE(optuna.samplers.TPESampler):
    """Draws as TPE does, but from the best and the latest trials once there are over 1,000.

    Made anew for each draw, for which it reads the store once.
    """

    _seen: optuna.Study | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Chooses the trials that this draw looks at, and infers the space from these."""
        # With Hyperband it is one bracket of a study, but Optuna's TPE, too, looks at all of it.
        whole = whole_study(study)
        trials = [
            each
            for each in whole.get_trials(deepcopy=False)
            if FINAL_OF not in each.user_attrs  # one network with many seeds is no several hints
        ]
        trials = select_recent(trials, whole.direction)
        self._seen = StudyOfSomeTrials(whole, trials)
        return super().infer_relative_search_space(self._seen, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws the hyperparameters that are modelled together.

        Args:
            study: what the sampler was asked for; used before trials are chosen.
            trial: that is drawn for.
            search_space: of these hyperparameters.
        """
        return super().sample_relative(self._seen or study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draws one hyperparameter on its own.

        Args:
            study: what the sampler was asked for; used before trials are chosen.
            trial: that is drawn for.
            param_name: of the hyperparameter.
            param_distribution: its range or choices.
        """
        return super().sample_independent(
            self._seen or study, trial, param_name, param_distribution
        )


def select_recent(trials: list[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Selects the best complete trials and the latest of any state, by number."""
    if len(trials) <= N_BEST + N_LATEST:
        return trials
    earlier, latest = trials[:-N_LATEST], trials[-N_LATEST:]
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    complete = [trial for trial in earlier if trial.state == TrialState.COMPLETE]
    best = sorted(complete, key=lambda trial: sign * trial.values[0])[:N_BEST]
    return sorted(best, key=lambda trial: trial.number) + latest
