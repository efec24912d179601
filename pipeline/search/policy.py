"""What a policy sees of a search, and what it decides: which network next, and which goes on.

A trial that is not worth going on with now is paused, and may go on later exactly where it was.
Samplers and pruners of Optuna cannot do that: they draw, and end for good.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pipeline.study.hyperparameters import Hyperparameters


class Stage(StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True)
class Seen:
    """What a policy sees of a trial.

    Attributes:
        hyperparameters: of the network.
        values: the study's metric after each epoch so far.
        seconds: of each of these epochs.
        stage: where it stands.
        audited_after: epoch after which it would have been dropped, and is trained to its end all
            the same; 0 of all others.
        paused_after: epoch after which it was paused last; 0 if it never was.
    """

    hyperparameters: Hyperparameters
    values: Sequence[float]
    seconds: Sequence[float]
    stage: Stage
    audited_after: int = 0
    paused_after: int = 0


@dataclass(frozen=True)
class GoOn:
    """A paused trial is to go on.

    Attributes:
        number: of the trial.
    """

    number: int


@dataclass(frozen=True)
class Begin:
    """A new trial is to begin.

    Attributes:
        hyperparameters: of it; None to have the sampler draw some.
    """

    hyperparameters: Hyperparameters | None = None


Choice = GoOn | Begin


@dataclass(frozen=True)
class Left:
    """What is left of a search's budget.

    Attributes:
        may_begin: whether it suffices for another trial.
        seconds: infinite if they have no limit.
        share_used: of the whole budget, trials or time, whichever is more: from 0 to 1.
    """

    may_begin: bool
    seconds: float = math.inf
    share_used: float = 0.0


class Policy(Protocol):
    """Decides what a free worker does, and whether a trial goes on after an epoch.

    A decision follows from what is seen, what is left, and `memory` alone: who is killed and lives
    again decides the same.

    Attributes:
        memory: what else it knows, as JSON has it; noted whenever it is another than before.
    """

    memory: Mapping[str, Any]

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Lists the epochs after which a trial of at most so many may be paused."""
        ...

    def choose(self, seen: Mapping[int, Seen], left: Left) -> Choice | None:
        """Decides what a free worker does next.

        Args:
            seen: all trials of networks, by number.
            left: of the budget.

        Returns:
            None if nothing is worth it.
        """
        ...

    def goes_on(self, number: int, seen: Mapping[int, Seen], left: Left) -> bool:
        """Decides at a rung whether a running trial goes on; else it is paused.

        Args:
            number: of the trial.
            seen: all trials of networks, by number.
            left: of the budget.
        """
        ...
