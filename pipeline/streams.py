"""What a command prints to, made safe: closed, unread, full, or unable to show a character."""

import contextlib
import errno
import io
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

ROOM_SECONDS = 1.0  # for whoever reads stderr to make room for more
_STDOUT, _STDERR = 1, 2


def make_safe() -> None:
    """Opens what is closed of stdin, stdout and stderr, and has printing do no harm.

    Printing never breaks off what a command does: it goes on to its end, with the exit code that
    it would have had, when nobody reads it any more (`| head`) or nobody can. Only a result that
    stdout cannot take, such as one for a full disk, is an error. Where a reader falls behind, a
    result waits for them, until Ctrl-C; what stderr has no room for is dropped after a moment.
    """
    for descriptor in range(3):  # else the next file gets its number, and what is printed
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is sys.__stdout__:  # not one that a test or a notebook has put there
        sys.stdout = _opened(sys.stdout, _STDOUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _opened(sys.stderr, _STDERR)


def hurry() -> None:
    """Has no result wait any longer for somebody who does not read: a command is to end."""
    _Sink.results_wait = False


@contextlib.contextmanager
def hush_stderr() -> Iterator[None]:
    """Drops what is printed to stderr, by libraries of C++ too; what fails raises all the same."""
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)


def print_to(log: Path) -> None:
    """Has this process, and what it starts, print to the end of a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, _STDOUT)
    os.dup2(descriptor, _STDERR)
    os.close(descriptor)


class _Sink(io.FileIO):
    """Stdout or stderr; after a write that failed, whatever follows is dropped."""

    results_wait = True
    _has_room = True  # as far as was seen

    def write(self, data: Any) -> int:
        """Writes to the stream, some of it if there is no room for more; whether it blocks or not.

        Raises:
            OSError: stdout cannot take it, though there is somebody to read it.
        """
        try:
            while self._finds_room():
                # as much as there is room for at least, so that it is never waited for in here
                n_written = super().write(memoryview(data)[: select.PIPE_BUF])
                if n_written is not None:
                    return n_written
                time.sleep(0.01)  # somebody else was faster
            return len(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self.fileno() == _STDERR or error.errno == errno.EPIPE:
                return len(data)
            error.filename = "stdout"
            raise

    def _finds_room(self) -> bool:
        """Waits for room; not a second time for a reader who has not read since."""
        waits = self.fileno() == _STDOUT and self.results_wait
        seconds = None if waits else ROOM_SECONDS if self._has_room else 0.0
        self._has_room = bool(select.select([], [self], [], seconds)[1])
        return self._has_room


def _opened(stream: TextIO | None, descriptor: int) -> TextIO:
    """Opens a stream anew, in its encoding; a character that is not in it is spelt by number."""
    if stream:
        stream.flush()
    sink = io.BufferedWriter(_Sink(descriptor, "w", closefd=False))
    return io.TextIOWrapper(
        sink,
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == _STDERR or sink.isatty(),
    )
