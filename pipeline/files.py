"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes a file whole or not at all: after a crash there is the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(0o666 & ~_umask())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def create_whole(file: Path, make: Callable[[Path], None]) -> None:
    """Makes a file whole or not at all, once: of many processes at a time, the first makes it.

    Args:
        file: is not touched if it is there.
        make: makes it, under the name that it is given, in any number of steps.
    """
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    held = file.with_name(f".{file.name}.lock")
    with FileLock(held):
        if not file.exists():  # else another process was faster
            for suffix in ("", "-journal"):  # of a database that a kill has left
                Path(f"{new}{suffix}").unlink(missing_ok=True)
            make(new)
            new.replace(file)
        held.unlink(missing_ok=True)  # nobody needs it any more, now that the file is there


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
