"""A column of a table, read and understood: its kind, its values, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipeline.paths import display_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Numbers: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int32]"


class ColumnKind(StrEnum):
    """What the values of a column are."""

    NUMBER = "number"
    BOOLEAN = "boolean"  # two numbers, 0 and 1
    CATEGORY = "category"
    DATE = "date"
    TEXT = "text"  # free text: nearly every row says something else


@dataclass(frozen=True)
class Column:
    """A column of a file, of all its rows.

    Attributes:
        name: as the file has it.
        kind: found out, or set.
        values: of numbers, booleans (0 and 1) and dates (seconds since 1970, UTC): float64 (n,),
            NaN where missing. Of categories and texts: int32 (n,), an index into `vocabulary`,
            -1 where missing.
        vocabulary: what the values of a category or a text are, as text; empty for the others.
        date_format: how the dates are written, as `strptime` has it, such as "%d.%m.%Y"; "" for
            all other kinds.
        remark: why it says nothing by itself, such as "constant" or "an id: all values differ";
            "" if nothing speaks against it.
        doubt: why its kind may be a wrong one, and what sets another, a sentence for people; ""
            if there is no doubt.
        decimal: sign in its numbers, where it is not that of the file; else "".
        unit: that all its numbers have, such as "kg"; else "".
        is_whole: of a category, whether its values came as integers, which may be quantities.
    """

    name: str
    kind: ColumnKind
    values: "Numbers | Codes"
    vocabulary: tuple[str, ...] = ()
    date_format: str = ""
    remark: str = ""
    doubt: str = ""
    decimal: str = ""
    unit: str = ""
    is_whole: bool = False

    @property
    def is_coded(self) -> bool:
        """Whether the values are indices into the vocabulary."""
        return self.kind in (ColumnKind.CATEGORY, ColumnKind.TEXT)

    @property
    def is_missing(self) -> "NDArray[np.bool_]":
        """Which rows have no value, (n,)."""
        import numpy as np

        return self.values < 0 if self.is_coded else np.isnan(self.values)


@dataclass(frozen=True)
class Asked:
    """What is set of a table's columns, and so is not to be found out.

    Attributes:
        kinds: of columns, by name.
        date_formats: of columns of dates, by name, as `strptime` has them.
        missing: texts that mean a missing value, besides `MISSING_TEXTS`.
        drop: names of columns that are not even looked at.
    """

    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    date_formats: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """How a file of delimited text is written, as it was found or set, so that others are read so.

    Attributes:
        delimiter: one character.
        encoding: as Python calls it; one of UTF-8 is "utf-8-sig", which takes a mark at the top.
        decimal: sign in numbers; the other one, and blanks, may part thousands.
        other_decimal: columns whose numbers have the other sign.
        units: of columns whose numbers have one, each a name and a unit; other units are refused.
        n_skipped: lines before the names, or before the first row if there are none.
        names: of the columns if the file has no line of names; else none.
        target: column that is answered, which a file of rows to be answered may lack.
    """

    delimiter: str = ","
    encoding: str = "utf-8-sig"
    decimal: str = "."
    other_decimal: tuple[str, ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    n_skipped: int = 0
    names: tuple[str, ...] = ()
    target: str = ""


@dataclass(frozen=True)
class RawTable:
    """A table as it stands in a file.

    Attributes:
        source: the file, or what else it is called in messages.
        columns: by name, in the file's order.
        remarks: what was found out of the file, for people, such as "decimal sign .".
        first_line: line of the file in which the first row stands; 0 if it has no lines.
        dialect: how the file is written, if it is text.
    """

    source: Path | str
    columns: Mapping[str, Column]
    remarks: tuple[str, ...] = ()
    first_line: int = 0
    dialect: Dialect = Dialect()

    @property
    def where(self) -> str:
        """What it is called in messages."""
        return called(self.source)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())).values)


@dataclass(frozen=True)
class RawArrays:
    """Arrays as they stand in a file: pictures, or numbers in any shape.

    Attributes:
        source: the file or folder, or what else it is called in messages.
        inputs: uint8 (n, height, width[, channels]) of pictures, else float32 (n, ...).
        targets: what is to be answered: a category or a number for each example.
        test_inputs: of the test set, if the file has one.
        test_targets: of the test set, if the file has one.
        remarks: what was found out, for people.
    """

    source: Path | str
    inputs: "NDArray[np.uint8] | NDArray[np.float32]"
    targets: Column
    test_inputs: "NDArray[np.uint8] | NDArray[np.float32] | None" = None
    test_targets: Column | None = None
    remarks: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """What it is called in messages."""
        return called(self.source)


def called(source: Path | str) -> str:
    """Names a source of data in messages: a path as short as can be, anything else as it is."""
    return source if isinstance(source, str) else display_path(source)
