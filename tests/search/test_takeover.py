"""When a study is mended before a search goes on; what is mended is the doctor's."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from pipeline.doctor import examine
from pipeline.paths import Project
from pipeline.search import takeover
from pipeline.storage import lease, studies, study_store

NAME = "recorded"
ELSEWHERE = {"host": "node-1", "process": "17", "since": "today", "lock": "/there/recorded.lock"}


class Doctor:
    """Notes what it is asked to examine, and what was noted of the study by then."""

    def __init__(self, study: optuna.Study) -> None:
        self.study, self.asked = study, list[tuple[Any, ...]]()
        self.left: list[Any] = []

    def examine(self, project: Project, name: str, fix: bool) -> list[Any]:
        print("mended")
        self.asked.append((name, fix, self.study.user_attrs.get(study_store.LEFT_ELSEWHERE)))
        if not self.left:
            self.study.set_user_attr(lease.LEASE, None)
        return self.left


@pytest.fixture
def project(recorded_study: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    """Another folder, whose searches use the store of the first."""
    store = recorded_study.runs_dir / "optuna.db"
    monkeypatch.setenv("PIPELINE_STORAGE", f"sqlite:///{store}")
    folder = tmp_path / "another"
    folder.mkdir()
    return Project(folder)


@pytest.fixture
def doctor(project: Project, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    made = Doctor(studies.without_data(project, NAME).study)
    monkeypatch.setattr(examine, "examine", made.examine)
    return made


def test_a_study_that_was_given_back_is_not_looked_at(project: Project, doctor: Doctor) -> None:
    takeover.mend_what_is_left(project, NAME)
    takeover.mend_what_is_left(project, "unknown")
    assert doctor.asked == []


def test_what_was_killed_here_mends_itself(project: Project, doctor: Doctor) -> None:
    own = {"host": project.outside.host.name(), "lock": str(project.supervisor_lock(NAME))}
    doctor.study.set_user_attr(lease.LEASE, {**ELSEWHERE, **own})
    takeover.mend_what_is_left(project, NAME)
    assert doctor.asked == []


def test_a_store_of_one_folder_has_nobody_elsewhere(
    recorded_study: Project, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor.study.set_user_attr(lease.LEASE, ELSEWHERE)
    monkeypatch.delenv("PIPELINE_STORAGE")
    takeover.mend_what_is_left(recorded_study, NAME)
    assert doctor.asked == []


def test_what_was_killed_elsewhere_is_mended_once(
    project: Project, doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor.study.set_user_attr(lease.LEASE, ELSEWHERE)
    for _ in range(2):
        takeover.mend_what_is_left(project, NAME)
    assert doctor.asked == [(NAME, True, "process 17 on node-1 since today")]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "study recorded was left by process 17 on node-1 since today: "
        "looking what is missing ...\nmended\n"
    )


def test_what_could_not_be_mended_is_tried_again(project: Project, doctor: Doctor) -> None:
    doctor.study.set_user_attr(lease.LEASE, ELSEWHERE)
    doctor.left = ["something"]
    takeover.mend_what_is_left(project, NAME)
    doctor.study.set_user_attr(lease.LEASE, None)  # by a search that has taken it
    doctor.left = []
    for _ in range(2):
        takeover.mend_what_is_left(project, NAME)
    assert len(doctor.asked) == 2
