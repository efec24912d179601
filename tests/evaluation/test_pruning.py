"""What pruning saved, of trials that are made up."""

from typing import Any

import pytest

from pipeline.evaluation.pruning import N_RUNGS, Pruning
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import State, Trial

NETWORK = Hyperparameters(1, (8,), "adam", 0.001, 32, 10)


def trial(number: int, seconds: list[float], state: State, **others: Any) -> Trial:
    history = {"loss": [0.5] * len(seconds), "seconds": seconds}
    return Trial(number, state, 0.5, 1, NETWORK, number, history, **others)


def test_of_trials_that_were_paused() -> None:
    found = Pruning.of([
        trial(0, [1.0] * 10, State.COMPLETE, pauses=(1, 3)),
        trial(1, [5.0, 2.0, 2.0], State.PRUNED, pauses=(1, 3)),
        trial(2, [1.0], State.PRUNED, pauses=(1,)),
        trial(3, [1.0] * 10, State.COMPLETE),
        trial(4, [1.0, 1.0], State.COMPLETE, pauses=(1,), reason="stopped after 1 minute"),
        trial(5, [1.0, 1.0], State.PRUNED, pauses=(1,)),
        trial(6, [1.0] * 10, State.COMPLETE, reference="known"),
        trial(7, [1.0] * 10, State.COMPLETE, final_of=0),
        trial(8, [], State.FAIL),
    ])  # fmt: skip
    assert found
    assert (found.n_trials, found.n_paused, found.n_went_on) == (6, 5, 4)
    assert (found.n_own_end, found.n_let_go, found.n_pruned) == (2, 2, 1)
    assert [(r.epoch, r.n_came, r.n_paused, r.n_pruned, r.n_went_on) for r in found.rungs] == [
        (1, 6, 5, 0, 5),
        (2, 5, 0, 1, 3),
        (3, 3, 2, 0, 2),
    ]
    assert (found.epochs, found.seconds) == (28, 34.0)
    # of those that were let go and pruned: 7 epochs of 2 seconds, 9 of 1, and 8 of 1
    assert (found.epochs_saved, found.seconds_saved) == (7 + 9 + 8, 7 * 2.0 + 9 + 8)


def test_of_trials_of_which_none_was_paused_or_pruned_there_is_nothing_to_say() -> None:
    assert Pruning.of([trial(0, [1.0], State.COMPLETE), trial(1, [], State.FAIL)]) is None


def test_of_many_epochs_some_are_told_with_the_first_and_the_last() -> None:
    many = [trial(n, [1.0] * n, State.PRUNED) for n in range(1, 31)]
    found = Pruning.of(many)
    assert found
    assert (len(found.rungs), found.n_rungs) == (N_RUNGS, 30)
    assert (found.rungs[0].epoch, found.rungs[-1].epoch) == (1, 30)


@pytest.mark.parametrize("seconds", [{}, {"seconds": []}])
def test_a_trial_without_seconds_saves_none(seconds: dict[str, list[float]]) -> None:
    known = Trial(0, State.PRUNED, 0.5, 1, NETWORK, 0, {"loss": [0.5], **seconds})
    found = Pruning.of([known])
    assert found
    assert (found.epochs_saved, found.seconds_saved) == (9, 0.0)
