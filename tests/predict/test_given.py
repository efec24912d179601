"""A study and a file are told apart, and what is neither is refused with what there is."""

from pathlib import Path

import pytest
import recorded

from pipeline.errors import UsageError
from pipeline.paths import DEFAULT_STUDY, Project
from pipeline.predict.given import Place, places_in, split_arguments


@pytest.fixture
def project(recorded_study: Project) -> Project:
    for name in ("a.png", "b.csv", "quick"):
        Path(name).touch()
    (recorded_study.root / "studies" / "quick.toml").touch()
    (recorded_study.root / "studies" / "other.toml").touch()
    return recorded_study


@pytest.mark.parametrize(
    ("arguments", "study", "inputs"),
    [
        ([], DEFAULT_STUDY, []),
        (["a.png"], DEFAULT_STUDY, ["a.png"]),
        (["-"], DEFAULT_STUDY, ["-"]),
        (["other"], "other", []),  # a file alone
        ([recorded.NAME, "a.png", "b.csv"], recorded.NAME, ["a.png", "b.csv"]),
        (["quick"], DEFAULT_STUDY, ["quick"]),  # a file that is there goes before
        (["studies/quick.toml", "quick"], "quick", ["quick"]),
        (["gone.toml", "a.png"], "gone", ["a.png"]),  # of a study in the store alone, say
        (["other", "-", "a.png"], "other", ["-", "a.png"]),
        (["./a.png", "b.csv"], DEFAULT_STUDY, ["./a.png", "b.csv"]),
    ],
)
def test_a_study_is_told_from_inputs(
    arguments: list[str], study: str, inputs: list[str], project: Project
) -> None:
    assert split_arguments(project, arguments) == (study, inputs)


def test_a_study_in_the_store_alone_is_known(project: Project) -> None:
    (project.root / "studies" / f"{recorded.NAME}.toml").unlink()
    assert split_arguments(project, [recorded.NAME, "a.png"]) == (recorded.NAME, ["a.png"])


@pytest.mark.parametrize("first", ["nowhere", "no.png", "x" * 300, "", "a\0b"])
def test_what_is_neither_is_refused_with_the_studies_there_are(
    first: str, project: Project
) -> None:
    with pytest.raises(UsageError) as caught:
        split_arguments(project, [first, "a.png"])
    assert str(caught.value).endswith(
        f": no such file or folder, and no study; the studies here are: other, quick, "
        f"{recorded.NAME}"
    )


def test_an_input_that_is_not_there_is_named(project: Project) -> None:
    with pytest.raises(UsageError, match=r"^no\.png: no such file or folder$"):
        split_arguments(project, [recorded.NAME, "a.png", "no.png"])
    with pytest.raises(UsageError, match=r"^-: found twice"):
        split_arguments(project, [recorded.NAME, "-", "a.png", "-"])


def test_a_place_says_file_and_row() -> None:
    assert [*map(str, (Place("a.png"), *places_in("b.csv", 2)))] == ["a.png", "b.csv:1", "b.csv:2"]
