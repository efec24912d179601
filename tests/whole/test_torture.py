"""A few kills of a small real search; `make torture` does a hundred, at random moments."""

import random
import shutil
import signal
import sqlite3
from itertools import islice
from pathlib import Path

import pytest
import torture
from torture import Blow, Search

from pipeline.data import datasets

# One of each: a worker, the supervisor, the forkserver, Ctrl-C while that is started again, and
# the supervisor once more as it hands over its champion.
LIVES = (
    [
        Blow("worker", signal.SIGKILL, "trials", 0.3),
        Blow("supervisor", signal.SIGKILL, "trials", 1.5),
    ],
    [
        Blow("forkserver", signal.SIGKILL, "trials", 0.2),
        Blow("all", signal.SIGINT, "trials", 2.0),
    ],
    [Blow("supervisor", signal.SIGTERM, "publishing", 0.5)],
)


def test_nothing_is_lost(tmp_path: Path) -> None:
    datasets.fetch("fashion_mnist")
    assert torture.torture(tmp_path, iter(LIVES), n_kills=5) == 5


def test_the_full_run_kills_everything_in_every_way_at_every_milestone() -> None:
    blows = [blow for life in islice(torture.random_lives(random.Random(1)), 60) for blow in life]
    assert len(blows) > 100
    hit = {(blow.target, blow.signal) for blow in blows}
    deadly = (signal.SIGKILL, signal.SIGTERM)
    assert hit == {
        *((target, each) for target in ("worker", "forkserver") for each in deadly),
        *((target, each) for target in ("supervisor", "all") for each in (*deadly, signal.SIGINT)),
    }
    assert {blow.milestone for blow in blows} == set(torture.MILESTONES)


# The harness would notice


@pytest.fixture
def looked_at(tmp_path: Path, recorded_folder: Path) -> Search:
    """A project with finished trials, as seen after a first life."""
    search = Search(tmp_path / "1")
    shutil.copytree(recorded_folder / "mlruns", search.runs_dir)
    database = sqlite3.connect(search.runs_dir / "optuna.db")
    database.execute("PRAGMA journal_mode=DELETE")  # all in one file
    database.close()
    search._look_at_the_stores()
    assert len(search.known) > 10
    return search


def test_what_is_as_it_was_is_no_loss(looked_at: Search) -> None:
    before = {file.name: file.read_bytes() for file in looked_at.runs_dir.glob("*.db*")}
    looked_at._look_at_the_stores()
    assert {f.name: f.read_bytes() for f in looked_at.runs_dir.glob("*.db*")} == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trials SET state = 'RUNNING' WHERE number = 9",
        "UPDATE trial_values SET value = value + 0.001",
        "UPDATE trial_user_attributes SET value_json = '7' WHERE key = 'seed'",
        "UPDATE trial_user_attributes SET value_json = '{}' WHERE key = 'history'",
        "DELETE FROM trials WHERE number = 9",
    ],
)
def test_a_loss_is_noticed(looked_at: Search, change: str) -> None:
    database = sqlite3.connect(looked_at.runs_dir / "optuna.db")
    with database:
        database.execute(change)
    database.close()
    with pytest.raises(AssertionError, match=r"trial \d+ was"):
        looked_at._look_at_the_stores()


def test_a_damaged_store_is_noticed(looked_at: Search) -> None:
    file = looked_at.runs_dir / "optuna.db"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises((AssertionError, sqlite3.DatabaseError)):
        looked_at._look_at_the_stores()
