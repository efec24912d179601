"""Compares policies in virtual time, on learning curves of whatever networks.

python -m benchmarks.policies --study FILE --curves MODULE:FUNCTION --seeds N [--minutes M]

A policy decides which network is trained next, and which goes on: here it is an overlay over a
study file. Each is searched once for each seed, without finals, and without references unless they
are asked for; random search, with the same seed and the study's pruner, is what they are held
against. The function takes hyperparameters and the seed of a training, and returns
`pipeline.execution.replay.Curves`, or a mapping: `{"val_accuracy": [...], "seconds": [...]}`.
`docs/laboratory.md` has an example.
"""

import argparse
import functools
import importlib
import json
import math
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.measured import Run, as_json, as_text, measure
from pipeline.errors import DONE, UsageError, run_command
from pipeline.execution.replay import Curves, CurvesOf
from pipeline.execution.worker import describe
from pipeline.paths import Project
from pipeline.search import samplers
from pipeline.search.laboratory import search_in_virtual_time
from pipeline.study.budget import Budget
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.load import load
from pipeline.study.spec import Component, StudySpec
from pipeline.study.trial import select_counted

RANDOM, TWICE = "random", "random x2"
Policy = Callable[[StudySpec], StudySpec]


def search_at_random(spec: StudySpec) -> StudySpec:
    """Draws at random; the study's pruner."""
    return _changed(spec, sampler=_component("RandomSampler", seed=spec.seed))


def search_at_random_for_longer(spec: StudySpec) -> StudySpec:
    """Draws at random, and has twice the minutes."""
    budget = Budget(minutes=2 * (spec.budget.minutes or 0.0))
    return _changed(search_at_random(spec), budget=budget)


def train_all_to_their_end(spec: StudySpec) -> StudySpec:
    """Draws at random, and ends no trial."""
    return _changed(search_at_random(spec), pruner=_component("NopPruner"))


def search_by_tpe(spec: StudySpec) -> StudySpec:
    """TPE with successive halving: the default study's, as it was up to version 0.7."""
    is_own = spec.sampler.type == "TPESampler"
    arguments = spec.sampler.arguments if is_own else {"n_startup_trials": 12, "group": True}
    return _changed(
        spec,
        sampler=_component("TPESampler", **{**arguments, "seed": spec.seed}),
        pruner=_component("SuccessiveHalvingPruner", min_resource=2, reduction_factor=3),
    )


def freeze_and_thaw(spec: StudySpec) -> StudySpec:
    """Pauses and goes on, by a model of curves."""
    return _changed(
        spec,
        sampler=_component("FreezeThawSampler", seed=spec.seed),
        pruner=_component("NopPruner"),
    )


# To add a policy: a name, and what changes a study file; its seed is to stay.
POLICIES: dict[str, Policy] = {
    "default": lambda spec: spec,
    RANDOM: search_at_random,
    TWICE: search_at_random_for_longer,
    "no pruning": train_all_to_their_end,
    "tpe": search_by_tpe,
    "freeze-thaw": freeze_and_thaw,
}


def compare(
    spec: StudySpec,
    curves: str,
    policies: Iterable[str],
    n_seeds: int,
    n_workers: int = 2,
    n_jobs: int = 1,
) -> dict[str, list[Run]]:
    """Searches a study by each policy with seeds from 0 on, and by random search.

    Args:
        spec: with a budget of minutes alone.
        curves: `MODULE:FUNCTION`.
        policies: names of some of `POLICIES`.
        n_seeds: how many seeds.
        n_workers: trials at a time, in virtual time.
        n_jobs: searches at a time, each in a process of its own.

    Returns:
        The runs of each policy, by name, the seeds in order.

    Raises:
        UsageError: a policy is not known, the study cannot be searched by one, or what stands for
            curves is none.
    """
    names = list(dict.fromkeys([*policies, RANDOM, TWICE]))
    if unknown := [name for name in names if name not in POLICIES]:
        known = ", ".join(f'"{name}"' for name in POLICIES)
        raise UsageError(f'--policies: found "{unknown[0]}", allowed are {known}')
    changed = [POLICIES[name](_with_seed(spec, seed)) for name in names for seed in range(n_seeds)]
    for each in changed[::n_seeds]:
        _rehearse(each, curves)
    search = functools.partial(_search, curves, n_workers)
    if n_jobs == 1:
        runs = list(map(search, changed))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n_jobs, context) as pool:
            runs = list(pool.map(search, changed))
    return {name: runs[i * n_seeds : (i + 1) * n_seeds] for i, name in enumerate(names)}


