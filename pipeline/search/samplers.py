"""Samplers and pruners of Optuna, built from what a study file says of them."""

import contextlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import optuna

from pipeline.errors import UsageError, first_line
from pipeline.search.recent_tpe import RecentTPE
from pipeline.storage import optuna_internals
from pipeline.study import space
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import Component, StudySpec

# Their seed is the sequence itself: another seed for the next draw would break the sequence.
_ONE_SEQUENCE = ("QMCSampler", "BruteForceSampler")


def build_sampler(component: Component, seed: int, n_drawn: int) -> optuna.samplers.BaseSampler:
    """Builds the sampler for the next draw.

    Its seed follows from the study's seed and the number of trials drawn so far, so that a
    search that was interrupted goes on as if it had not been.

    Args:
        component: the `[sampler]` table of a study file.
        seed: of the study.
        n_drawn: how many trials were drawn before.

    Raises:
        UsageError: there is no such sampler, or its arguments are not allowed.
    """
    if component.type not in _ONE_SEQUENCE:
        seed = derived_seed(seed, "sampler", n_drawn)
    return _build("sampler", component, seed)  # type: ignore[no-any-return]


def build_pruner(component: Component) -> optuna.pruners.BasePruner:
    """Builds the pruner of a study.

    Raises:
        UsageError: there is no such pruner, or its arguments are not allowed.
    """
    return _build("pruner", component, None)  # type: ignore[no-any-return]


def rehearse(spec: StudySpec, n_draws: int = 1) -> list[Hyperparameters]:
    """Draws from the space and asks the pruner, in memory, as a search would.

    Optuna looks at some arguments, and imports what some samplers need, only when they are used:
    better now than in the middle of a search.

    Raises:
        UsageError: the sampler or the pruner cannot do it; the text says which and why.
    """
    study = optuna.create_study(direction=spec.direction)
    optuna_internals.let_sampler_stop(study)
    study.pruner = build_pruner(spec.pruner)
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


def _build(table: str, component: Component, seed: int | None) -> Any:
    """Builds an object of a class of Optuna; an argument that is a table with a `type`, too."""
    module = optuna.samplers if table == "sampler" else optuna.pruners
    base = module.BaseSampler if table == "sampler" else module.BasePruner
    known = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    }
    if table == "sampler":
        if optuna_internals.knows_studies():
            known["TPESampler"] = RecentTPE
        del known["GridSampler"]  # fails on trials that are queued; BruteForceSampler does not
    if component.type not in known:
        raise UsageError(
            f"[{table}] type: found {component.type!r}, allowed are {', '.join(sorted(known))}"
        )
    arguments = component.arguments
    for key, value in arguments.items():
        if isinstance(value, dict) and "type" in value:
            arguments[key] = _build(table, Component.model_validate(value), seed)
    if seed is not None and _takes_seed(known[component.type]):
        arguments["seed"] = seed
    else:
        arguments.pop("seed", None)
    with _argument_errors(table, component):
        return known[component.type](**arguments)


def _takes_seed(kind: type) -> bool:
    return "seed" in inspect.signature(kind).parameters
