"""Whether a command ends when it is told to, whatever it waits for; in processes of their own."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.watchdog import Watchdog

DEADLINE_SECONDS = 120.0  # for what takes five, on a machine that is busy

WAITS = {
    "a locked database, of which Python hears nothing": """
    database = sqlite3.connect(sys.argv[1], timeout=1000)
    print("waits", flush=True)
    database.execute("BEGIN EXCLUSIVE")
""",
    "somebody who swallows exceptions": """
    print("waits", flush=True)
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass
""",
    "a lock": """
    lock = threading.Lock()
    lock.acquire()
    print("waits", flush=True)
    lock.acquire()
""",
    "nothing": """
    print("waits", flush=True)
    time.sleep(1000)
""",
}


@contextlib.contextmanager
def interrupted(script: str, *arguments: Path) -> "Iterator[subprocess.Popen[str]]":
    """Runs a script until it says that it waits, and sends it SIGINT."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        yield process


@pytest.mark.parametrize("what", WAITS)
def test_a_command_ends_whatever_it_waits_for(tmp_path: Path, what: str) -> None:
    script = f"""
import sqlite3, sys, threading, time
from pipeline.errors import run_command

def main():
{WAITS[what]}
sys.exit(run_command(main))
"""
    import sqlite3

    holder = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with interrupted(script, tmp_path / "locked.db") as process:
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    holder.close()
    assert (process.returncode, err) == (130, "interrupted\n")


def test_what_may_be_waited_for_is_freed_first() -> None:
    script = """
import threading, time
from pipeline.watchdog import Watchdog
answer = threading.Event()
with Watchdog(130, "ended", free=answer.set):
    try:
        print("waits", flush=True)
        answer.wait()
    except KeyboardInterrupt:
        answer.wait()
print("went on")
"""
    with interrupted(script) as process:
        assert process.communicate(timeout=DEADLINE_SECONDS) == ("went on\n", "")
    assert process.returncode == 0


def test_last_words_that_nobody_reads_do_not_keep_it_from_ending() -> None:
    script = """
import sys, threading
from pipeline.watchdog import Watchdog
with Watchdog(130, "ended"):
    threading.Timer(0.5, print, ["waits"], {"flush": True}).start()
    while True:
        try:
            print("x" * 1_000_000, file=sys.stderr, flush=True)
        except BaseException:
            pass
"""
    with interrupted(script) as process:
        try:
            assert process.wait(DEADLINE_SECONDS) == 130
        finally:
            process.kill()


def test_a_watchdog_leaves_nothing_behind() -> None:
    before = threading.enumerate(), signal.set_wakeup_fd(-1)
    with Watchdog(130, ""):
        pass
    assert (threading.enumerate(), signal.set_wakeup_fd(-1)) == before


def test_another_thread_does_without() -> None:
    def use() -> None:
        with Watchdog(130, ""):
            used.append(True)

    used: list[bool] = []
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert used
