"""A disk in memory, on which a kill or a power failure leaves what it would leave on a real one.

As on ext4: a file's content is kept once it is synced, and with it all that was done to names
before; what was not synced may be there, in part, or not at all.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.disk import IsHeld
from simulation.drive import Drive, File
from simulation.faults import Fault, Kind, What
from simulation.world import Process, World

_TAKES_SPACE = ("writes", "adds to", "makes")


class SimulatedDisk:
    """The disk as one process sees it, as `pipeline.disk.Disk`."""

    def __init__(self, world: World, process: Process, drive: Drive) -> None:
        self._world, self._process, self._drive = world, process, drive

    def _step(
        self,
        what: str,
        path: Path,
        do: Callable[[], None],
        torn: Callable[[float], None] = lambda _: None,
    ) -> None:
        fault = self._world.step(self._process, Kind.DISK, f"{what} {_short(path)}")
        if fault is None:
            do()
            return
        if fault.what is What.FULL and what not in _TAKES_SPACE:
            do()
            return
        match fault.what:
            case What.FULL | What.BROKEN:
                torn(fault.share)
                raise _error(errno.ENOSPC if fault.what is What.FULL else errno.EIO, path)
            case What.TEAR:
                torn(fault.share)
                self._world.kill(self._process)
            case _:
                do()
                end_after(self._world, self._process, fault)

    def read(self, file: Path) -> bytes:
        if self._process.is_dead:
            self._world.step(self._process, Kind.DISK, "")
        return self._file(file).content

    def write(self, file: Path, content: bytes) -> None:
        def put(content: bytes) -> None:
            self._need_place(file)
            self._make_file(file, content)

        self._step("writes", file, lambda: put(content), lambda share: put(_part(content, share)))

    def append(self, file: Path, content: bytes) -> None:
        def put(content: bytes) -> None:
            self._need_place(file)
            if file not in self._drive.files:
                self._make_file(file, b"")
            self._drive.files[file].content += content

        self._step("adds to", file, lambda: put(content), lambda share: put(_part(content, share)))

    def sync(self, path: Path) -> None:
        def sync() -> None:
            if path not in self._drive.folders:
                self._file(path)
            self._drive.sync(path)

        self._step("syncs", path, sync)

    def truncate(self, file: Path, size: int) -> None:
        def cut() -> None:
            found = self._file(file)
            found.content = found.content[:size].ljust(size, b"\0")

        self._step("cuts", file, cut)

    def rename(self, old: Path, new: Path) -> None:
        def rename() -> None:
            for path in (old, new):
                self._need_parents(path)
            self._file(old)
            self._need_no_folder(new)
            self._drive.change(lambda files, _: files.update({new: files.pop(old, File())}))

        self._step(f"renames {_short(old)} to", new, rename)

    def unlink(self, file: Path) -> None:
        def remove() -> None:
            self._file(file)
            self._drive.change(lambda files, _: files.pop(file, None))

        if not self._process.is_dead:
            self._file(file)
        self._step("removes", file, remove)

    def size(self, file: Path) -> int:
        return len(self._file(file).content)

    def is_file(self, path: Path) -> bool:
        return path in self._drive.files

    def is_folder(self, path: Path) -> bool:
        return path in self._drive.folders

    def list(self, folder: Path) -> list[Path]:
        self._need_folder(folder)
        inside = [
            each for each in (*self._drive.files, *self._drive.folders) if each.parent == folder
        ]
        return sorted(inside)

    def make_folder(self, folder: Path, *, parents: bool = True) -> None:
        if folder in self._drive.folders and not self._process.is_dead:
            return

        def make() -> None:
            if folder in self._drive.files:
                raise _error(errno.EEXIST, folder)
            self._need_parents(folder, may_be_made=parents)
            self._drive.change(
                lambda _, folders: folders.update(
                    (folder, *folder.parents) if parents else (folder,)
                )
            )

        self._step("makes", folder, make)

    def make_scratch(self, folder: Path, prefix: str, suffix: str) -> Path:
        self._drive.n_scratch += 1
        made = folder / f"{prefix}{self._drive.n_scratch:08d}{suffix}"
        self._need_folder(folder)
        self._step("makes", made, lambda: self._drive.change(lambda _, folders: folders.add(made)))
        return made

    def remove_folder(self, folder: Path) -> None:
        if not self._process.is_dead and self.list(folder):
            raise _error(errno.ENOTEMPTY, folder)
        self._step(
            "removes",
            folder,
            lambda: self._drive.change(lambda _, folders: folders.discard(folder)),
        )

    def remove_tree(self, folder: Path) -> None:
        if folder not in self._drive.folders and not self._process.is_dead:
            return
        try:
            for each in [] if self._process.is_dead else self.list(folder):
                if each in self._drive.folders:
                    self.remove_tree(each)
                else:
                    self.unlink(each)
            self.remove_folder(folder)
        except OSError:
            pass

    def lock(self, path: Path, *, wait: bool) -> Callable[[], None]:
        if self._process.is_dead:
            self._world.step(self._process, Kind.DISK, "")
        if path not in self._drive.folders:
            self._file(path)
        holder = self._drive.locks.get(path)
        if holder and not holder.is_dead:  # also this process itself, by another descriptor
            assert not wait, "nobody waits for another in a simulation"
            raise _error(errno.EWOULDBLOCK, path)
        self._drive.locks[path] = self._process
        return lambda: self._unlock(path)

    def _unlock(self, path: Path) -> None:
        if self._drive.locks.get(path) is self._process:
            del self._drive.locks[path]

    @contextmanager
    def hold(self, file: Path) -> Iterator[None]:
        if self._process.is_dead:
            self._world.step(self._process, Kind.DISK, "")
        if file not in self._drive.files:  # it is made, and stays
            self._need_parents(file, may_be_made=True)
            self._need_no_folder(file)
            self._drive.change(lambda _, folders: folders.update(file.parents))
            self._make_file(file, b"")
        holder = self._drive.locks.get(file)
        if holder and not holder.is_dead:
            raise IsHeld(str(file))
        self._drive.locks[file] = self._process
        try:
            yield
        finally:
            self._unlock(file)

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        self._drive.n_scratch += 1
        folder = Path(f"/tmp/{self._drive.n_scratch}")
        self._drive.folders.update((folder, *folder.parents))
        try:
            yield folder
        finally:
            for each in [each for each in self._drive.files if folder in each.parents]:
                del self._drive.files[each]
            inside = {each for each in self._drive.folders if folder in each.parents}
            self._drive.folders -= {folder, *inside}

    def _make_file(self, file: Path, content: bytes) -> None:
        made = File(content)
        self._drive.change(lambda files, _: files.update({file: made}))

    def _file(self, file: Path) -> File:
        found = self._drive.files.get(file)
        if found is None:
            self._need_place(file)
            raise _error(errno.ENOENT, file)
        return found

    def _need_place(self, file: Path) -> None:
        """Refuses a name that no file can have."""
        self._need_parents(file)
        self._need_no_folder(file)

    def _need_no_folder(self, file: Path) -> None:
        if file in self._drive.folders:
            raise _error(errno.EISDIR, file)

    def _need_folder(self, folder: Path) -> None:
        if folder not in self._drive.folders:
            self._need_parents(folder)
            raise _error(errno.ENOTDIR if folder in self._drive.files else errno.ENOENT, folder)

    def _need_parents(self, path: Path, *, may_be_made: bool = False) -> None:
        for parent in reversed(path.parents):
            if parent in self._drive.files:
                raise _error(errno.ENOTDIR, path)
            if parent not in self._drive.folders and not may_be_made:
                raise _error(errno.ENOENT, path)


def _error(code: int, path: Path) -> OSError:
    """Makes the error that the system has for a number: FileNotFoundError, say."""
    return OSError(code, os.strerror(code), str(path))


def end_after(world: World, process: Process, fault: Fault) -> None:
    """Brings about what happens to a process when its step is done."""
    if fault.what is What.KILL_AFTER:
        world.kill(process)
    if fault.what is What.POWER_AFTER:
        world.fail_power(process)
    raise AssertionError(fault)


def _part(content: bytes, share: float) -> bytes:
    return content[: int(share * len(content))]


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
