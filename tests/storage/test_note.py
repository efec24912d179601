"""The note of a study, held against what Optuna's dashboard reads and writes."""

from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna_dashboard import get_note, save_note

from pipeline.errors import PipelineError
from pipeline.storage import note

TEXTS = ["", "A goal.", "ü" * note.MOST, "Two pieces. " * 300, "Many. " * 5000]


class Killed(BaseException):
    """Ends a process in the middle of anything."""


class Storage(InMemoryStorage):
    """Counts writes of a study's attributes, and raises in the place of one of them."""

    def __init__(self, at: int = 0, error: BaseException | None = None) -> None:
        super().__init__()
        self.n_writes, self.at, self.error = 0, at, error

    def _count(self) -> None:
        self.n_writes += 1
        if self.error and self.n_writes == self.at:
            raise self.error

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._count()
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._count()
        super().set_study_system_attr(study_id, key, value)


def study_in(storage: InMemoryStorage) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name="noted")


@pytest.mark.parametrize("text", TEXTS)
def test_the_dashboard_reads_what_is_written(text: str) -> None:
    study = study_in(Storage())
    note.begin(study, text)
    assert get_note(study) == text


@pytest.mark.parametrize("before", TEXTS)
@pytest.mark.parametrize("after", TEXTS)
def test_a_note_takes_the_place_of_an_earlier_one(before: str, after: str) -> None:
    study = study_in(Storage())
    note.begin(study, before)
    note.replace(study, after)
    assert get_note(study) == after


def test_a_note_that_is_there_is_not_begun_anew() -> None:
    study = study_in(Storage())
    note.begin(study, "goal")
    note.replace(study, "story")
    note.begin(study, "goal")
    assert get_note(study) == "story"


def test_the_same_text_is_not_written_twice() -> None:
    storage = Storage()
    study = study_in(storage)
    note.replace(study, TEXTS[-1])
    n_writes = storage.n_writes
    note.replace(study, TEXTS[-1])
    assert storage.n_writes == n_writes


@pytest.mark.parametrize("text", ["", "A user's own words.", "Long ones. " * 1000])
@pytest.mark.parametrize("is_edited", [False, True])
def test_a_note_of_a_user_stays(text: str, is_edited: bool) -> None:
    study = study_in(Storage())
    if is_edited:
        note.begin(study, "goal")
    save_note(study, text)
    note.begin(study, "goal")
    note.replace(study, "story")
    assert get_note(study) == text


@pytest.mark.parametrize("is_edited", [False, True])
@pytest.mark.parametrize("at", range(1, 7))
def test_who_is_killed_meanwhile_leaves_a_note_that_is_no_users(at: int, is_edited: bool) -> None:
    storage = Storage()
    study = study_in(storage)
    note.begin(study, "goal")
    storage.n_writes, storage.at, storage.error = 0, at, Killed()

    def write_both() -> None:
        note.replace(study, TEXTS[3])  # a mark, two pieces and a version
        note.replace(study, TEXTS[1])

    with pytest.raises(Killed):
        write_both()
    storage.error = None
    if is_edited:  # at once
        save_note(study, "a user's")
    note.replace(study, "story")
    assert get_note(study) == ("a user's" if is_edited else "story")


def test_a_note_that_cannot_be_written_does_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    study = study_in(Storage(2, RuntimeError("disk full")))
    note.begin(study, "goal")
    said = "the study's note in Optuna's dashboard is not written: disk full\n"
    assert capsys.readouterr().err == said


def test_who_has_lost_the_study_hears_of_it() -> None:
    study = study_in(Storage(2, PipelineError("taken over")))
    with pytest.raises(PipelineError, match="taken over"):
        note.begin(study, "goal")
