"""Optuna's own tests of a storage, run on ours."""

import shutil
from pathlib import Path

import optuna
import pytest
from optuna.testing.pytest_storages import StorageTestCase

from pipeline.storage.rdb import open_storage
from pipeline.storage.row_storage import CacheOfRows


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: to create the tables takes longer than most tests."""
    file = tmp_path_factory.mktemp("empty") / "optuna.db"
    optuna.storages.RDBStorage(f"sqlite:///{file}").engine.dispose()
    return file


class TestRows(StorageTestCase):
    @pytest.fixture
    def storage(self, empty_store: Path, tmp_path: Path) -> optuna.storages.BaseStorage:
        file = shutil.copy(empty_store, tmp_path / "optuna.db")
        storage = open_storage(f"sqlite:///{file}", to_write=True)
        assert isinstance(storage, CacheOfRows)
        return storage
