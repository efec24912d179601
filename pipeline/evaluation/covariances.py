"""How the errors that validation examples make are shared between networks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Moved = NDArray[np.float64]


def covariances(moved: "Mapping[int, Sequence[Moved]]") -> dict[tuple[int, int], float]:
    """Computes covariances of the errors of networks' mean values over seeds.

    The mean over infinitely many seeds is meant: what a single seed does to an example is noise of
    that seed. Products of different runs alone tell the one from the other; of a network with one
    run there is nothing but its square, which is too large, and is left out where others have
    more.

    Args:
        moved: of each network by its number, for each run how far every example moves the metric,
            (n,), by `task.scoring.influences`.

    Returns:
        By the numbers of two networks, the smaller one first.
    """
    several = {number for number, runs in moved.items() if len(runs) > 1}
    kept = {number: runs for number, runs in moved.items() if number in several or not several}
    totals = {number: sum(runs[1:], start=runs[0]) for number, runs in kept.items()}
    found: dict[tuple[int, int], float] = {}
    for i in sorted(kept):
        for j in sorted(kept):
            if i < j:
                n_pairs = len(kept[i]) * len(kept[j])
                found[i, j] = float(totals[i] @ totals[j]) / n_pairs
        n, squares = len(kept[i]), sum(float(each @ each) for each in kept[i])
        product = float(totals[i] @ totals[i])
        found[i, i] = (product - squares) / (n * (n - 1)) if n > 1 else squares
    return found
