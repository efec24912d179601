"""Which column of a table is the target, which are inputs, and which only steer the split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.reading.column import Codes, Column, ColumnKind, Numbers, RawTable
from pipeline.reading.dates import CLOCKS
from pipeline.reading.kinds import fate
from pipeline.task.source import DataSpec, Weights
from pipeline.wording import count_noun, inflect, join_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUNDLED_TARGET = "target"  # of a table that comes with scikit-learn
N_EACH = 5  # columns that are left out for the same reason, of which each is said by itself
N_SHOWN = 12  # names of columns in a message


@dataclass(frozen=True)
class Roles:
    """A table whose columns have their roles; rows without a target are left out.

    Attributes:
        target: what is to be answered, of the rows that have it.
        inputs: what is known of each row, in the file's order.
        weights: of the rows; None if all are 1.
        groups: a code for each row, of which equal ones stay in one part; None without groups.
        times: by which the parts follow each other, seconds or numbers; None without.
        remarks: what was left out and why, for people.
        warnings: columns that may be of another kind.
    """

    target: Column
    inputs: tuple[Column, ...]
    weights: "Weights | None"
    groups: "Codes | None"
    times: "Numbers | None"
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]


def assign_roles(table: RawTable, data: DataSpec) -> Roles:
    """Gives each column of a table its role.

    Raises:
        UsageError: a column that is named is not there or will not do, or none is left as input.
    """
    import numpy as np

    settings, where = data.settings, table.where
    name = data.target or (BUNDLED_TARGET if isinstance(table.source, str) else "")
    target = _column(table, name, "target", where)
    for key in ("group", "time", "weight"):
        if name := getattr(settings, key):
            _column(table, name, f"[data] {key}", where)
        if name == target.name:
            raise UsageError(f"[data] {key}: found the target {name!r}, allowed is another column")
    for name in settings.drop:
        if name == target.name:
            raise UsageError(f"[data] drop: found the target {name!r}, allowed are other columns")
        if isinstance(table.source, str):  # else who read the file has left it out
            _column(table, name, "[data] drop", where)
    is_known = ~target.is_missing
    rows = np.flatnonzero(is_known)
    if not len(rows):
        raise UsageError(f"{where}, target {target.name!r}: all values are missing")
    remarks = []
    if n_missing := len(is_known) - len(rows):
        rows_left = count_noun(n_missing, "row")
        remarks.append(f"{rows_left} without a target {inflect('is', n_missing, 'are')} left out")
    columns = {name: select_rows(column, rows) for name, column in table.columns.items()}
    target = columns[target.name]
    inputs, doubts = [], [target.doubt]
    left_out: dict[str, list[str]] = {}
    not_inputs = {target.name, settings.weight, settings.group, *settings.drop}
    for column in columns.values():
        if column.name in not_inputs:
            continue
        doubts.append(column.doubt)
        is_used, words = fate(column)
        if is_used:
            inputs.append(column)
        elif column.kind is ColumnKind.TEXT and settings.text == "refuse":
            raise UsageError(
                f"{where}, column {column.name!r}: found free text, allowed are numbers, "
                "categories and dates: leave it out with [data] drop, or set its type"
            )
        else:
            left_out.setdefault(words, []).append(column.name)
    for words, names in left_out.items():
        each = [[name] for name in names] if len(names) <= N_EACH else [names]
        remarks += [_said_of_left_out(some, words) for some in each]
    if not inputs:
        why = f" ({'; '.join(remarks)})" if remarks else ""
        raise UsageError(f"{where}: found no column to learn from beside the target{why}")
    return Roles(
        target=target,
        inputs=tuple(inputs),
        weights=_weights(columns[settings.weight], where) if settings.weight else None,
        groups=as_codes(columns[settings.group]) if settings.group else None,
        times=_times(columns[settings.time], where) if settings.time else None,
        remarks=tuple(remarks),
        warnings=(*filter(None, doubts), *filter(None, map(said_of_case, [target, *inputs]))),
    )


def _said_of_left_out(names: Sequence[str], words: str) -> str:
    verb = inflect("is", len(names), "are")
    return f"{inflect('column', len(names))} {join_names([*map(repr, names)])} {verb} {words}"


def said_of_case(column: Column) -> str:
    """Says that values of a category differ in case alone; "" if none do."""
    import numpy as np

    if not column.is_coded:
        return ""
    seen: dict[str, str] = {}
    for code in np.unique(column.values[column.values >= 0]):
        value = column.vocabulary[code]
        if (other := seen.setdefault(value.casefold(), value)) != value:
            return (
                f"column {column.name!r}: {other!r} and {value!r} differ in case alone, and are "
                "taken for two values: if they are one, write them alike"
            )
    return ""


def _column(table: RawTable, name: str, key: str, where: str) -> Column:
    if name in table.columns:
        return table.columns[name]
    known = [repr(each) for each in table.columns]
    more = f" and {len(known) - N_SHOWN} more" if len(known) > N_SHOWN else ""
    found = f"found {name!r}" if name else "missing"
    raise UsageError(
        f"{key}: {found}, allowed is a column of {where}: {', '.join(known[:N_SHOWN])}{more}"
    )


def select_rows(column: Column, rows: "NDArray[np.intp]") -> Column:
    """Returns the column with these rows alone."""
    if len(rows) == len(column.values):
        return column
    return replace(column, values=column.values[rows])


def _weights(column: Column, where: str) -> Weights:
    import numpy as np

    values = column.values
    if column.is_coded or not np.all(values >= 0) or not np.any(values > 0):
        raise UsageError(
            f"{where}, column {column.name!r}: found text, missing or negative values, or zeros "
            "alone, allowed as [data] weight are numbers from 0"
        )
    return values.astype(np.float32)


def _times(column: Column, where: str) -> Numbers:
    if column.is_coded or column.date_format in CLOCKS:
        found = column.kind if column.is_coded else "times without a day"
        raise UsageError(
            f"{where}, column {column.name!r}: found {found}, allowed as [data] time is a "
            f"date or a number{'; ' * bool(column.doubt)}{column.doubt}"
        )
    times: Numbers = column.values  # type: ignore[assignment]
    return times


def as_codes(column: Column) -> Codes:
    """Numbers the values of a column from 0; -1 where it is missing."""
    import numpy as np

    if column.is_coded:
        known: Codes = column.values  # type: ignore[assignment]
        return known
    _, codes = np.unique(column.values, return_inverse=True)
    return np.where(np.isnan(column.values), -1, codes).astype(np.int32)
