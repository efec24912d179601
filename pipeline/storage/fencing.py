"""A storage that takes no more writes once somebody else has taken its study: SQL does it.

A process that was suspended goes on in the middle of anything, so that to look and then to write
is not enough: a transaction that writes looks in itself, and is taken back where it came too late.
https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html
"""

import json
from collections.abc import Callable, Mapping
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


def fence(
    storage: optuna.storages.RDBStorage,
    study_id: int,
    key: str,
    value: int,
    lost: Callable[[], Exception],
) -> Callable[[], None]:
    """Lets every transaction of a storage look at an attribute of a study before it commits.

    Args:
        storage: Optuna's.
        study_id: Optuna's.
        key: of the attribute.
        value: what it is as long as this storage may write.
        lost: makes what a refused write raises.

    Returns:
        What ends that.
    """
    query = sql.select(_ATTRIBUTES.c.value_json).where(_is_attribute(study_id, key))

    def look(session: Any) -> None:
        session.flush()  # from here on nobody else writes SQLite; others wait for the row
        found = session.connection().execute(query.with_for_update()).scalar()
        if found != str(value):
            raise lost()

    where = (storage.scoped_session, "before_commit", look)
    sql.event.listen(*where)
    return lambda: sql.event.remove(*where)


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
