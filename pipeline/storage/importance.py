"""Which hyperparameters matter: a share for each that can matter at all."""

import math
import warnings
from collections import defaultdict

import optuna
from optuna.trial import TrialState

from pipeline.storage.optuna_internals import StudyOfSomeTrials
from pipeline.study.assignment import FINAL_OF


def importance(study: optuna.Study) -> dict[str, float]:
    """Computes each hyperparameter's importance over complete trials, largest first; sums to one.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv:2304.10255): how much each decides whether
    a trial is among the best quarter. Optuna's default, the best tenth, would be a trial or two.
    What had one value in all these trials decides nothing, and is left out (see `constant`); if
    nothing decides anything, no shares can be given.

    Finals are left out: a network that stands there several times would be most of that quarter.

    Args:
        study: of any number of trials.
    """
    study = _searched(study)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hyperparameters that few trials have
        try:
            found = evaluator.evaluate(study)
        except ValueError:  # all trials are infinitely bad, or there is none
            return {}
    fixed = set(constant(study))
    shares = {name: share for name, share in found.items() if name not in fixed}
    whole = sum(shares.values())
    if not whole > 0:  # Optuna would give equal shares of nothing
        return {}
    return {
        name: share / whole
        for name, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    }


def constant(study: optuna.Study) -> list[str]:
    """Lists, by name, what had one value in all complete trials that have it.

    As for `importance`, one that diverged counts for nothing.
    """
    values: dict[str, set[object]] = defaultdict(set)
    for trial in _searched(study).get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.value is not None and math.isfinite(trial.value):
            for name, value in trial.params.items():
                values[name].add(value)
    return sorted(name for name, found in values.items() if len(found) == 1)


def _searched(study: optuna.Study) -> optuna.Study:
    """Shows of a study what its search has tried."""
    trials = study.get_trials(deepcopy=False)
    searched = [trial for trial in trials if FINAL_OF not in trial.user_attrs]
    return study if len(searched) == len(trials) else StudyOfSomeTrials(study, searched)
