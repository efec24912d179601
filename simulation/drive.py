"""What is on a simulated disk, and what a power failure leaves of it.

As on ext4: a file's content is kept once it is synced, and with it all that was done to names
before; what was not synced may be there, in part, or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from simulation.world import Process


@dataclass
class File:
    """A file, under whatever names.

    Attributes:
        content: as processes see it.
        synced: as a power failure leaves it; None: it was never synced.
    """

    content: bytes = b""
    synced: bytes | None = None


@dataclass
class Drive:
    """What is on the disk of a host.

    Attributes:
        files: by path.
        folders: their paths.
        locks: who holds what.
    """

    files: dict[Path, File] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)
    locks: dict[Path, Process] = field(default_factory=dict)
    n_scratch: int = 0
    _kept: dict[Path, File] = field(default_factory=dict)
    _kept_folders: set[Path] = field(default_factory=set)
    _pending: list[Callable[[dict[Path, File], set[Path]], object]] = field(default_factory=list)

    def change(self, names: "Callable[[dict[Path, File], set[Path]], object]") -> None:
        """Changes names at once, and on the disk when something is synced next."""
        names(self.files, self.folders)
        self._pending.append(names)

    def sync(self, path: Path) -> None:
        if path in self.files:
            self.files[path].synced = self.files[path].content
        self._keep(len(self._pending))

    def _keep(self, n: int) -> None:
        for names in self._pending[:n]:
            names(self._kept, self._kept_folders)
        del self._pending[:n]

    def settle(self) -> None:
        """Keeps all, as a disk does after some seconds, whatever is synced."""
        self._keep(len(self._pending))
        for file in self.files.values():
            file.synced = file.content

    def fail_power(self, share: float) -> None:
        """Keeps a part of what was not synced."""
        self._keep(round(share * len(self._pending)))
        self._pending.clear()
        self.files, self.folders = dict(self._kept), set(self._kept_folders)
        for file in self.files.values():
            if file.content != file.synced:
                torn = file.content[: round(share * len(file.content))]
                file.content = torn if file.synced is None or share > 0.5 else file.synced
                if file.synced and len(torn) < len(file.synced):
                    file.content = file.synced
                file.synced = file.content
        self.locks.clear()
        self._kept, self._kept_folders = dict(self.files), set(self.folders)
