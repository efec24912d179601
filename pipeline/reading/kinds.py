"""What speaks against a column, what becomes of it, and how it is described to people."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pipeline.reading.column import Column, ColumnKind, RawTable
from pipeline.reading.dates import CLOCKS
from pipeline.wording import count_noun

if TYPE_CHECKING:
    from pipeline.reading.column import Codes, Numbers

RARE = 5  # rows that a value of a category needs for a code of its own ...
FEW_ROWS = 1_000  # ... unless the training part has fewer rows than this
CONSTANT, ALL_MISSING, ID = "constant", "all missing", "an id: all values differ"
ALL_RARE = f"no value in {RARE} rows or more"
_NAMED_ID = re.compile(
    r".*[a-z0-9](?:I[dD]|N[or])\.?|(?i:(?:.*[\W_])?(?:id|uuid|guid|nr|no)\.?|index|.*(?:number|nummer|번호))"
)
_LEAST_ROWS_COUNTED = 100  # from another number than 0 or 1; fewer may be years
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def remark_of(name: str, kind: ColumnKind, values: "Numbers | Codes", is_set: bool = False) -> str:
    """Says what speaks against a column, "" if nothing does.

    A number is an id if its values count the rows, in any order, or if it is called id or number
    and has integers that all differ. A category is one if all its values differ; as little is
    learned from one of which most values stand in a row or two, and none in `RARE`.

    Args:
        name: of the column.
        kind: of its values.
        values: as `Column` has them.
        is_set: whether somebody has set its kind; then it is no id.
    """
    import numpy as np

    is_coded = kind in (ColumnKind.CATEGORY, ColumnKind.TEXT)
    is_missing = values < 0 if is_coded else np.isnan(values)
    if is_missing.all():
        return ALL_MISSING
    if not is_missing.any() and (values == values[0]).all():
        return CONSTANT
    if is_set or kind not in (ColumnKind.NUMBER, ColumnKind.CATEGORY):
        return ""
    present = values[~is_missing]
    if kind == ColumnKind.CATEGORY:
        counts = np.bincount(present)
        if len(present) > 1 and counts.max() == 1:
            return ID
        # What is missing now and then may say something by that.
        is_rare = max(counts.max(), len(values) - len(present)) < RARE
        return ALL_RARE if is_rare and 2 * len(counts) > len(present) else ""
    if (present[:1000] != np.floor(present[:1000])).any():
        return ""  # what most numbers are, found at once
    low, high = present.min(), present.max()
    counts_rows = not is_missing.any() and high - low == len(present) - 1
    counts_rows &= low in (0, 1) or (low > 0 and len(present) >= _LEAST_ROWS_COUNTED)
    if not (counts_rows or _NAMED_ID.fullmatch(name)) or (present != np.floor(present)).any():
        return ""
    return ID if len(np.unique(present)) == len(present) else ""


def fate(column: Column, text: Literal["drop", "refuse"] = "drop") -> tuple[bool, str]:
    """Says what becomes of a column that is an input.

    Args:
        column: as it was read.
        text: what becomes of columns of free text.

    Returns:
        Whether a network gets to see it, and the words for people: a column that is left out has
        words that begin with "dropped: ", or "refused: " for free text that is not to be dropped.
    """
    import numpy as np

    if column.remark:
        return False, f"dropped: {column.remark}"
    if column.kind == ColumnKind.TEXT:
        return False, f"{'dropped' if text == 'drop' else 'refused'}: free text"
    n_missing = missing(column)
    filled = f"; {n_missing:,} missing: the median, and an indicator" if n_missing else ""
    if column.kind == ColumnKind.CATEGORY:
        counts = np.bincount(column.values[column.values >= 0].astype(np.intp))
        n_rare = int(((counts > 0) & (counts < RARE)).sum())
        words = count_noun(int((counts > 0).sum()), "value")
        if n_rare and len(column.values) >= FEW_ROWS:
            words += f"; {n_rare:,} of fewer than {RARE} rows together"
        return True, words + (f"; {n_missing:,} missing: a value of its own" if n_missing else "")
    words = {
        ColumnKind.NUMBER: "standardised",
        ColumnKind.BOOLEAN: "0 or 1",
        ColumnKind.DATE: "days, day of week and of year",
    }[column.kind]
    if column.date_format in CLOCKS:
        words = "time of day"
    elif "%H" in column.date_format or "%I" in column.date_format:
        words = f"{words}, time of day"
    return True, words + filled


@dataclass(frozen=True)
class ColumnRow:
    """A column as people are shown it.

    Attributes:
        name: of the column.
        kind: of its values.
        n_missing: rows without a value.
        n_distinct: different values, without the missing.
        example: the first value, "" if all are missing.
        fate: what becomes of it.
        is_used: whether a network gets to see it.
    """

    name: str
    kind: ColumnKind
    n_missing: int
    n_distinct: int
    example: str
    fate: str
    is_used: bool


def describe(table: RawTable, text: Literal["drop", "refuse"] = "drop") -> list[ColumnRow]:
    """Describes the columns of a table, in their order; `text` as in `fate`."""
    rows = []
    for column in table.columns.values():
        is_used, words = fate(column, text)
        counts = (missing(column), distinct(column))
        rows.append(ColumnRow(column.name, column.kind, *counts, example(column), words, is_used))
    return rows


def missing(column: Column) -> int:
    """Counts the rows without a value."""
    return int(column.is_missing.sum())


def distinct(column: Column) -> int:
    """Counts different values, without the missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.is_coded:
        return len(column.vocabulary)
    return int(pc.count_distinct(pa.array(column.values, from_pandas=True)).as_py())


def example(column: Column) -> str:
    """Shows the first value that is not missing, much as the file has it."""
    import numpy as np

    present = column.values >= 0 if column.is_coded else ~np.isnan(column.values)
    if not present.any():
        return ""
    value = column.values[int(np.argmax(present))]
    if column.is_coded:
        return column.vocabulary[int(value)]
    if column.kind == ColumnKind.DATE:
        return (_EPOCH + timedelta(seconds=float(value))).strftime(column.date_format)
    if column.kind == ColumnKind.BOOLEAN:
        return str(bool(value)).lower()
    return f"{value:.10g}"
