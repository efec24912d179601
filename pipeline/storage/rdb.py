"""Opens Optuna's SQL storage: this package's faster reading of it, or Optuna's own."""

import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy as sql

from pipeline import paths, snapshot, write_ahead
from pipeline.storage import optuna_internals, outages
from pipeline.store_url import StoreUrl

_Storage = TypeVar("_Storage", bound=optuna.storages.RDBStorage)
# To open what others are making.
N_ATTEMPTS, SECONDS_TO_MAKE_TABLES = 3, 1.0


def open_storage(url: str, *, to_write: bool = False) -> optuna.storages.BaseStorage:
    """Opens the storage of a URL, with a cache of the trials that are finished.

    Who drops the storage closes its connections; so does the end of the process. Where Optuna's
    inside is not what is known, this is Optuna's own storage: slower, and as right.

    Args:
        url: as SQLAlchemy spells it.
        to_write: lets no write to a file of SQLite wait for the disk but those that end a trial.
            Without, a file that this user cannot write is read all the same.
    """
    store = StoreUrl(url)
    if (file := store.file) and file.parent.is_dir():
        write_ahead.create_whole(file, _create_tables)
    if not to_write:
        url = store = snapshot.readable(store)
    if store.is_sqlite:
        options: dict[str, Any] = {"connect_args": {"timeout": paths.BUSY_SECONDS}}
    else:
        options = outages.engine_options(url)
    if not optuna_internals.is_as_known():
        plain = _opened(lambda: optuna.storages.RDBStorage(url, engine_kwargs=options))
        _close_when_dropped(plain)
        return plain  # a study gives it its cache
    # Only now: an Optuna with another inside may fail this import.
    from pipeline.storage.one_transaction import StorageOfSoleWriter
    from pipeline.storage.sole_writer import CacheOfSoleWriter

    storage = _opened(lambda: StorageOfSoleWriter(url, options))
    _close_when_dropped(storage)
    if to_write and store.file and store.file.is_file():
        storage.write_ahead(store.file)
    return CacheOfSoleWriter(storage)


def _create_tables(file: Path) -> None:
    """Makes Optuna's tables in a new SQLite file, and lets go of it."""
    optuna.storages.RDBStorage(StoreUrl.of(file)).engine.dispose()


def _opened(make: Callable[[], _Storage]) -> _Storage:
    """Opens a storage; once more, if somebody else was making the same tables meanwhile."""
    for _ in range(N_ATTEMPTS - 1):
        try:
            return make()
        except (sql.exc.IntegrityError, sql.exc.OperationalError, sql.exc.ProgrammingError) as it:
            is_there = isinstance(it, sql.exc.IntegrityError) or "already exists" in str(it)
            if not is_there:
                raise
            time.sleep(SECONDS_TO_MAKE_TABLES)
    return make()


def _close_when_dropped(storage: optuna.storages.RDBStorage) -> None:
    """Lets go of a storage's database when nobody has the storage any more.

    A process that opens many studies keeps few open; who closes a database last moves its log
    into its file, and removes the log.
    """
    weakref.finalize(storage, storage.engine.dispose)
