"""Rungs, at which trials are paused, and from which some are promoted: asynchronous halving.

As in ASHA (Li et al. 2018, arXiv:1810.05934), of all trials that have come to a rung a third goes
on to the next one, at three times as many epochs, and the first one at once. Later in a search it
is more than a third: those that begin then are good ones, of which a few epochs tell little. Which
ones go on, others decide.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.search.policy import Seen, Stage

FIRST = 2  # epochs to the first rung: after one, little tells a good network from others
FACTOR = 3  # from one rung to the next, in epochs
ONE_OF = (3.0, 1.5)  # of so many trials one is promoted: when a search begins, and when it ends


def rungs(epochs: int) -> tuple[int, ...]:
    """Lists 2, 6, 18, ... below the last epoch."""
    found, rung = [], FIRST
    while rung < epochs:
        found.append(rung)
        rung *= FACTOR
    return tuple(found)


def level(n_epochs: int, of: tuple[int, ...]) -> int:
    """Counts the rungs to which a trial has come after so many epochs."""
    return sum(rung <= n_epochs for rung in of)


def due(
    seen: Mapping[int, Seen], running: int | None, of: tuple[int, ...], share_used: float
) -> int | None:
    """Finds the highest level from which a trial is to go on now.

    Args:
        seen: all trials, by number.
        running: the trial that asks whether it goes on; None if a worker is free.
        of: the rungs.
        share_used: of the search's budget, from 0 to 1.

    Returns:
        The level; None if no trial is to go on before another has begun.
    """
    reached, waiting = np.zeros((2, len(of) + 2), int)
    for number, each in seen.items():
        own = level(len(each.values), of)
        if each.stage is Stage.PAUSED or number == running:
            waiting[own] += 1
        elif each.audited_after:
            own = level(each.audited_after, of)  # it has come further, but was not promoted
        elif each.stage is Stage.RUNNING:
            own += 1  # to where it is on its way
        elif len(each.values) >= each.hyperparameters.epochs:
            own = len(of) + 1
        reached[: own + 1] += 1
    one_of = ONE_OF[0] + share_used * (ONE_OF[1] - ONE_OF[0])
    for own in range(len(of), 0, -1):
        if waiting[own] and one_of * reached[own + 1] < reached[own]:
            return own
    return None
