"""A PostgreSQL that is restarted, or out of reach for a while: who asks waits, and loses nothing.

A transaction that is broken off is done again. One whose commit was not answered may be done
already, and PostgreSQL is asked whether it is: so each is done once.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

import functools
import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import optuna
import sqlalchemy as sql

from pipeline.errors import first_line, one_line
from pipeline.store_url import StoreUrl
from pipeline.wording import count_noun

PATIENCE_SECONDS = 300.0  # for which a server may be away before a search gives up
SECONDS_BETWEEN_TRIES, SECONDS_BETWEEN_PINGS = 0.5, 1.0
# In milliseconds and seconds: without, a host that vanishes would be waited for for hours.
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_NOTICING = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_DRIVERS = ("postgresql+psycopg", "postgresql+psycopg2")  # those that know these words
# Methods of Optuna's storage that ask the server, and those that `RowStorage` adds.
_ASKING = (
    "create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr",
    "get_study_id_from_name", "get_study_name_from_id", "get_study_directions",
    "get_study_user_attrs", "get_study_system_attrs", "get_all_studies",
    "_create_new_trial", "_set_trial_param", "set_trial_state_values",
    "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr",
    "get_trial", "get_trial_param", "get_trial_user_attrs", "get_trial_system_attrs",
    "get_trial_id_from_study_id_trial_number", "_get_trials", "_get_best_trial_id", "swap",
)  # fmt: skip

_Class = TypeVar("_Class", bound=type)


def engine_options(url: str) -> dict[str, Any]:
    """Says how a server's database is connected to, so that it is noticed when it was away.

    Args:
        url: as SQLAlchemy spells it; not of SQLite.
    """
    known = sql.make_url(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if known.drivername in _DRIVERS:
        unnamed = {key: each for key, each in _NOTICING.items() if key not in known.query}
        options["connect_args"] = unnamed
    return options


class Patience:
    """Waits for the PostgreSQL of an engine that has been connected to before.

    Only the main thread waits: another gives signs of life now and then, and may miss some.

    Args:
        engine: whose server is waited for; of another database nothing is.
        url: its URL.
    """

    def __init__(self, engine: sql.Engine, url: str) -> None:
        self._engine, self._where = engine, StoreUrl(url).display
        self._has_given_up = False
        if engine.dialect.name == "postgresql":
            self._commit = engine.dialect.do_commit
            engine.dialect.do_commit = self._commit_once  # type: ignore[assignment, method-assign]
            sql.event.listen(engine, "do_connect", self._connect)
            self._ping, self._ping_at = engine.dialect.do_ping, -math.inf
            engine.dialect.do_ping = self._ping_now_and_then  # type: ignore[assignment, method-assign]

    def is_broken_off(self, error: BaseException) -> bool:
        """Tells whether the server went away in the middle of what is not done, then."""
        is_optunas = isinstance(error, optuna.exceptions.StorageInternalError)
        cause = error.__cause__ if is_optunas else error
        is_lost = isinstance(cause, sql.exc.DBAPIError) and cause.connection_invalidated
        return is_lost and self._engine.dialect.name == "postgresql" and not self._has_given_up

    def _connect(self, dialect: Any, _: Any, args: Any, options: Any) -> Any:
        """Connects, if need be when the server is back.

        Raises:
            Exception: the driver's own, where the server is away for too long.
        """
        began, is_said = time.monotonic(), False
        while True:
            try:
                connection = dialect.connect(*args, **options)
            except dialect.loaded_dbapi.OperationalError as error:
                is_main = threading.current_thread() is threading.main_thread()
                if self._has_given_up or not is_main:
                    raise
                if time.monotonic() - began > PATIENCE_SECONDS:
                    self._has_given_up = True
                    raise
                if not is_said:
                    self._say_away(error)
                    is_said = True
                time.sleep(SECONDS_BETWEEN_TRIES)
            else:
                if is_said:
                    seconds = count_noun(round(time.monotonic() - began), "second")
                    print(f"Optuna's store answers again, after {seconds}", file=sys.stderr)
                self._has_given_up = False
                return connection

    def _say_away(self, error: Exception) -> None:
        minutes = count_noun(PATIENCE_SECONDS / 60, "minute")
        print(
            f"Optuna's store {self._where} does not answer, and is waited for, at most "
            f"{minutes}: {one_line(first_line(error))}",
            file=sys.stderr,
            flush=True,
        )

    def _ping_now_and_then(self, connection: Any) -> bool:
        """Asks whether a connection still is one, as SQLAlchemy does before each use of it.

        What has just answered is used without: should it be gone since, what is asked is repeated.
        """
        now = time.monotonic()
        if now < self._ping_at:
            return True
        is_there = self._ping(connection)
        self._ping_at = now + SECONDS_BETWEEN_PINGS
        return is_there

    def _commit_once(self, connection: Any) -> None:
        """Commits; where no answer comes, looks whether it is done, and is content if it is."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT txid_current_if_assigned()")
            number = cursor.fetchone()[0]
        try:
            self._commit(connection)
        except self._engine.dialect.loaded_dbapi.Error:
            self._ping_at = -math.inf  # who asks now is not to get another one that is gone
            if number is None or not self._is_done(number):
                raise

    def _is_done(self, transaction: int) -> bool:
        """Tells whether a transaction was committed, when the server knows."""
        query = sql.text("SELECT txid_status(:number)")
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            with self._engine.connect() as other:
                found = other.execute(query, {"number": transaction}).scalar()
            if found != "in progress":
                return bool(found == "committed")
            time.sleep(SECONDS_BETWEEN_TRIES)
        return False


def patient(storage: _Class) -> _Class:
    """Has what a class of storages asks be asked again where the server went away meanwhile.

    Args:
        storage: a class whose instances have a `patience`.
    """
    for name in _ASKING:
        setattr(storage, name, repeated(getattr(storage, name)))
    return storage


def repeated(method: Callable[..., Any]) -> Callable[..., Any]:
    """Has a method of a storage that has a `patience` ask again, as `patient` does."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return method(self, *args, **kwargs)
            except (optuna.exceptions.StorageInternalError, sql.exc.DBAPIError) as error:
                if not self.patience.is_broken_off(error) or time.monotonic() > until:
                    raise
                time.sleep(SECONDS_BETWEEN_TRIES)

    return call
