"""Sequential halving: how many networks are trained again, and how often, decided beforehand.

Karnin, Koren and Somekh 2013, Almost optimal exploration in multi-armed bandits, ICML. Of ten
networks all are trained once more, the best five once more again, the best two until each has
been trained with five seeds: 10 + 5 + 2 * 2 trainings.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LAST = 2  # networks between which the last round decides
FEW_NETWORKS, FEW_SEEDS = 4, 3  # below which it is better to cut the other number


@dataclass(frozen=True)
class Round:
    """A round of finals.

    Attributes:
        n_networks: how many of the best so far take part.
        n_fresh: how often each has been trained when it is over, its first run left out.
    """

    n_networks: int
    n_fresh: int


def rounds(n_networks: int, seeds: int) -> tuple[Round, ...]:
    """Lists the rounds; in each half as many networks take part as in the one before.

    Args:
        n_networks: that take part in the first, at least one.
        seeds: with so many in all those of the last round have been trained in the end, their
            first run included; at least two.
    """
    sizes = [n_networks]
    while sizes[-1] > LAST:
        sizes.append(max(LAST, sizes[-1] // 2))
    found: list[Round] = []
    for i, size in enumerate(sizes):
        share = i / (len(sizes) - 1) if len(sizes) > 1 else 1.0
        n_fresh = round((seeds - 1) ** share)  # geometric, from 1
        if not found or n_fresh > found[-1].n_fresh:
            found.append(Round(size, n_fresh))
    return tuple(found)


def affordable(
    kept: Sequence[int], seeds: int, n_runs: int | None, beside: int | None = None
) -> tuple[Round, ...]:
    """Lists the rounds for which so many trainings suffice; none if not even the smallest do.

    Where they do not suffice for all, there are fewer networks first, then fewer seeds, then
    fewer of both.

    Args:
        kept: how often each network, the best first, has been trained with the seeds of finals
            already; as many take part in the first round at most.
        seeds: most of the last round, at least two.
        n_runs: trainings that may be done; None if any number may.
        beside: the same of a network that takes part in every round beside the others; None if
            there is none.
    """
    for n_networks, each in _preferences(len(kept), seeds):
        planned = rounds(n_networks, each)
        if n_runs is None or _count_runs(planned, kept, beside) <= n_runs:
            return planned
    return ()


def _count_runs(planned: Sequence[Round], kept: Sequence[int], beside: int | None) -> int:
    """Counts the trainings of rounds in which the networks keep their order."""
    needed = [
        max(each.n_fresh for each in planned if place < each.n_networks)
        for place in range(planned[0].n_networks)
    ]
    n_runs = sum(max(0, n - known) for n, known in zip(needed, kept, strict=False))
    return n_runs + (0 if beside is None else max(0, planned[-1].n_fresh - beside))


def _preferences(n_networks: int, seeds: int) -> Iterator[tuple[int, int]]:
    """Lists numbers of networks and of seeds, the most wanted first."""
    few_networks, few_seeds = min(n_networks, FEW_NETWORKS), min(seeds, FEW_SEEDS)
    yield from ((networks, seeds) for networks in range(n_networks, few_networks - 1, -1))
    yield from ((few_networks, each) for each in range(seeds - 1, few_seeds - 1, -1))
    yield from ((networks, few_seeds) for networks in range(few_networks - 1, 1, -1))
    yield from ((networks, 2) for networks in range(few_networks, 0, -1))
