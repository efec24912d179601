"""Where the time of workers went: each trial is in one entry."""

from typing import Any

from pipeline.evaluation.ledger import Ledger
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import State, Trial

NETWORK = Hyperparameters(1, (8,), "adam", 0.001, 32, 10)


def trial(number: int, state: str, n: int, **others: Any) -> Trial:
    history = {"loss": [0.5] * n, "seconds": [1.0] * n}
    return Trial(number, State(state), 0.5, 1, NETWORK, number, history, **others)


def test_each_trial_is_in_one_entry() -> None:
    trials = [
        trial(0, "COMPLETE", 10, reference="known"),
        trial(1, "COMPLETE", 10),
        trial(2, "PRUNED", 3, pauses=(1, 3)),
        trial(3, "PRUNED", 2, pauses=(1,)),
        trial(4, "FAIL", 1),
        trial(5, "COMPLETE", 4, reason="stopped after 1 minute"),
        trial(6, "COMPLETE", 10),
        trial(7, "COMPLETE", 10, final_of=1),
    ]
    known = Ledger.of(trials, trials[1])
    assert {entry.name: [t.number for t in entry.trials] for entry in known.entries} == {
        "the winner": [1],
        "repeated in finals": [7],
        "references": [0],
        "failed or diverged": [4],
        "paused and not gone on with": [2],
        "pruned": [3],
        "stopped by a limit of time": [5],
        "trained to their own end": [6],
    }
    assert known.seconds == 50 == sum(entry.n_epochs for entry in known.entries)
    assert known.seconds_saved == 7 + 8
