"""The best networks of earlier studies, which a study tries first: `start_from` in its file.

Values of two studies are never compared: their data and their metrics are others. Each study ranks
its own networks; these are mapped into the space of the new one, and noted in it once, so that it
goes on alike after a kill, whatever becomes of the earlier studies.
"""

import itertools
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.errors import PipelineError, UsageError
from pipeline.paths import Project
from pipeline.search.distinct import Untried
from pipeline.search.neighbours import evenly, nearest
from pipeline.storage import studies, study_store
from pipeline.study import finals, space
from pipeline.study.assignment import Earlier
from pipeline.study.combinations import key_of
from pipeline.study.hyperparameters import DEFAULTS, REQUIRED, Hyperparameters
from pipeline.study.ranges import Entry
from pipeline.study.rules import RULES, Scalar, idle
from pipeline.study.seeds import derived_seed
from pipeline.study.space import Space
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial
from pipeline.wording import count_noun, inflect, join_names

N_NETWORKS = 5  # of all earlier studies together


@dataclass
class Unmapped:
    """Names of hyperparameters that are not in the new space as they were in the earlier one.

    Attributes:
        moved: their values went to the nearest ones that are allowed.
        not_allowed: words that the new space does not have; others were drawn.
        missing: the earlier network had none, and they were drawn.
        left_out: the new study has them fixed, or not at all, or they have no effect there.
    """

    moved: set[str] = field(default_factory=set)
    not_allowed: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        """Says it in a sentence, with a `;` before each part; "" if all was mapped."""
        parts = [
            ("moved to the nearest value allowed here", self.moved),
            ("drawn, as the value is not allowed here", self.not_allowed),
            ("drawn, as the earlier networks had none", self.missing),
            ("left out, as fixed or without effect here", self.left_out),
        ]
        return "".join(f"; {said}: {join_names(sorted(names))}" for said, names in parts if names)


