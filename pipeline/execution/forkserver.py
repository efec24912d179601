"""The process that workers are forked from: multiprocessing's own, which nobody else may stop."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

import psutil

from pipeline import files

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


def kill_family() -> None:
    """Kills the forkserver and all it has forked, those too that are stopped.

    From any thread: who waits for one of them in another sees it end.
    """
    pid = _server()._forkserver_pid
    with contextlib.suppress(psutil.Error):
        family = (
            [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)] if pid else []
        )
        for process in family:
            process.kill()


def was_killed(wait_seconds: float = 0.0) -> bool:
    """Tells whether the forkserver is dead by a signal, and so not by a fault of its own.

    Args:
        wait_seconds: how long it may take to die, which others may notice before it is done.
    """
    until = time.monotonic() + wait_seconds
    while not (ended := _end()):
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
    return ended[0] in (os.CLD_KILLED, os.CLD_DUMPED)


def how_it_ended() -> str:
    """Says how the forkserver came to its end."""
    code, status = _end() or (0, 0)
    if code in (os.CLD_KILLED, os.CLD_DUMPED) and status:
        return f"their server was killed by {signal.Signals(status).name}"
    return (
        f"their server ended with exit code {status}" if code else "their server does not answer"
    )


def _end() -> tuple[int, int] | None:
    """Returns how the forkserver ended (`CLD_...`) and its exit code or signal, 0 if unknown."""
    pid = _server()._forkserver_pid
    if pid is None:
        return os.CLD_KILLED, 0
    try:  # without reaping it: multiprocessing does when it starts another
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return os.CLD_KILLED, 0
    return (ended.si_code, ended.si_status) if ended else None


def _is_short(folder: str) -> bool:
    """Tells whether a folder may hold the server's socket."""
    return len(os.fsencode(folder)) <= SOCKET_BYTES


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Puts this process's temporary files, and the server's socket, into a folder."""
    settings = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = settings.get("tempdir")
    short = [each for each in (str(folder), os.path.relpath(folder)) if _is_short(each)]
    if short:
        settings["tempdir"] = short[0]  # relative at need: nobody leaves the project
    else:
        util.get_temp_dir()  # the system's, while that is where temporary files go
    try:
        with files.temporary_files_in(folder):
            yield
    finally:
        settings["tempdir"] = before


@contextlib.contextmanager
def _no_ctrl_c() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _server() -> Any:
    return forkserver._forkserver  # there is no public way to look at it, or to stop it
