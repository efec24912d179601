"""Processes that live, are suspended, killed or another's: what is known of them from here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from pipeline import host
from pipeline.paths import Project
from pipeline.storage import lease

CHILD = """
import json, os
from pipeline import host

print(json.dumps({"process": str(os.getpid()), **host.identity()}), flush=True)
input()
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is known elsewhere")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def noted(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout
    found: dict[str, Any] = json.loads(child.stdout.readline())
    return found


def test_a_killed_process_is_gone_a_suspended_one_is_not(
    child: subprocess.Popen[str],
) -> None:
    known = noted(child)
    assert known.keys() == {"process", host.SYSTEM, host.START}
    assert not host.is_gone(known)
    child.send_signal(signal.SIGSTOP)
    assert not host.is_gone(known)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie
    assert host.is_gone(known)
    child.wait()
    assert host.is_gone(known)


def test_another_process_with_the_same_id_is_not_taken_for_it() -> None:
    here = {"process": str(os.getpid()), **host.identity()}
    assert not host.is_gone(here)
    assert host.is_gone({**here, host.START: "1"})


@pytest.mark.parametrize(
    "other",
    [
        {host.SYSTEM: "another boot, or the ids of another container"},
        {host.SYSTEM: None},
        {host.START: None},
        {"process": "no number"},
        {"process": str(10**30)},
        {"process": None},
    ],
    ids=str,
)
def test_what_cannot_be_told_from_here_is_not_called_dead(
    child: subprocess.Popen[str], other: dict[str, Any]
) -> None:
    known = noted(child)
    child.kill()
    child.wait()
    changed = {key: value for key, value in {**known, **other}.items() if value is not None}
    assert not host.is_gone(changed)


def test_a_process_of_another_user_or_hidden_from_this_one_is_not_called_dead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    here = {"process": str(os.getpid()), **host.identity()}
    monkeypatch.setattr(os, "kill", refuse)
    assert not host.is_gone(here)
    monkeypatch.setattr(host, "_stat", lambda _: (tmp_path / "none").read_text())
    monkeypatch.setattr(host, "identity", lambda: here)
    assert not host.is_gone(here)


def test_elsewhere_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {"process": str(os.getpid()), **host.identity(), host.START: "1"}
    monkeypatch.setattr(host, "_PROC", tmp_path)
    assert host.identity() == {}
    assert not host.is_gone(known)


def test_who_locks_a_study_notes_which_process_that_is(tmp_path: Path) -> None:
    with lease.lock(Project(tmp_path), "x") as own:
        assert own == {**own, **host.identity()}
        assert not host.is_gone(own)
        assert json.loads(Project(tmp_path).lease_note("x").read_text()) == own
    assert host.is_gone({**own, "process": "4194305"}), "no process has such an id"


def test_nobody_waits_for_a_dead_process_of_this_system(
    child: subprocess.Popen[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As after a kill -9 and a move of the project."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'optuna.db'}", study_name="x")
    here = {"host": "here", "since": "today", "lock": "/before/x.lock"}
    lease.take(study, {**here, **noted(child)})
    child.kill()
    child.wait()
    monkeypatch.setattr(lease, "_signs_of_life", lambda _: pytest.fail("it looks for some"))
    own = {**here, "process": str(os.getpid()), "lock": "/after/x.lock", **host.identity()}
    assert lease.take(study, own).number == 2
    assert capsys.readouterr().err == ""
