"""Where the states of paused trials lie."""

from pathlib import Path

import optuna
import pytest

from pipeline.names import state_file
from pipeline.storage import optuna_internals, paused, study_store
from pipeline.storage.paused import FolderOfStates, Nowhere


def leave_state(states: FolderOfStates, trial: int, epoch: int) -> None:
    """As a worker does."""
    (Path(states.folder_of(trial, (epoch,))) / state_file(trial, epoch)).write_bytes(b"state")


def test_states_are_there_until_they_are_removed_and_the_folder_goes_with_the_last(
    tmp_path: Path,
) -> None:
    states = FolderOfStates(tmp_path / "x.paused")
    states.remove_others({})
    assert (states.has(1, 2), states.size()) == (False, 0)
    for number in (1, 2, 3):
        leave_state(states, number, 4)
        states.keep(number, 4, b"model" if number < 3 else None)
    assert [states.has(number, 4) for number in (1, 2, 3, 4)] == [True] * 3 + [False]
    assert [states.model(number, 4) for number in (1, 2, 3)] == [b"model", b"model", None]
    assert states.size() == 5 * 5
    (tmp_path / "x.paused" / ".half-written").touch()
    states.remove_others({2: 4, 3: 4})
    assert sorted(path.name for path in (tmp_path / "x.paused").iterdir()) == [
        "2.4.keras", "2.4.npz", "3.4.npz"
    ]  # fmt: skip
    states.remove(2)
    assert states.has(3, 4)
    states.remove(3)
    assert list(tmp_path.iterdir()) == []
    states.remove(3)


def test_what_is_kept_is_counted_whoever_has_kept_it(tmp_path: Path) -> None:
    states = FolderOfStates(tmp_path / "x.paused")
    for number in (1, 2):
        leave_state(states, number, 2)
        states.keep(number, 2, b"model" * number)
    assert states.size() == 2 * 5 + 3 * 5
    leave_state(states, 2, 6)
    assert states.size() == 2 * 5 + 3 * 5, "it is trained, not kept"
    later = FolderOfStates(tmp_path / "x.paused")
    later.remove_others({1: 2, 2: 2})
    assert later.size() == 2 * 5 + 3 * 5
    later.keep(2, 2, None)
    later.remove(1)
    assert later.size() == 3 * 5


def test_what_others_have_left_is_removed_too(tmp_path: Path) -> None:
    before = FolderOfStates(tmp_path / "x.paused")
    for number, epoch in ((1, 2), (1, 6), (2, 2)):
        leave_state(before, number, epoch)
    (tmp_path / "x.paused" / ".1.18.npz.abc").touch()
    states = FolderOfStates(tmp_path / "x.paused")
    leave_state(states, 1, 18)
    states.remove(1, but=18)
    assert sorted(path.name for path in (tmp_path / "x.paused").iterdir()) == [
        ".1.18.npz.abc", "1.18.npz", "2.2.npz"
    ]  # fmt: skip


@pytest.mark.parametrize("number", [0, 7])
def test_nowhere_there_is_none(number: int) -> None:
    states = Nowhere()
    states.keep(number, 2, b"model")
    assert states.folder_of(number, (2,)) == ""
    assert (states.has(number, 2), states.model(number, 2)) == (False, None)


def test_a_trial_is_paused_from_the_note_on_until_it_ends(tmp_path: Path) -> None:
    states = FolderOfStates(tmp_path / "x.paused")
    study = optuna.create_study()
    trial = study.ask()
    found = []
    for epoch in (None, 2, 3):
        leave_state(states, 0, epoch or 1)
        if epoch is not None:
            paused.note(trial, epoch)
        found.append(paused.paused_after(study.trials[0], states))
    assert found == [0, 2, 3]
    study.tell(trial, 1.0)
    assert paused.paused_after(study.trials[0], states) == 0


def test_a_trial_is_paused_only_where_the_state_of_that_epoch_is_there(tmp_path: Path) -> None:
    states = FolderOfStates(tmp_path / "x.paused")
    study = optuna.create_study()
    paused.note(study.ask(), 2)
    leave_state(states, 0, 4)  # of the epoch to which it went on
    assert paused.paused_after(study.trials[0], states) == 0
    leave_state(states, 0, 2)
    assert paused.paused_after(study.trials[0], states) == 2
    optuna_internals.writable(study, study.trials[0]).set_user_attr(study_store.INTERRUPTED, True)
    assert paused.paused_after(study.trials[0], states) == 0, (
        "it is run again under another number"
    )


def test_a_trial_that_goes_on_keeps_the_state_it_came_from_until_the_next_is_noted(
    tmp_path: Path,
) -> None:
    states = FolderOfStates(tmp_path / "x.paused")
    for number in (1, 11):
        for epoch in (2, 4):
            leave_state(states, number, epoch)
            states.keep(number, epoch, f"{epoch}".encode())
    states.remove(1, but=4)
    assert [states.has(1, 2), states.has(1, 4)] == [False, True]
    assert [states.model(1, 2), states.model(1, 4)] == [None, b"4"]
    states.remove_others({1: 4, 11: 2})
    assert [states.model(11, 2), states.model(11, 4)] == [b"2", None]
    assert [states.has(1, 4), states.has(11, 2), states.has(11, 4)] == [True, True, False]
