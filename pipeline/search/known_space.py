"""Samplers that know the space from the study file, instead of guessing it from earlier trials.

Optuna's own QMC takes it from the first trial, and its CMA-ES from what all trials share: a
reference that lies outside the space, or a first network without hidden layers, would leave
hyperparameters out for good.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from pipeline.study.hyperparameters import layer_name
from pipeline.study.ranges import Choices, Entry
from pipeline.study.space import Space

_QUEUED = "fixed_params"  # the system attribute of a trial that was queued with its values


class WrappingSampler(optuna.samplers.BaseSampler):
    """Does what another sampler does; the base of those that do one thing otherwise.

    Args:
        inner: the other one.
    """

    def __init__(self, inner: optuna.samplers.BaseSampler) -> None:
        self.inner = inner

    def reseed_rng(self) -> None:
        """Has the sampler draw from a new random state."""
        self.inner.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Infers which hyperparameters are drawn together."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws the hyperparameters that are drawn together.

        Args:
            study: of the trial.
            trial: that is drawn for.
            search_space: of these hyperparameters.
        """
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draws one hyperparameter on its own.

        Args:
            study: of the trial.
            trial: that is drawn for.
            param_name: of the hyperparameter.
            param_distribution: its range or choices.
        """
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Lets the sampler prepare for a trial."""
        self.inner.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Lets the sampler note what came of a trial.

        Args:
            study: of the trial.
            trial: that came to its end.
            state: how it ended.
            values: its metric, if it is complete.
        """
        self.inner.after_trial(study, trial, state, values)


class KnownSpaceSampler(WrappingSampler):
    """Draws the named hyperparameters together, whatever the trials before it had.

    A trial that was queued has its values: nothing is drawn for it, so that it takes no place in
    a sequence or a generation.

    Args:
        inner: draws.
        known: distributions of the hyperparameters, by name.
    """

    def __init__(
        self, inner: optuna.samplers.BaseSampler, known: Mapping[str, BaseDistribution]
    ) -> None:
        super().__init__(inner)
        self._known = known

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Gives the known space, or nothing for a trial that was queued."""
        return {} if is_queued(trial) else dict(self._known)


def is_queued(trial: FrozenTrial) -> bool:
    """Tells whether a trial was queued with its values: nothing is to be drawn for it."""
    return _QUEUED in trial.system_attrs


def know_space(sampler: optuna.samplers.BaseSampler, space: Space) -> optuna.samplers.BaseSampler:
    """Tells a sampler the space, if it is one that would guess it from the first trials."""
    if isinstance(sampler, optuna.samplers.QMCSampler):
        return KnownSpaceSampler(sampler, _distributions(space))
    if isinstance(sampler, optuna.samplers.CmaEsSampler):
        numbers = {
            name: distribution
            for name, distribution in _distributions(space, of_all_trials=True).items()
            if not isinstance(distribution, CategoricalDistribution)
        }
        return KnownSpaceSampler(sampler, numbers)
    return sampler


def distribution_of(entry: Entry) -> BaseDistribution:
    """Converts an entry to Optuna's distribution, by drawing from it."""
    probe = FixedTrial({"": entry.choices[0] if isinstance(entry, Choices) else entry.low})
    entry.suggest(probe, "")
    return probe.distributions[""]


def _distributions(space: Space, *, of_all_trials: bool = False) -> dict[str, BaseDistribution]:
    """Lists the distributions of all that varies and may be drawn, or is drawn in all trials."""
    found = {}
    for name, entry in space.entries.items():
        distribution = distribution_of(entry)
        if distribution.single() or (of_all_trials and entry.when):
            continue
        if not entry.per:
            found[name] = distribution
            continue
        source = space.entries.get(entry.per)
        numbers = (
            [space.fixed[entry.per]] if source is None else list(map(int, source.values or ()))
        )
        n_layers = min(numbers) if of_all_trials else max(numbers)
        found |= {layer_name(name, i): distribution for i in range(n_layers)}
    return dict(sorted(found.items()))


def drawn_apart(kind: str, arguments: Mapping[str, Any], space: Space) -> dict[str, str]:
    """Lists what a sampler draws one by one, with the key of the study file that is the cause.

    Args:
        kind: name of Optuna's class.
        arguments: that the study file gives it.
        space: that is searched.
    """
    if kind == "PartialFixedSampler" and isinstance(base := arguments.get("base_sampler"), dict):
        apart = drawn_apart(str(base.get("type")), base, space)
        given = arguments.get("fixed_params", {})
        return {name: key for name, key in apart.items() if name not in given}
    is_joint_tpe = bool(arguments.get("multivariate")) and not arguments.get("group")
    takes_numbers = kind == "CmaEsSampler"
    if not (takes_numbers or kind in ("GPSampler", "NSGAIISampler", "NSGAIIISampler")) and not (
        kind == "TPESampler" and is_joint_tpe
    ):
        return {}
    causes = {}
    for name, entry in space.entries.items():
        if distribution_of(entry).single():
            continue
        if entry.when:
            causes[name] = f"{name}.when"
        elif takes_numbers and isinstance(entry, Choices):
            causes[name] = f'{name}.type = "categorical"'
        elif entry.per and entry.per in space.entries:
            causes[name] = f"{name}.per"
    return causes
