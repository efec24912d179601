"""Writes that could not be sent, kept on disk in their order until they can."""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.disk import SYSTEM_DISK, Disk
from pipeline.files import remove_leftovers, write_atomically

Write = Mapping[str, Any]

_LIST, _ATTACHMENT = "writes.jsonl", re.compile(r"\d+-[0-9a-f]{8}")


class Outbox:
    """Queues writes in a folder, oldest first; the queue survives a kill at any time.

    A write may be delivered a second time after a kill, so that delivering twice must do no more
    than delivering once.

    Args:
        folder: is there as long as something waits.
        disk: on which it is.
    """

    def __init__(self, folder: Path, disk: Disk = SYSTEM_DISK) -> None:
        self._folder, self._disk = folder, disk
        self._waiting = self._read()
        self._remove_leftovers()

    def __len__(self) -> int:
        """Counts the writes that wait."""
        return len(self._waiting)

    def add(self, write: Write, attachment: bytes | None = None) -> None:
        """Puts a write at the end of the queue, with a file that belongs to the write.

        Raises:
            OSError: the disk does not take it.
        """
        disk = self._disk
        disk.make_folder(self._folder, parents=False)  # beside the stores, if they are still there
        if attachment is not None:
            name = self._new_name(attachment)
            write_atomically(self._folder / name, attachment, disk)
            write = {**write, "attachment": name}
        path = self._folder / _LIST
        size = disk.size(path) if disk.is_file(path) else 0
        try:
            disk.append(path, f"{json.dumps(write)}\n".encode())
            disk.sync(path)
        except OSError:
            with contextlib.suppress(OSError):
                disk.truncate(path, size)  # not half a line, to which others would be added
            raise
        self._waiting.append(write)

    def _new_name(self, attachment: bytes) -> str:
        """Names an attachment as no other that waits."""
        known = [int(each["attachment"].split("-")[0]) for each in self._waiting
                 if "attachment" in each]  # fmt: skip
        return f"{max(known, default=-1) + 1}-{hashlib.sha256(attachment).hexdigest()[:8]}"

    def deliver(self, send: Callable[[Write, bytes | None], object]) -> None:
        """Sends what waits, oldest first; an exception of `send` ends that, and the rest stays."""
        n_sent = 0
        try:
            for write in self._waiting:
                name = write.get("attachment")
                send(write, self._disk.read(self._folder / name) if name else None)
                n_sent += 1
        finally:
            self._forget(n_sent)

    def _forget(self, n_sent: int) -> None:
        sent, self._waiting = self._waiting[:n_sent], self._waiting[n_sent:]
        if not self._waiting:
            self._remove()
        elif sent:
            lines = "".join(json.dumps(write) + "\n" for write in self._waiting)
            write_atomically(self._folder / _LIST, lines, self._disk)
            for write in sent:
                if "attachment" in write:
                    self._unlink(self._folder / write["attachment"])

    def _read(self) -> list[Write]:
        """Reads all whole lines; a kill may have cut the last one, on which nobody relied yet."""
        path = self._folder / _LIST
        try:
            text = self._disk.read(path).decode()
        except FileNotFoundError:
            return []
        *lines, rest = text.split("\n")
        if rest:
            write_atomically(path, text.removesuffix(rest), self._disk)
        return [json.loads(line) for line in lines]

    def _remove_leftovers(self) -> None:
        """Removes what a kill has left of writes that are not in the list, or were sent."""
        remove_leftovers(self._folder, self._disk)
        if not self._waiting:
            self._remove()
            return
        kept = {write.get("attachment") for write in self._waiting}
        for path in self._disk.list(self._folder):
            if _ATTACHMENT.fullmatch(path.name) and path.name not in kept:
                self._unlink(path)

    def _remove(self) -> None:
        """Removes the folder, the list first: a kill leaves no list of files that are gone.

        For good: what was sent would be sent again after a power failure, behind what came later.
        """
        if not self._disk.is_folder(self._folder):
            return
        with contextlib.suppress(OSError):
            self._disk.unlink(self._folder / _LIST)
        self._disk.remove_tree(self._folder)
        with contextlib.suppress(OSError):
            self._disk.sync(self._folder.parent)

    def _unlink(self, file: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(file)
