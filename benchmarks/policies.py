"""Compares policies in virtual time, on learning curves of whatever networks.

python -m benchmarks.policies --study FILE --curves MODULE:FUNCTION --seeds N [--minutes M]

A policy decides which network is trained next, and which goes on: here it is an overlay over a
study file. Each is searched once for each seed, without finals, and without references unless they
are asked for; random search, with the same seed and the study's pruner, is what they are held
against. The function takes hyperparameters and the seed of a training, and returns
`pipeline.execution.replay.Curves`, or a mapping: `{"val_accuracy": [...], "seconds": [...]}`.
With `--start-from FILE` each policy is shown a second time, when it tries first the best networks
of that study. `docs/laboratory.md` has an example.
"""

import argparse
import functools
import itertools
import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.measured import Run, as_json, as_text, measure
from benchmarks.virtual_searches import (
    EarlierStudy,
    Ranked,
    in_processes,
    rehearse,
    search,
    with_seed,
)
from pipeline.errors import DONE, UsageError, run_command
from pipeline.paths import Project
from pipeline.search.warm_start import WarmStart, choose
from pipeline.study.budget import Budget
from pipeline.study.load import load
from pipeline.study.spec import Component, StudySpec

RANDOM, TWICE, WARM = "random", "random x2", "{}, warm start"
Policy = Callable[[StudySpec], StudySpec]


def search_at_random(spec: StudySpec) -> StudySpec:
    """Draws at random; the study's pruner, or halving in the place of pauses."""
    pruner = halving() if spec.own_pruner != spec.pruner else spec.pruner
    return _changed(spec, sampler=_component("RandomSampler", seed=spec.seed), pruner=pruner)


def halving() -> Component:
    """Ends two of three trials after 2, 6, 18, ... epochs."""
    return _component("SuccessiveHalvingPruner", min_resource=2, reduction_factor=3)


def search_at_random_for_longer(spec: StudySpec) -> StudySpec:
    """Draws at random, and has twice the minutes."""
    budget = Budget(minutes=2 * (spec.budget.minutes or 0.0))
    return _changed(search_at_random(spec), budget=budget)


def train_all_to_their_end(spec: StudySpec) -> StudySpec:
    """Draws at random, and ends no trial."""
    return _changed(search_at_random(spec), pruner=_component("NopPruner"))


def search_by_tpe(spec: StudySpec) -> StudySpec:
    """TPE with successive halving: the default study's up to version 0.7."""
    is_own = spec.sampler.type == "TPESampler"
    arguments = spec.sampler.arguments if is_own else {"n_startup_trials": 12, "group": True}
    return _changed(
        spec,
        sampler=_component("TPESampler", **{**arguments, "seed": spec.seed}),
        pruner=halving(),
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
    policies: Sequence[str],
    n_seeds: int,
    n_workers: int = 2,
    n_jobs: int = 1,
    ranked: Sequence[Ranked] = (),
) -> dict[str, list[Run]]:
    """Searches a study by each policy with seeds from 0 on, and by random search.

    Args:
        spec: with a budget of minutes alone.
        curves: `MODULE:FUNCTION`.
        policies: names of some of `POLICIES`.
        n_seeds: how many seeds.
        n_workers: trials at a time, in virtual time.
        n_jobs: searches at a time, each in a process of its own.
        ranked: by seed, the networks of an earlier study; each of the policies is then searched
            from these, too.

    Returns:
        The runs of each policy, by name, the seeds in order.

    Raises:
        UsageError: the study cannot be searched by a policy, or what stands for curves is none.
    """
    names = list(dict.fromkeys([*policies, RANDOM, TWICE]))
    changed = {
        name: [POLICIES[name](with_seed(spec, seed)) for seed in range(n_seeds)] for name in names
    }
    for own in changed.values():
        rehearse(own[0], curves)
    searches = {name: [(each, WarmStart()) for each in own] for name, own in changed.items()}
    for name in policies if ranked else ():
        pairs = zip(changed[name], ranked, strict=True)
        searches[WARM.format(name)] = [(each, choose(each, earlier)) for each, earlier in pairs]
    every = [each for own in searches.values() for each in own]
    runs = iter(in_processes(functools.partial(search, curves, n_workers), every, n_jobs))
    return {name: list(itertools.islice(runs, n_seeds)) for name in searches}


