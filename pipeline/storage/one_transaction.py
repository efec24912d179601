"""Several of Optuna's transactions as one: writing them costs one wait for the disk."""

import contextlib
import functools
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
import sqlalchemy as sql
from optuna.distributions import distribution_to_json
from optuna.trial import TrialState
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, scoped_session

from pipeline.storage import outages
from pipeline.storage.optuna_internals import models
from pipeline.storage.row_storage import RowStorage, local

Write = tuple[str, tuple[Any, ...]]  # a method of a storage, and its arguments
_STATE = "set_trial_state_values"
_STEPS, _PARAMS = models.TrialIntermediateValueModel, models.TrialParamModel
_TABLES: Mapping[str, Any] = {
    "set_trial_user_attr": models.TrialUserAttributeModel,
    "set_trial_system_attr": models.TrialSystemAttributeModel,
}
# Of tables whose rows belong to trials: the column by which a trial's rows are told apart.
_KEYS: Mapping[Any, str] = {
    _STEPS: "step", _PARAMS: "param_name", **dict.fromkeys(_TABLES.values(), "key")
}  # fmt: skip
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

    def write_all(
        self,
        reports: Mapping[tuple[int, int], float],
        writes: Sequence[Write],
        running: Collection[int],
    ) -> None:
        """Writes in one transaction, which is done again where a server went away meanwhile.

        Args:
            reports: values of epochs, by the ids of trials, and steps.
            writes: after these, in their order; twice is to do no more than once.
            running: ids of trials that run, as far as is known; nobody else may have ended them,
                or set them to wait.

        Raises:
            UpdateFinishedTrialError: a trial is not under way any more.
            KeyError: a trial was deleted.
        """
        until = time.monotonic() + outages.PATIENCE_SECONDS
        while True:
            try:
                with self.scoped_session.together():
                    self._refuse_taken_away(reports, writes, running)
                    self._write_once(reports, writes)
            except (BrokenOff, optuna.exceptions.StorageInternalError, sql.exc.DBAPIError) as it:
                is_broken = isinstance(it, BrokenOff) or self.patience.is_broken_off(it)
                if not is_broken or time.monotonic() > until:
                    raise
                time.sleep(outages.SECONDS_BETWEEN_TRIES)
            else:
                break
        if any(method == _STATE for method, _ in writes):
            self.wait_for_disk()

    def wait_for_disk(self) -> None:
        """Waits until a power failure takes nothing back, once for all that is in a `together`."""
        if self.scoped_session._shared is None:
            super().wait_for_disk()

    def _write_once(
        self, reports: Mapping[tuple[int, int], float], writes: Sequence[Write]
    ) -> None:
        """Writes rows of a table at once, whatever comes between, and then what is left."""
        if self.engine.name not in _INSERTS:
            for (trial, step), value in reports.items():
                self.set_trial_intermediate_value(trial, step, value)
            for method, arguments in writes:
                getattr(self, method)(*arguments)
            return
        rows: dict[Any, dict[Any, dict[str, Any]]] = {table: {} for table in _KEYS}
        for (trial, step), value in reports.items():
            stored, kind = _STEPS.intermediate_value_to_stored_repr(value)
            given = {"intermediate_value": stored, "intermediate_value_type": kind}
            rows[_STEPS][trial, step] = given
        left = []
        for method, arguments in writes:
            if method in _TABLES:
                trial, key, value = arguments
                rows[_TABLES[method]][trial, key] = {"value_json": json.dumps(value)}
            elif method == "_set_trial_param":
                trial, name, number, kind, _ = arguments
                known = distribution_to_json(kind)
                values = {"param_value": number, "distribution_json": known}
                rows[_PARAMS][trial, name] = values
            else:
                left.append((method, arguments))
        connection = self.scoped_session().connection()
        for table, found in rows.items():
            if found:
                self._upsert(connection, table, found)
        for method, arguments in left:
            getattr(self, method)(*arguments)

    def _upsert(
        self, connection: sql.Connection, table: Any, rows: Mapping[Any, Mapping[str, Any]]
    ) -> None:
        upsert = _upserting(self.engine.name, table, tuple(next(iter(rows.values()))))
        names = ("trial_id", _KEYS[table])
        given = [{**dict(zip(names, key, strict=True)), **each} for key, each in rows.items()]
        connection.execute(upsert, given)

    def _refuse_taken_away(
        self,
        reports: Mapping[tuple[int, int], float],
        writes: Sequence[Write],
        running: Collection[int],
    ) -> None:
        """Raises what `write_all` says, if somebody else has taken a trial away."""
        trial = models.TrialModel
        trials = {key for key, _ in reports} | {arguments[0] for _, arguments in writes}
        query = sql.select(trial.trial_id, trial.state).where(trial.trial_id.in_(sorted(trials)))
        found = self.scoped_session().connection().execute(query)
        states = {key: state for key, state in found}
        if states.keys() != trials:
            raise KeyError(models.NOT_FOUND_MSG)
        for key, state in states.items():
            self.check_trial_is_updatable(key, state)
            if state == TrialState.WAITING and key in running:
                raise optuna.exceptions.UpdateFinishedTrialError("a trial was set to wait")

    @outages.repeated
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
        with self.reading.connect() as connection:
            return {key: state for key, state in connection.execute(query)}

    @outages.repeated
    def moments(self, trial_id: int) -> tuple[datetime | None, datetime | None]:
        """Reads when a trial began, and when it ended."""
        trial = models.TrialModel.__table__.c
        query = sql.select(trial.datetime_start, trial.datetime_complete)
        with self.reading.connect() as connection:
            began, ended = connection.execute(query.where(trial.trial_id == trial_id)).one()
        return local(began), local(ended)


@functools.cache
def _upserting(dialect: str, table: Any, columns: tuple[str, ...]) -> Any:
    """Builds what inserts rows of a table, or changes these columns of those that are there."""
    new = _INSERTS[dialect](table)
    changed = {name: new.excluded[name] for name in columns}
    return new.on_conflict_do_update(index_elements=("trial_id", _KEYS[table]), set_=changed)
