"""An empty MLflow database made once and copied, as MLflow takes seconds to make its tables.

It is where the product looks for its own, and so is found; experiments of the product have their
artifacts in its project, wherever the database was made.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.paths import Project


def make(factory: pytest.TempPathFactory) -> Path:
    """The database of this run of pytest, made by the product; workers of xdist share it."""
    own = factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    file = common / "empty_mlflow" / "mlflow.db"
    with FileLock(common / "empty_mlflow.lock"):
        if not file.exists():
            from pipeline.tracking.delivery import open_client

            with contextlib.chdir(common):  # where MLflow's own experiment has its artifacts
                open_client(f"sqlite:///{file}")  # makes it whole or not at all
    return file


def copy_into(folder: Path, database: Path) -> Path:
    """Gives a project its MLflow store, without a run in it; returns the project's folder."""
    runs_dir = Project(folder).runs_dir
    runs_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database, runs_dir / "mlflow.db")
    return folder


def close_all() -> None:
    """Closes the databases that MLflow keeps open to the process's end, for who asks again.

    A command has one; a process that tests has one for each test, and a user 1,024 files.
    """
    for name in ("tracking", "model_registry"):
        module = sys.modules.get(f"mlflow.store.{name}.sqlalchemy_store")
        for engine in [*module.SqlAlchemyStore._engine_map.values()] if module else []:
            engine.dispose()
