"""Two supervisors in two folders that share a store; on a clock that the test moves."""

import contextlib
import errno
import gc
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import optuna
import pytest

from pipeline.clock import RepeatingThread, SystemClock
from pipeline.errors import PipelineError
from pipeline.outside import Outside
from pipeline.paths import Project
from pipeline.storage import lease, liveness, optuna_internals, study_store
from pipeline.storage.rdb import open_storage

HERE = {"host": "here", "process": "1", "since": "today", "lock": "/here/small.lock"}
THERE = {**HERE, "host": "there", "process": "7"}


@dataclass
class Clock(SystemClock):
    """Passes when somebody sleeps, who may then find that something has happened."""

    meanwhile: Callable[[], None] = lambda: None
    slept: list[float] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    n_asked: int = 0

    def time(self) -> float:
        self.n_asked += 1
        return float(self.n_asked)  # another one for each sign of life

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.meanwhile()

    def every(
        self, seconds: float, do: Callable[[], bool], at_end: Callable[[], None]
    ) -> RepeatingThread:
        repeated = super().every(seconds, do, at_end)
        self.threads.append(repeated._thread)
        return repeated


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outside(clock: Clock) -> Outside:
    return Outside(clock=clock)


def opened(url: str) -> optuna.Study:
    return optuna.load_study(storage=open_storage(url, to_write=True), study_name="small")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store in which somebody elsewhere has noted that he searches."""
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(storage=open_storage(url, to_write=True), study_name="small")
    study = opened(url)
    study.set_user_attr(study_store.SECONDS, 10.0)
    lease.take(study, THERE)
    return url


def test_a_living_supervisor_elsewhere_is_noticed_by_the_time_it_notes(
    url: str, clock: Clock, outside: Outside
) -> None:
    there = opened(url)

    def goes_on() -> None:
        if len(clock.slept) == 3:
            there.set_user_attr(study_store.SECONDS, 15.0)

    clock.meanwhile = goes_on
    with pytest.raises(
        PipelineError,
        match="study small is being searched already, by process 7 on there since today",
    ):
        lease.take(opened(url), HERE, outside)
    assert there.user_attrs[lease.LEASE] == {**THERE, "number": 1}


def test_the_lease_of_a_silent_one_is_taken_over(url: str, clock: Clock, outside: Outside) -> None:
    study = opened(url)
    lease.take(study, HERE, outside)
    assert study.user_attrs[lease.LEASE] == {**HERE, "number": 2}
    assert sum(clock.slept) >= lease.SILENT_SECONDS


def test_who_holds_the_same_lock_need_not_look(url: str, clock: Clock, outside: Outside) -> None:
    study = opened(url)
    lease.take(study, {**THERE, "process": "8"}, outside)
    assert study.user_attrs[lease.LEASE]["process"] == "8"
    assert clock.slept == []


def test_who_only_looks_does_so_without_a_lock_that_cannot_be_written(
    url: str, clock: Clock, outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with (
        pytest.raises(PipelineError, match=r"small\.lock: Permission denied, and who searches"),
        lease.lock(Project(tmp_path), "small"),
    ):
        pass
    study = opened(url)
    with lease.lock(Project(tmp_path), "small", leaves_note=False) as own:
        study.set_user_attr(lease.LEASE, {**own, "lock": str(tmp_path / "small.lock")})
        lease.refuse_if_alive(study, own, outside)
    assert sum(clock.slept) == lease.SILENT_SECONDS  # of one in this folder it waits for news too
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"optuna.db"}


# Signs of life


def beats(url: str) -> Callable[[], None]:
    """Gives what waits until the holder of the lease has given another sign of life."""
    watched = optuna.load_study(storage=url, study_name="small")

    def wait() -> None:
        before = watched.user_attrs.get(lease.HEARTBEAT)
        for _ in range(6000):
            if watched.user_attrs.get(lease.HEARTBEAT) != before:
                return
            time.sleep(0.01)
        raise AssertionError("no sign of life")

    return wait


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.05)


@pytest.fixture(params=["ours", "Optuna's own"])
def open_any(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "Optuna's own":
        monkeypatch.setattr(optuna_internals, "is_as_known", lambda: False)
        monkeypatch.setattr(lease, "READ_BACK_SECONDS", 0.0)
    return opened


@pytest.mark.usefixtures("quick_beats")
def test_who_holds_a_lease_lives_whatever_else_goes_on(
    url: str, clock: Clock, outside: Outside, open_any: Any
) -> None:
    taken = lease.take(open_any(url), THERE, outside)  # and nothing is written from here on
    clock.meanwhile = beats(url)
    with pytest.raises(lease.IsSearchedError, match="by process 7 on there since today"):
        lease.take(open_any(url), HERE, outside)
    clock.meanwhile = lambda: None
    taken.check()
    taken.give_back()
    lease.take(open_any(url), HERE, outside).check()


@pytest.mark.usefixtures("quick_beats")
def test_the_heart_stops_with_the_lease(
    url: str, clock: Clock, outside: Outside, open_any: Any
) -> None:
    taken = lease.take(open_any(url), THERE, outside)
    beats(url)()
    taken.give_back()
    (thread,) = clock.threads
    assert not thread.is_alive()
    forgotten = lease.take(open_any(url), THERE, outside)
    thread = clock.threads[-1]
    assert thread.is_alive()
    del forgotten
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.usefixtures("quick_beats")
def test_who_has_lost_the_lease_gives_no_sign_of_life(
    url: str, clock: Clock, outside: Outside, open_any: Any
) -> None:
    lost = lease.take(open_any(url), THERE, outside)
    study = open_any(url)
    study.set_user_attr(lease.N_LEASES, 7)  # who writes only this does not beat
    (thread,) = clock.threads
    thread.join(60)
    assert not thread.is_alive()
    assert lost.number == 2


@pytest.mark.usefixtures("quick_beats")
def test_a_sign_of_life_that_cannot_be_written_is_tried_again(
    url: str, clock: Clock, outside: Outside, open_any: Any
) -> None:
    taken = lease.take(open_any(url), THERE, outside)
    file = url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(file)) as busy:
        table = "study_user_attributes"
        busy.execute(f"ALTER TABLE {table} RENAME TO away")
        time.sleep(0.3)
        assert clock.threads[-1].is_alive()
        busy.execute(f"ALTER TABLE away RENAME TO {table}")
    beats(url)()
    taken.give_back()
