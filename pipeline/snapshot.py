"""SQLite files of somebody else: read where they are, or as a copy, and refused before a write.

SQLite reads a file in a folder that it may not write, but not always: of a file with a log
(https://sqlite.org/wal.html) it wants to make the log anew, and what a kill has left in the middle
of a write it wants to take back. Then nobody else has the file open, and a copy is as good.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.paths import display_path
from pipeline.store_url import StoreUrl

CURE = "do that in a copy of the project that is yours"
_REFUSALS = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_LEFT_BY_A_KILL = ("-wal", "-journal")  # beside a file; a "-shm" is made anew
# Where a file says who may write it: a number that no SQLite knows lets all of them read only.
# https://sqlite.org/fileformat2.html#file_format_version_numbers
_WRITE_VERSION_AT, _NOBODYS = 18, b"\x03"

_copies: dict[tuple[object, ...], tempfile.TemporaryDirectory[str]] = {}  # to the process's end


def is_writable(file: Path) -> bool:
    """Tells whether this user may write a SQLite file, and the log or journal beside it."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def readable(url: StoreUrl) -> StoreUrl:
    """Returns the URL of a store to read: its own, or a copy's where SQLite cannot read its file.

    No write to the copy succeeds, and it is gone with the process.
    """
    file = url.file
    if file is None or not file.is_file() or is_writable(file) or _can_be_read(file):
        return url
    try:
        return StoreUrl.of(_copy(file))
    except OSError:  # not to be read at all, or no room: SQLite's own words are clearer
        return url


def refuse_unless_writable(url: StoreUrl, why: str) -> None:
    """Refuses a store whose file is there and cannot be written, before anything is started.

    Args:
        url: of the store.
        why: who writes it.

    Raises:
        PipelineError: it cannot be written.
    """
    file = url.file
    if file and file.is_file() and not is_writable(file):
        what = file if os.access(file.parent, os.W_OK) else file.parent
        raise PipelineError(f"{display_path(what)} is read-only for this user, and {why}: {CURE}")


def _can_be_read(file: Path) -> bool:
    """Tries to read a file; False where only a right to write is wanting."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=0)) as database:
            database.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:  # of an extended code, the last byte is the code
        return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _REFUSALS
    return True


def _copy(file: Path) -> Path:
    """Copies a file with what a kill has left beside it, and has SQLite make one of it.

    Raises:
        OSError: it cannot be read, or not be copied.
    """
    parts = [file, *(Path(f"{file}{suffix}") for suffix in _LEFT_BY_A_KILL)]
    there = {part: part.stat() for part in parts if part.exists()}
    known = (file, *((each.st_size, each.st_mtime_ns) for each in there.values()))
    if known not in _copies:
        folder = tempfile.TemporaryDirectory(prefix="read-only-")
        for part in there:
            shutil.copyfile(part, Path(folder.name) / part.name)
        copy = Path(folder.name) / file.name
        with (
            contextlib.suppress(sqlite3.Error),  # it is damaged, which its reader will see
            contextlib.closing(sqlite3.connect(copy)) as database,
        ):
            database.execute("PRAGMA journal_mode=DELETE")
        with copy.open("r+b") as header:
            header.seek(_WRITE_VERSION_AT)
            header.write(_NOBODYS)
        _copies[known] = folder
    return Path(_copies[known].name) / file.name