def _component(kind: str, **arguments: Any) -> Component:
    return Component.model_validate({"type": kind, **arguments})


def _changed(spec: StudySpec, **changes: Any) -> StudySpec:
    return spec.model_copy(update=changes)


def main() -> int:
    """Compares policies, and prints what was measured."""
    given = _parse(sys.argv[1:])
    spec = load(Project.here(), given.study, needs_data=False)
    spec = searched(spec, given.minutes or spec.budget.minutes, given.references)
    for flag in ("seeds", "workers", "jobs"):
        if (number := getattr(given, flag)) < 1:
            raise UsageError(f"--{flag}: found {number}, allowed is an integer above 0")
    policies = given.policies or list(POLICIES)
    if unknown := [name for name in policies if name not in POLICIES]:
        known = ", ".join(f'"{name}"' for name in POLICIES)
        raise UsageError(f'--policies: found "{unknown[0]}", allowed are {known}')
    earlier = _earlier(given)
    ranked: list[Ranked] = []
    if earlier:
        rehearse(earlier.spec, earlier.curves, earlier.flag)
        rank = functools.partial(earlier.rank, spec, given.workers)
        ranked = in_processes(rank, range(given.seeds), given.jobs)
    runs = compare(spec, given.curves, policies, given.seeds, given.workers, given.jobs, ranked)
    shown = [RANDOM]
    for name in policies:
        shown += [name, WARM.format(name)] if earlier else [name]
    found = measure(runs, RANDOM, TWICE, spec.direction, given.best)
    about: dict[str, Any] = {
        "study": spec.name,
        "curves": given.curves,
        "metric": spec.metric,
        "direction": spec.direction,
        "minutes": spec.budget.minutes,
        "workers": given.workers,
        "seeds": given.seeds,
        "best": found.best,
    }
    if earlier:
        about["start_from"] = {
            "study": earlier.spec.name,
            "curves": earlier.curves,
            "minutes": earlier.spec.budget.minutes,
            "with_seed_0": " ".join(choose(with_seed(spec, 0), ranked[0]).said),
        }
    asked = {name: found.policies[name] for name in shown}
    if given.json:
        print(json.dumps({**about, "policies": as_json(asked)}, indent=1))
    else:
        print(as_text(asked, spec.objective, about))
    return DONE


def _earlier(given: argparse.Namespace) -> EarlierStudy | None:
    """Finds the study that each policy starts from, too; its own minutes go first.

    Raises:
        UsageError: there is none of that name, or it has no minutes, or only curves are given.
    """
    if not given.start_from:
        if given.start_from_curves:
            raise UsageError(
                f"--start-from-curves: found {given.start_from_curves} without --start-from, "
                "allowed is what comes with it"
            )
        return None
    spec = load(Project.here(), given.start_from, needs_data=False)
    spec = searched(spec, spec.budget.minutes or given.minutes, given.references)
    if given.start_from_curves:
        return EarlierStudy(spec, given.start_from_curves, "--start-from-curves")
    return EarlierStudy(spec, given.curves, "--curves")


def searched(spec: StudySpec, minutes: float | None, references: bool) -> StudySpec:
    """Leaves out of a study what no policy decides.

    Raises:
        UsageError: there are no minutes.
    """
    if minutes is None:
        raise UsageError(f"--minutes: missing, and the study {spec.name} has none in its budget")
    if not 0 < minutes < math.inf:
        raise UsageError(f"--minutes: found {minutes:g}, allowed is a number above 0")
    spec = _changed(spec, budget=Budget(minutes=minutes), finals=None)
    return spec if references else _changed(spec, reference=(), comparison=())


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
    parser.add_argument(
        "--start-from", metavar="FILE", help="study whose best networks are tried first, too"
    )
    parser.add_argument(
        "--start-from-curves", metavar="MODULE:FUNCTION", help="of that study (default: --curves)"
    )
    parser.add_argument("--references", action="store_true", help="train the study's, too")
    parser.add_argument("--best", type=float, help="value from which regret is counted")
    parser.add_argument("--jobs", type=int, default=1, help="searches at a time (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON, with values by seed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(main))
