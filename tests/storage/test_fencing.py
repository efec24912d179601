"""Two supervisors on one store: the first is suspended at each of its writes in turn.

The second takes the study over, as it would after half a minute of silence, and finishes the
study; then the first goes on in the middle of what it was doing.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from scripted import (
    REFERENCE,
    ListTracker,
    ScriptedExecutor,
    SilentProgress,
    make_spec,
    n_running,
    steady,
)

from pipeline.errors import FAILED, PipelineError
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import fencing, lease, optuna_internals, study_store
from pipeline.storage.rdb import open_storage
from pipeline.study.trial import select_counted

SPEC = make_spec(reference=[{"name": "a", "hyperparameters": REFERENCE}])
FIRST = {"host": "here", "process": "1", "since": "today", "lock": "/here/x.lock"}
SECOND = {**FIRST, "process": "2"}  # of the same lock: nobody waits half a minute


class Suspended:
    """Counts moments; at a chosen one, lets somebody else go on first."""

    def __init__(self, at: int, meanwhile: Callable[[], None]) -> None:
        self.n_moments, self._at, self._meanwhile = 0, at, meanwhile

    def moment(self, *_: object) -> None:
        self.n_moments += 1
        if self.n_moments == self._at:
            self._meanwhile()


class FencedTracker(ListTracker):
    """Looks before each write, as what is delivered to MLflow does."""

    def __init__(self, of: ListTracker, moment: Callable[[], None], check: Callable[[], None]):
        vars(self).update(vars(of))  # shares what MLflow holds
        self._moment, self._check = moment, check

    def _called(self, name: str) -> None:
        self._moment()
        self._check()

    def log_incumbent(self, trial: int, metric: str, value: float) -> None:
        self._called("log_incumbent")
        super().log_incumbent(trial, metric, value)

    def mend(
        self, ends: Mapping[int, Any], runs: Mapping[int, str], paused: Collection[int] = ()
    ) -> int:
        self._called("mend")
        return super().mend(ends, runs, paused)


class Store:
    """A SQLite file that both supervisors open, and what MLflow holds."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'optuna.db'}"
        self.mlflow = ListTracker()
        optuna.create_study(
            storage=open_storage(self.url, to_write=True), study_name="x", direction="maximize"
        )

    def open(self) -> optuna.Study:
        return optuna.load_study(storage=open_storage(self.url, to_write=True), study_name="x")

    def search(self, own: lease.Lease, suspended: Suspended) -> SearchEnd:
        study = self.open()
        taken = lease.take(study, own)
        storage, _ = optuna_internals.storage_of(study)
        # a transaction begins: what was read before it is old by the time that it writes
        sql.event.listen(storage.scoped_session, "after_begin", suspended.moment)
        tracker = FencedTracker(self.mlflow, suspended.moment, taken.check)
        executor = ScriptedExecutor(steady, 2)
        end = Supervisor(SPEC, study, executor, tracker, SilentProgress()).run()
        taken.give_back()
        return end

    def contents(self) -> list[str]:
        """All that is in both stores, as NaN is not equal to itself."""
        study = self.open()
        return [repr(study.get_trials()), repr(study.user_attrs), repr(vars(self.mlflow))]


def never() -> Suspended:
    return Suspended(0, lambda: None)


def n_moments(folder: Path) -> int:
    counted = never()
    Store(folder).search(FIRST, counted)
    return counted.n_moments


def assert_whole(store: Store) -> None:
    """Every trial has come to one end, and is shown so."""
    study = store.open()
    counted = select_counted(study_store.read_trials(study))
    assert Counter(trial.state for trial in counted) == {"COMPLETE": 6}
    assert len({trial.seed for trial in counted}) == 6, "no trial is finished twice"
    assert n_running(study) == 0
    assert "RUNNING" not in store.mlflow.status.values()
    for trial in counted:
        assert store.mlflow.status[trial.run_id] == "COMPLETE"
        assert store.mlflow.curves[trial.run_id] == [1, 2, 3]
    assert study.user_attrs[lease.LEASE] is None


@pytest.mark.slow
@pytest.mark.parametrize("part", [1, 3, 5])
def test_who_has_lost_the_lease_writes_nothing_more(part: int, tmp_path: Path) -> None:
    n_all = n_moments(tmp_path)
    assert n_all > 70
    for at in range(part, n_all + 1, 23):
        folder = tmp_path / str(at)
        folder.mkdir()
        store = Store(folder)
        then: list[str] = []

        def meanwhile(store: Store = store, then: list[str] = then) -> None:
            assert store.search(SECOND, never()) is SearchEnd.BUDGET_USED
            then += store.contents()

        with pytest.raises(lease.LostLease, match="study x was taken over by another") as lost:
            store.search(FIRST, Suspended(at, meanwhile))
        assert lost.value.exit_code == FAILED
        assert len(str(lost.value).splitlines()) == 1
        assert store.contents() == then
        assert_whole(store)


def test_of_two_that_take_a_lease_at_once_one_gets_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = store.open(), store.open()
    taken: list[lease.Taken] = []

    def swap(*arguments: Any) -> bool:
        """Between looking and claiming."""
        patch.undo()
        taken.append(lease.take(second, SECOND))
        return fencing.swap(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fencing, "swap", swap)
        with pytest.raises(PipelineError, match="searched already, by process 2 on here"):
            lease.take(first, FIRST)
    (of_second,) = taken
    of_second.check()
    second.set_user_attr(study_store.SECONDS, 1.0)
    of_second.give_back()
    assert lease.take(store.open(), FIRST).number == of_second.number + 1


def test_a_lease_without_a_number_is_followed_by_the_first(tmp_path: Path) -> None:
    study = Store(tmp_path).open()
    study.set_user_attr(lease.LEASE, FIRST)  # by an earlier version
    assert lease.take(study, SECOND).number == 1


def test_without_sql_the_number_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(study_name="x")  # in memory: without transactions
    monkeypatch.setattr(lease, "READ_BACK_SECONDS", 0.0)
    first = lease.take(study, FIRST)
    first.check()
    second = lease.take(study, SECOND)
    second.check()
    for writes in (first.check, first.give_back):
        with pytest.raises(lease.LostLease):
            writes()
    assert study.user_attrs[lease.LEASE] == {**SECOND, "number": 2}
    second.give_back()
    assert study.user_attrs[lease.LEASE] is None
