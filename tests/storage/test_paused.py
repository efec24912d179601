"""Where the states of paused trials lie."""

from pathlib import Path

import optuna
import pytest

from pipeline.storage import paused
from pipeline.storage.paused import FolderOfStates, Nowhere


def test_states_are_there_until_they_are_removed_and_the_folder_goes_with_the_last(
    tmp_path: Path,
) -> None:
    states = FolderOfStates(tmp_path / "x.paused")
    states.remove_others([])
    assert (states.has(1), states.size()) == (False, 0)
    for number in (1, 2, 3):
        Path(states.file(number)).write_bytes(b"state")
        states.keep_model(number, b"model" if number < 3 else None)
    assert [states.has(number) for number in (1, 2, 3, 4)] == [True] * 3 + [False]
    assert [states.model(number) for number in (1, 2, 3)] == [b"model", b"model", None]
    assert states.size() == 5 * 5
    (tmp_path / "x.paused" / ".half-written").touch()
    states.remove_others([2, 3])
    assert sorted(path.name for path in (tmp_path / "x.paused").iterdir()) == [
        "2.keras", "2.npz", "3.npz"
    ]  # fmt: skip
    states.remove(2)
    assert states.has(3)
    states.remove(3)
    assert list(tmp_path.iterdir()) == []
    states.remove(3)


def test_a_state_that_a_worker_is_just_writing_is_counted_when_it_is_there(tmp_path: Path) -> None:
    states = FolderOfStates(tmp_path / "x.paused")
    Path(states.file(1)).write_bytes(b"state")
    for vanished in (".2.npz.abc", "2.npz"):  # listed, and then gone: renamed by its worker
        (tmp_path / "x.paused" / vanished).symlink_to(tmp_path / "nowhere")
    assert states.size() == 5


@pytest.mark.parametrize("number", [0, 7])
def test_nowhere_there_is_none(number: int) -> None:
    states = Nowhere()
    states.keep_model(number, b"model")
    assert (states.file(number), states.has(number), states.model(number)) == ("", False, None)


def test_a_trial_is_paused_from_the_note_on_until_it_goes_on_or_ends() -> None:
    study = optuna.create_study()
    trial = study.ask()
    found = []
    for epoch in (None, 3, 0, 2):
        if epoch is not None:
            paused.note(trial, epoch)
        found.append(paused.is_paused(study.get_trials(deepcopy=False)[0]))
    assert found == [False, True, False, True]
    study.tell(trial, 1.0)
    assert not paused.is_paused(study.get_trials(deepcopy=False)[0])
