"""Studies in Optuna's store that somebody made with Optuna alone, or has broken."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import recorded
from scripted import make_spec

from pipeline import best
from pipeline.doctor import __main__ as doctor_command
from pipeline.errors import UsageError, run_command
from pipeline.paths import Project
from pipeline.report import __main__ as report_command
from pipeline.storage import studies, study_store

NAME = "scripted"  # as that of `make_spec`


def plain(url: str) -> None:
    study = optuna.create_study(study_name=NAME, storage=url, direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)


def with_attributes(url: str) -> None:
    study = optuna.create_study(study_name=NAME, storage=url, direction="maximize")
    study.set_user_attr("owner", "a colleague")


def of_two_objectives(url: str) -> None:
    optuna.create_study(study_name=NAME, storage=url, directions=["maximize", "minimize"])


def of_the_other_direction(url: str) -> None:
    optuna.create_study(study_name=NAME, storage=url, direction="minimize")


FOREIGN = [plain, with_attributes, of_two_objectives, of_the_other_direction]
COMMANDS = [best.main, report_command.main, doctor_command.main]


@pytest.fixture
def project(project_folder: Path) -> Project:
    project = Project(project_folder)
    project.runs_dir.mkdir(parents=True, exist_ok=True)
    return project


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def command(main: Callable[[], int], *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        code = run_command(main)
        return code, *capsys.readouterr()

    return command


def content(project: Project) -> str:
    """All that Optuna has of the study."""
    study = optuna.load_study(study_name=NAME, storage=project.optuna_url)
    return repr((study.user_attrs, study.directions, study.get_trials()))


@pytest.mark.parametrize("make", FOREIGN)
def test_the_doctor_leaves_it_alone_and_says_so(
    make: Callable[[str], None], project: Project, run: Any
) -> None:
    make(project.optuna_url)
    before = content(project)
    for options in ([], ["--fix"]):
        code, said, complaints = run(doctor_command.main, *options)
        assert (code, complaints) == (0, "")
        assert said == (
            f"{project.optuna_url}: the study 'scripted' was not made by this program, which "
            "leaves it alone\n"
        )
    assert content(project) == before


def test_the_doctor_goes_on_to_ours(recorded_study: Project, run: Any) -> None:
    """Whose runs are not in MLflow, of which it speaks."""
    plain(recorded_study.optuna_url)
    code, said, _ = run(doctor_command.main)
    assert code == 1
    assert "the study 'scripted' was not made by this program" in said
    assert "study recorded: " in said


@pytest.mark.parametrize("main", COMMANDS, ids=lambda main: main.__module__)
@pytest.mark.parametrize("make", FOREIGN)
def test_a_command_that_names_it_says_so(
    make: Callable[[str], None], main: Callable[[], int], project: Project, run: Any
) -> None:
    make(project.optuna_url)
    code, said, complaints = run(main, NAME)
    assert (code, said) == (1, "")
    (line,) = complaints.splitlines()
    assert line.startswith("error: ")
    assert "the study 'scripted' was not made by this program" in line


@pytest.mark.parametrize("make", FOREIGN)
def test_a_search_of_its_name_is_refused(make: Callable[[str], None], project: Project) -> None:
    make(project.optuna_url)
    before = content(project)
    with pytest.raises(UsageError, match=r"was not made by this program.*another name"):
        studies.open_study(project, make_spec())
    assert content(project) == before


def test_one_that_was_just_created_is_ours(project: Project) -> None:
    """As a kill leaves it, between its creation and the first that is noted in it."""
    optuna.create_study(study_name=NAME, storage=project.optuna_url, direction="maximize")
    assert studies.open_study(project, make_spec()).user_attrs[study_store.SPEC]


@pytest.mark.parametrize("value", ["{", "", 3, None, json.dumps({"goal": 1}), {"a": 1}], ids=str)
@pytest.mark.parametrize("main", COMMANDS, ids=lambda main: main.__module__)
def test_one_of_ours_that_somebody_broke_is_a_sentence(
    value: Any, main: Callable[[], int], recorded_study: Project, run: Any
) -> None:
    study = optuna.load_study(study_name=recorded.NAME, storage=recorded_study.optuna_url)
    study.set_user_attr(study_store.SPEC, value)
    code, _, complaints = run(main, recorded.NAME)
    assert code == 1
    (line,) = complaints.splitlines()
    assert "what is stored of the study 'recorded' itself is damaged" in line
