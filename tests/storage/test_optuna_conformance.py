"""Optuna's own tests of a storage, run on ours."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.testing.pytest_storages import StorageTestCase

from pipeline.storage.rdb import open_storage
from pipeline.storage.row_storage import CacheOfRows
from pipeline.storage.sole_writer import CacheOfSoleWriter


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


class TestAlone(TestRows):
    """As the one supervisor of a study has it, of whichever study is asked for."""

    @pytest.fixture
    def storage(self, empty_store: Path, tmp_path: Path) -> optuna.storages.BaseStorage:
        file = shutil.copy(empty_store, tmp_path / "optuna.db")
        backend = open_storage(f"sqlite:///{file}", to_write=True)._backend  # type: ignore[attr-defined]
        return _Alone(backend)


class _Alone(CacheOfSoleWriter):
    """Begins to know a study when it is made."""

    def create_new_study(
        self, directions: Sequence[optuna.study.StudyDirection], study_name: str | None = None
    ) -> int:
        made: int = super().create_new_study(directions, study_name)
        if self._alone is None:
            self.begin_alone(made)
        return made