def _search(curves: str, n_workers: int, spec: StudySpec) -> Run:
    """Searches a study once, and keeps of it what is measured."""
    found = search_in_virtual_time(spec, find_curves(curves), n_workers)
    return Run(
        seconds=60 * (spec.budget.minutes or 0.0),
        steps=tuple(found.improvements(spec.metric, spec.direction)),
        n_trials=len(select_counted(found.trials)),
        n_epochs=sum(map(len, found.moments.values())),
    )


@functools.cache
def find_curves(named: str) -> CurvesOf:
    """Finds the function `MODULE:FUNCTION`; what it raises becomes a sentence.

    Raises:
        UsageError: there is none.
    """
    module, _, name = named.partition(":")
    if not (module and name):
        raise UsageError(f'--curves: found "{named}", allowed is MODULE:FUNCTION')
    try:
        function = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        said = describe(error)
        raise UsageError(f'--curves: the module "{module}" cannot be imported ({said})') from error
    if not callable(function):
        raise UsageError(f'--curves: found no function "{name}" in the module "{module}"')

    def curves(hyperparameters: Hyperparameters, seed: int) -> Curves:
        try:
            return Curves.of(function(hyperparameters, seed))
        except UsageError as error:
            raise UsageError(f"--curves: {named} for {hyperparameters}: {error}") from None
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise UsageError(
                f"--curves: {named} fails for {hyperparameters} with seed {seed} "
                f"({describe(error)}; line {frame.lineno} of {frame.filename})"
            ) from error

    return curves


def _rehearse(spec: StudySpec, curves: str) -> None:
    """Tries sampler, pruner and curves, better now than in the middle of a comparison."""
    drawn = samplers.rehearse(spec)
    if not drawn:
        raise UsageError(f"study {spec.name}: found no [space], allowed is a study with one")
    found = Curves.of(find_curves(curves)(drawn[0], 0))
    if found.n_epochs and spec.metric not in found.metrics:
        raise UsageError(
            f"--curves: {curves} has {', '.join(found.metrics)}, allowed is what has "
            f"{spec.metric}, the study's metric"
        )


def _with_seed(spec: StudySpec, seed: int) -> StudySpec:
    arguments = {**spec.sampler.arguments, "seed": seed}
    return _changed(spec, sampler=_component(spec.sampler.type, **arguments))


def _component(kind: str, **arguments: Any) -> Component:
    return Component.model_validate({"type": kind, **arguments})


def _changed(spec: StudySpec, **changes: Any) -> StudySpec:
    return spec.model_copy(update=changes)


def main() -> int:
    """Compares policies, and prints what was measured."""
    given = _parse(sys.argv[1:])
    spec = load(Project.here(), given.study, needs_data=False)
    minutes = given.minutes or spec.budget.minutes
    if minutes is None:
        raise UsageError(f"--minutes: missing, and the study {spec.name} has none in its budget")
    if not 0 < minutes < math.inf:
        raise UsageError(f"--minutes: found {minutes:g}, allowed is a number above 0")
    spec = _changed(spec, budget=Budget(minutes=minutes), finals=None)
    if not given.references:
        spec = _changed(spec, reference=(), comparison=())
    for flag in ("seeds", "workers", "jobs"):
        if (number := getattr(given, flag)) < 1:
            raise UsageError(f"--{flag}: found {number}, allowed is an integer above 0")
    policies = given.policies or list(POLICIES)
    runs = compare(spec, given.curves, policies, given.seeds, given.workers, given.jobs)
    shown = [RANDOM, *(name for name in policies if name != RANDOM)]
    found = measure(runs, RANDOM, TWICE, spec.direction, given.best)
    about = {
        "study": spec.name,
        "curves": given.curves,
        "metric": spec.metric,
        "direction": spec.direction,
        "minutes": minutes,
        "workers": given.workers,
        "seeds": given.seeds,
        "best": found.best,
    }
    asked = {name: found.policies[name] for name in shown}
    if given.json:
        print(json.dumps({**about, "policies": as_json(asked)}, indent=1))
    else:
        print(as_text(asked, spec.objective, about))
    return DONE


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.policies",
        description="Compares policies in virtual time, on learning curves that are given.",
    )
    parser.add_argument("--study", required=True, help="name of a file in studies/, or a path")
    parser.add_argument(
        "--curves", required=True, metavar="MODULE:FUNCTION", help="asked for every network's"
    )
    parser.add_argument("--seeds", type=int, required=True, help="searches of each policy")
    parser.add_argument("--minutes", type=float, help="budget instead of the study's")
    parser.add_argument("--workers", type=int, default=2, help="trials at a time (default: 2)")
    parser.add_argument(
        "--policies", nargs="+", metavar="NAME", help=f"some of: {', '.join(POLICIES)}"
    )
    parser.add_argument("--references", action="store_true", help="train the study's, too")
    parser.add_argument("--best", type=float, help="value from which regret is counted")
    parser.add_argument("--jobs", type=int, default=1, help="searches at a time (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON, with values by seed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
