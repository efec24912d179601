"""Samplers and pruners of Optuna, built from what a study file says of them."""

import functools
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import optuna

from pipeline.errors import UsageError
from pipeline.search.distinct import DistinctSampler, Untried
from pipeline.search.freeze_thaw import FreezeThawSampler
from pipeline.search.known_space import know_space
from pipeline.search.optuna_errors import argument_errors
from pipeline.search.recent_tpe import RecentTPE
from pipeline.storage import optuna_internals, study_store
from pipeline.study import space
from pipeline.study.assignment import Assignment
from pipeline.study.combinations import drawable
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.space import Space
from pipeline.study.spec import PAUSES, Component, StudySpec
from pipeline.wording import join_names

_find_spec = functools.cache(importlib.util.find_spec)
_Finish = Callable[[type, dict[str, Any], str], Any]  # class, arguments, where it stands
# What a class needs that is not always installed: it is allowed where that is.
_NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}
# Of how many trials a sampler first wants to know, at least, before it uses its other arguments.
_STARTUP = "n_startup_trials"  # drawn at random before a sampler learns
_FEW = {_STARTUP: 1, "population_size": 2, "popsize": 4}
N_REHEARSED, MOST_EPOCHS = 10, 100  # draws, and epochs of each, of a rehearsal
_REFUSED = {"GridSampler"}  # fails on trials that are queued; BruteForceSampler does not


def build_sampler(
    component: Component,
    seed: int,
    n_drawn: int,
    searched: Space | None = None,
    n_earlier: int = 0,
) -> optuna.samplers.BaseSampler:
    """Builds the sampler for the next draw.

    Its seed follows from the study's seed and the number of trials drawn so far, so that a
    search that was interrupted goes on as if it had not been.

    Args:
        component: the `[sampler]` table of a study file.
        seed: of the study.
        n_drawn: how many trials were drawn before.
        searched: the space, for samplers that would guess it from the first trials.
        n_earlier: networks of earlier studies, beside which a sampler draws as many at random.

    Raises:
        UsageError: there is no such sampler, or its arguments are not allowed.
    """

    def finish(kind: type, arguments: dict[str, Any], path: str) -> Any:
        fresh = derived_seed(seed, path, n_drawn)
        if _takes(kind, "seed"):
            arguments["seed"] = fresh
        if kind is optuna.samplers.QMCSampler:
            # Its seed is the sequence itself: another for the next draw would break it.
            arguments["seed"] = seed
            arguments.setdefault("independent_sampler", optuna.samplers.RandomSampler(fresh))
        if kind in (optuna.samplers.QMCSampler, optuna.samplers.CmaEsSampler):
            arguments["warn_independent_sampling"] = False  # said once, in other words
        if n_earlier and _takes(kind, _STARTUP):  # it would count them, and they may mislead
            default = inspect.signature(kind).parameters[_STARTUP].default
            arguments[_STARTUP] = arguments.get(_STARTUP, default) + n_earlier
        sampler = kind(**arguments)
        return know_space(sampler, searched) if searched else sampler

    return _build("sampler", component, finish)  # type: ignore[no-any-return]


def build_pruner(component: Component, epochs: int | None = None) -> optuna.pruners.BasePruner:
    """Builds the pruner of a study.

    What Optuna would derive from the first complete trials, it derives from the space: the same
    before and after a restart, whichever trial came first.

    Args:
        component: the `[pruner]` table of a study file.
        epochs: the most that a trial of the space may have; None if nothing is searched.

    Raises:
        UsageError: there is no such pruner, or its arguments are not allowed.
    """

    def finish(kind: type, arguments: dict[str, Any], _: str) -> Any:
        return kind(**{**arguments, **_derived(kind, arguments, epochs)})

    return _build("pruner", component, finish)  # type: ignore[no-any-return]


