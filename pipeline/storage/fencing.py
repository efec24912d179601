"""A storage that takes no more writes once somebody else has taken its study: SQL does it.

A process that was suspended goes on in the middle of anything, so that to look and then to write
is not enough: a transaction that writes looks in itself, and is taken back where it came too late.
https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
import sqlalchemy as sql

from pipeline.storage.optuna_internals import models

_ATTRIBUTES = models.StudyUserAttributeModel.__table__


def swap(
    storage: optuna.storages.RDBStorage,
    study_id: int,
    key: str,
    old: int | None,
    new: int,
    others: Mapping[str, Any],
) -> bool:
    """Sets an attribute of a study if nobody has changed it, and others with it, in one step.

    Args:
        storage: Optuna's.
        study_id: Optuna's.
        key: of the attribute.
        old: what it was; None if there was none.
        new: what it shall be.
        others: attributes that are set together with it, whatever they were.

    Returns:
        Whether it was still `old`; else nothing is set.
    """
    with storage.engine.connect() as connection:
        try:
            if old is None:
                _insert(connection, study_id, key, new)
            elif not _update(connection, study_id, key, new, _ATTRIBUTES.c.value_json == str(old)):
                return False
            for name, value in others.items():
                if not _update(connection, study_id, name, value):
                    _insert(connection, study_id, name, value)
        except sql.exc.IntegrityError:  # somebody was faster
            return False
        connection.commit()
    return True


class Fence:
    """Lets nobody write a study who may not, by some of its attributes.

    Args:
        storage: Optuna's.
        study_id: Optuna's.
        keys: of the attributes, in the order in which `swap` writes them.
        judge: given those of them that there are, raises if this process may not write.
    """

    def __init__(
        self,
        storage: optuna.storages.RDBStorage,
        study_id: int,
        keys: Sequence[str],
        judge: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._storage, self._study_id, self._judge = storage, study_id, judge
        found = sql.and_(_ATTRIBUTES.c.study_id == study_id, _ATTRIBUTES.c.key.in_(keys))
        columns = (_ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
        # rows are locked in the order in which `swap` does
        order = sql.case({key: i for i, key in enumerate(keys)}, value=_ATTRIBUTES.c.key)
        self._query = sql.select(*columns).where(found).order_by(order).with_for_update()

    def put_up(self) -> Callable[[], None]:
        """Lets every transaction of the storage look before it commits; returns what ends that."""

        def look(session: Any) -> None:
            session.flush()  # from here on nobody else writes SQLite; others wait for the row
            self._look(session.connection())

        where = (self._storage.scoped_session, "before_commit", look)
        sql.event.listen(*where)
        return lambda: sql.event.remove(*where)

    def writer(
        self, key: str, value: Callable[[], Any]
    ) -> tuple[Callable[[], None], Callable[[], None]]:
        """Opens a connection to write an attribute of the study, in any thread but one at a time.

        It is opened at once and kept: one that is opened later would make the file of SQLite anew
        that somebody has deleted meanwhile.

        Args:
            key: of the attribute.
            value: gives what to write.

        Returns:
            What writes it, and what closes the connection.
        """
        connection = self._storage.engine.connect()

        def write() -> None:
            with connection.begin():
                self._look(connection)  # locks the rows in the order of `swap`; SQLite does not
                _update(connection, self._study_id, key, value())
                self._look(connection)

        return write, connection.close

    def _look(self, connection: sql.Connection) -> None:
        found = connection.execute(self._query).all()
        self._judge({key: json.loads(value) for key, value in found})


def _is_attribute(study_id: int, key: str) -> Any:
    return sql.and_(_ATTRIBUTES.c.study_id == study_id, _ATTRIBUTES.c.key == key)


def _insert(connection: sql.Connection, study_id: int, key: str, value: Any) -> None:
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    connection.execute(sql.insert(_ATTRIBUTES).values(row))


def _update(
    connection: sql.Connection, study_id: int, key: str, value: Any, *conditions: Any
) -> bool:
    """Changes an attribute that is there and meets the conditions; returns whether it did."""
    found = sql.and_(_is_attribute(study_id, key), *conditions)
    change = sql.update(_ATTRIBUTES).where(found).values(value_json=json.dumps(value))
    return bool(connection.execute(change).rowcount)
