"""Writes runs to MLflow's database as rows: some forty questions of MLflow's become fifteen.

A search with a thousand workers would wait for MLflow, which reads what it has just written again
and again. What is stored is the same (a test compares all tables), and all readers are MLflow. As
MLflow promises no tables, `of` gives no writer where they are others than these; then, and where
MLflow would refuse a write, MLflow itself is asked.
"""

import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mlflow
import sqlalchemy as sql
from mlflow.entities import DatasetInput, LifecycleStage, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_USER
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.tracking import mlflow_internals

_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_TABLES: Mapping[str, str] = {
    "SqlRun": "run_uuid name source_type source_name entry_point_name user_id status start_time "
    "end_time deleted_time source_version lifecycle_stage artifact_uri experiment_id",
    "SqlTag": "key value run_uuid",
    "SqlParam": "key value run_uuid",
    "SqlMetric": "key value timestamp step is_nan run_uuid",
    "SqlLatestMetric": "key value timestamp step is_nan run_uuid",
    "SqlDataset": "dataset_uuid experiment_id name digest dataset_source_type dataset_source "
    "dataset_schema dataset_profile",
    "SqlInput": "input_uuid source_type source_id destination_type destination_id step",
}
_ACTIVE = LifecycleStage.ACTIVE
_ORDER = ("step", "timestamp", "value")  # of two values of a metric, the greater is the latest


def of(client: mlflow.MlflowClient) -> "Rows | None":
    """Returns what writes rows; None if a server is asked, or MLflow's inside is unknown."""
    store = mlflow_internals.store_of(client)
    return _of_store(store) if hasattr(store, "ManagedSessionMaker") else None


@functools.lru_cache(maxsize=8)
def _of_store(store: Any) -> "Rows | None":
    try:
        from mlflow.store.tracking import sqlalchemy_store
        from mlflow.store.tracking.dbmodels import models

        tables = {name: getattr(models, name).__table__ for name in _TABLES}
        is_known = type(store) is sqlalchemy_store.SqlAlchemyStore and all(
            {column.name for column in table.columns} == set(_TABLES[name].split())
            for name, table in tables.items()
        )
        if is_known and store.engine.name in _INSERTS:
            return Rows(store, tables, models.SqlExperiment.__table__)
    except (ImportError, AttributeError):
        pass
    return None