def resources(component: Component, epochs: int | None) -> dict[str, Any]:
    """Returns a pruner's arguments, with what is "auto" as `build_pruner` derives it.

    Args:
        component: the `[pruner]` table of a study file, or one inside it.
        epochs: the most that a trial of the space may have; None if nothing is searched.
    """
    kind = _allowed("pruner")[component.type]
    return {**component.arguments, **_derived(kind, component.arguments, epochs)}


def _derived(kind: type, arguments: Mapping[str, Any], epochs: int | None) -> dict[str, int]:
    if epochs is None:
        return {}
    auto: dict[type, tuple[str, int]] = {
        optuna.pruners.HyperbandPruner: ("max_resource", epochs),
        optuna.pruners.SuccessiveHalvingPruner: ("min_resource", max(epochs // 100, 1)),
    }
    key, value = auto.get(kind, ("", 0))
    given = arguments.get(key, "auto")
    if key and given == "auto":
        return {key: value}
    if key and type(given) is not int:  # which Optuna would take for "auto"
        raise UsageError(
            f'[pruner] {kind.__name__}: found {key} = {given!r}, allowed is an integer or "auto"'
        )
    return {}


def prepare(
    study: optuna.Study,
    spec: StudySpec,
    n_drawn: int,
    untried: Untried,
    proposed: Hyperparameters | None = None,
) -> optuna.samplers.BaseSampler:
    """Builds the sampler for the next draw, and gives it to the study.

    Args:
        study: that is asked next.
        spec: its study file.
        n_drawn: how many trials were drawn before.
        untried: what is left to try.
        proposed: by a policy; None to have the sampler draw.

    Raises:
        UsageError: there is no such sampler, or it cannot do that with this space.
    """
    if proposed:
        params = dict(space.params_of(spec.searched, proposed))
        at_random = optuna.samplers.RandomSampler()  # of which nothing is left to draw
        study.sampler = optuna.samplers.PartialFixedSampler(params, at_random)
        return study.sampler
    n_drawn -= untried.n_earlier  # it draws the same as without them
    sampler = build_sampler(spec.sampler, spec.seed, n_drawn, spec.searched, untried.n_earlier)
    if spec.space:
        seed = derived_seed(spec.seed, "distinct", n_drawn)
        # Optuna's own takes a reference that lies outside the space for all of it.
        is_exhaustive = "BruteForceSampler" in _types(spec.sampler.arguments, spec.sampler.type)
        if is_exhaustive:
            _check_steps(spec, untried)
        sampler = DistinctSampler(sampler, spec.searched, untried, seed, is_exhaustive)
    study.sampler = sampler
    return sampler


def _check_steps(spec: StudySpec, untried: Untried) -> None:
    """Refuses numbers without a step, wherever they stand, to a sampler that tries all."""
    drawn = drawable(spec.searched, untried.given)
    endless = [
        name for name, entry in drawn.items() if entry.values is None and name not in untried.given
    ]
    if endless:
        raise UsageError(
            "[sampler] BruteForceSampler: a step must be given for [space] "
            f"{join_names(endless)}, for it tries all there is"
        )


_rehearsed: dict[tuple[str, int], list[Hyperparameters]] = {}


def rehearse(spec: StudySpec, n_draws: int = 1) -> list[Hyperparameters]:
    """Draws from the space and asks the pruner, in memory, as a search would.

    Optuna looks at some arguments, and imports what some samplers need, only when they are used:
    better now than in the middle of a search. A process does so once of each study.

    Raises:
        UsageError: the sampler or the pruner cannot do it; the text says which and why.
    """
    key = (spec.model_dump_json(), n_draws)
    if key not in _rehearsed:
        drawn = _play(spec, n_draws)
        _play(spec.model_copy(update={"sampler": _hastened(spec.sampler)}), N_REHEARSED)
        _rehearsed[key] = drawn
    return _rehearsed[key]


def _hastened(component: Component) -> Component:
    """Has a sampler, and those inside it, use all their arguments within `N_REHEARSED` draws."""
    kind, arguments = _allowed("sampler")[component.type], component.arguments
    for key, few in _FEW.items():
        given = arguments.get(key)
        is_many = given is None or (isinstance(given, int) and given > few)
        if _takes(kind, key) and is_many:
            arguments[key] = few
    for key, value in arguments.items():
        if isinstance(value, dict) and "type" in value:
            arguments[key] = _hastened(Component.model_validate(value)).model_dump()
    return Component.model_validate({"type": component.type, **arguments})


def _play(spec: StudySpec, n_draws: int) -> list[Hyperparameters]:
    study = optuna.create_study(direction=spec.direction)
    optuna_internals.let_sampler_stop(study)
    study.pruner = build_pruner(spec.own_pruner, most_epochs(spec))
    build_sampler(spec.sampler, spec.seed, 0)
    untried = Untried(spec)
    drawn: list[Hyperparameters] = []
    n_epochs = min(most_epochs(spec) or 1, MOST_EPOCHS)
    for i in range(n_draws if spec.space else 0):
        if untried.left(study) == []:
            break
        with argument_errors("sampler", spec.sampler):
            prepare(study, spec, i, untried)
            trial = study.ask()
            drawn.append(space.suggest(trial, spec.searched))
            study_store.write(trial, Assignment(drawn[-1], seed=i))
        with argument_errors("pruner", spec.own_pruner):
            for epoch in range(1, n_epochs + 1):
                # no two differences between trials alike, over which a Wilcoxon test takes long
                trial.report(0.5 + i * epoch / 1000, epoch)
                trial.should_prune()
        with argument_errors("sampler", spec.sampler):
            study.tell(trial, 0.5 + i / 1000)
    return drawn


def most_epochs(spec: StudySpec) -> int | None:
    """Returns the most epochs that a trial of the space may have; None if nothing is searched."""
    return spec.searched.corner(largest=True).epochs if spec.space else None


def _build(table: str, component: Component, finish: _Finish, path: str = "sampler") -> Any:
    """Builds an object of a class of Optuna; an argument that is a table with a `type`, too.

    Args:
        table: "sampler" or "pruner".
        component: the class and its arguments.
        finish: calls the class with its arguments.
        path: where the component stands, which decides its seed.
    """
    known = _allowed(table)
    if component.type not in known:
        why = f" ({need} is not installed)" if (need := _NEEDS.get(component.type)) else ""
        raise UsageError(
            f"[{table}] type: found {component.type!r}{why}, "
            f"allowed are {', '.join(sorted(known))}"
        )
    arguments = component.arguments
    arguments.pop("seed", None)  # it is the study's
    for key, value in arguments.items():
        if isinstance(value, dict) and "type" in value:
            inner = Component.model_validate(value)
            arguments[key] = _build(table, inner, finish, f"{path}/{key}")
    with argument_errors(table, component):
        return finish(known[component.type], arguments, path)


def _allowed(table: str) -> dict[str, type]:
    """Lists Optuna's samplers or pruners that can be used, by name."""
    is_ours = table == "sampler" and optuna_internals.knows_studies()
    known = {**_concrete(table), **({"TPESampler": RecentTPE} if is_ours else {})}
    if table == "sampler":
        known[PAUSES] = FreezeThawSampler
    missing = {name for name, need in _NEEDS.items() if _find_spec(need) is None}
    return {name: kind for name, kind in known.items() if name not in missing | _REFUSED}


@functools.cache
def _concrete(table: str) -> Mapping[str, type]:
    """Lists all samplers or pruners of Optuna's that are no base of others, by name."""
    module = optuna.samplers if table == "sampler" else optuna.pruners
    base = module.BaseSampler if table == "sampler" else module.BasePruner
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and not inspect.isabstract(value)
    }


def _types(arguments: Mapping[str, Any], kind: str) -> set[str]:
    """Collects the names of a class and of those inside it."""
    inner = [each for each in arguments.values() if isinstance(each, dict) and "type" in each]
    return {kind}.union(*(_types(each, str(each["type"])) for each in inner))


@functools.cache
def _takes(kind: type, argument: str) -> bool:
    return argument in inspect.signature(kind).parameters
