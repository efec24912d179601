"""The test set is sealed by what happens on the disk: who opens its files, in whichever process.

Every Python process of a command, workers and their server too, notes each file that it opens
(`sys.addaudithook`). Meanwhile the files of the test set hold garbage: who reads them past Python
would not get far either.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import empty_mlflow
import numpy as np
import optuna
import pytest
from sqlalchemy.pool import NullPool

from pipeline.data import datasets

REPOSITORY = Path(__file__).parents[2]
# Runs at the start of every Python process that finds it on its path.
SPY = """
import os, sys

_log, _wanted = os.environ["SPY_LOG"], os.environ["SPY_FOR"].split(":")


def _note(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    mode = arguments[1] or ""
    reads = not any(sign in mode for sign in "wax") and not arguments[2] & os.O_CREAT
    if reads and any(part in path for part in _wanted):
        file = os.open(_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{os.getpid()} {path}\\n".encode())
        os.close(file)


sys.addaudithook(_note)
"""
STUDY = """
goal = "See who opens what."
{data}

[budget]
trials = 4

[finals]
share = 0.5

[sampler]
type = "RandomSampler"
seed = 1

[pruner]
type = "NopPruner"

[fixed]
hidden_layers = 1
units = 8
optimizer = "adam"
batch_size = 256
epochs = 1

[space]
learning_rate = {{ type = "float", low = 1e-3, high = 1e-2, log = true }}
"""
N_ROWS, FIRST_TEST_ROW = 400, 320


def canary(row: int) -> float:
    """A number that only one test row has; exact as float32, so it is found wherever it went."""
    return 70_000 + 17 * row + 0.3125


class Watched:
    """A project whose commands are watched.

    Args:
        folder: of the project; it is made.
        data: folder of the cache of data.
        database: of MLflow, an empty one.
        wanted: parts of paths; who opens a file with one of them is noted.
    """

    def __init__(self, folder: Path, data: Path, database: Path, *wanted: str) -> None:
        self.folder, self.log = folder, folder.parent / "opened"
        (folder / "studies").mkdir(parents=True)
        empty_mlflow.copy_into(folder, database)
        spy = folder.parent / "spy"
        spy.mkdir()
        (spy / "sitecustomize.py").write_text(SPY)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PIPELINE_"))}
        self.environment = {
            **kept,
            "PYTHONPATH": f"{spy}{os.pathsep}{REPOSITORY}",
            "PIPELINE_DATA_DIR": str(data),
            "SPY_LOG": str(self.log),
            "SPY_FOR": ":".join(wanted),
        }

    def run(self, *arguments: str, expect: Sequence[int] = (0,)) -> str:
        """Runs a command, and returns what it said."""
        ended = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert ended.returncode in expect, ended.stdout
        return ended.stdout

    def all_but_an_export(self, study: str) -> None:
        """Runs each command that there is, but for an export."""
        self.run("pipeline.search", study, "--dry-run")
        self.run("pipeline.search", study)
        self.run("pipeline.report", study)
        self.run("pipeline.best", study, "--json")
        self.run("pipeline.best", study, "--ensemble")
        self.run("pipeline.doctor", study)

    def opened(self, part: str) -> list[tuple[int, str]]:
        """Lists who, by process, opened which file, if its path has that part."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = [line.split(" ", 1) for line in lines]
        return [(int(process), path) for process, path in found if part in path]

    def looks(self, study: str) -> list[dict[str, Any]]:
        """Lists the looks that are recorded."""
        store = optuna.storages.RDBStorage(
            f"sqlite:///{self.folder / 'mlruns' / 'optuna.db'}",
            engine_kwargs={"poolclass": NullPool},
        )
        loaded = optuna.load_study(study_name=study, storage=store)
        looks: list[dict[str, Any]] = loaded.user_attrs.get("test_looks", [])
        return looks


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Watched:
    """A study of Fashion-MNIST on which every command was run while the test set was garbage."""
    base, real = tmp_path_factory.mktemp("images"), datasets.fetch("fashion_mnist")
    folder = base / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    for file in real.iterdir():
        if file.name.startswith("train"):
            shutil.copyfile(file, folder / file.name)
        elif file.name.startswith("t10k"):
            (folder / file.name).write_bytes(b"\x2a" * file.stat().st_size)
    watched = Watched(base / "project", base / "data", empty_database, "t10k", "train-images")
    (watched.folder / "studies" / "seen.toml").write_text(
        STUDY.format(data='dataset = "fashion_mnist"')
    )
    watched.all_but_an_export("seen")
    watched.run("pipeline.data", "fashion_mnist")
    return watched


def test_the_spy_sees_workers_too(images: Watched) -> None:
    """Else what stands below would show nothing."""
    assert len({process for process, _ in images.opened("train-images")}) >= 4


def test_no_process_of_any_command_opens_a_file_of_the_test_set(images: Watched) -> None:
    assert images.opened("t10k") == []
    assert images.looks("seen") == []


def test_an_export_opens_them_once_for_each_model(images: Watched, tmp_path: Path) -> None:
    """Here for the champion with two seeds, in one process; a second export for none.

    Trying other formats asks them about the inputs once more, and is no look.
    """
    folder, real = images.folder.parent / "data" / "fashion_mnist", datasets.fetch("fashion_mnist")
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        shutil.copyfile(real / name, folder / name)
    images.log.unlink()
    images.run("pipeline.best", "seen", "--export", "--only-keras")
    found = images.opened("t10k-images")
    assert len({process for process, _ in found}) == 1
    assert len(images.looks("seen")) == 2
    assert len(found) == 2 * 2  # verified, and read
    assert {each["command"] for each in images.looks("seen")} == {"best --export --only-keras"}
    images.log.unlink()
    images.run("pipeline.best", "seen", "--export", "--only-keras", "--force")
    images.run("pipeline.report", "seen")
    assert images.opened("t10k") == []
    assert len(images.looks("seen")) == 2
    report = (images.folder / "studies" / "seen" / "report.md").read_text()
    assert report.count("best --export") == 2


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Watched:
    """A study of a table; the last rows by day are the test set, and hold what no others do.

    A file is read whole before it is split. From there on, who opens the numbers of the test rows
    is noted, and garbage stands in their place.
    """
    base = tmp_path_factory.mktemp("table")
    random, lines = np.random.default_rng(0), ["day,size,town,price"]
    for i in range(N_ROWS):
        size = random.normal(50, 10)
        row = (f"{size:.2f}", "abc"[i % 3], f"{3 * size + random.normal():.2f}")
        if i >= FIRST_TEST_ROW:
            row = (str(canary(i)), "canary", str(canary(i) + 1))
        lines.append(",".join([str(i), *row]))
    wanted = ("rows.npy", "train_inputs.npy")
    watched = Watched(base / "project", base / "data", empty_database, *wanted)
    (watched.folder / "houses.csv").write_text("\n".join(lines) + "\n")
    by_day = ("--target", "price", "--set", "time=day")
    watched.run("pipeline.new", "fresh", "--data", "houses.csv", *by_day)
    data = 'dataset = "../houses.csv"\ntarget = "price"\n\n[data]\ntime = "day"'
    (watched.folder / "studies" / "seen.toml").write_text(STUDY.format(data=data))
    watched.run("pipeline.search", "seen", "--dry-run")
    for rows in rows_of_tests(watched):
        kept = base / f"{rows.parent.name}.npy"
        shutil.copyfile(rows, kept)
        rows.write_bytes(b"\x2a" * kept.stat().st_size)
    watched.all_but_an_export("seen")
    return watched


def rows_of_tests(watched: Watched) -> list[Path]:
    """The files with the numbers of test rows: one of each entry of the cache."""
    found = sorted((watched.folder.parent / "data" / "own").glob("*/rows.npy"))
    assert found
    return found


def test_no_process_opens_the_numbers_of_the_test_rows(table: Watched) -> None:
    assert len({process for process, _ in table.opened("train_inputs.npy")}) >= 3
    paths = {str(path) for path in rows_of_tests(table)}
    assert [path for _, path in table.opened("rows.npy") if path in paths] == []
    assert [path for _, path in table.opened("rows.npy") if path.endswith("/0/rows.npy")]


def written(watched: Watched) -> list[Path]:
    """All files that commands have written, in the project and in the cache."""
    base = watched.folder.parent
    return [
        path
        for folder in (watched.folder, base / "data")
        for path in folder.rglob("*")
        if path.is_file() and path.name != "houses.csv"
    ]


def signs() -> list[bytes]:
    """What values of test rows look like, as text and as numbers in memory."""
    numbers = [canary(i) + j for i in range(FIRST_TEST_ROW, N_ROWS) for j in (0, 1)]
    in_memory = [np.array(x, kind).tobytes() for x in numbers for kind in ("<f4", "<f8")]
    return [b"canary", *(str(x).encode() for x in numbers), *in_memory]


def test_nothing_that_is_written_has_a_value_of_a_test_row(table: Watched) -> None:
    files = written(table)
    assert {"optuna.db", "mlflow.db", "report.md", "train_inputs.npy"} <= {x.name for x in files}
    wanted = re.compile(b"|".join(map(re.escape, signs())))
    assert [path for path in files if wanted.search(path.read_bytes())] == []


def test_an_export_opens_the_test_rows_once_for_each_model(table: Watched) -> None:
    for rows in rows_of_tests(table):
        shutil.copyfile(table.folder.parent / f"{rows.parent.name}.npy", rows)
    paths = {str(path) for path in rows_of_tests(table)}
    table.log.unlink()
    table.run("pipeline.best", "seen", "--export")
    found = [process for process, path in table.opened("rows.npy") if path in paths]
    assert (len(found), len(set(found))) == (2 + 1, 1), "two looks, and the inputs for its formats"
    assert len(table.looks("seen")) == 2
    worst = (table.folder / "exports" / "seen" / "mistakes.csv").read_text()
    assert worst.count("canary") == 25
    details = json.loads((table.folder / "exports" / "seen" / "metrics.json").read_text())
    assert details["test_details"]["residuals"]["mean"] is not None
