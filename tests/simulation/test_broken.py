"""The simulator notices what is broken: patches that leave a write out, or swap two of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = sorted((Path(__file__).parent / "broken").glob("*.patch"))
MINUTES = 5.0  # on a busy machine; within one each is found on another, by the same schedules
# Of these patches hardly any schedule shows that they are wrong, but for those with such faults.
SHOWN_BY = {
    "kept_not_settled": "OUTAGE FLAKY LATE",
    "outbox_not_synced": "OUTAGE POWER POWER_AFTER",
    "retry_counted_twice": "DIES HANGS",
}
SEARCH = """
import sys
from simulation import schedule
from simulation.__main__ import main
from simulation.faults import What

*sys.argv, shown_by = sys.argv
if shown_by:  # most schedules have faults of these kinds alone
    schedule.GROUPS = ([What[name] for name in shown_by.split()],) * 20
sys.exit(main())
"""


def test_there_are_enough() -> None:
    assert len(PATCHES) >= 15


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_it_is_found(patch: Path, tmp_path: Path) -> None:
    for name in ("pipeline", "simulation"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    applied = subprocess.run(["git", "apply", str(patch)], cwd=tmp_path, check=False)
    assert applied.returncode == 0, f"{patch.name} is of another text: make it anew"
    options = ("--terse", "--first=2000", f"--minutes={MINUTES}")
    found = subprocess.run(
        [sys.executable, "-c", SEARCH, *options, SHOWN_BY.get(patch.stem, "")],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1, found.stdout + found.stderr
    assert "goes wrong" in found.stdout
