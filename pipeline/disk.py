"""What a process asks of a disk, a system call each: what is written whole is made of these."""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

# What a folder cannot: of some disks be synced, and of some users be read.
_NOT_OF_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)


class IsHeld(Exception):
    """Another process holds a lock."""


class Disk(Protocol):
    """Files and folders; each method raises OSError as the system does.

    A kill leaves what was written before it; a power failure only what was synced, if that.
    """

    def read(self, file: Path) -> bytes:
        """Reads a file; FileNotFoundError if there is none."""

    def write(self, file: Path, content: bytes) -> None:
        """Makes a file anew; its folder is there."""

    def append(self, file: Path, content: bytes) -> None:
        """Adds to the end of a file, which is made if there is none."""

    def sync(self, path: Path) -> None:
        """Waits until a file's content, or a folder's names, survive a power failure."""

    def truncate(self, file: Path, size: int) -> None:
        """Cuts a file to so many bytes."""

    def rename(self, old: Path, new: Path) -> None:
        """Renames a file, in one step; what was at the new place is gone."""

    def unlink(self, file: Path) -> None:
        """Removes a file; FileNotFoundError if there is none."""

    def size(self, file: Path) -> int:
        """Counts the bytes of a file; FileNotFoundError if there is none."""

    def is_file(self, path: Path) -> bool:
        """Tells whether there is such a file."""

    def is_folder(self, path: Path) -> bool:
        """Tells whether there is such a folder."""

    def list(self, folder: Path) -> list[Path]:
        """Lists what is in a folder, by name; OSError if it cannot be looked into."""

    def make_folder(self, folder: Path, *, parents: bool = True) -> None:
        """Makes a folder unless it is there; and those that it is in, or else they must be."""

    def make_scratch(self, folder: Path, prefix: str, suffix: str) -> Path:
        """Makes a folder in another, under a name that nothing has."""

    def remove_folder(self, folder: Path) -> None:
        """Removes a folder in which nothing is."""

    def remove_tree(self, folder: Path) -> None:
        """Removes a folder with all that is in it, as far as that can be done; raises nothing."""

    def lock(self, path: Path, *, wait: bool) -> Callable[[], None]:
        """Locks a file or folder, until what is returned is called or this process ends.

        Raises:
            BlockingIOError: another process holds it, and nobody wants to wait.
            OSError: it cannot be opened or locked.
        """

    def hold(self, file: Path) -> AbstractContextManager[None]:
        """Holds the lock of a name for a `with`, or until this process ends.

        Raises:
            IsHeld: another process does.
            OSError: the lock cannot be written.
        """

    def temporary_folder(self) -> AbstractContextManager[Path]:
        """Makes a folder for a `with`, where the system has its temporary files."""


class SystemDisk:
    """The system's own."""

    def read(self, file: Path) -> bytes:
        """Reads a file."""
        return file.read_bytes()

    def write(self, file: Path, content: bytes) -> None:
        """Makes a file anew."""
        file.write_bytes(content)

    def append(self, file: Path, content: bytes) -> None:
        """Adds to the end of a file."""
        with file.open("ab") as opened:
            opened.write(content)

    def sync(self, path: Path) -> None:
        """Waits for the disk; of a folder as far as its disk knows how."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in _NOT_OF_FOLDERS or not path.is_dir():
                raise

    def truncate(self, file: Path, size: int) -> None:
        """Cuts a file."""
        os.truncate(file, size)

    def rename(self, old: Path, new: Path) -> None:
        """Renames a file."""
        old.replace(new)

    def unlink(self, file: Path) -> None:
        """Removes a file."""
        file.unlink()

    def size(self, file: Path) -> int:
        """Counts the bytes of a file."""
        return file.stat().st_size

    def is_file(self, path: Path) -> bool:
        """Tells whether there is such a file."""
        return path.is_file()

    def is_folder(self, path: Path) -> bool:
        """Tells whether there is such a folder."""
        return path.is_dir()

    def list(self, folder: Path) -> list[Path]:
        """Lists what is in a folder."""
        return sorted(folder.iterdir())

    def make_folder(self, folder: Path, *, parents: bool = True) -> None:
        """Makes a folder."""
        folder.mkdir(parents=parents, exist_ok=True)

    def make_scratch(self, folder: Path, prefix: str, suffix: str) -> Path:
        """Makes a folder under a new name."""
        return Path(tempfile.mkdtemp(dir=folder, prefix=prefix, suffix=suffix))

    def remove_folder(self, folder: Path) -> None:
        """Removes an empty folder."""
        folder.rmdir()

    def remove_tree(self, folder: Path) -> None:
        """Removes a folder with all that is in it."""
        shutil.rmtree(folder, ignore_errors=True)

    def lock(self, path: Path, *, wait: bool) -> Callable[[], None]:
        """Opens and locks a file or folder; no link, and a pipe would block."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BaseException:
            os.close(descriptor)
            raise
        return lambda: os.close(descriptor)

    @contextlib.contextmanager
    def hold(self, file: Path) -> Iterator[None]:
        """Holds a lock, whose file stays."""
        from filelock import FileLock, Timeout

        held = FileLock(file)
        try:
            held.acquire(timeout=0)
        except Timeout:
            raise IsHeld(str(file)) from None
        try:
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """Makes a folder for a `with`."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


SYSTEM_DISK = SystemDisk()
