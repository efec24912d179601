"""The process that workers are forked from: multiprocessing's own, which nobody else may stop."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

SOCKET_BYTES = 80  # of its folder's path, since a socket's may have little more than 100


def start() -> None:
    """Starts the forkserver, unless it runs."""
    with _no_ctrl_c():  # until it ignores that itself
        forkserver.ensure_running()


def kill() -> None:
    """Ends the forkserver, whatever it imports; `start` starts another."""
    server = _server()
    if server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()


def was_killed(wait_seconds: float = 0.0) -> bool:
    """Tells whether the forkserver is dead by a signal, and so not by a fault of its own.

    Args:
        wait_seconds: how long it may take to die, which others may notice before it is done.
    """
    pid = _server()._forkserver_pid
    if pid is None:
        return True
    until = time.monotonic() + wait_seconds
    try:  # without reaping it: multiprocessing does when it starts another
        while not (ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
    except ChildProcessError:
        return True
    return ended and ended.si_code in (os.CLD_KILLED, os.CLD_DUMPED)


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Puts this process's temporary files, and the server's socket, into a folder."""
    settings = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = tempfile.tempdir, settings.get("tempdir")
    shortest = min(str(folder), os.path.relpath(folder), key=len)  # nobody leaves the project
    if len(os.fsencode(shortest)) <= SOCKET_BYTES:
        settings["tempdir"] = shortest
    else:
        util.get_temp_dir()  # the system's, while that is where temporary files go
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir, settings["tempdir"] = before


@contextlib.contextmanager
def _no_ctrl_c() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _server() -> Any:
    return forkserver._forkserver  # there is no public way to look at it, or to stop it
