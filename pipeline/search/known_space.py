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

from pipeline.study.ranges import Choices, Entry
from pipeline.study.rules import layer_name
from pipeline.study.space import Space
from pipeline.study.spec import StudySpec
from pipeline.wording import join_names

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


def remark(spec: StudySpec) -> str:
    """Says which hyperparameters a sampler draws one by one, and which key is the cause, or ""."""
    kind, arguments, space = spec.sampler.type, spec.sampler.arguments, spec.searched
    given = arguments.get("fixed_params", {})
    while isinstance(base := arguments.get("base_sampler"), dict):
        kind, arguments = str(base.get("type")), base
        given = {**arguments.get("fixed_params", {}), **given}
    is_joint_tpe = bool(arguments.get("multivariate")) and not arguments.get("group")
    takes_numbers = kind == "CmaEsSampler"
    if not (
        takes_numbers
        or kind in ("GPSampler", "NSGAIISampler", "NSGAIIISampler")
        or (kind == "TPESampler" and is_joint_tpe)
    ):
        return ""
    causes = {
        name: cause
        for name, entry in space.entries.items()
        if name not in given and (cause := _cause(name, entry, space, takes_numbers))
    }
    if not causes:
        return ""
    known = "numbers that every trial has" if takes_numbers else "what every trial has"
    listed = join_names([f"{name} ({cause})" for name, cause in causes.items()])
    return f"{kind} models {known}; each on its own it draws, by [space]: {listed}"


def _cause(name: str, entry: Entry, space: Space, takes_numbers: bool) -> str:
    if distribution_of(entry).single():
        return ""
    if entry.when:
        return f"{name}.when"
    if takes_numbers and isinstance(entry, Choices):
        return f'{name}.type = "categorical"'
    return f"{name}.per" if entry.per and entry.per in space.entries else ""
