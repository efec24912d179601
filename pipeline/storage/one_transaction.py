"""Several of Optuna's transactions as one: writing them costs one wait for the disk."""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
import sqlalchemy as sql
from optuna.trial import TrialState
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, scoped_session

from pipeline.storage import outages
from pipeline.storage.optuna_internals import models
from pipeline.storage.row_storage import RowStorage, local

Write = tuple[str, tuple[Any, ...]]  # a method of a storage, and its arguments
_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class BrokenOff(Exception):
    """The server went away in the middle of a transaction, which is done again as a whole."""


class Sessions(scoped_session[Session]):
    """Gives each of Optuna's methods a session of its own; those in a `together` share one."""

    _shared: "_Shared | None" = None

    def __call__(self, **named: Any) -> Any:
        """Returns the session of this moment.

        Raises:
            BrokenOff: what was written before in the same transaction is taken back.
        """
        if self._shared and self._shared.is_lost:
            raise BrokenOff
        return self._shared or super().__call__(**named)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Makes one transaction of what is written in a `with`: all of it, or nothing."""
        session = super().__call__()
        self._shared = _Shared(session)
        try:
            yield
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            self._shared = None
            session.close()


class _Shared:
    """A session that is not over when Optuna says so."""

    def __init__(self, session: Session) -> None:
        self._session, self.is_lost = session, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def commit(self) -> None:
        self._session.flush()

    def rollback(self) -> None:
        self._session.rollback()
        self.is_lost = True

    def close(self) -> None:
        pass


class StorageOfSoleWriter(RowStorage):
    """Is as `RowStorage`, and writes and reads of many trials at once."""

    scoped_session: Sessions

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__(url, engine_kwargs)
        self.scoped_session = Sessions(self.scoped_session.session_factory)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Connects anew."""
        super().__setstate__(state)
        self.scoped_session = Sessions(self.scoped_session.session_factory)

    def write_all(self, reports: Mapping[tuple[int, int], float], writes: Sequence[Write]) -> None:
        """Writes in one transaction, which is done again where a server went away meanwhile.

        Args:
            reports: values of epochs, by the ids of trials, and steps.
            writes: after these, in their order; twice is to do no more than once.

        Raises:
            UpdateFinishedTrialError: a trial is not under way any more.
            KeyError: a trial was deleted.
        """
        until = time.monotonic() + outages.PATIENCE_SECONDS
        while True:
            try:
                with self.scoped_session.together():
                    if reports:
                        self._report(reports)
                    for method, arguments in writes:
                        getattr(self, method)(*arguments)
            except (BrokenOff, optuna.exceptions.StorageInternalError, sql.exc.DBAPIError) as it:
                is_broken = isinstance(it, BrokenOff) or self.patience.is_broken_off(it)
                if not is_broken or time.monotonic() > until:
                    raise
                time.sleep(outages.SECONDS_BETWEEN_TRIES)
            else:
                break
        if any(method == "set_trial_state_values" for method, _ in writes):
            self.wait_for_disk()

    def wait_for_disk(self) -> None:
        """Waits until a power failure takes nothing back, once for all that is in a `together`."""
        if self.scoped_session._shared is None:
            super().wait_for_disk()

    def _report(self, reports: Mapping[tuple[int, int], float]) -> None:
        table = models.TrialIntermediateValueModel
        insert = _INSERTS.get(self.engine.name)
        if insert is None:
            for (trial, step), value in reports.items():
                self.set_trial_intermediate_value(trial, step, value)
            return
        session = self.scoped_session()
        self._refuse_ended(session, {trial for trial, _ in reports})
        new = insert(table)
        found = {
            "intermediate_value": new.excluded.intermediate_value,
            "intermediate_value_type": new.excluded.intermediate_value_type,
        }
        rows = []
        for (trial, step), value in reports.items():
            stored, kind = table.intermediate_value_to_stored_repr(value)
            row = {"trial_id": trial, "step": step, "intermediate_value": stored}
            rows.append({**row, "intermediate_value_type": kind})
        upsert = new.on_conflict_do_update(index_elements=["trial_id", "step"], set_=found)
        session.connection().execute(upsert, rows)

    def _refuse_ended(self, session: Any, trials: Collection[int]) -> None:
        trial = models.TrialModel
        query = sql.select(trial.trial_id, trial.state).where(trial.trial_id.in_(sorted(trials)))
        states = {key: state for key, state in session.connection().execute(query)}
        if states.keys() != trials:
            raise KeyError(models.NOT_FOUND_MSG)
        for key, state in states.items():
            self.check_trial_is_updatable(key, state)

    def open_trials(self, study_id: int, newest: int) -> dict[int, TrialState]:
        """Reads the states of trials that run or wait, and of all later ones, by id.

        Args:
            study_id: Optuna's.
            newest: id of the trial after which trials are later ones.
        """
        trial = models.TrialModel
        is_open = trial.state.in_((TrialState.RUNNING, TrialState.WAITING))
        query = sql.select(trial.trial_id, trial.state).where(
            trial.study_id == study_id, sql.or_(is_open, trial.trial_id > newest)
        )
        with self.engine.connect() as connection:
            return {key: state for key, state in connection.execute(query)}

    def moments(self, trial_id: int) -> tuple[datetime | None, datetime | None]:
        """Reads when a trial began, and when it ended."""
        trial = models.TrialModel.__table__.c
        query = sql.select(trial.datetime_start, trial.datetime_complete)
        with self.engine.connect() as connection:
            began, ended = connection.execute(query.where(trial.trial_id == trial_id)).one()
        return local(began), local(ended)
