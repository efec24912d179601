"""Several of Optuna's transactions as one: writing them costs one wait for the disk."""

import contextlib
from collections.abc import Iterator
from typing import Any

import optuna
import sqlalchemy as sql
from sqlalchemy.orm import Session, scoped_session


class Sessions(scoped_session[Session]):
    """Gives each of Optuna's methods a session of its own; those in a `together` share one.

    Attributes:
        is_kept: whether the last `together` has stored what was written in it.
    """

    _shared: "_Shared | None" = None
    is_kept = True

    def __call__(self, **named: Any) -> Any:
        """Returns the session of this moment."""
        return self._shared or super().__call__(**named)

    @property
    def is_together(self) -> bool:
        """Whether more is to come in the same transaction."""
        return self._shared is not None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Commits what is written in a `with` at its end, though an error may have ended that.

        As if each were committed on its own: an error of one takes nothing of the others back.

        Raises:
            SQLAlchemyError: nothing was stored.
            StorageInternalError: some of it was not.
        """
        if self._shared:
            yield
            return
        session = super().__call__()
        shared = self._shared = _Shared(session)
        self.is_kept = False
        try:
            try:
                yield
            except (Exception, KeyboardInterrupt):
                session.commit()
                self.is_kept = not shared.has_lost
                raise
            session.commit()
            if shared.has_lost:
                raise optuna.exceptions.StorageInternalError("a transaction was taken back")
            self.is_kept = True
        except BaseException:
            session.rollback()
            raise
        finally:
            self._shared = None
            session.close()

    @contextlib.contextmanager
    def reading(self, engine: sql.Engine) -> Iterator[sql.Connection]:
        """Gives a connection that sees what was written, committed or not."""
        if self._shared:
            yield self._shared.connection()
        else:
            with engine.connect() as connection:
                yield connection


class _Shared:
    """A session that is not over when Optuna says so."""

    def __init__(self, session: Session) -> None:
        self._session, self._is_begun, self.has_lost = session, False, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def commit(self) -> None:
        self._session.flush()
        self._is_begun = True

    def rollback(self) -> None:
        self._session.rollback()
        self.has_lost |= self._is_begun

    def close(self) -> None:
        pass
