"""What the README shows is true: its study file is valid, its commands and links exist."""

import importlib
import re
import shutil
from pathlib import Path

import pytest

from pipeline.paths import Project
from pipeline.study.load import load

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
LINKING = (*DOCUMENTS, "CHANGELOG.md", "docs/contracts.md")
README = (REPOSITORY / "README.md").read_text()


def test_its_study_file_is_valid(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "studies", tmp_path / "studies")
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "studies" / "my_study.toml").write_text(block)
    spec = load(Project(tmp_path), "my_study")
    assert spec.reference[0].repeats == 3
    assert spec.reference[1].name == "dropout 0.3, 20 epochs"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_exists(document: str) -> None:
    text = (REPOSITORY / document).read_text()
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert named
    assert named <= targets


def test_every_module_that_is_run_exists() -> None:
    for name in set(re.findall(r"-m (pipeline\.\w+)", README)):
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):  # a room
            module = importlib.import_module(f"{name}.__main__")
        assert callable(module.main)


@pytest.mark.parametrize("document", LINKING)
def test_every_link_leads_somewhere(document: str) -> None:
    file = REPOSITORY / document
    for target in re.findall(r"\]\(([^)]+)\)", file.read_text()):
        if not target.startswith("https://"):
            assert (file.parent / target).exists(), target


def test_it_leads_to_every_document() -> None:
    for file in sorted((REPOSITORY / "docs").glob("*.md")):
        assert f"(docs/{file.name})" in README


def test_every_step_names_a_reference_of_the_chapter() -> None:
    chapter = load(Project(REPOSITORY), "chapter7")
    names = {reference.name for reference in chapter.reference}
    rows = re.findall(r"^\| (\d+) [^|]*\| (.*) \|$", README, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 16))
    quoted = {name for _, cell in rows for name in re.findall(r"`([^`]+)`", cell)}
    assert names - quoted == {
        "adam, rate 0.0001, 80 epochs",  # abbreviated
        "adagrad, rate 0.03",  # not of the chapter: a tuned rate to compare with
        "rmsprop, rate 0.0003, 20 epochs",
    }


def test_every_environment_variable_is_read() -> None:
    code = "".join(path.read_text() for path in (REPOSITORY / "pipeline").rglob("*.py"))
    for name in re.findall(r"\| `([A-Z_]+)` \|", README):
        assert f'"{name}"' in code
