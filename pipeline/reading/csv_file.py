"""Files of delimited text, read column by column."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.reading.column import Asked, Dialect, RawTable
from pipeline.reading.encoding import is_compressed
from pipeline.reading.text_file import TextFile, look_at
from pipeline.reading.values import BadValueError, of_text
from pipeline.wording import count_noun, join_names

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 1 << 28  # characters of a file that are in memory at once; larger ones are read again
_BLOCK = 1 << 23  # bytes; no row may be longer
_SHOWN = 60  # characters of a bad value


def read_csv(
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    asked: Asked,
) -> RawTable:
    """Reads a file of delimited text with a line of names; see `tables.read_table`.

    A column is text only until it is known what it is; of a large file only as many columns at
    once as fit into some hundred megabytes, so that it is read several times.
    """
    file = look_at(path, delimiter, encoding, decimal)
    refuse_unknown(asked, file.names, display_path(path))
    columns, remarks = {}, list(file.remarks)
    n_parts = min(len(file.names), math.ceil(file.n_characters / _AT_ONCE))
    size = math.ceil(len(file.names) / n_parts)
    wanted = [i for i, name in enumerate(file.names) if name not in asked.drop]
    for start in range(0, len(wanted), size):
        places = wanted[start : start + size]
        text = _read_text(file, places)
        for place in places:
            name = file.names[place]
            try:
                column, said = of_text(
                    name, text.pop(place), asked, file.decimal, decimal is not None
                )
            except BadValueError as error:
                refuse_value(f"{display_path(path)} line {file.line_of(error.row)}", name, error)
            columns[name] = column
            remarks += [said] if said else []
    dialect = Dialect(
        delimiter=file.delimiter,
        encoding=file.encoding,
        decimal=file.decimal,
        other_decimal=tuple(name for name, column in columns.items() if column.decimal),
        units=tuple((name, column.unit) for name, column in columns.items() if column.unit),
        n_skipped=file.n_skipped,
        names=() if file.has_names else file.names,
    )
    return RawTable(path, columns, tuple(remarks), file.line_of(0), dialect)


def refuse_value(where: str, name: str, error: BadValueError) -> NoReturn:
    """Refuses a value.

    Raises:
        UsageError: always.
    """
    found = repr(str(error.found))
    found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}...'"
    raise UsageError(
        f"{where}, column {name}: found {found}, allowed is {error.allowed}"
    ) from None


def refuse_unknown(asked: Asked, names: Sequence[str], shown: str) -> None:
    """Refuses what is set of columns that a file has not.

    Raises:
        UsageError: there is such a setting.
    """
    for key, columns in (("types", asked.kinds), ("drop", asked.drop)):
        for name in columns:
            if name not in names:
                raise UsageError(
                    f"[data] {key}: found the column {name!r}, allowed are the columns of "
                    f"{shown}: {join_names(list(names))}"
                )


def _read_text(file: TextFile, places: Sequence[int]) -> dict[int, "pa.ChunkedArray"]:
    """Reads some columns as text, by their places.

    Raises:
        UsageError: a row has too many or too few fields, or there is none.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = [str(i) for i in range(len(file.names))]
    chosen = [str(i) for i in places]
    compression = "gzip" if is_compressed(file.path) else None
    try:
        with pa.input_stream(str(file.path), compression=compression) as stream:
            table = csv.read_csv(
                stream,
                read_options=csv.ReadOptions(
                    column_names=names,
                    skip_rows=file.n_skipped,
                    skip_rows_after_names=int(file.has_names),
                    encoding="utf8" if file.encoding == "utf-8-sig" else file.encoding,
                    block_size=_BLOCK,
                ),
                parse_options=csv.ParseOptions(
                    delimiter=file.delimiter, newlines_in_values=file.has_quotes
                ),
                convert_options=csv.ConvertOptions(
                    include_columns=chosen,
                    column_types={name: pa.string() for name in chosen},
                    strings_can_be_null=False,
                ),
            )
    except pa.ArrowInvalid as error:
        _refuse_rows(file, str(error))
    if not table.num_rows:
        raise UsageError(
            f"{display_path(file.path)}: has a line of names and no rows, allowed is at least one"
        )
    return dict(zip(places, table.columns, strict=True))


def _refuse_rows(file: TextFile, reason: str) -> NoReturn:
    """Says which row cannot be read.

    Raises:
        UsageError: always.
    """
    shown, n_names = display_path(file.path), len(file.names)
    if "straddl" in reason:
        reason = f"a row of over {_BLOCK >> 20} MB; is a quotation mark never closed?"
    else:
        for line, record in file.records():
            if len(record) != n_names:
                raise UsageError(
                    f"{shown} line {line}: found {count_noun(len(record), 'field')}, allowed "
                    f"is {n_names:,}, as there are names of columns: mend or remove the line, or "
                    f"set another delimiter than {file.delimiter!r} by [data] delimiter"
                )
    raise UsageError(f"{shown}: cannot be read as a table ({reason})")
