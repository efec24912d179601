"""Deals rows out to parts by their shares: by class, by whole groups, or in order of time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.reading.column import Codes, Numbers

    Integers = NDArray[np.intp]

N_PARTS = 3
_ROWS_OF_DRAWS = 20_000_000  # whole groups are drawn until so many rows were dealt out, and then
_ROWS_OF_STRATUM = 100  # that take as long as a stratum does
_FEWEST_DRAWS, _MOST_DRAWS = 10, 500  # the draw is taken that meets the shares best


def by_class(classes: "Codes", shares: Sequence[float], seed: int, keep: int) -> "Integers":
    """Draws rows at random, of each class its share to a row (largest remainders).

    Args:
        classes: of each row, int32 (n,), from 0.
        shares: of all rows, of each part; of a class each part gets a row at least, unless its
            share is 0.
        seed: of the draw.
        keep: rows of each class that the first part gets at least.

    Returns:
        The part of each row, intp (n,).
    """
    import numpy as np

    counts = np.bincount(classes)
    n_last = _allocate(counts, shares[2], keep + (shares[1] > 0))
    n_middle = _allocate(counts, shares[1], keep + n_last)
    order = np.random.RandomState(seed).permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]  # by class, each in random order
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    part = np.zeros(len(order), np.intp)
    part[order[rank < np.repeat(n_last + n_middle, counts)]] = 1
    part[order[rank < np.repeat(n_last, counts)]] = 2
    return part


def _allocate(counts: "Integers", share: float, keep: "Integers | int") -> "Integers":
    """Takes a share of the rows of all classes, of each what is due to it.

    Args:
        counts: rows of each class.
        share: of all of them; of a class at least one is taken, unless it is 0.
        keep: rows of each class that stay for the other parts.
    """
    import numpy as np

    if not share:
        return np.zeros_like(counts)
    due = counts * share
    most = np.maximum(counts - keep, 0)
    taken: Integers = np.clip(np.floor(due).astype(counts.dtype), np.minimum(1, most), most)
    missing = max(0, round(float(due.sum())) - int(taken.sum()))
    remainders = np.where(taken < most, due - taken, -np.inf)
    largest = np.argsort(-remainders, kind="stable")[:missing]
    taken[largest] += (taken < most)[largest]
    return taken


def by_group(
    groups: "Integers", classes: "Codes", shares: Sequence[float], seed: int
) -> "Integers":
    """Deals out whole groups, each stratum by its shares, many times; takes what fits best.

    The stratum of a group is the rarest class that it holds, for that is the hardest to have in
    all parts.

    Args:
        groups: of each row, numbered from 0 without gaps; at least as many as parts with a share.
        classes: of each row, from 0.
        shares: of all rows, of each part.
        seed: of the draws.

    Returns:
        The part of each row, intp (n,); none with a share is empty.
    """
    import numpy as np

    sizes, counts = np.bincount(groups), np.bincount(classes)
    rarity = np.argsort(np.argsort(counts, kind="stable"))
    strata = np.full(len(sizes), len(counts))
    np.minimum.at(strata, groups, rarity[classes])
    strata = _merge_small(strata, sum(share > 0 for share in shares))
    bounds = np.cumsum(np.bincount(strata))[:-1]
    rng = np.random.RandomState(seed)
    cost = len(classes) + _ROWS_OF_STRATUM * (len(bounds) + 1)
    n_draws = np.clip(_ROWS_OF_DRAWS // cost, _FEWEST_DRAWS, _MOST_DRAWS)
    best, least = np.zeros(len(sizes), np.intp), np.inf
    for _ in range(n_draws):
        order = rng.permutation(len(sizes))
        order = order[np.argsort(strata[order], kind="stable")]
        part = np.empty(len(sizes), np.intp)
        for inside in np.split(order, bounds):
            part[inside] = _part_of(sizes[inside], shares)
        if (misfit := _misfit(part[groups], classes, counts, shares)) < least:
            best, least = part, misfit
    return best[groups]


def _misfit(
    part: "Integers", classes: "Codes", counts: "Integers", shares: Sequence[float]
) -> float:
    """Measures how far parts are from their shares, of all rows and of each class.

    A part without a row of a class is worse than any deviation.
    """
    import numpy as np

    wanted = np.array(shares)
    dealt = np.bincount(part * len(counts) + classes, minlength=N_PARTS * len(counts))
    dealt = dealt.reshape(N_PARTS, -1)
    of_classes = (dealt / np.maximum(counts, 1) - wanted[:, None]) ** 2 @ (counts / len(classes))
    of_all = (dealt.sum(axis=1) / len(classes) - wanted) ** 2
    n_lacking = ((dealt == 0) & (counts > 0) & (wanted[:, None] > 0)).sum()
    return float(of_classes.sum() + of_all.sum() + 2 * N_PARTS * n_lacking)


def by_time(times: "Numbers", shares: Sequence[float]) -> "Integers":
    """Splits in order of time, the first part first; rows of one time stay together.

    Args:
        times: of each row, float64 (n,), none missing; at least as many as parts with a share.
        shares: of all rows, of each part.

    Returns:
        The part of each row, intp (n,); none with a share is empty.
    """
    import numpy as np

    _, moment, sizes = np.unique(times, return_inverse=True, return_counts=True)
    return _part_of(sizes, shares)[moment]


def _part_of(sizes: "Integers", shares: Sequence[float]) -> "Integers":
    """Cuts a sequence of things of some size into parts, each as near to its share as can be.

    Each with a share gets one thing at least, if there are enough. Returns the part of each.
    """
    import numpy as np

    reached = np.concatenate([[0], np.cumsum(sizes)])
    ends, wanted = [0], 0.0
    for i, share in enumerate(shares):
        wanted += share * float(reached[-1])
        end = int(np.searchsorted(reached, wanted))
        if 0 < end < len(reached) and wanted - reached[end - 1] < reached[end] - wanted:
            end -= 1
        n_later = sum(later > 0 for later in shares[i + 1 :])
        ends.append(min(max(end, ends[-1] + 1), len(sizes) - n_later) if share else ends[-1])
    return np.searchsorted(ends[1:], np.arange(len(sizes)), side="right")


def _merge_small(strata: "Integers", fewest: int) -> "Integers":
    """Joins strata with fewer members than there are parts to the next; numbers them from 0."""
    import numpy as np

    counts = np.bincount(strata)
    merged, number, members = np.zeros(len(counts), np.intp), 0, 0
    for stratum, count in enumerate(counts):
        merged[stratum] = number
        members += count
        if members >= fewest:
            number, members = number + 1, 0
    merged[merged == number] = max(0, number - 1)  # what is left over at the end
    joined: Integers = merged[strata]
    return joined
