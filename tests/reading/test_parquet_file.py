"""Parquet files: their types are kept, what is no column of a table is refused."""

import datetime
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.errors import UsageError
from pipeline.reading.column import RawTable
from pipeline.reading.tables import read_table

DAYS = [datetime.datetime(2024, 1, 2, 3, 4, 5), None, datetime.datetime(1969, 12, 31)]
COLUMNS: dict[str, Any] = {
    "small": pa.array([1, None, -3], pa.int8()),
    "half": pa.array([1.5, math.nan, 2.5], pa.float32()),
    "price": pa.array([Decimal("1.25"), None, Decimal("-2.50")]),
    "flag": pa.array([True, None, False]),
    "word": pa.array(["a", "NA", "a"]),
    "code": pa.array(["x", "y", "x"]).dictionary_encode(),
    "day": pa.array(DAYS).cast(pa.date32()),
    "time": pa.array(DAYS, pa.timestamp("us", tz="Europe/Berlin")),
    "dotted.name": pa.array([3, 1, 1]),
    "none": pa.nulls(3),
}


def read(tmp_path: Path, columns: Any, **settings: Any) -> RawTable:
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    return read_table(tmp_path / "t.parquet", **settings)


def test_types_are_kept(tmp_path: Path) -> None:
    table = read(tmp_path, COLUMNS)
    nan, day, time = math.nan, 19724 * 86400, 19724 * 86400 + 3 * 3600 + 4 * 60 + 5
    expected = {
        "small": ("number", [1, nan, -3]),
        "half": ("number", [1.5, nan, 2.5]),
        "price": ("number", [1.25, nan, -2.5]),
        "flag": ("boolean", [1, nan, 0]),
        "word": ("category", [0, -1, 0]),
        "code": ("category", [0, 1, 0]),
        "day": ("date", [day, nan, -86400]),
        "time": ("date", [time, nan, -86400]),
        "dotted.name": ("number", [3, 1, 1]),
        "none": ("number", [nan, nan, nan]),
    }
    assert list(table.columns) == list(expected)
    for name, (kind, values) in expected.items():
        assert str(table.columns[name].kind) == kind
        np.testing.assert_array_equal(table.columns[name].values, values, err_msg=name)
    assert table.columns["day"].date_format == "%Y-%m-%d"
    assert table.columns["time"].date_format == "%Y-%m-%d %H:%M:%S"
    assert table.columns["none"].remark == "all missing"
    assert table.first_line == 0


def test_times_of_day(tmp_path: Path) -> None:
    times = [datetime.time(13, 45, 1, 500), None, datetime.time(0, 0)]
    for kind in (pa.time64("us"), pa.time64("ns"), pa.time32("s"), pa.time32("ms")):
        values = pa.array([each and each.replace(microsecond=0) for each in times], kind)
        column = read(tmp_path, {"a": values}).columns["a"]
        assert (str(column.kind), column.date_format) == ("date", "%H:%M:%S")
        np.testing.assert_array_equal(column.values, [13 * 3600 + 45 * 60 + 1, math.nan, 0])
    as_text = read(tmp_path, {"a": pa.array(times, pa.time64("us"))}, types={"a": "category"})
    assert as_text.columns["a"].vocabulary[1] == "00:00:00.000000"


def test_kinds_can_be_set(tmp_path: Path) -> None:
    kinds = {"small": "category", "flag": "number", "time": "category", "price": "text"}
    columns = read(tmp_path, COLUMNS, types=kinds).columns
    assert {name: str(columns[name].kind) for name in kinds} == kinds
    assert columns["small"].vocabulary == ("1", "-3")
    assert columns["time"].vocabulary == ("2024-01-02 03:04:05", "1969-12-31 00:00:00")
    assert columns["price"].vocabulary == ("1.25", "-2.50")


def test_what_somebody_says_is_missing_is(tmp_path: Path) -> None:
    columns = {"a": [1, -200, 3], "b": [1.5, -200.0, None], "c": ["x", "-200", "y"]}
    table = read(tmp_path, columns, missing=["-200"])
    for name, expected in (("a", [False, True, False]), ("b", [False, True, True])):
        assert table.columns[name].is_missing.tolist() == expected
    assert table.columns["c"].is_missing.tolist() == [False, True, False]


def test_the_index_that_pandas_writes(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.5, 2.5]}, index=["x", "y"]).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["a", "index"]


@pytest.mark.parametrize(
    ("columns", "types", "sentence"),
    [
        ({"a": [[1]]}, {}, "column a: found list<element: int64>, allowed are numbers"),
        ({"a": [b"x"]}, {}, "column a: found binary, allowed are numbers"),
        ({"a": [b"x"]}, {}, '[data] drop = ["a"] leaves it out'),
        ({"a": [1.0, -math.inf]}, {}, "t.parquet row 2, column a: found '-inf', allowed is a fin"),
        ({"a": pa.array([], pa.int8())}, {}, "has no rows"),
        ({"a": ["x"]}, {"a": "number"}, "row 1, column a: found 'x', allowed is a number"),
        ({"a": [1]}, {"b": "number"}, "types: found the column 'b'"),
    ],
)
def test_refused(tmp_path: Path, columns: Any, types: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, columns, types=types)
    assert sentence in str(caught.value)


def test_a_column_that_is_dropped_may_be_of_any_type(tmp_path: Path) -> None:
    columns = {"a": pa.array([1], pa.duration("s")), "b": [2]}
    assert list(read(tmp_path, columns, drop=["a"]).columns) == ["b"]


@pytest.mark.parametrize("damage", [slice(0, 3), slice(0, -40)])
def test_damaged_files_are_refused(tmp_path: Path, damage: slice) -> None:
    parquet.write_table(pa.table(COLUMNS), path := tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(UsageError, match="allowed is a Parquet file"):
        read_table(path)
