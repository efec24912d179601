"""Processes that SIGKILL ends: before each of the steps that something takes on the disk."""

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator

# Python's own audit events, each of which comes before what it names is done.
STEPS = {
    "fcntl.flock", "open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
    "os.truncate", "shutil.rmtree", "sqlite3.connect",
}  # fmt: skip


def killed_at_every_step(action: Callable[[], object]) -> Iterator[int]:
    """Runs an action in a process that is killed before its first step, then before its second ...

    Yields after each kill. Ends when a process has come to the action's end alive.
    """
    for n in itertools.count():
        if not _is_killed(lambda n=n: _run_to_step(action, n)):  # type: ignore[misc]
            assert n, "there was no step to be killed at"
            return
        yield n


def killed_at(owner: object, name: str, action: Callable[[], object]) -> None:
    """Runs an action in a process that is killed where it would call a function."""

    def run() -> None:
        setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        action()

    assert _is_killed(run), f"{name} was not called"


def _run_to_step(action: Callable[[], object], n: int) -> None:
    own, steps = os.getpid(), itertools.count()

    def count(event: str, _: object) -> None:
        if event in STEPS and os.getpid() == own and next(steps) == n:
            os.kill(own, signal.SIGKILL)

    sys.addaudithook(count)
    action()


def _is_killed(action: Callable[[], object]) -> bool:
    pid = os.fork()
    if not pid:
        _run_and_end(action)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), f"exit code {code}"
    return code != 0


def _run_and_end(action: Callable[[], object]) -> None:
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
