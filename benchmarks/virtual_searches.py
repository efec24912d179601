"""Searches in virtual time, of a study and of the earlier one that it starts from."""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.curve_functions import find_curves
from benchmarks.measured import Run
from pipeline.errors import UsageError
from pipeline.execution.replay import Curves
from pipeline.search import samplers
from pipeline.search.laboratory import search_in_virtual_time
from pipeline.search.warm_start import Candidate, WarmStart, rank_networks
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import Component, StudySpec
from pipeline.study.trial import select_counted

Ranked = Mapping[str, Sequence[Candidate]]  # as `warm_start.choose` takes it
A = TypeVar("A")
B = TypeVar("B")


def rehearse(spec: StudySpec, curves: str, flag: str = "--curves") -> None:
    """Tries sampler, pruner and curves, better now than in the middle of a comparison."""
    drawn = samplers.rehearse(spec)
    if not drawn:
        raise UsageError(f"study {spec.name}: found no [space], allowed is a study with one")
    found = Curves.of(find_curves(curves, flag)(drawn[0], 0))
    if found.n_epochs and spec.metric not in found.metrics:
        raise UsageError(
            f"{flag}: {curves} has {', '.join(found.metrics)}, allowed is what has "
            f"{spec.metric}, the study's metric"
        )


def in_processes(function: Callable[[A], B], given: Sequence[A], n_jobs: int) -> list[B]:
    """Applies a function to each; several at a time in as many processes."""
    if n_jobs == 1:
        return list(map(function, given))
    with ProcessPoolExecutor(n_jobs, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(function, given))


def search(curves: str, n_workers: int, given: tuple[StudySpec, WarmStart]) -> Run:
    """Searches a study once, and keeps of it what is measured."""
    spec, start = given
    found = search_in_virtual_time(spec, find_curves(curves), n_workers, earlier=start)
    return Run(
        seconds=60 * (spec.budget.minutes or 0.0),
        steps=tuple(found.improvements(spec.metric, spec.direction)),
        n_trials=len(select_counted(found.trials)),
        n_epochs=sum(map(len, found.moments.values())),
    )


@dataclass(frozen=True)
class EarlierStudy:
    """A study that another one starts from.

    Attributes:
        spec: with a budget of minutes alone.
        curves: `MODULE:FUNCTION`.
        flag: where the curves were asked for.
    """

    spec: StudySpec
    curves: str
    flag: str

    def rank(self, later: StudySpec, n_workers: int, seed: int) -> Ranked:
        """Searches the study, and lists its networks, the best first, by its name.

        Args:
            later: the study that starts from it.
            n_workers: trials at a time, in virtual time.
            seed: of the later study's search, from which that of this one follows.

        Raises:
            UsageError: nothing can be taken from it.
        """
        own = with_seed(self.spec, derived_seed(seed, "earlier"))
        found = search_in_virtual_time(own, find_curves(self.curves, self.flag), n_workers)
        ranked = rank_networks(later, own, found.trials)
        if not ranked:
            raise UsageError(
                f"--start-from: found no network with a value in {own.budget.minutes:g} virtual "
                f"minutes of {own.name} with seed {own.seed}, allowed is a study that finds some"
            )
        return {own.name: ranked}


def with_seed(spec: StudySpec, seed: int) -> StudySpec:
    """Gives a study another seed."""
    arguments = {**spec.sampler.arguments, "seed": seed}
    sampler = Component.model_validate({"type": spec.sampler.type, **arguments})
    return spec.model_copy(update={"sampler": sampler})
