"""PostgreSQL is restarted, killed or away: what is asked of it waits, and is done once."""

import threading
import time
from collections.abc import Callable
from typing import Any

import optuna
import psycopg
import pytest
import sqlalchemy as sql
from optuna.trial import TrialState
from servers import POSTGRES_PASSWORD, Postgres

from pipeline.errors import PipelineError
from pipeline.outside import SYSTEM
from pipeline.paths import Project
from pipeline.storage import lease, liveness, outages, studies
from pipeline.storage.rdb import open_storage


@pytest.fixture
def url(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    return postgres.create_database(str(abs(hash(request.node.name))))


@pytest.fixture
def study(url: str) -> optuna.Study:
    return optuna.create_study(storage=open_storage(url, to_write=True), study_name="s")


def search_a_little(study: optuna.Study) -> None:
    """A trial that waited, and one that is drawn."""
    study.enqueue_trial({"x": 0.5}, {"seed": 3})
    for _ in range(2):
        trial = study.ask()
        trial.set_user_attr("epoch", 1)
        trial.report(trial.suggest_float("x", 0, 1), 1)
        study.tell(trial, 0.25)
    study.set_user_attr("seconds", 3.0)


def assert_has_been_searched(study: optuna.Study, n_times: int) -> None:
    found = study.get_trials()
    assert [each.number for each in found] == list(range(2 * n_times))
    assert {each.state for each in found} == {TrialState.COMPLETE}
    assert [each.params["x"] for each in found[::2]] == [0.5] * n_times


@pytest.mark.parametrize("how", [Postgres.stop, Postgres.kill])
def test_a_server_that_was_restarted_is_used_again(
    postgres: Postgres, study: optuna.Study, how: Callable[[Postgres], None]
) -> None:
    search_a_little(study)
    how(postgres)
    postgres.start()
    search_a_little(study)
    assert_has_been_searched(study, 2)


def test_a_connection_that_is_gone_right_after_its_use_is_replaced(
    postgres: Postgres, study: optuna.Study
) -> None:
    """Each question is asked on a connection that has just answered another one."""
    storage: Any = study._storage._backend  # type: ignore[attr-defined]
    trial = study.ask()
    key, number = study._study_id, trial._trial_id
    asks: tuple[Callable[[], object], ...] = (
        lambda: storage.get_study_user_attrs(key),
        lambda: storage.open_trials(key, -1),
        lambda: storage.moments(number),
        lambda: storage.get_trial_system_attrs(number),
        lambda: storage.get_all_trials(key),
        lambda: storage.create_new_trial(key),
        lambda: storage.write_all({(number, 1): 0.5}, [], [number]),
        lambda: storage.set_trial_state_values(number, TrialState.COMPLETE, [0.5]),
    )
    for ask in asks:
        storage.get_study_user_attrs(key)
        postgres.break_off()
        ask()
    assert [each.state.name for each in study.get_trials()] == ["COMPLETE", "RUNNING"]


def test_a_server_that_is_away_is_waited_for_and_that_is_said(
    postgres: Postgres,
    study: optuna.Study,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    postgres.stop()
    is_said, say = threading.Event(), outages.Patience._say_away

    def say_it(*arguments: Any) -> None:
        say(*arguments)
        is_said.set()

    def come_back() -> None:
        is_said.wait()
        postgres.start()

    monkeypatch.setattr(outages.Patience, "_say_away", say_it)
    back = threading.Thread(target=come_back, daemon=True)
    back.start()
    search_a_little(study)
    back.join()
    assert_has_been_searched(study, 1)
    away, again = capsys.readouterr().err.splitlines()
    assert away.startswith("Optuna's store postgresql+psycopg://searcher:***@127.0.0.1:")
    assert "does not answer, and is waited for, at most 5 minutes: connection failed" in away
    assert again.startswith("Optuna's store answers again, after ")
    assert POSTGRES_PASSWORD not in away


def test_patience_ends_and_then_nobody_waits_until_the_server_is_back(
    postgres: Postgres, study: optuna.Study, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 0.2)
    postgres.stop()
    try:
        for _ in range(2):  # the second is what a search does when it is about to end
            with (
                pytest.raises(
                    PipelineError, match=r"^Optuna's store .* cannot be used: connection"
                ),
                studies.store_errors(project),
            ):
                study.set_user_attr("seconds", 1.0)
            monkeypatch.setattr(outages, "SECONDS_BETWEEN_TRIES", 3600.0)
    finally:
        postgres.start()
    search_a_little(study)
    assert_has_been_searched(study, 1)


@pytest.fixture
def project(project_folder: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PIPELINE_STORAGE", url)
    return Project(project_folder)


def test_a_server_that_was_never_there_is_not_waited_for(
    postgres: Postgres, url: str, project: Project
) -> None:
    postgres.stop()
    try:
        with pytest.raises(PipelineError, match="cannot be used: connection failed"):
            studies.stored_names(project)
    finally:
        postgres.start()


@pytest.mark.parametrize("is_done", [True, False])
def test_what_was_committed_without_an_answer_is_not_done_twice(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    patience = study._storage._backend.patience  # type: ignore[attr-defined]
    commit, n_commits = patience._commit, 0

    def lose_each_second_answer(connection: Any) -> None:
        nonlocal n_commits
        n_commits += 1
        is_lost = n_commits % 2 == 1
        if is_done or not is_lost:
            commit(connection)
        if is_lost:
            connection.dbapi_connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(patience, "_commit", lose_each_second_answer)
    monkeypatch.setattr(outages, "SECONDS_BETWEEN_TRIES", 0)
    search_a_little(study)
    assert n_commits > 10
    assert_has_been_searched(study, 1)


def test_a_lease_outlives_a_restart_and_its_holder_is_seen_to_live(
    postgres: Postgres, study: optuna.Study, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.1)
    with lease.lock(project, "s") as own:
        taken = lease.take(study, own)
        before = study.user_attrs[lease.HEARTBEAT]
        postgres.restart()
        end = time.monotonic() + 60
        while study.user_attrs[lease.HEARTBEAT] == before:
            assert time.monotonic() < end
            SYSTEM.clock.sleep(0.1)
        study.set_user_attr("seconds", 1.0)
        taken.give_back()
    assert study.user_attrs[lease.LEASE] is None


def test_who_has_lost_a_lease_writes_nothing_to_postgresql(
    url: str, study: optuna.Study, project: Project
) -> None:
    with lease.lock(project, "s") as own:
        taken = lease.take(study, own)
        storage, number = study._storage._backend, study._study_id  # type: ignore[attr-defined]
        other = open_storage(url, to_write=True)._backend  # type: ignore[attr-defined]
        assert not other.swap(number, lease.N_LEASES, 7, 8, {})
        assert other.swap(number, lease.N_LEASES, 1, 2, {lease.LEASE: {**own, "number": 2}})
        with pytest.raises(lease.LostLease):
            study.ask()
        with pytest.raises(lease.LostLease):
            taken.give_back()
    with storage.engine.connect() as connection:
        assert connection.execute(sql.text("SELECT count(*) FROM trials")).scalar() == 0


def test_several_processes_may_make_the_tables_at_once(url: str) -> None:
    found: list[Any] = []

    def open_it() -> None:
        found.append(open_storage(url, to_write=True).get_all_studies())

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [[]] * 4
