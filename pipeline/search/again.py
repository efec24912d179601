"""What is run again: what was interrupted, has failed for a cause that passes, or was lost."""

from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass, field

from pipeline.search.outcomes import Outcomes
from pipeline.search.pausing import Pausing
from pipeline.search.progress import Progress
from pipeline.search.running import Running
from pipeline.storage.presence import Presence
from pipeline.study.trial import Cause
from pipeline.tracking.tracker import Tracker
from pipeline.training.job import Failed

MOST_LOSSES = 5  # of a trial with its machine; after more it may be what ends machines


@dataclass(frozen=True)
class Again:
    """Has trials run again whose processes are no more.

    One that was paused before waits where it was paused last; any other is queued under another
    number, with the same hyperparameters and seed, and does not count.

    Attributes:
        pausing: knows what is paused.
        outcomes: tells stores of the others.
        tracker: where runs are written.
        progress: where people look.
        stores: looked at before anything is told them.
    """

    pausing: Pausing
    outcomes: Outcomes
    tracker: Tracker
    progress: Progress
    stores: Presence
    _losses: Counter[str] = field(default_factory=Counter)

    def interrupt(self, interrupted: MutableMapping[int, Running]) -> None:
        """Puts back trials that were stopped: first Optuna is told, then MLflow."""
        self.pausing.put_back(interrupted, self.tracker, self.stores)
        self.outcomes.interrupt(interrupted.values(), self.stores)

    def lose(self, running: Running, reason: str) -> Failed | None:
        """Puts back a trial whose machine is gone, by no fault of it.

        Returns:
            None; or, if this has happened too often, how it has failed, and it is not put back.
        """
        number, given = running.trial.number, running.assignment
        self._losses[f"{given.seed} {given}"] += 1
        if self._losses[f"{given.seed} {given}"] > MOST_LOSSES:
            return Failed(number, reason, True, Cause.TOO_LARGE, is_guess=True)
        self.progress.say(f"lost     trial {number}: {given} ({reason})")
        if not running.paused_after:
            self.pausing.forget(number)
        self.interrupt({number: running})
        return None

    def try_again(self, running: Running, reason: str) -> None:
        """Puts back a trial that has failed, for its cause may be over the next time."""
        number = running.trial.number
        if running.paused_after:
            self.outcomes.note_retry(running, reason)
            self.pausing.put_back({number: running}, self.tracker, self.stores)
        else:
            self.outcomes.try_again(running, reason)
            self.pausing.forget(number)
