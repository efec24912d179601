"""Tables as they stand in files: CSV and Parquet."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.reading.column import Asked, ColumnKind, RawTable
from pipeline.reading.csv_file import read_csv
from pipeline.reading.dates import is_format
from pipeline.reading.parquet_file import read_parquet
from pipeline.reading.text_file import look_at

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt", ".dat")
TYPES = f"{', '.join(ColumnKind)}, or how dates are written, such as %m/%d/%Y or %d.%m.%Y %H:%M"
ALLOWED = "a file named .csv, .tsv, .txt or .dat (or those and .gz), or .parquet"


def is_table(path: Path) -> bool:
    """Tells by its name whether a file is a table."""
    return _suffix(path) in (*TEXT, *PARQUET)


def read_table(
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    types: Mapping[str, str] = MappingProxyType({}),
    missing: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> RawTable:
    """Reads a table, and finds out what its columns are.

    Blanks around values and names are taken off. What is a missing value is listed in `missing`.

    Args:
        path: of a file.
        delimiter: of a CSV file; found out if not given, as are encoding and decimal.
        encoding: of a CSV file.
        decimal: sign in the numbers of a CSV file, "." or ",".
        types: kinds (`ColumnKind`) of columns that are not to be found out, by name; or the format
            of a column of dates, as `strptime` has it.
        missing: texts that mean a missing value, too.
        drop: names of columns that are left out, and not even checked.

    Raises:
        UsageError: there is no such file, it is no table, or a value in it cannot be used; the
            text says where.
    """
    shown = display_path(path)
    kinds, date_formats = {}, {}
    for name, kind in types.items():
        if is_format(kind):
            kinds[name], date_formats[name] = ColumnKind.DATE, kind
        elif kind in list(ColumnKind):
            kinds[name] = ColumnKind(kind)
        else:
            raise UsageError(f"[data] types of {name}: found {kind!r}, allowed is {TYPES}")
    asked = Asked(kinds, date_formats, tuple(each.strip() for each in missing), tuple(drop))
    if decimal not in (None, ".", ","):
        raise UsageError(f"[data] decimal: found {decimal!r}, allowed is '.' or ','")
    try:
        if path.is_dir():
            raise UsageError(f"{shown}: is a folder, allowed is {ALLOWED}")
        if not path.exists():
            raise UsageError(f"{shown}: no such file")
        if not is_table(path):
            raise UsageError(f"{shown}: found {path.suffix or 'no suffix'}, allowed is {ALLOWED}")
        if not path.is_file():
            raise UsageError(f"{shown}: is no file, allowed is {ALLOWED}")
        if _suffix(path) in PARQUET:
            return read_parquet(path, asked=asked)
        return read_csv(path, delimiter=delimiter, encoding=encoding, decimal=decimal, asked=asked)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read ({error.strerror or error})") from None
    finally:
        _give_back_memory()


def _give_back_memory() -> None:
    """Gives back what Arrow keeps of the text of a table: half of what such a process has."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def place_of(table: RawTable, row: int) -> str:
    """Says where a row stands, for a message: "houses.csv line 17", "houses.parquet row 16".

    Reads the file again, slowly: for messages about bad rows alone.

    Args:
        table: as it was read.
        row: counted from 0.
    """
    path = Path(table.source)
    if not table.first_line:
        return f"{display_path(path)} row {row + 1}"
    line = 0
    with contextlib.suppress(UsageError):  # of an encoding that has to be set
        line = look_at(path).line_of(row)
    return f"{display_path(path)} line {line or table.first_line + row}"


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix
