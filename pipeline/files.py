"""Files that are written whole or not at all, and what a kill leaves of them, which is removed.

What is not whole yet lies in a scratch folder beside its target, and that is locked as long as
the process that made it lives. The system takes the lock from a process that is killed: who can
lock a scratch folder later may remove it, and does when the next thing is written beside it.
"""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.disk import SYSTEM_DISK, Disk

_MARK = ".pipeline-scratch"  # at the end of names that nobody else gives
_OWN = re.compile(rf"\..+\.([a-z0-9_]{{8}}|lock){re.escape(_MARK)}", re.DOTALL)
_MOST_CHARACTERS = 40  # of a target's name in its scratch folder's, which may have 255 bytes


def write_atomically(path: Path, content: bytes | str, disk: Disk = SYSTEM_DISK) -> None:
    """Writes a file whole or not at all: after a crash there is the old file or the new one."""
    data = content.encode() if isinstance(content, str) else content
    with scratch_folder(path, disk) as scratch:
        new = scratch / path.name
        disk.write(new, data)
        disk.sync(new)
        disk.rename(new, path)
        disk.sync(path.parent)  # the name, too


def create_whole(
    file: Path, make: Callable[[Path], None], is_good: Callable[[Path], bool] = Path.exists
) -> None:
    """Makes a file or folder whole or not at all: of many processes at a time, the first makes it.

    Args:
        file: is not touched if it is there.
        make: makes it, under the name that it is given, in any number of steps, with any other
            files beside it.
        is_good: tells whether what is there, if anything, can stay; if not, it is replaced.
    """
    from filelock import FileLock

    remove_leftovers(file.parent)
    if is_good(file):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    held = file.with_name(f".{file.name[:_MOST_CHARACTERS]}.lock{_MARK}")
    with FileLock(held):
        if not is_good(file):  # else another process was faster
            with scratch_folder(file) as scratch:
                make(scratch / file.name)
                if file.exists():
                    file.replace(scratch / f"{file.name}.bad")
                (scratch / file.name).replace(file)
        held.unlink(missing_ok=True)  # nobody needs it any more, now that the file is there


@contextlib.contextmanager
def scratch_folder(target: Path, disk: Disk = SYSTEM_DISK) -> Iterator[Path]:
    """Makes a folder beside a file or folder that is about to be made, and removes it at the end.

    If this process is killed, the next scratch folder beside it has this one removed.
    """
    disk.make_folder(target.parent)
    remove_leftovers(target.parent, disk)
    scratch, unlock = _make_locked(target, disk)
    try:
        yield scratch
    finally:
        disk.remove_tree(scratch)
        unlock()


def remove_leftovers(folder: Path, disk: Disk = SYSTEM_DISK) -> None:
    """Removes from a folder what killed processes have left, as far as this process may."""
    for path in leftovers(folder, disk):
        with contextlib.suppress(OSError), _locked(path, disk):
            disk.remove_tree(path) if disk.is_folder(path) else disk.unlink(path)


def leftovers(folder: Path, disk: Disk = SYSTEM_DISK) -> list[Path]:
    """Lists what killed processes have left in a folder: what no living one holds."""
    try:
        return [path for path in disk.list(folder) if _is_left(path, disk)]
    except OSError:  # there is no such folder, or nobody may look into it
        return []


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Puts this process's temporary files, those of libraries too, into a folder."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _make_locked(target: Path, disk: Disk) -> tuple[Path, Callable[[], None]]:
    """Makes a scratch folder and locks it, unless the disk has no locks; and what unlocks it.

    There nobody else can lock the folder either, and so it is nobody's to remove.
    """
    prefix = f".{target.name[:_MOST_CHARACTERS]}."
    while True:
        scratch = disk.make_scratch(target.parent, prefix, _MARK)
        try:
            unlock = disk.lock(scratch, wait=True)
        except FileNotFoundError:
            continue  # it was taken for a leftover in the moment before it was locked
        except OSError:
            return scratch, _nothing
        if disk.is_folder(scratch):
            return scratch, unlock
        unlock()  # as above, in the moment while it waited for the lock


def _nothing() -> None:
    pass


def _is_left(path: Path, disk: Disk) -> bool:
    if not _OWN.fullmatch(path.name):
        return False
    try:
        with _locked(path, disk):
            return disk.is_folder(path) or disk.is_file(path)
    except OSError:  # somebody holds it or has removed it; or it is a link, which is not ours
        return False


@contextlib.contextmanager
def _locked(path: Path, disk: Disk) -> Iterator[None]:
    """Holds a file or folder that nobody else holds.

    Raises:
        OSError: somebody does, or it cannot be opened or locked.
    """
    unlock = disk.lock(path, wait=False)
    try:
        yield
    finally:
        unlock()
