"""Rows are read as the training's were; a column that is wanting is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UsageError
from pipeline.predict.rows import read_rows
from pipeline.reading.column import Dialect
from pipeline.task.features import Features, RawInput
from pipeline.task.task import Kind, Target, Task

TASK = Task(
    Kind.REGRESSION,
    (2,),
    loss="squared",
    target=Target("price"),
    features=Features((RawInput("area", "number"), RawInput("town", "category")), ()),
)
GERMAN = Dialect(delimiter=";", encoding="cp1252", decimal=",", target="price")


def test_more_columns_and_the_target_may_be_there_in_any_order(project_folder: Path) -> None:
    Path("x.csv").write_bytes("town;price;area;more\nKöln;3;1.234,5;x\n;4;;y\n".encode("cp1252"))
    found = read_rows(Path("x.csv"), TASK, GERMAN)
    assert [*found] == ["area", "town"]
    np.testing.assert_array_equal(found["area"], [1234.5, np.nan])
    assert found["town"].tolist() == ["Köln", ""]


def test_parquet_is_read_too(project_folder: Path) -> None:
    pd.DataFrame({"area": [1.5], "town": ["Ulm"]}).to_parquet("x.parquet")
    found = read_rows(Path("x.parquet"), TASK, GERMAN)
    assert (found["area"].tolist(), found["town"].tolist()) == ([1.5], ["Ulm"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("area;price\n1;2\n", "x.csv: missing columns: ['town'], found: ['area', 'price']"),
        ("area;town\nmuch;Ulm\n", "x.csv: column area: found 'much', no number (decimal sign ,)"),
        ("area;town\n1;Ulm;3\n", "x.csv: row 1: found 3 values, allowed: 2"),
        ("area;town\n", "x.csv: found no rows, allowed is one at least"),
        ("", "x.csv: is empty"),
        ("\0", "x.csv: is no text in utf-8-sig or cp1252"),
    ],
)
def test_what_cannot_be_answered_is_refused(content: str, said: str, project_folder: Path) -> None:
    Path("x.csv").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_rows(Path("x.csv"), TASK, GERMAN)
    assert str(caught.value).startswith(said)
    with pytest.raises(UsageError, match=r"^stdin: "):
        read_rows(Path("x.csv"), TASK, GERMAN, "stdin")


def test_what_is_no_table_is_refused_by_its_name(project_folder: Path) -> None:
    Path("x.png").touch()
    Path("d.csv").mkdir()
    for name, found in (("x.png", ".png"), ("d.csv", "a folder")):
        with pytest.raises(UsageError, match=rf"^{name}: found {found}, allowed is a file named"):
            read_rows(Path(name), TASK, GERMAN)
