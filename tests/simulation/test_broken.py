"""The simulator notices what is broken: patches that leave a write out, or swap two of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((Path(__file__).parent / "broken").glob("*.patch"))
MINUTES = 1.0  # within which each is to be found; by the same schedules in each run


def test_there_are_enough() -> None:
    assert len(PATCHES) >= 15


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_it_is_found_within_a_minute(patch: Path, tmp_path: Path) -> None:
    for name in ("pipeline", "simulation"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    applied = subprocess.run(["git", "apply", str(patch)], cwd=tmp_path, check=False)
    assert applied.returncode == 0, f"{patch.name} is of another text: make it anew"
    found = subprocess.run(
        [sys.executable, "-m", "simulation", "--terse", "--first=2000", f"--minutes={MINUTES}"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1, found.stdout + found.stderr
    assert "goes wrong" in found.stdout
