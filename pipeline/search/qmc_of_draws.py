"""A quasi-random sequence over all that is drawn in every trial, whatever references ran first.

A reference may lie outside the study's space, and then has few hyperparameters in common with it:
Optuna's sampler would take its space from that reference.
"""

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from pipeline.storage.optuna_internals import StudyOfSomeTrials
from pipeline.study.assignment import REFERENCE


class QMCOfDraws(optuna.samplers.QMCSampler):
    """Goes along a quasi-random sequence, over all that every trial has."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Infers the space of the sequence from the trials that are no references."""
        trials = study.get_trials(deepcopy=False)
        drawn = [each for each in trials if not each.user_attrs.get(REFERENCE)]
        return super().infer_relative_search_space(StudyOfSomeTrials(study, drawn), trial)
