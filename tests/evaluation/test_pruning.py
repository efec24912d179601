"""What pruning saved, of trials that are made up."""

import dataclasses
from typing import Any

import pytest

from pipeline.evaluation.intervals import wilson
from pipeline.evaluation.pruning import N_RUNGS, Audit, Pruning
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
        trial(2, [4.0], State.PRUNED, pauses=(1,)),
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
    assert (found.epochs, found.seconds) == (28, 37.0)
    # of those that were let go and pruned: 7 epochs of 2 seconds, 9 of 4 (as others' first epoch
    # took as long as their median one), and 8 of 1
    assert (found.epochs_saved, found.seconds_saved) == (7 + 9 + 8, 7 * 2.0 + 9 * 4 + 8)


def test_the_first_epoch_in_which_the_graph_is_built_tells_nothing_of_the_others() -> None:
    found = Pruning.of([
        trial(0, [8.0, *[2.0] * 9], State.COMPLETE),
        trial(1, [6.0, 1.0, 3.0, 1.0], State.PRUNED),
        trial(2, [4.0], State.PRUNED),
    ])  # fmt: skip
    assert found
    assert found.seconds_saved == pytest.approx(6 * 1.0 + 9 * 4.0 * (2 / 8 + 1 / 6) / 2)


def test_of_trials_of_which_none_was_paused_or_pruned_there_is_nothing_to_say() -> None:
    assert Pruning.of([trial(0, [1.0], State.COMPLETE), trial(1, [], State.FAIL)]) is None


def test_of_many_epochs_some_are_told_with_the_first_and_the_last() -> None:
    many = [trial(n, [1.0] * n, State.PRUNED) for n in range(1, 31)]
    found = Pruning.of(many)
    assert found
    assert (len(found.rungs), found.n_rungs) == (N_RUNGS, 30)
    assert (found.rungs[0].epoch, found.rungs[-1].epoch) == (1, 30)


def valued(number: int, values: list[float], audited_after: int = 0) -> Trial:
    history = {"loss": values, "seconds": [2.0] * len(values)}
    best = max(values)
    return Trial(
        number, State.COMPLETE, best, values.index(best) + 1, NETWORK, number, history,
        audited_after=audited_after,
    )  # fmt: skip


def test_a_top_trial_is_lost_if_its_value_comes_after_it_would_have_been_dropped() -> None:
    others = [valued(n, [0.1 + n / 1000]) for n in range(17)]
    late, early, low = [0.5, 0.6, 0.9], [0.95, 0.5, 0.5, 0.5], [0.4, 0.45]
    trials = [*others, valued(17, late, 2), valued(18, early, 1), valued(19, low, 1)]
    found = Audit.of(trials, "maximize")
    assert found
    assert [trial.number for trial in found.trials] == [17, 18, 19]
    assert (found.n_ranked, found.n_top) == (20, 2)
    assert [trial.number for trial in found.lost] == [17]
    assert found.interval == wilson(1 / 3, 3)
    assert (found.epochs, found.seconds) == (1 + 3 + 1, 10.0)
    upside_down = Audit.of(trials, "minimize")
    assert upside_down
    assert not upside_down.lost


def test_references_and_finals_are_no_top_trials() -> None:
    final = trial(1, [1.0], State.COMPLETE, final_of=0)
    better = dataclasses.replace(final, value=0.99)
    found = Audit.of([valued(0, [0.5, 0.6], 1), better], "maximize")
    assert found
    assert (found.n_ranked, len(found.lost)) == (1, 1)


def test_without_an_audited_trial_there_is_no_audit() -> None:
    assert Audit.of([valued(0, [0.5])], "maximize") is None


def test_what_is_audited_has_a_column_of_its_own() -> None:
    found = Pruning.of([valued(0, [0.5, 0.6], 1), trial(1, [1.0], State.PRUNED)])
    assert found
    (rung,) = found.rungs
    assert (rung.n_came, rung.n_pruned, rung.n_audited, rung.n_went_on) == (2, 1, 1, 1)


@pytest.mark.parametrize("seconds", [{}, {"seconds": []}, {"seconds": [0.0]}])
def test_a_trial_without_seconds_saves_none(seconds: dict[str, list[float]]) -> None:
    known = Trial(0, State.PRUNED, 0.5, 1, NETWORK, 0, {"loss": [0.5], **seconds})
    found = Pruning.of([known])
    assert found
    assert (found.epochs_saved, found.seconds_saved) == (9, 0.0)
