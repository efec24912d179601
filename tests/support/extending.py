"""Puts the worked examples of docs/extending.md into a copy of the package."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "extending.md").read_text()
SECTIONS = {
    part.split(":")[0].strip(): part
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)
    if "```python" in part
}
_HEAD = re.compile(r"# (\S+), (?:(new)|(before|after): (.*))")


def files_of(section: str) -> set[str]:
    return set(re.findall(r"^# (\S+\.py), ", SECTIONS[section], re.MULTILINE))


def apply(section: str, folder: Path) -> None:
    """Puts the blocks of a section into the copy of the package in a folder."""
    for block in re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL):
        head, _, code = block.partition("\n")
        found = _HEAD.fullmatch(head)
        assert found, head
        file = folder / found[1]
        if found[2]:
            assert not file.exists()
            file.write_text(code)
            continue
        lines = file.read_text().splitlines(keepends=True)
        (place,) = (i for i, line in enumerate(lines) if line.strip() == found[4])
        at = place + (found[3] == "after")
        file.write_text("".join([*lines[:at], code, *lines[at:]]))


def copy_package(folder: Path) -> Path:
    """Copies the package into a folder, and returns the folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=ignored)
    return folder
