"""Finals: which networks are trained again with fresh seeds, and which of them wins.

Pure functions of a plan, decided on when a search is over, and of the trials that have ended: the
same after each kill. All networks get the same seeds, repeat by repeat, so that they are compared
in pairs. A network's first run counts once among its runs.
"""

import math
import statistics as stats
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.study.halving import Round, affordable
from pipeline.study.trial import Trial, champion_of, ranking, select_counted


@dataclass(frozen=True)
class Network:
    """A network that was trained once or more often.

    Attributes:
        number: of its first trial, by which it is known.
        runs: its trials that count, by number, the first one included; some may have no value.
        reference: name of the reference that it is; "" if it was drawn.
    """

    number: int
    runs: tuple[Trial, ...]
    reference: str = ""

    @property
    def first(self) -> Trial:
        """Its first trial."""
        return self.runs[0]

    @property
    def fresh(self) -> tuple[Trial, ...]:
        """Its runs with the seeds that all finalists have: selected by nothing that they were."""
        return tuple(run for run in self.runs if run.repeat)

    @property
    def values(self) -> list[float]:
        """Values of all its runs that have one."""
        return [run.value for run in self.runs if run.value is not None]

    def mean(self, n_fresh: float = math.inf) -> float:
        """Computes the mean of its values; NaN without any.

        Args:
            n_fresh: repeats of finals up to this one; what comes after it is left out.
        """
        known = [
            run.value
            for run in self.runs
            if run.value is not None and (run.repeat or 0) <= n_fresh
        ]
        return stats.fmean(known) if known else math.nan

    def lacks(self, n_fresh: int) -> list[int]:
        """Lists the repeats, from 1, that have not ended of the first so many."""
        ended = {run.repeat for run in self.runs}
        return [repeat for repeat in range(1, n_fresh + 1) if repeat not in ended]


@dataclass(frozen=True)
class Plan:
    """What finals are to decide, and how.

    Attributes:
        networks: numbers of those that take part, the best first, that reference left out.
        reference: number of the best reference, which takes part in each round beside them; None
            if the study has none that is a network.
        rounds: of sequential halving.
        asked: what the plan followed from: the same again asks for no other plan.
    """

    networks: tuple[int, ...]
    reference: int | None
    rounds: tuple[Round, ...]
    asked: Mapping[str, Any]

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Plan":
        """Reads what `write` returned."""
        return cls(
            tuple(stored["networks"]),
            stored["reference"],
            tuple(Round(**each) for each in stored["rounds"]),
            stored["asked"],
        )

    def write(self) -> dict[str, Any]:
        """Returns it as plain values for JSON."""
        return {
            "networks": list(self.networks),
            "reference": self.reference,
            "rounds": [asdict(each) for each in self.rounds],
            "asked": dict(self.asked),
        }


@dataclass(frozen=True)
class Held:
    """Finals that were held to their end.

    Attributes:
        plan: of them.
        champion: number of the network that has won.
        covariances: of the errors that validation examples make in the mean values of two
            networks, by their numbers, the smaller first; empty if they are not known.
    """

    plan: Plan
    champion: int
    covariances: Mapping[tuple[int, int], float]


def networks_of(trials: Sequence[Trial]) -> list[Network]:
    """Groups trials by the network that they trained, those of other trainers left out.

    Args:
        trials: that ended; interrupted ones do not count.

    Returns:
        By the number of their first trials. All repeats of a reference are one network.
    """
    counted = [each for each in select_counted(trials) if each.hyperparameters]
    root: dict[int, int] = {}
    of_reference: dict[str, int] = {}
    for each in sorted(counted, key=lambda trial: (trial.is_final, trial.number)):
        first = each.number if each.final_of is None else root.get(each.final_of, each.final_of)
        root[each.number] = (
            of_reference.setdefault(each.reference, first) if each.reference else first
        )
    runs: dict[int, list[Trial]] = {}
    for each in sorted(counted, key=lambda trial: trial.number):
        runs.setdefault(root[each.number], []).append(each)
    return [
        Network(number, tuple(found), found[0].reference)
        for number, found in sorted(runs.items())
        if found[0].number == number
    ]


