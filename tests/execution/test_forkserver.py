"""Whether the forkserver is seen to be dead."""

import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from pipeline.execution import forkserver


def test_a_server_that_takes_its_time_to_die_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        fake = SimpleNamespace(_forkserver_pid=process.pid)
        monkeypatch.setattr(forkserver, "_server", lambda: fake)
        assert not forkserver.was_killed()
        threading.Timer(0.2, process.send_signal, [signal.SIGKILL]).start()
        assert forkserver.was_killed(wait_seconds=60)


def test_a_server_that_ends_of_its_own_was_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "exit(1)"]) as process:
        fake = SimpleNamespace(_forkserver_pid=process.pid)
        monkeypatch.setattr(forkserver, "_server", lambda: fake)
        assert not forkserver.was_killed(wait_seconds=60)
