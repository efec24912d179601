"""Samplers and pruners of Optuna, built from what a study file says of them."""

import contextlib
import importlib.util
import inspect
import warnings
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import optuna

from pipeline.errors import UsageError, first_line
from pipeline.search.qmc_of_draws import QMCOfDraws
from pipeline.search.recent_tpe import RecentTPE
from pipeline.storage import optuna_internals
from pipeline.study import space
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Choices
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import Component, StudySpec
from pipeline.wording import join_names

# What some samplers need beside Optuna.
_NEEDS = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}


@dataclass(frozen=True)
class _Seeds:
    """Seeds of a sampler: of a sequence that goes through all draws, and of one draw."""

    sequence: int
    draw: int


def build_sampler(component: Component, seed: int, n_drawn: int) -> optuna.samplers.BaseSampler:
    """Builds the sampler for the next draw.

    Its seed follows from the study's seed and the number of trials drawn so far, so that a
    search that was interrupted goes on as if it had not been. A sampler that goes along a sequence
    keeps the sequence's seed; what it draws beside the sequence has another for each draw.

    Args:
        component: the `[sampler]` table of a study file.
        seed: of the study.
        n_drawn: how many trials were drawn before.

    Raises:
        UsageError: there is no such sampler, or its arguments are not allowed.
    """
    seeds = _Seeds(sequence=seed, draw=derived_seed(seed, "sampler", n_drawn))
    return _build("sampler", component, seeds)  # type: ignore[no-any-return]


def build_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    """Builds the pruner of a study.

    What Optuna would derive from the first trial that is complete, and Hyperband anew in each
    process, is derived from the space: the same whatever ran before.

    Raises:
        UsageError: there is no such pruner, or its arguments are not allowed.
    """
    return _build("pruner", with_resources(spec.pruner, most_epochs(spec)), None)  # type: ignore[no-any-return]


def most_epochs(spec: StudySpec) -> int:
    """Finds for how many epochs a drawn trial may be trained, or a reference if none is drawn."""
    if spec.space:
        return spec.searched.corner(largest=True).epochs
    return max((r.network.epochs for r in spec.reference if r.network), default=1)


