"""Larger stores for benchmarks: every trial again and again, with its run.

Rows are copied as the supervisor wrote them, in Optuna's database and in MLflow's; only ids and
numbers differ.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.paths import Project

OPTUNA = ("params", "values", "intermediate_values", "system_attributes", "user_attributes")
MLFLOW = ("runs", "params", "tags", "metrics", "latest_metrics", "inputs")


def add(project: Project, n_copies: int) -> None:
    """Adds copies of all trials to Optuna's database and of their runs to MLflow's."""
    with _opened(project.runs_dir / "optuna.db") as database:
        (n,) = database.execute("SELECT COUNT(*) FROM trials").fetchone()
        for k in range(1, n_copies + 1):
            run = f"'\"x{k:03d}' || substr(value_json, 6)"
            changed = {
                "trial_id": f"trial_id + {k * n}",
                "number": f"number + {k * n}",
                "value_json": f"CASE key WHEN 'run_id' THEN {run} ELSE value_json END",
            }
            for table in ("trials", *(f"trial_{name}" for name in OPTUNA)):
                _copy_rows(database, table, changed, f"trial_id <= {n}")
    with _opened(project.runs_dir / "mlflow.db") as database:
        runs = "(SELECT run_uuid FROM tags WHERE key = 'trial' AND CAST(value AS INTEGER) < {n})"
        for k in range(1, n_copies + 1):
            trial = f"CAST(value + {k * n} AS TEXT)"
            changed = {
                column: f"'x{k:03d}' || substr({column}, 5)"
                for column in ("run_uuid", "destination_id", "input_uuid")
            } | {"value": f"CASE key WHEN 'trial' THEN {trial} ELSE value END"}
            for table in MLFLOW:
                owner = "destination_id" if table == "inputs" else "run_uuid"
                _copy_rows(database, table, changed, f"{owner} IN {runs.format(n=n)}")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        yield database


def _copy_rows(
    database: sqlite3.Connection, table: str, changed: Mapping[str, str], where: str
) -> None:
    """Copies rows of a table, some columns changed; a number that is its only key is a new one."""
    columns = database.execute(f"PRAGMA table_info({table})").fetchall()
    n_keys = sum(bool(key) for *_, key in columns)
    names = [
        name for _, name, *_, key in columns if not (key and n_keys == 1 and name not in changed)
    ]
    values = ", ".join(changed.get(name, f'"{name}"') for name in names)
    listed = ", ".join(f'"{name}"' for name in names)
    database.execute(f"INSERT INTO {table} ({listed}) SELECT {values} FROM {table} WHERE {where}")
