"""Draws that are not repeated while something else is left to try."""

import copy
import random
from collections import Counter
from collections.abc import Hashable, Mapping, Set
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import UsageError
from pipeline.search.known_space import WrappingSampler, distribution_of, is_queued
from pipeline.storage import optuna_internals, study_store
from pipeline.study import space
from pipeline.study.assignment import Assignment, Earlier
from pipeline.study.combinations import combinations, drawable, key_of
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Entry
from pipeline.study.rules import Scalar
from pipeline.study.spec import StudySpec
from pipeline.wording import count_noun

N_REDRAWN, N_RANDOM = 20, 1000  # draws of the sampler, and at random, before a repeat is accepted


class Untried:
    """Knows what a study can draw and what it has tried; lives as long as its supervisor.

    Tried is what has ended, failures too, what is under way and what waits in the queue; not
    what was interrupted, for that is queued again.

    Attributes:
        given: what the sampler always draws, by its name in Optuna.
        n_earlier: networks of earlier studies that the study starts from, once it was asked.

    Args:
        spec: the study file.

    Raises:
        UsageError: a value that the sampler is to draw always is not allowed.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._is_drawn = bool(spec.space)
        self.given = _given(spec)
        self._keys: Counter[Hashable] = Counter()  # of what has ended, and what is open
        self._open: dict[int, Hashable] = {}  # keys of the latter, by place among all trials
        self._n_seen = 0
        self._all: dict[Hashable, Hyperparameters] | None = None
        self._earlier: list[Earlier] | None = None
        self._is_over: bool | None = None  # whether the sampler has drawn all, of an endless space
        self.n_earlier = 0
        if self._is_drawn:
            self._all = combinations(spec.searched, self.given)

    @property
    def n_combinations(self) -> int | None:
        """How many there are; None if there is no end of them, or too many to list."""
        return None if self._all is None else len(self._all)

    def tried(self, study: optuna.Study) -> Set[Hashable]:
        """Collects the keys of what has been tried, is under way or waits."""
        trials = optuna_internals.whole_study(study).get_trials(deepcopy=False)
        self._open |= dict.fromkeys(range(self._n_seen, len(trials)))
        self._n_seen = len(trials)
        for place, known in list(self._open.items()):
            # a long search does not read again what has ended: it does not change
            if trials[place].state.is_finished():
                del self._open[place]
                self._count(known, _key(trials[place]))
            elif known is None:  # nor does what has begun
                key = self._open[place] = _key(trials[place])
                self._count(None, key)
        return self._keys.keys()

    def _count(self, before: Hashable | None, now: Hashable | None) -> None:
        """Counts the key of a trial, which may be another one than before: of lost ones none."""
        if now is not None:
            self._keys[now] += 1
        if before is not None:
            self._keys[before] -= 1
            if not self._keys[before]:
                del self._keys[before]

    def earlier(self, study: optuna.Study) -> Earlier | None:
        """Finds the next network of an earlier study that is to be tried; None if none is left."""
        if self._earlier is None:
            self._earlier = study_store.read_earlier(study)
            self.n_earlier = len(self._earlier)
        if self._earlier:
            tried = self.tried(study)
            self._earlier = [e for e in self._earlier if key_of(e.hyperparameters) not in tried]
        return self._earlier[0] if self._earlier else None

    def left(self, study: optuna.Study) -> list[Hyperparameters] | None:
        """Lists what is left to try, always in the same order; None where all is not listed."""
        if self._all is None:
            return None
        tried = self.tried(study)
        return [each for key, each in self._all.items() if key not in tried]

    def can_draw(self, study: optuna.Study) -> bool:
        """Tells whether anything is left to draw; notes in the study if nothing is."""
        left = self.left(study)
        if left == [] and not study.user_attrs.get(study_store.EXHAUSTED):
            study.set_user_attr(study_store.EXHAUSTED, True)
        if left is None and (self._is_over is None or optuna_internals.has_sampler_stopped(study)):
            self._is_over = study_store.is_exhausted(study)
        is_over = self._is_over if left is None else not left
        return self._is_drawn and not is_over

    def ending(self, study: optuna.Study) -> str:
        """Says that all was tried, if so, or ""."""
        if not self._is_drawn or self.can_draw(study):
            return ""
        if self.n_combinations is None:
            return "the sampler has drawn all there is: the search ends"
        n = count_noun(self.n_combinations, "possible combination")
        return f"all of {n} tried: the search ends"


class DistinctSampler(WrappingSampler):
    """Draws as another sampler does, but again where that was tried, while something is left.

    The whole of a trial is drawn before Optuna asks for its first hyperparameter.

    Args:
        inner: draws.
        searched: the space.
        untried: what is left of it.
        seed: for what is chosen at random because the sampler insists on what was tried.
        is_exhaustive: whether all is chosen at random from what is left.
    """

    def __init__(
        self,
        inner: optuna.samplers.BaseSampler,
        searched: space.Space,
        untried: Untried,
        seed: int,
        is_exhaustive: bool,
    ) -> None:
        super().__init__(inner)
        self._searched, self._untried, self._seed = searched, untried, seed
        self._is_exhaustive = is_exhaustive
        self._params: _Drawn | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Draws the trial, and says of which hyperparameters it is."""
        if is_queued(trial):
            return super().infer_relative_search_space(study, trial)
        params, distributions = self._draw_untried(study, trial)
        self._params = _Drawn(params)
        return distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Gives what was drawn.

        Args:
            study: of the trial.
            trial: that is drawn for.
            search_space: of the hyperparameters.
        """
        if self._params is None:
            return super().sample_relative(study, trial, search_space)
        return self._params

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, *rest: Any) -> None:
        """Lets the sampler note what came of a trial; one that lists all would end the search."""
        if not self._is_exhaustive:
            super().after_trial(study, trial, *rest)

    def _draw_untried(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        tried = self._untried.tried(study)
        for _ in range(0 if self._is_exhaustive else N_REDRAWN):
            drawn = self._draw(self.inner, study, trial)
            if key_of(drawn[0]) not in tried:
                return drawn[1:]
        if left := self._untried.left(study):
            chosen = random.Random(self._seed).choice(left)
            probe = optuna.trial.FixedTrial(dict(space.params_of(self._searched, chosen)))
            space.register(probe, self._searched, chosen)
            return probe.params, probe.distributions
        at_random: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(self._seed)
        if self._untried.given:
            fixed = dict(self._untried.given)
            at_random = optuna.samplers.PartialFixedSampler(fixed, at_random)
        for _ in range(N_RANDOM):
            other = self._draw(at_random, study, trial)
            if key_of(other[0]) not in tried:
                break
        return other[1:]

    def _draw(
        self, sampler: optuna.samplers.BaseSampler, study: optuna.Study, trial: FrozenTrial
    ) -> tuple[Hyperparameters, dict[str, Any], dict[str, BaseDistribution]]:
        """Draws from a sampler in the way in which Optuna's trials do, without storing it."""
        draft = copy.copy(trial)
        draft.params, draft.distributions = {}, {}
        known = sampler.infer_relative_search_space(study, draft)
        together = sampler.sample_relative(study, draft, known)

        def pick(name: str, entry: Entry) -> Scalar:
            distribution, value = distribution_of(entry), together.get(name)
            if entry.values is not None and len(entry.values) == 1:
                value = entry.values[0]
            elif value is None or not entry.contains(value):
                value = sampler.sample_independent(study, draft, name, distribution)
            draft.params = {**draft.params, name: value}
            draft.distributions = {**draft.distributions, name: distribution}
            return value

        hyperparameters = space.draw(self._searched, pick)
        return hyperparameters, draft.params, draft.distributions