@dataclass(frozen=True)
class WarmStart:
    """What a study starts from.

    Attributes:
        networks: tried first, in this order.
        said: of each earlier study, what was taken and what could not be mapped.
    """

    networks: tuple[Earlier, ...] = ()
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A network of an earlier study.

    Attributes:
        source: study and trial.
        number: of the trial, or of the network among those that were given.
        hyperparameters: as they were there.
        known: names of those that it had; all others are at their defaults unasked.
    """

    source: str
    number: int
    hyperparameters: Hyperparameters
    known: Collection[str]


def find(project: Project, spec: StudySpec) -> WarmStart:
    """Finds the networks that a study starts from; none if it has begun, and has noted its own.

    Raises:
        UsageError: an earlier study has no network yet, or none of the hyperparameters that are
            searched.
        PipelineError: the store cannot be used.
    """
    if not spec.start_from or studies.has_trials(project, spec.name):
        return WarmStart()
    return choose(spec, dict(_candidates(project, spec, name) for name in spec.start_from))


def of_networks(spec: StudySpec, networks: Sequence[Hyperparameters]) -> WarmStart:
    """Starts a study from networks that somebody brings, the best first.

    Args:
        spec: the study file.
        networks: of whatever space; so many at most as of earlier studies.
    """
    known = frozenset(RULES)
    given = [
        Candidate(f"given, network {i}", i, each, known) for i, each in enumerate(networks, 1)
    ]
    return choose(spec, {"those that were given": given}) if given else WarmStart()


def rank_networks(spec: StudySpec, own: StudySpec, trials: Sequence[Trial]) -> list[Candidate]:
    """Lists the networks of an earlier study that have a value, the best first.

    Args:
        spec: the study that is to start from them.
        own: the earlier study.
        trials: of the earlier study.

    Raises:
        UsageError: none has a hyperparameter that is searched.
    """
    found = []
    for each in finals.rank(finals.networks_of(trials), own.direction):
        given = each.first.hyperparameters
        if given and each.values:
            known = own.named | REQUIRED | _not_at_default(given)
            source = f"{own.name}, trial {each.number}"
            found.append(Candidate(source, each.number, given, known))
    if found and not any(spec.space.keys() & each.known for each in found):
        raise UsageError(
            f"start_from: the networks of {own.name!r} have none of the hyperparameters that are "
            f"searched here: {join_names([*spec.space])}"
        )
    return found


def choose(spec: StudySpec, ranked: Mapping[str, Sequence[Candidate]]) -> WarmStart:
    """Maps the best networks into the space of a study, until there are enough distinct ones.

    Args:
        spec: the study file.
        ranked: by a description of each earlier study, its networks, the best first; the studies
            take turns.

    Raises:
        UsageError: the study searches nothing.
    """
    if not spec.space:
        raise UsageError("start_from: found with an empty [space], into which no network fits")
    always = Untried(spec).given
    found: dict[Hashable, Earlier] = {}
    lost = {about: Unmapped() for about in ranked}
    numbers: dict[str, list[str]] = {about: [] for about in ranked}
    for turn in itertools.zip_longest(*ranked.values()):
        for about, candidate in zip(ranked, turn, strict=True):
            if candidate is None or len(found) == N_NETWORKS:
                continue
            rng = np.random.default_rng(derived_seed(spec.seed, "start_from", candidate.source))
            own = Unmapped()
            given = map_into(spec.searched, candidate, always, rng, own)
            if key_of(given) in found:
                continue
            found[key_of(given)] = Earlier(candidate.source, given)
            numbers[about].append(str(candidate.number))
            for name, names in vars(own).items():
                getattr(lost[about], name).update(names)
    said = [
        f"tried first: {count_noun(len(taken), 'network')} of {about}: "
        f"{inflect('trial', len(taken))} {join_names(taken)}{lost[about]}"
        for about, taken in numbers.items()
        if taken
    ]
    return WarmStart(tuple(found.values()), tuple(said))


def map_into(
    searched: Space,
    candidate: Candidate,
    always: Mapping[str, Scalar],
    rng: np.random.Generator,
    lost: Unmapped,
) -> Hyperparameters:
    """Maps a network of an earlier study into the space of another.

    Args:
        searched: the space.
        candidate: the network.
        always: what the study's sampler draws always, by its name in Optuna.
        rng: from which is drawn what the network does not tell.
        lost: is told what is not as it was.
    """
    given = candidate.hyperparameters
    without_effect = idle(vars(given))
    flat = given.flat(set(candidate.known) - without_effect)
    if given.units:
        flat["units"] = given.units[0]  # where one draw is for all layers

    def pick(key: str, entry: Entry) -> Scalar:
        name = key if key in RULES else key.rpartition("_")[0]
        found = nearest(entry, flat[key]) if key in flat else None
        if key in always:
            found = always[key]
        if found is None:
            if key in flat:
                lost.not_allowed.add(name)
            elif name not in without_effect:
                lost.missing.add(name)
            return evenly(entry, rng)
        if key in flat and found != flat[key]:
            lost.moved.add(name)
        return found

    mapped = space.draw(searched, pick)
    told = lost.moved | lost.not_allowed | lost.missing
    effective, now = vars(given.effective), vars(mapped.effective)
    lost.left_out |= {
        name for name in candidate.known if name not in told and effective[name] != now[name]
    }
    return mapped


def _candidates(project: Project, spec: StudySpec, name: str) -> tuple[str, list[Candidate]]:
    """Describes an earlier study, and lists its networks, the best first.

    Raises:
        UsageError: there is none, or none has a hyperparameter that is searched.
    """
    try:
        stored = studies.without_data(project, name)
    except PipelineError as error:
        raise UsageError(f"start_from: {error}") from None
    own = stored.spec
    found = rank_networks(spec, own, study_store.read_trials(stored.study))
    if not found:
        raise UsageError(
            f"start_from: the study {name!r} has no network with a value yet; search it first "
            f"with: make search STUDY={name}, or leave it out"
        )
    return f"{name} ({own.dataset}, by {own.metric})", found


def _not_at_default(given: Hyperparameters) -> set[str]:
    return {name for name, default in DEFAULTS.items() if getattr(given, name) != default}