def rank(networks: Sequence[Network], direction: str, n_fresh: float = math.inf) -> list[Network]:
    """Sorts networks by the mean of their runs, the best first; those without a value last.

    Args:
        networks: in any order.
        direction: "maximize" or "minimize".
        n_fresh: repeats of finals up to this one; what comes after it is left out.
    """
    sign = -1.0 if direction == "maximize" else 1.0

    def key(network: Network) -> tuple[float, int]:
        mean = network.mean(n_fresh)
        return math.inf if math.isnan(mean) else sign * mean, network.number

    return sorted(networks, key=key)


def lay_out(
    trials: Sequence[Trial],
    direction: str,
    n_networks: int,
    seeds: int,
    n_runs: int | None,
    asked: Mapping[str, Any],
) -> Plan | None:
    """Decides on the finals of a search that is over; None if there are none to be had.

    Args:
        trials: that ended.
        direction: "maximize" or "minimize".
        n_networks: how many of the best take part at most.
        seeds: with how many each of the last is trained at most, its first run included.
        n_runs: trainings that may be done; None if any number may.
        asked: noted in the plan.
    """
    ranked = [each for each in rank(networks_of(trials), direction) if each.values]
    if not ranked or not any(each.first.is_drawn for each in ranked):
        return None
    known = next((each for each in ranked if each.reference), None)
    best = [each for each in ranked if each is not known][:n_networks]
    kept, beside = [seeds - 1 - len(each.lacks(seeds - 1)) for each in best], None
    if known:
        beside = seeds - 1 - len(known.lacks(seeds - 1))
    planned = affordable(kept, seeds, n_runs, beside)
    if not planned:
        return None
    best = best[: planned[0].n_networks]
    return Plan(
        tuple(each.number for each in best), known.number if known else None, planned, asked
    )


def take_part(
    plan: Plan, trials: Sequence[Trial], direction: str
) -> tuple[list[Network], Round | None]:
    """Finds the round that is under way, and the networks that take part in it.

    Args:
        plan: of the finals.
        trials: that ended.
        direction: "maximize" or "minimize".

    Returns:
        When all rounds are over, the networks of the last one, and None.
    """
    known = {each.number: each for each in networks_of(trials)}
    alive = [known[number] for number in plan.networks if number in known]
    beside = known.get(-1 if plan.reference is None else plan.reference)
    taking, before = alive, 0
    for each in plan.rounds:
        # by what was known then: what a round brings does not change who takes part in it
        alive = (rank(alive, direction, before) if before else alive)[: each.n_networks]
        before = each.n_fresh
        taking = [*alive, *([beside] if beside else [])]
        if any(network.lacks(each.n_fresh) for network in taking):
            return taking, each
    return taking, None


def wanted(plan: Plan, trials: Sequence[Trial], direction: str) -> list[tuple[int, int]]:
    """Lists what is still to be trained in the round that is under way; nothing after the last.

    Seed by seed: as soon as two networks have one, they can be compared.

    Returns:
        Pairs of a network's number and a repeat.
    """
    taking, under_way = take_part(plan, trials, direction)
    lacking = [
        (repeat, place, network.number)
        for place, network in enumerate(taking)
        for repeat in network.lacks(under_way.n_fresh if under_way else 0)
    ]
    return [(number, repeat) for repeat, _, number in sorted(lacking)]


def winner(plan: Plan, trials: Sequence[Trial], direction: str) -> Network | None:
    """Finds the best network of the last round; None if none of it has a model that was kept."""
    taking, _ = take_part(plan, trials, direction)
    return next((each for each in rank(taking, direction) if best_run(each, direction)), None)


def best_run(network: Network, direction: str) -> Trial | None:
    """Finds the run of a network that is handed over: the best whose weights were kept."""
    return champion_of(ranking(network.runs, direction))