class _Drawn(dict[str, Any]):
    """Values by name, of which Optuna makes a deep copy whenever it looks for one of them."""

    def __deepcopy__(self, _: object) -> "_Drawn":
        """Copies the mapping alone: no value in it can be changed."""
        return _Drawn(self)


def _key(frozen: FrozenTrial) -> Hashable | None:
    """Reads the key of a trial; None of what was interrupted, and of what is just being drawn."""
    attributes = frozen.user_attrs
    is_lost = frozen.state == TrialState.FAIL and attributes.get(study_store.INTERRUPTED)
    assignment = None if is_lost else Assignment.read(attributes)
    known = assignment and assignment.hyperparameters
    return key_of(known) if known else None


def _given(spec: StudySpec) -> Mapping[str, Scalar]:
    """Finds what a `PartialFixedSampler` always draws, also where one stands inside another.

    Raises:
        UsageError: it is nothing that the space could draw.
    """
    given: dict[str, Scalar] = {}
    arguments: Any = spec.sampler.arguments
    while isinstance(arguments, dict):
        fixed = arguments.get("fixed_params", {})
        if not isinstance(fixed, dict):
            raise UsageError(f"[sampler] fixed_params: found {fixed!r}, allowed is a table")
        given = {**fixed, **given}
        arguments = arguments.get("base_sampler")
    for known in ({}, given):  # what is drawn at all, and then what is drawn with the others
        drawn = drawable(spec.searched, known)
        for key, value in given.items():
            if key not in drawn:
                names = ", ".join(drawn) or "none, for [space] is empty"
                raise UsageError(f"[sampler] fixed_params: found {key!r}, allowed are {names}")
            if not drawn[key].takes(value):
                raise UsageError(
                    f"[sampler] fixed_params: found {key} = {value!r}, allowed is what [space] has"
                )
    return given
