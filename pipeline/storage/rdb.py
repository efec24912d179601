"""Opens Optuna's SQL storage: this package's faster reading of it, or Optuna's own."""

import weakref

import optuna

from pipeline import paths
from pipeline.paths import StoreUrl
from pipeline.storage import optuna_internals


def open_storage(url: str, *, to_write: bool = False) -> optuna.storages.BaseStorage:
    """Opens the storage of a URL, with a cache of the trials that are finished.

    Who drops the storage closes its connections; so does the end of the process. Where Optuna's
    inside is not what is known, this is Optuna's own storage: slower, and as right.

    Args:
        url: as SQLAlchemy spells it, or of Redis.
        to_write: lets no write to a file of SQLite wait for the disk but those that end a trial.
    """
    if url.startswith("redis"):
        return optuna.storages.get_storage(url)
    store = StoreUrl(url)
    options = {"connect_args": {"timeout": paths.BUSY_SECONDS}} if store.is_sqlite else None
    if not optuna_internals.is_as_known():
        plain = optuna.storages.RDBStorage(url, engine_kwargs=options)
        _close_when_dropped(plain)
        return plain  # a study gives it its cache
    # Only now: an Optuna with another inside may fail this import.
    from pipeline.storage.row_storage import CacheOfRows, RowStorage

    storage = RowStorage(url, options)
    _close_when_dropped(storage)
    if to_write and store.file and store.file.is_file():
        storage.write_ahead(store.file)
    return CacheOfRows(storage)


def _close_when_dropped(storage: optuna.storages.RDBStorage) -> None:
    """Lets go of a storage's database when nobody has the storage any more.

    A process that opens many studies keeps few open; who closes a database last moves its log
    into its file, and removes the log.
    """
    weakref.finalize(storage, storage.engine.dispose)
