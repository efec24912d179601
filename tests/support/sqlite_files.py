"""A file of SQLite from outside: how it is written, and what waits for the disk."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest


def journal_mode(file: Path) -> str:
    """How a file is written: "wal" with a log, "delete" without."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        return str(database.execute("PRAGMA journal_mode").fetchone()[0])


def noted_syncs(patch: pytest.MonkeyPatch) -> list[str]:
    """Names the files for which this process waits for the disk from now on, one after another."""
    synced: list[str] = []
    sync = os.fsync

    def noted(file: int) -> None:
        synced.append(Path(f"/dev/fd/{file}").resolve().name)
        sync(file)

    patch.setattr(os, "fsync", noted)
    return synced
