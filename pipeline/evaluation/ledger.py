"""What the time of a search went into, and what stopping early has saved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.evaluation.pruning import Pruning
from pipeline.study.trial import State, Trial

WINNER, REFERENCES = "the winner", "references"
# kinds of trials that were not trained to their own end
FAILED, LET_GO = "failed or diverged", "paused and not gone on with"
PRUNED, STOPPED = "pruned", "stopped by a limit of time"


@dataclass(frozen=True)
class Entry:
    """What some trials had in common, and what they cost.

    Attributes:
        name: in a few words.
        trials: of this kind.
        n_epochs: for which they were trained.
        seconds: for which that took workers, all together.
    """

    name: str
    trials: Sequence[Trial]
    n_epochs: int
    seconds: float


@dataclass(frozen=True)
class Ledger:
    """Where the seconds of workers went.

    Attributes:
        entries: each trial is in one; those without a trial are left out.
        seconds: of all.
        seconds_saved: by ending trials before their own end; an upper bound.
    """

    entries: Sequence[Entry]
    seconds: float
    seconds_saved: float

    @classmethod
    def of(cls, trials: Sequence[Trial], champion: Trial) -> "Ledger":
        """Sorts trials by what became of them.

        Args:
            trials: that count.
            champion: the winner.
        """
        left, entries = list(trials), []
        for name, belongs in _kinds(champion):
            own = [trial for trial in left if belongs(trial)]
            left = [trial for trial in left if not belongs(trial)]
            if own:
                n_epochs = sum(trial.n_epochs for trial in own)
                entries.append(Entry(name, own, n_epochs, sum(trial.seconds for trial in own)))
        known = Pruning.of(trials)
        seconds = sum(entry.seconds for entry in entries)
        return cls(entries, seconds, known.seconds_saved if known else 0.0)


def _kinds(champion: Trial) -> list[tuple[str, Callable[[Trial], bool]]]:
    """In the order in which a trial is looked at: the first that fits is its own."""
    return [
        (WINNER, lambda trial: trial.number == champion.number),
        ("repeated in finals", lambda trial: trial.is_final),
        (REFERENCES, lambda trial: bool(trial.reference)),
        (FAILED, lambda trial: trial.state == State.FAIL),
        (LET_GO, _is_let_go),
        (PRUNED, lambda trial: trial.state == State.PRUNED),
        (STOPPED, lambda trial: bool(trial.reason)),
        ("trained to their own end", lambda _: True),
    ]


def _is_let_go(trial: Trial) -> bool:
    return trial.state == State.PRUNED and trial.n_epochs in trial.pauses
