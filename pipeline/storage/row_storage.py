"""Optuna's SQL storage, faster: a search of 10,000 trials opens in seconds, not in half a minute.

Optuna makes an object of every row when it reads trials, and waits for the disk at every write.
What is stored is the same; everything that reads Optuna's storage reads this one. It overrides
methods that Optuna does not promise: `optuna_internals.is_as_known` says whether it may be used.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sql
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.storage import fencing, outages
from pipeline.storage.optuna_internals import CachedStorage, models
from pipeline.write_ahead import Log

_TRIAL = models.TrialModel


@dataclass(frozen=True)
class _Belongings:
    """A table whose rows belong to trials.

    Attributes:
        model: the table.
        key: column by which a trial's rows are told apart.
        columns: what else is read.
        convert: makes one value of the cells in `columns`.
        order: column by which rows come, if that matters.
    """

    model: Any
    key: str
    columns: tuple[str, ...]
    convert: Callable[..., Any]
    order: Any = None

    def read(self, connection: sql.Connection, condition: Any) -> dict[int, dict[Any, Any]]:
        """Returns the values of the trials that a condition selects, by trial and key."""
        table = self.model.__table__.c
        query = (
            sql.select(*(table[name] for name in ("trial_id", self.key, *self.columns)))
            .where(table.trial_id.in_(sql.select(_TRIAL.trial_id).where(condition)))
            .order_by(self.order)
        )
        found: dict[int, dict[Any, Any]] = defaultdict(dict)
        for trial, key, *cells in connection.execute(query):
            found[trial][key] = self.convert(*cells)
        return found


_VALUES = _Belongings(
    models.TrialValueModel,
    "objective",
    ("value", "value_type"),
    models.TrialValueModel.stored_repr_to_value,
)
_STEPS = _Belongings(
    models.TrialIntermediateValueModel,
    "step",
    ("intermediate_value", "intermediate_value_type"),
    models.TrialIntermediateValueModel.stored_repr_to_intermediate_value,
)
_USER_ATTRIBUTES, _SYSTEM_ATTRIBUTES = (
    _Belongings(model, "key", ("value_json",), json.loads)
    for model in (models.TrialUserAttributeModel, models.TrialSystemAttributeModel)
)


class CacheOfRows(CachedStorage):
    """Caches finished trials; of a running one, reads only the table that is asked for."""

    _backend: "RowStorage"

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Makes a trial, and waits for the disk; the storage below is not asked by this name.

        Args:
            study_id: Optuna's.
            template_trial: what it is to be; None for one that runs.
        """
        made: int = super().create_new_trial(study_id, template_trial)
        self._backend.wait_for_disk()
        return made

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Reads what Optuna noted of a trial, from the cache once the trial is finished."""
        known = self._get_cached_trial(trial_id)
        return known.system_attrs if known else self._backend.get_trial_system_attrs(trial_id)


@outages.patient
class RowStorage(optuna.storages.RDBStorage):
    """Reads trials as rows; can write to SQLite without waiting for the disk each time."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__(url, engine_kwargs=engine_kwargs)
        self.patience = outages.Patience(self.engine, url)
        self._distributions: dict[str, BaseDistribution] = {}  # few different ones
        self._log: Log | None = None

    def __getstate__(self) -> dict[Any, Any]:
        """Leaves out what belongs to the connections, as Optuna does."""
        state = super().__getstate__()
        del state["patience"]
        state["_log"] = None
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Connects anew."""
        super().__setstate__(state)
        self.patience = outages.Patience(self.engine, self.url)

    @property
    def reading(self) -> sql.Engine:
        """Connects to read: without a transaction, to begin and end which a server is asked."""
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def write_ahead(self, file: Path) -> None:
        """Lets few writes wait for the disk: where a trial begins or ends, and what a study notes.

        If the power fails, finished trials are safe, and those under way begin again anyway. That
        one has begun is to be known before MLflow is told of it: its number must not be another's,
        then.
        """
        self._log = Log(self.engine, file)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Sets the state of a trial, and waits for the disk.

        Args:
            trial_id: Optuna's.
            state: the new one.
            values: of the objectives; None if there are none.
        """
        done = super().set_trial_state_values(trial_id, state, values)
        self.wait_for_disk()
        return done

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Notes something of a study, and waits for the disk."""
        super().set_study_user_attr(study_id, key, value)
        self.wait_for_disk()

    def wait_for_disk(self) -> None:
        """Waits until a power failure takes nothing back of what was written."""
        if self._log:
            self._log.wait_for_disk()

    def swap(
        self, study_id: int, key: str, old: int | None, new: int, others: Mapping[str, Any]
    ) -> bool:
        """Sets an attribute of a study if nobody has changed it; as in `fencing.swap`."""
        return fencing.swap(self, study_id, key, old, new, others)

    def fence(
        self, study_id: int, keys: Sequence[str], judge: Callable[[Mapping[str, Any]], None]
    ) -> fencing.Fence:
        """Makes what lets nobody write a study who may not; as in `fencing.Fence`."""
        return fencing.Fence(self, study_id, keys, judge)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Reads in one question what was noted of a study; of Optuna's four, one is a write."""
        study, table = models.StudyModel, models.StudyUserAttributeModel
        query = sql.select(table.key, table.value_json).select_from(study)
        joined = query.outerjoin(table, table.study_id == study.study_id)
        return self._read_attributes(joined.where(study.study_id == study_id))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Reads a trial; raises KeyError if there is none of that id."""
        found = self._read(_TRIAL.trial_id == trial_id)
        if not found:
            raise KeyError(models.NOT_FOUND_MSG)
        return found[0]

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Reads one table of a trial, where Optuna would read the whole trial."""
        table = models.TrialSystemAttributeModel
        query = (
            sql.select(table.key, table.value_json)
            .select_from(_TRIAL)
            .outerjoin(table, table.trial_id == _TRIAL.trial_id)
            .where(_TRIAL.trial_id == trial_id)
        )
        return self._read_attributes(query)

    def _read_attributes(self, query: sql.Select[Any]) -> dict[str, Any]:
        """Reads keys and values as JSON, of something that is there; else raises KeyError."""
        with self.reading.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            raise KeyError(models.NOT_FOUND_MSG)
        return {key: json.loads(value) for key, value in rows if key is not None}

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
        if not found:
            self.get_study_name_from_id(study_id)  # a KeyError if there is no such study
        return [trial for trial in found if states is None or trial.state in states]

    def _get_best_trial_id(self, study_id: int, direction: StudyDirection) -> int:
        """Finds the best trial; of equal ones that which ended first, where Optuna takes any."""
        table = models.TrialValueModel
        is_largest = direction == StudyDirection.MAXIMIZE
        sign = sql.case(  # of infinity, which is stored without a value
            (table.value_type == table.TrialValueType.INF_POS, 1),
            (table.value_type == table.TrialValueType.INF_NEG, -1),
            else_=0,
        )
        values: list[Any] = [sign, table.value]
        order = [each.desc() if is_largest else each for each in values]
        query = (
            sql.select(_TRIAL.trial_id)
            .join(table)
            .where(_TRIAL.study_id == study_id, _TRIAL.state == TrialState.COMPLETE)
            .order_by(*order, _TRIAL.__table__.c.datetime_complete, _TRIAL.number)
        )
        with self.reading.connect() as connection:
            found = connection.execute(query.limit(1)).scalar()
        if found is None:
            raise ValueError(models.NOT_FOUND_MSG)
        return int(found)

    def _read(self, condition: Any) -> list[FrozenTrial]:
        """Reads the trials of a condition: one query for them, one for each table of theirs."""
        trial = _TRIAL.__table__.c
        query = sql.select(
            trial.trial_id,
            trial.number,
            trial.state,
            trial.datetime_start,
            trial.datetime_complete,
        )
        params_table = _Belongings(
            models.TrialParamModel,
            "param_name",
            ("param_value", "distribution_json"),
            self._param,
            order=models.TrialParamModel.param_id,  # as they were drawn
        )
        with self.reading.connect() as connection:
            # Trials first: one that is finished by now is so with all that belongs to it.
            rows = connection.execute(query.where(condition).order_by(_TRIAL.trial_id)).all()
            values = _VALUES.read(connection, condition)
            steps = _STEPS.read(connection, condition)
            params = params_table.read(connection, condition)
            user = _USER_ATTRIBUTES.read(connection, condition)
            system = _SYSTEM_ATTRIBUTES.read(connection, condition)
        return [
            FrozenTrial(
                number=number,
                state=state,
                value=None,
                values=[values[key][i] for i in sorted(values[key])] or None,
                datetime_start=local(started),
                datetime_complete=local(ended),
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


def local(stored: datetime | None) -> datetime | None:
    """Converts a time from UTC, as Optuna stores it, to local time, as Optuna shows it."""
    return stored and stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