class Rows:
    """Writes rows; each method does so in one transaction.

    Args:
        store: MLflow's.
        tables: those of `_TABLES`.
        experiments: the table.
    """

    def __init__(
        self, store: Any, tables: Mapping[str, sql.Table], experiments: sql.Table
    ) -> None:
        self._store, self._tables, self._experiments = store, tables, experiments
        insert = _INSERTS[store.engine.name]  # to build statements takes longer than their doing
        self._adding = {
            name: insert(table).on_conflict_do_nothing() for name, table in tables.items()
        }
        tag, latest = insert(tables["SqlTag"]), insert(tables["SqlLatestMetric"])
        key = ("key", "run_uuid")
        self._setting = tag.on_conflict_do_update(
            index_elements=key, set_={"value": tag.excluded.value}
        )
        known, new = tables["SqlLatestMetric"].c, latest.excluded
        self._setting_latest = latest.on_conflict_do_update(
            index_elements=key,
            set_={name: new[name] for name in (*_ORDER, "is_nan")},
            where=sql.tuple_(*(new[n] for n in _ORDER)) > sql.tuple_(*(known[n] for n in _ORDER)),
        )

    def start(
        self,
        experiment: str,
        started: int,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        inputs: Sequence[DatasetInput],
        keep: Callable[[str], None],
    ) -> str | None:
        """Makes a run that is running.

        Args:
            experiment: its id.
            started: milliseconds since 1970.
            name: of the run.
            tags: of it.
            params: of it.
            inputs: data that it takes.
            keep: called with the URI of its artifacts, before anything is kept.

        Returns:
            The run's id; None if the experiment is not one to which runs may be added.
        """
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
        from mlflow.utils.uri import append_to_uri_path

        run, known = uuid.uuid4().hex, self._experiments.c
        with self._connected() as connection:
            query = sql.select(known.artifact_location, known.lifecycle_stage)
            found = connection.execute(query.where(known.experiment_id == int(experiment))).first()
            if found is None or found.lifecycle_stage != _ACTIVE:
                return None
            folder = SqlAlchemyStore.ARTIFACTS_FOLDER_NAME
            uri = append_to_uri_path(found.artifact_location, run, folder)
            row = {
                "run_uuid": run, "name": name, "source_type": "UNKNOWN", "source_name": "",
                "entry_point_name": "", "user_id": tags.get(MLFLOW_USER, "unknown"),
                "status": "RUNNING", "start_time": started, "source_version": "",
                "lifecycle_stage": _ACTIVE, "artifact_uri": uri, "experiment_id": int(experiment),
            }  # fmt: skip
            self._add(connection, "SqlRun", [row])
            self._set_tags(connection, run, {**tags, MLFLOW_RUN_NAME: name})
            self._add_inputs(connection, int(experiment), run, inputs)
            keep(uri)
            rows = [{"key": key, "value": value} for key, value in _checked(Param, params)]
            self._add(connection, "SqlParam", rows, run_uuid=run)
        return run

    def write(
        self,
        run: str,
        metrics: Sequence[Metric],
        tags: Mapping[str, str],
        status: str,
        name: str,
        ended: int | None,
    ) -> bool:
        """Adds to a run; what is there already stays.

        Args:
            run: its id.
            metrics: further values of its curves.
            tags: set anew.
            status: as MLflow spells it; "" to leave it as it is.
            name: of the run; "" to leave it as it is.
            ended: milliseconds since 1970; None of a run that has not.

        Returns:
            Whether the run is one that may be written; else nothing was.
        """
        runs = self._tables["SqlRun"]
        is_this = runs.c.run_uuid == run
        with self._connected() as connection:
            stage = connection.execute(sql.select(runs.c.lifecycle_stage).where(is_this)).scalar()
            if stage != _ACTIVE:
                return False
            if metrics:
                self._add_metrics(connection, run, metrics)
            if named := {**tags, **({MLFLOW_RUN_NAME: name} if name else {})}:
                self._set_tags(connection, run, named)
            values = {"name": name, "status": status, "end_time": ended}
            if new := {key: value for key, value in values.items() if value not in ("", None)}:
                connection.execute(sql.update(runs).where(is_this).values(new))
        return True

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sql.Connection]:
        """Begins a transaction as MLflow does, which raises its errors."""
        with self._store.ManagedSessionMaker(read_only=False) as session:
            yield session.connection()

    def _add(
        self,
        connection: sql.Connection,
        table: str,
        rows: Sequence[Mapping[str, Any]],
        **all_: str,
    ) -> None:
        """Inserts rows, but those that are there."""
        if rows:
            connection.execute(self._adding[table], [{**row, **all_} for row in rows])

    def _set_tags(self, connection: sql.Connection, run: str, tags: Mapping[str, str]) -> None:
        found = _checked(RunTag, tags)
        rows = [{"key": key, "value": value, "run_uuid": run} for key, value in found]
        connection.execute(self._setting, rows)

    def _add_metrics(
        self, connection: sql.Connection, run: str, metrics: Sequence[Metric]
    ) -> None:
        rows = [self._row_of(metric) for metric in metrics]
        self._add(connection, "SqlMetric", rows, run_uuid=run)
        latest: dict[str, dict[str, Any]] = {}
        for row in rows:
            latest[row["key"]] = max(row, latest.get(row["key"], row), key=_moment)
        found = [{**latest[key], "run_uuid": run} for key in sorted(latest)]
        connection.execute(self._setting_latest, found)

    def _row_of(self, metric: Metric) -> dict[str, Any]:
        from mlflow.utils import validation

        given = (metric.key, metric.value, metric.timestamp, metric.step)
        validation._validate_metric(*given)
        is_nan, value = self._store.sanitize_metric_value(metric.value)
        names = ("key", "value", "timestamp", "step", "is_nan")
        return dict(zip(names, (metric.key, value, *given[2:], is_nan), strict=True))

    def _add_inputs(
        self, connection: sql.Connection, experiment: int, run: str, inputs: Sequence[DatasetInput]
    ) -> None:
        known = self._tables["SqlDataset"].c
        for each in inputs:
            given = each.dataset
            query = sql.select(known.dataset_uuid).where(
                known.experiment_id == experiment,
                known.name == given.name,
                known.digest == given.digest,
            )
            if (dataset := connection.execute(query).scalar()) is None:
                dataset = uuid.uuid4().hex
                row = {
                    "dataset_uuid": dataset, "experiment_id": experiment, "name": given.name,
                    "digest": given.digest, "dataset_source_type": given.source_type,
                    "dataset_source": given.source, "dataset_schema": given.schema,
                    "dataset_profile": given.profile,
                }  # fmt: skip
                self._add(connection, "SqlDataset", [row])
            row = {
                "input_uuid": uuid.uuid4().hex, "source_type": "DATASET", "source_id": dataset,
                "destination_type": "RUN", "destination_id": run,
            }  # fmt: skip
            self._add(connection, "SqlInput", [row])


def _moment(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _ORDER)


def _checked(kind: type[Param | RunTag], given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Cuts what is longer than MLflow takes; raises MLflow's error for what it does not take."""
    from mlflow.utils import validation

    check = validation._validate_param if kind is Param else validation._validate_tag
    checked = [check(key, value) for key, value in given.items()]
    return [(each.key, each.value) for each in checked]
