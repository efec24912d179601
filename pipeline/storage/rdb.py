"""Optuna's SQL storage, faster: a search of 10,000 trials opens in seconds, not in half a minute.

Optuna makes an object of every row when it reads trials, and waits for the disk at every write.
What is stored is the same; everything that reads Optuna's storage reads this one.
"""

import atexit
import contextlib
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sql
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline import paths
from pipeline.paths import StoreUrl

_TRIAL = models.TrialModel


def open_storage(url: str, *, to_write: bool = False) -> optuna.storages.BaseStorage:
    """The storage of a URL, with a cache of the trials that are finished."""
    if url.startswith("redis"):
        return optuna.storages.get_storage(url)
    storage = _RowStorage(url)
    file = StoreUrl(url).file
    if to_write and file and file.is_file():
        storage.write_ahead(file)
    return _Cache(storage)


class _Cache(_CachedStorage):
    """Keeps finished trials; of a running one, pruners and samplers ask for one table alone."""

    _backend: "_RowStorage"

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        known = self._get_cached_trial(trial_id)
        return known.system_attrs if known else self._backend.get_trial_system_attrs(trial_id)


class _RowStorage(optuna.storages.RDBStorage):
    """Reads trials as rows; may write to SQLite without waiting for the disk each time."""

    def __init__(self, url: str) -> None:
        options = {"connect_args": {"timeout": paths.BUSY_SECONDS}}
        super().__init__(url, engine_kwargs=options if StoreUrl(url).is_sqlite else None)
        self._distributions: dict[str, BaseDistribution] = {}  # few different ones
        self._log: Path | None = None
        # who closes a database last moves the log into its file, and removes it
        atexit.register(self.engine.dispose)

    def write_ahead(self, file: Path) -> None:
        """Lets no write wait for the disk but those that end a trial.

        A killed process loses nothing by that, as what it wrote is the system's. If the power
        fails, finished trials are safe, and those under way begin again anyway.
        """

        def set_up(connection: Any, _: Any) -> None:
            with contextlib.suppress(sqlite3.OperationalError):  # it is busy: let it wait, then
                connection.execute("PRAGMA journal_mode=WAL")  # https://sqlite.org/wal.html
            if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                connection.execute("PRAGMA synchronous=NORMAL")  # without a log not safe

        sql.event.listen(self.engine, "connect", set_up)
        self.engine.dispose()  # of connections that were opened without
        self._log = file.with_name(f"{file.name}-wal")

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        if self._log and self._log.exists() and state.is_finished():
            with self._log.open("rb") as log:
                os.fsync(log.fileno())
        return done

    def get_trial(self, trial_id: int) -> FrozenTrial:
        found = self._read(_TRIAL.trial_id == trial_id)
        if not found:
            raise KeyError(models.NOT_FOUND_MSG)
        return found[0]

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        table = models.TrialSystemAttributeModel
        query = sql.select(table.key, table.value_json).where(table.trial_id == trial_id)
        with self.engine.connect() as connection:
            return {key: json.loads(value) for key, value in connection.execute(query)}

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        wanted = _TRIAL.trial_id > trial_id_greater_than
        known = sorted(each for each in included_trial_ids if each <= trial_id_greater_than)
        if known:
            wanted |= _TRIAL.trial_id.in_(known)
        found = self._read(sql.and_(_TRIAL.study_id == study_id, wanted))
        return [trial for trial in found if states is None or trial.state in states]

    def _get_best_trial_id(self, study_id: int, direction: StudyDirection) -> int:
        """Of equal ones the earliest, where Optuna takes any."""
        value = models.TrialValueModel.value
        is_largest = direction == StudyDirection.MAXIMIZE
        query = (
            sql.select(_TRIAL.trial_id)
            .join(models.TrialValueModel)
            .where(_TRIAL.study_id == study_id, _TRIAL.state == TrialState.COMPLETE)
            .order_by(value.desc() if is_largest else value, _TRIAL.number)
        )
        with self.engine.connect() as connection:
            found = connection.execute(query.limit(1)).scalar()
        if found is None:
            raise ValueError(models.NOT_FOUND_MSG)
        return int(found)

    def _read(self, condition: Any) -> list[FrozenTrial]:
        table = _TRIAL.__table__.c
        columns = [table.trial_id, table.number, table.state]
        columns += [table.datetime_start, table.datetime_complete]
        with self.engine.connect() as connection:
            # Trials first: one that is finished by now is so with all that belongs to it.
            rows = connection.execute(
                sql.select(*columns).where(condition).order_by(_TRIAL.trial_id)
            ).all()

            def belonging(
                model: Any, key: str, values: Sequence[str], convert: Callable[..., Any]
            ) -> dict[int, dict[Any, Any]]:
                """What `convert` makes of each trial's rows, by trial and key."""
                names = ("trial_id", key, *values)
                query = sql.select(*(model.__table__.c[name] for name in names)).where(
                    model.trial_id.in_(sql.select(_TRIAL.trial_id).where(condition))
                )
                if model is models.TrialParamModel:
                    query = query.order_by(model.param_id)  # as they were drawn
                found: dict[int, dict[Any, Any]] = defaultdict(dict)
                for trial, name, *cells in connection.execute(query):
                    found[trial][name] = convert(*cells)
                return found

            values = belonging(
                models.TrialValueModel,
                "objective",
                ("value", "value_type"),
                models.TrialValueModel.stored_repr_to_value,
            )
            steps = belonging(
                models.TrialIntermediateValueModel,
                "step",
                ("intermediate_value", "intermediate_value_type"),
                models.TrialIntermediateValueModel.stored_repr_to_intermediate_value,
            )
            params = belonging(
                models.TrialParamModel,
                "param_name",
                ("param_value", "distribution_json"),
                self._param,
            )
            user, system = (
                belonging(model, "key", ("value_json",), json.loads)
                for model in (models.TrialUserAttributeModel, models.TrialSystemAttributeModel)
            )
        return [
            FrozenTrial(
                number=number,
                state=state,
                value=None,
                values=[values[key][i] for i in sorted(values[key])] or None,
                datetime_start=_local(started),
                datetime_complete=_local(ended),
                params={name: value for name, (value, _) in params[key].items()},
                distributions={name: kind for name, (_, kind) in params[key].items()},
                user_attrs=user[key],
                system_attrs=system[key],
                intermediate_values=steps[key],
                trial_id=key,
            )
            for key, number, state, started, ended in rows
        ]

    def _param(self, value: float, distribution: str) -> tuple[Any, BaseDistribution]:
        kind = self._distributions.get(distribution)
        if kind is None:
            kind = self._distributions[distribution] = json_to_distribution(distribution)
        return kind.to_external_repr(value), kind


def _local(stored: datetime | None) -> datetime | None:
    """Optuna stores UTC and shows local time, both without a zone."""
    return stored and stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
