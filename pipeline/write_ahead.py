"""Files of SQLite with a log (https://sqlite.org/wal.html), for who writes a lot.

Few transactions wait for the disk, then. A killed process loses nothing by that, as what it wrote
is the system's. A power failure takes back what came after the last `wait_for_disk`, or less; what
came before stays.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from pipeline import files

_BESIDE = ("-wal", "-journal")  # a "-shm" is made anew


def create_whole(file: Path, make: Callable[[Path], None]) -> None:
    """Makes a database whole or not at all, as `files.create_whole`; without an older one's log.

    SQLite would play that back into the new one, if a kill has left it and the older one is gone.

    Args:
        file: is not touched if it is there.
        make: makes it, under the name that it is given.
    """

    def make_alone(scratch: Path) -> None:
        for suffix in _BESIDE:
            if (left := Path(f"{file}{suffix}")).exists():
                left.unlink()
        make(scratch)

    files.create_whole(file, make_alone)


class Log:
    """The log of a file; where the file system cannot have one, every write waits for the disk.

    Args:
        engine: whose connections write it from now on.
        file: that the engine connects to.
    """

    def __init__(self, engine: sql.Engine, file: Path) -> None:
        self._engine, self._file = engine, file
        self._log = Path(f"{file}-wal")
        engine.dispose()  # of connections that were opened without, and of their pool
        sql.event.listen(engine, "connect", _set_up)

    def wait_for_disk(self) -> None:
        """Waits until a power failure takes nothing back of what was written."""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            os.fsync(log.fileno())

    def close(self) -> None:
        """Makes one file of it and its log, as others know it, unless others have it open."""
        sql.event.remove(self._engine, "connect", _set_up)
        self._engine.dispose()
        if self._file.exists():  # else SQLite would make it
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(self._file, timeout=0)) as database,
            ):
                database.execute("PRAGMA journal_mode=DELETE")


def _set_up(connection: Any, _: Any) -> None:
    with contextlib.suppress(sqlite3.OperationalError):  # it is busy: let it wait, then
        connection.execute("PRAGMA journal_mode=WAL")
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous=NORMAL")  # without a log not safe
