"""What was saved by not training every trial to its end, and by an audit what that loses."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.intervals import Interval, wilson
from pipeline.study.trial import State, Trial, ranking

N_RUNGS = 10  # of which a reader is told, at most
TOP = 0.1  # share of all trials that are top ones


@dataclass(frozen=True)
class Rung:
    """An epoch after which trials were paused or pruned.

    Attributes:
        epoch: counted from 1.
        n_came: trials that were trained that long.
        n_paused: those that were paused then.
        n_pruned: those that a pruner ended then.
        n_audited: those that would have been paused or pruned then, and went on for the audit.
        n_went_on: those that were trained longer, at once or later.
    """

    epoch: int
    n_came: int
    n_paused: int
    n_pruned: int
    n_audited: int
    n_went_on: int


@dataclass(frozen=True)
class Pruning:
    """What became of trials that a pruner could end, or a policy pause.

    Attributes:
        n_trials: how many there are.
        n_paused: those that were paused at least once.
        n_went_on: those that went on after a pause.
        n_own_end: those that came to their own end.
        n_let_go: those that were paused when the search was over, or when states took too much
            room.
        n_pruned: those that a pruner ended while they ran.
        rungs: where they were paused, pruned or audited; of many some, evenly.
        n_rungs: how many there are.
        epochs: for which they were trained.
        seconds: which that took.
        epochs_saved: that were left of those let go and pruned; an upper bound, since early
            stopping would have ended some of them sooner.
        seconds_saved: which these would have taken, as long as each trial's own median epoch. The
            first epoch is none of them, since the network's graph is built in it; of a trial that
            has no other it is taken as much longer as other trials' were.
    """

    n_trials: int
    n_paused: int
    n_went_on: int
    n_own_end: int
    n_let_go: int
    n_pruned: int
    rungs: Sequence[Rung]
    n_rungs: int
    epochs: int
    seconds: float
    epochs_saved: int
    seconds_saved: float

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> "Pruning | None":
        """Counts what became of the trials that were drawn; None if all were just trained.

        Args:
            trials: that count.
        """
        drawn = [trial for trial in trials if trial.is_drawn and trial.n_epochs]
        dropped = [trial for trial in drawn if trial.state == State.PRUNED]
        paused = [trial for trial in drawn if trial.pauses]
        left = {epoch for trial in paused for epoch in trial.pauses}
        left |= {trial.n_epochs for trial in dropped}
        left |= {trial.audited_after for trial in drawn if trial.audited_after}
        if not left:
            return None
        ratios = [_later(trial) / first for trial in drawn if (first := _first(trial))]
        ratio = statistics.median([each for each in ratios if each] or [1.0])
        n_let_go = sum(trial.n_epochs in trial.pauses for trial in dropped)
        return cls(
            n_trials=len(drawn),
            n_paused=len(paused),
            n_went_on=sum(trial.n_epochs > trial.pauses[0] for trial in paused),
            n_own_end=sum(trial.state == State.COMPLETE and not trial.reason for trial in drawn),
            n_let_go=n_let_go,
            n_pruned=len(dropped) - n_let_go,
            rungs=[_rung(epoch, drawn) for epoch in _some_of(sorted(left))],
            n_rungs=len(left),
            epochs=sum(trial.n_epochs for trial in drawn),
            seconds=sum(trial.seconds for trial in drawn),
            epochs_saved=sum(_epochs_left(trial) for trial in dropped),
            seconds_saved=sum(
                _epochs_left(trial) * (_later(trial) or ratio * trial.seconds) for trial in dropped
            ),
        )


@dataclass(frozen=True)
class Audit:
    """What was seen of trials that would have been dropped, and were trained to their own end.

    Attributes:
        trials: these, by number.
        lost: top trials that would have been lost: among the best of all, by a share `TOP`, by a
            value to which they came after they would have been dropped.
        n_ranked: of so many trials that have a value.
        n_top: how many of them are top ones.
        interval: of the share of trials that would have been lost; Wilson's.
        epochs: for which they were trained beyond.
        seconds: which that took.
    """

    trials: Sequence[Trial]
    lost: Sequence[Trial]
    n_ranked: int
    n_top: int
    interval: Interval
    epochs: int
    seconds: float

    @classmethod
    def of(cls, trials: Sequence[Trial], direction: str) -> "Audit | None":
        """Looks at the trials that were audited; None if none was.

        Args:
            trials: that count.
            direction: "maximize" or "minimize".
        """
        audited = [trial for trial in trials if trial.audited_after]
        if not audited:
            return None
        ranked = [trial for trial in ranking(trials, direction) if trial.is_drawn]
        n_top = math.ceil(TOP * len(ranked))
        top = {trial.number for trial in ranked[:n_top]}
        lost = [t for t in audited if t.number in top and t.best_epoch > t.audited_after]
        return cls(
            trials=audited,
            lost=lost,
            n_ranked=len(ranked),
            n_top=n_top,
            interval=wilson(len(lost) / len(audited), len(audited)),
            epochs=sum(trial.n_epochs - trial.audited_after for trial in audited),
            seconds=sum(
                math.fsum(trial.history.get("seconds", ())[trial.audited_after :])
                for trial in audited
            ),
        )


def _epochs_left(trial: Trial) -> int:
    return trial.hyperparameters.epochs - trial.n_epochs if trial.hyperparameters else 0


def _first(trial: Trial) -> float:
    """Returns the seconds of the first epoch; 0.0 if they are not known."""
    return next(iter(trial.history.get("seconds", ())), 0.0)


def _later(trial: Trial) -> float:
    """Returns the seconds of the median epoch after the first; 0.0 if there is none."""
    return statistics.median(trial.history.get("seconds", ())[1:] or (0.0,))


def _some_of(epochs: Sequence[int]) -> Sequence[int]:
    """Thins out what is too long for a table; the first and the last are kept."""
    if len(epochs) <= N_RUNGS:
        return epochs
    return [epochs[i * (len(epochs) - 1) // (N_RUNGS - 1)] for i in range(N_RUNGS)]


def _rung(epoch: int, drawn: Sequence[Trial]) -> Rung:
    ended = [trial for trial in drawn if trial.n_epochs == epoch]
    return Rung(
        epoch,
        n_came=sum(trial.n_epochs >= epoch for trial in drawn),
        n_paused=sum(epoch in trial.pauses for trial in drawn),
        n_pruned=sum(t.state == State.PRUNED and epoch not in t.pauses for t in ended),
        n_audited=sum(trial.audited_after == epoch for trial in drawn),
        n_went_on=sum(trial.n_epochs > epoch for trial in drawn),
    )