def with_resources(component: Component, epochs: int) -> Component:
    """Fills in, here and in what is wrapped, the resources that are "auto" or not given.

    Args:
        component: the `[pruner]` table of a study file.
        epochs: for which a trial may be trained.
    """
    arguments = {
        key: with_resources(Component.model_validate(value), epochs).model_dump()
        if isinstance(value, dict) and "type" in value
        else value
        for key, value in component.arguments.items()
    }
    key, derived = {
        "HyperbandPruner": ("max_resource", epochs),
        "SuccessiveHalvingPruner": ("min_resource", max(1, epochs // 100)),  # as Optuna does
    }.get(component.type, ("", 0))
    if key and arguments.get(key, "auto") == "auto":
        arguments[key] = derived
    return Component.model_validate({**arguments, "type": component.type})


def draws_alone(spec: StudySpec) -> list[str]:
    """Lists the hyperparameters that the sampler cannot draw together with the others, by name."""
    taken = inspect.signature(_known("sampler").get(spec.sampler.type, object)).parameters
    if not _warns(taken):
        return []
    no_choices = spec.sampler.type == "CmaEsSampler"
    return [
        name
        for name, entry in spec.space.items()
        if entry.when or entry.per or (no_choices and isinstance(entry, Choices))
    ]


def rehearse(spec: StudySpec, n_draws: int = 1) -> list[Hyperparameters]:
    """Draws from the space and asks the pruner, in memory, as a search would.

    Optuna looks at some arguments, and imports what some samplers need, only when they are used:
    better now than in the middle of a search.

    Raises:
        UsageError: the sampler or the pruner cannot do it; the text says which and why.
    """
    study = optuna.create_study(direction=spec.direction)
    optuna_internals.let_sampler_stop(study)
    study.pruner = build_pruner(spec)
    _check_references(spec)
    build_sampler(spec.sampler, spec.seed, 0)
    drawn: list[Hyperparameters] = []
    n_startup = spec.sampler.arguments.get("n_startup_trials", 10)
    n_until_used = n_startup + 2 if isinstance(n_startup, int) else 1
    for i in range(max(n_draws, min(n_until_used, 50)) if spec.space else 0):
        study.sampler = build_sampler(spec.sampler, spec.seed, i)
        with _argument_errors("sampler", spec.sampler):
            trial = study.ask()
            drawn.append(space.suggest(trial, spec.searched))
        with _argument_errors("pruner", spec.pruner):
            trial.report(0.5, 1)
            trial.should_prune()
        with _argument_errors("sampler", spec.sampler):
            study.tell(trial, 0.5 + i / 1000)
    return drawn[:n_draws]


def _check_references(spec: StudySpec) -> None:
    """Refuses references outside the space for the one sampler that does not know what to do.

    BruteForceSampler takes all trials for a part of its list.
    """
    if spec.sampler.type != "BruteForceSampler" or not spec.space:
        return
    for reference in spec.reference:
        network, searched = reference.network, spec.searched
        params = space.params_of(searched, network) if network else {}
        try:
            space.suggest(optuna.trial.FixedTrial(params), searched)
        except ValueError:  # something has no value that the space could draw
            raise UsageError(
                f"[sampler] BruteForceSampler: found the reference {reference.name!r}, which lies "
                "outside [space]; allowed are references inside, or another sampler"
            ) from None


def note_on_draws(spec: StudySpec) -> str:
    """Says in a sentence what the sampler draws without regard to the rest; "" if nothing."""
    names = draws_alone(spec)
    if not names:
        return ""
    return (
        f"[sampler] {spec.sampler.type} draws {join_names(names)} at random, each on its own: it "
        "cannot model what has a `when` or a `per` in [space]"
        + (", or choices" if spec.sampler.type == "CmaEsSampler" else "")
    )


@contextlib.contextmanager
def _argument_errors(table: str, component: Component) -> Iterator[None]:
    """Turns whatever a class of Optuna says of its arguments into a `UsageError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except Exception as error:
        reason = first_line(error).replace(f"{component.type}.__init__()", "it")
        raise UsageError(f"[{table}] {component.type}: {reason}") from None


def _build(table: str, component: Component, seeds: _Seeds | None) -> Any:
    """Builds an object of a class of Optuna; an argument that is a table with a `type`, too."""
    known = _known(table)
    if component.type not in known:
        raise UsageError(
            f"[{table}] type: found {component.type!r}, allowed are {', '.join(sorted(known))}"
        )
    kind, arguments = known[component.type], component.arguments
    for key, value in arguments.items():
        if isinstance(value, dict) and "type" in value:
            arguments[key] = _build(table, Component.model_validate(value), seeds)
    taken = inspect.signature(kind).parameters
    arguments.pop("seed", None)
    if seeds is not None and "seed" in taken:
        arguments["seed"] = seeds.draw
    if seeds is not None and issubclass(kind, optuna.samplers.QMCSampler):
        arguments["seed"] = seeds.sequence
        arguments.setdefault("independent_sampler", optuna.samplers.RandomSampler(seeds.draw))
    if _warns(taken):
        arguments.setdefault("warn_independent_sampling", False)  # see `draws_alone`
    with _argument_errors(table, component):
        return kind(**arguments)


def _warns(taken: Container[str]) -> bool:
    """Tells by its arguments whether a sampler warns of each independent draw; TPE does not."""
    return "warn_independent_sampling" in taken and "group" not in taken


def _known(table: str) -> dict[str, type]:
    """Returns the classes that can be used, by the name that a study file has for them."""
    module = optuna.samplers if table == "sampler" else optuna.pruners
    base = module.BaseSampler if table == "sampler" else module.BasePruner
    known = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and not inspect.isabstract(value)
        if name not in _NEEDS or importlib.util.find_spec(_NEEDS[name])
    }
    known.pop("GridSampler", None)  # fails on trials that are queued; BruteForceSampler does not
    if table == "sampler" and optuna_internals.knows_studies():
        known |= {"TPESampler": RecentTPE, "QMCSampler": QMCOfDraws}
    return known
