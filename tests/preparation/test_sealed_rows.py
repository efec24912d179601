"""What is made ready of data does not depend on what the test rows hold, however it is split."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.new.survey import Survey, survey
from pipeline.preparation import cache
from pipeline.preparation.cache import Prepared
from pipeline.task.settings import DataSettings
from pipeline.task.source import DataSpec

N = 300
# What is learned, how it is split, and which columns the split goes by: these stay as they are.
SPLITS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "regression": ("price", {"drop": ("sold",)}, set()),
    "by time": ("price", {"time": "day", "drop": ("sold",)}, {"day"}),
    "by group": ("price", {"group": "who", "drop": ("sold",)}, {"who"}),
    "in folds": ("price", {"folds": 3, "drop": ("sold",)}, set()),
    "with weights": ("price", {"weight": "weight", "drop": ("sold",)}, set()),
    "log target": ("price", {"target_transform": "log", "drop": ("sold",)}, set()),
    "classes": ("sold", {"drop": ("price",)}, {"sold"}),
    "classes with weights": (
        "sold", {"class_weights": "balanced", "drop": ("price",)}, {"sold"},
    ),
    "classes by group": ("sold", {"group": "who", "drop": ("price",)}, {"sold", "who"}),
}  # fmt: skip


def rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    found = []
    for i in range(N):
        size = random.normal(50, 10)
        price = 3 * size + random.normal(0, 5) + 500
        found.append(
            {
                "day": f"{2000 + i // 28 // 12}-{i // 28 % 12 + 1:02}-{i % 28 + 1:02}",
                "size": f"{size:.2f}",
                "rooms": "" if i % 17 == 0 else str(random.integers(1, 6)),
                "town": "abc"[random.integers(3)],
                "who": f"person {random.integers(40)}",
                "weight": f"{random.uniform(0.5, 2):.3f}",
                "price": f"{price:.2f}",
                "sold": "yes" if price > 650 else "no",
            }
        )
    return found


def change(row: dict[str, Any], i: int, kept: set[str]) -> dict[str, Any]:
    """Another row of the same columns: far off, with a town of its own, and more missing."""
    other = {
        "day": f"1970-01-{i % 28 + 1:02}",
        "size": f"{1e6 + 3.5 * i:.2f}",
        "rooms": "" if i % 2 else str(1000 + i),
        "town": f"town {i % 5}",
        "who": f"stranger {i}",
        "weight": f"{50 + i:.3f}",
        "price": f"{2e6 + 7 * i:.2f}",  # which follows from the size
        "sold": row["sold"],
    }
    return {**other, **{name: row[name] for name in kept}}


def made(folder: Path, table: list[dict[str, Any]], split: str) -> tuple[Prepared, Survey]:
    """A table made ready, and what is found out of it for a study file."""
    target, given, _ = SPLITS[split]
    folder.mkdir()
    with (folder / "houses.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*table[0]])
        writer.writeheader()
        writer.writerows(table)
    settings, path = DataSettings(**given), str(folder / "houses.csv")
    return (
        cache.prepare(DataSpec.of(path, target, settings)),
        survey(path, target, settings),
    )


def contents(prepared: Prepared) -> dict[str, bytes]:
    files = prepared.folder.rglob("*.npy")
    return {path.relative_to(prepared.folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATA_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("split", SPLITS)
def test_other_values_in_test_rows_change_nothing(split: str, tmp_path: Path) -> None:
    table = rows()
    one, known = made(tmp_path / "one", table, split)
    test = np.load(one.folder / "rows.npy")
    assert len(test) > 0.1 * N
    for i in test.tolist():
        table[i] = change(table[i], i, SPLITS[split][2])
    other, known_of_other = made(tmp_path / "other", table, split)
    assert contents(other) == contents(one)
    assert other.about.tasks == one.about.tasks
    assert other.about.remarks == one.about.remarks
    assert other.about.warnings == one.about.warnings
    assert known_of_other.is_skewed == known.is_skewed
    assert known_of_other.left_out == known.left_out


def test_other_values_in_training_rows_do_change_it(tmp_path: Path) -> None:
    """Else what stands above would show nothing."""
    table = rows()
    one, _ = made(tmp_path / "one", table, "regression")
    first = int(np.setdiff1d(np.arange(N), np.load(one.folder / "rows.npy"))[0])
    table[first] = change(table[first], first, set())
    other, _ = made(tmp_path / "other", table, "regression")
    assert contents(other) != contents(one)
    assert other.about.tasks != one.about.tasks


def test_a_column_that_gives_the_target_away_in_test_rows_alone_is_not_told(
    tmp_path: Path,
) -> None:
    """Nor one that does so everywhere else, and not there, kept from being told."""
    table = rows()
    one, _ = made(tmp_path / "one", table, "regression")
    test = set(np.load(one.folder / "rows.npy").tolist())
    for i, row in enumerate(table):
        if i not in test:
            row["size"] = row["price"]
    other, found = made(tmp_path / "other", table, "regression")
    (warning,) = [each for each in other.about.warnings if "away" in each]
    assert "column 'size' gives the target away" in warning
    assert warning in found.left_out
