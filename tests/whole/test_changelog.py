"""The version is the same wherever it stands, and what runs before a commit is what lint runs."""

import re
import tomllib
from pathlib import Path

import pipeline

REPOSITORY = Path(__file__).parents[2]
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text()


def test_package_project_and_changelog_name_one_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    newest = re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)[0]
    assert pipeline.__version__ == project["version"] == newest


def test_entries_are_dated_the_newest_first() -> None:
    entries = re.findall(
        r"^## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE
    )
    assert len(entries) == CHANGELOG.count("\n## ")
    versions = [tuple(map(int, numbers)) for *numbers, _ in entries]
    assert versions == sorted(versions, reverse=True)
    days = [day for *_, day in entries]
    assert days == sorted(days, reverse=True)


def test_hooks_run_what_lint_runs() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    linted = re.findall(r"\$\(VENV_PYTHON\) (.*)", recipe)
    hooks = (REPOSITORY / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"entry: \.venv/bin/python (.*)", hooks) == linted
    assert "repo: local" in hooks
    assert "http" not in hooks
