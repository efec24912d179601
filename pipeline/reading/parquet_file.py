"""Parquet files, read column by column."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, first_line
from pipeline.paths import display_path
from pipeline.reading.column import Asked, Column, ColumnKind, Dialect, RawTable
from pipeline.reading.csv_file import refuse_unknown, refuse_value
from pipeline.reading.dates import CLOCKS
from pipeline.reading.doubts import quoted
from pipeline.reading.text_file import name_columns
from pipeline.reading.values import BadValueError, of_numbers, of_text

if TYPE_CHECKING:
    import pyarrow as pa

_PANDAS_INDEX = "__index_level_0__"


def read_parquet(path: Path, *, asked: Asked) -> RawTable:
    """Reads a Parquet file; see `tables.read_table`."""
    import pyarrow as pa
    from pyarrow import parquet

    shown = display_path(path)
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            index = "index" if "index" not in schema.names else ""
            given = [index if name == _PANDAS_INDEX else name.strip() for name in schema.names]
            names, remarks = name_columns(given, shown)
            refuse_unknown(asked, names, shown)
            wanted = [x for x in zip(names, schema, strict=True) if x[0] not in asked.drop]
            for name, field in wanted:
                _refuse_type(f"{shown}, column {name}", name, field.type)
            if not file.metadata.num_rows or not names:
                raise UsageError(f"{shown}: has no rows, allowed is at least one")
            columns, said = {}, list(remarks)
            for name, field in wanted:
                values = file.read(columns=[field.name]).column(0)
                try:
                    columns[name], remark = _column(name, values, asked)
                except BadValueError as error:
                    refuse_value(f"{shown} row {error.row + 1}", name, error)
                said += [remark] if remark else []
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{shown}: cannot be read ({first_line(error)}), allowed is a Parquet file"
        ) from None
    other = tuple(name for name, column in columns.items() if column.decimal)
    units = tuple((name, column.unit) for name, column in columns.items() if column.unit)
    dialect = Dialect(other_decimal=other, units=units)
    return RawTable(path, columns, tuple(said), dialect=dialect)


def _is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    tests = (types.is_string, types.is_large_string, types.is_string_view)
    return any(test(kind) for test in tests)


def _refuse_type(where: str, name: str, kind: "pa.DataType") -> None:
    """Refuses what is no column of a table.

    Raises:
        UsageError: it is a list, a structure, bytes, or how long something took.
    """
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    tests = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, _is_text)
    if not any(
        test(inner)
        for test in (*tests, types.is_decimal, types.is_date, types.is_time, types.is_timestamp)
    ):
        raise UsageError(
            f"{where}: found {kind}, allowed are numbers, booleans, text, dates and times; "
            f"[data] drop = [{quoted(name)}] leaves it out"
        )


def _column(name: str, values: "pa.ChunkedArray", asked: Asked) -> tuple[Column, str]:
    """Makes a column of values with a type; one that was set to another kind goes by its text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    if types.is_timestamp(values.type):
        values = pc.cast(values, pa.timestamp("s"), safe=False)  # in UTC, if it has a time zone
    elif types.is_date(values.type):
        values = pc.cast(values, pa.date32())
    kind, native = asked.kinds.get(name), _native(values.type)
    if native is None or kind not in (None, native):
        if types.is_boolean(values.type) and kind == ColumnKind.NUMBER:
            return of_numbers(name, values.cast(pa.uint8()), is_set=True), ""
        return of_text(name, values.cast(pa.string()), asked)
    if types.is_time(values.type):
        seconds = pc.divide(values.cast(pa.time64("ns")).cast(pa.int64()), 10**9)
        return of_numbers(name, seconds, native, date_format=CLOCKS[0]), ""
    if native == ColumnKind.DATE:
        is_day = types.is_date(values.type)
        seconds = pc.cast(pc.cast(values, pa.timestamp("s")), pa.int64())
        date_format = "%Y-%m-%d" if is_day else "%Y-%m-%d %H:%M:%S"
        return of_numbers(name, seconds, native, date_format=date_format), ""
    if native == ColumnKind.BOOLEAN:
        values = values.cast(pa.uint8())
        return of_numbers(name, values, native, is_set=kind is not None), ""
    return of_numbers(name, values, is_set=kind is not None, missing=asked.missing), ""


def _native(kind: "pa.DataType") -> ColumnKind | None:
    from pyarrow import types

    if types.is_boolean(kind):
        return ColumnKind.BOOLEAN
    if types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind):
        return ColumnKind.DATE
    if _is_text(kind) or types.is_null(kind):
        return None
    return ColumnKind.NUMBER
