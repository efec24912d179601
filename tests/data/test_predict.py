"""The file that answers rows reads them as the training did, each by itself, or says why not."""

import gzip
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from pipeline.export.texts import _reading
from pipeline.preparation.cache import About, _adapter
from pipeline.reading import numerals
from pipeline.reading.column import ColumnKind, Dialect, RawTable
from pipeline.reading.dates import COMPACT, FORMATS
from pipeline.reading.tables import read_table
from pipeline.task.features import Features, RawInput
from pipeline.task.task import Kind, Target, Task
from pipeline.tracking.rows_flavor import predict_script

TASK = Task(Kind.REGRESSION, (1,), loss="squared", target=Target("y", 0.0, 1.0))
PRICES = [f"{1 + i / 37:.3f}" for i in range(60)]
COMMAS = [price.replace(".", ",") for price in PRICES]


def lines(*columns: Any, by: str = ",", names: str = "", end: str = "\n") -> str:
    rows = [by.join(map(str, row)) for row in zip(*columns, strict=True)]
    return end.join([*([names] if names else []), *rows, ""])


TOWNS = ["Köln", "Ulm", "Bonn"] * 20
GRADES = ["서울", "부산", "인천"] * 20
QUOTED = [f'"{price}"' for price in COMMAS]
COUNTS = [7 * i % 11 for i in range(60)]
# Files as people have them: content, and what a study file sets.
FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "either sign, semicolons": (lines(TOWNS, PRICES, by=";", names="t;p").encode(), {}),
    "either sign, commas": (lines(TOWNS, QUOTED, names="t,p").encode(), {}),
    "a sign that is set": (lines(TOWNS, QUOTED, names="t,p").encode(), {"decimal": ","}),
    "a column with the other sign": (
        lines(TOWNS, [f"{i}.25" for i in range(60)], [f'"{i},5"' for i in range(60)],
              names="t,p,q").encode(), {},
    ),
    "thousands and units": (
        lines([f"{i}.{i}50,5 €" for i in range(10, 70)], [f"{i},5 %" for i in range(60)],
              [f"{i} 000" for i in range(1, 61)], by=";", names="a;b;c").encode("cp1252"), {},
    ),
    "Korean": (lines(GRADES, PRICES, names="등급,p").encode("cp949"), {"encoding": "cp949"}),
    "UTF-16": (lines(GRADES, PRICES, by="\t", names="등급\tp").encode("utf-16"), {}),
    "Excel's sep": (("sep=;\r\n" + lines(TOWNS, COMMAS, by=";", names="t;p")).encode(), {}),
    "a title": (("Report\n\n" + lines(TOWNS, PRICES, names="t,p")).encode(), {}),
    "comments": (("# a\n# b, c\n" + lines(TOWNS, PRICES, names="t,p")).encode(), {}),
    "a nameless index": (lines(range(60), PRICES, TOWNS, names=",p,t").encode(), {}),
    "no names": (lines(PRICES, TOWNS, COUNTS).encode(), {}),
    "blanks and tabs": (lines([f" {x} " for x in TOWNS], PRICES, by="\t", names=" t \tp").encode(),
                        {}),
    "spaces": (lines(PRICES, COUNTS, by=" ", names="p c").encode(), {}),
    "old Macs": (lines(TOWNS, PRICES, names="t,p", end="\r").encode("mac_roman"),
                 {"encoding": "mac_roman"}),
    "odd delimiter": (lines(TOWNS, PRICES, by="$", names="t$p").encode(), {"delimiter": "$"}),
    "missing": (lines(["NA", "?", "-"] * 20, ["n/a", *PRICES[1:]], ["true", ""] * 30,
                      names="t,p,b").encode(), {}),
    "compressed": (gzip.compress(lines(TOWNS, PRICES, names="t,p").encode()), {}),
}  # fmt: skip


def trained(folder: Path, name: str) -> tuple[Path, RawTable]:
    """Writes a file and reads it as a study does."""
    content, settings = FILES[name]
    path = folder / f"t.csv{'.gz' if name == 'compressed' else ''}"
    path.write_bytes(content)
    return path, read_table(path, **settings)


def module_of(folder: Path, dialect: Dialect, task: Task = TASK) -> ModuleType:
    """Imports the file that is handed over."""
    file = folder / "predict.py"
    file.write_text(predict_script(task, dialect), encoding="utf-8")
    module = ModuleType("handed_over")
    module.__file__ = str(file)
    # not by an importer, which takes another file of the same second and size for this one
    exec(compile(file.read_bytes(), file, "exec"), module.__dict__)
    return module


class Shows:
    """A model that answers what it is given, numbers as they are and texts by their length."""

    def __init__(self, table: RawTable) -> None:
        self.inputs = self.input = {
            name: SimpleNamespace(dtype="string" if column.is_coded else "float64")
            for name, column in table.columns.items()
            if column.kind != ColumnKind.DATE
        }

    def __call__(self, given: dict[str, tf.Tensor], training: bool) -> tf.Tensor:
        assert [*given] == [*self.inputs]
        columns = [
            tf.cast(tf.strings.length(x, "UTF8_CHAR"), tf.float64) if x.dtype == tf.string else x
            for x in given.values()
        ]
        return tf.concat(columns, 1)


def shown(table: RawTable) -> Any:
    columns = []
    for column in table.columns.values():
        if column.is_coded:
            columns.append(np.array([*map(len, column.vocabulary), 0.0])[column.values])
        else:
            columns.append(column.values)
    return np.stack(columns, 1)


@pytest.mark.parametrize("name", FILES)
def test_the_file_of_the_training_is_read_as_it_was(name: str, tmp_path: Path) -> None:
    path, table = trained(tmp_path, name)
    module, model, expected = module_of(tmp_path, table.dialect), Shows(table), shown(table)
    rows = module.read(path, model)
    np.testing.assert_array_equal(module.answer(model, rows), expected)
    for i in (0, 1, 59):  # whatever company it is in
        np.testing.assert_array_equal(module.answer(model, rows.iloc[[i]]), expected[[i]])
    for column in table.columns.values():
        if column.is_coded and column.name in rows:
            texts = [text for text in rows[column.name].str.strip() if text in column.vocabulary]
            assert {*texts} == {*column.vocabulary}


@pytest.mark.parametrize("name", sorted({*FILES} - {"compressed", "comments"}))
def test_pandas_reads_it_so_too_as_the_advice_says(name: str, tmp_path: Path) -> None:
    path, table = trained(tmp_path, name)
    code = _reading(table.dialect).replace("'rows.csv'", repr(str(path)))
    rows = eval(code, {"pandas": pd})
    found = module_of(tmp_path, table.dialect).answer(Shows(table), rows)
    np.testing.assert_array_equal(found, shown(table))


def test_what_a_file_of_training_has_at_its_top_other_files_may_lack(tmp_path: Path) -> None:
    for name, names in (("a title", "t,p"), ("Excel's sep", "t;p")):
        _, table = trained(tmp_path, name)
        other = tmp_path / "other.csv"
        other.write_text(f"{names}\nUlm{names[1]}2,440\n")
        module, model = module_of(tmp_path, table.dialect), Shows(table)
        expected = 2.44 if names == "t;p" else 2440
        if names == "t,p":
            other.write_text('t,p\nUlm,"2,440"\n')
        assert module.answer(model, module.read(other, model)).tolist() == [[3, expected]]


def test_a_file_without_names_may_lack_what_is_answered(tmp_path: Path) -> None:
    _, table = trained(tmp_path, "no names")
    model = Shows(table)
    del model.inputs["column 2"]
    module = module_of(tmp_path, Dialect(names=table.dialect.names, target="column 2"))
    other = tmp_path / "other.csv"
    other.write_text("1.5,3\n2.5,4\n")
    assert module.answer(model, module.read(other, model)).tolist() == [[1.5, 3], [2.5, 4]]
    other.write_text("1.5\n")
    with pytest.raises(ValueError, match=r"^row 1: found 1 values, allowed: 2"):
        module.read(other, model)


def test_utf_8_is_read_though_the_training_was_not(tmp_path: Path) -> None:
    for name, text in (("thousands and units", "ö"), ("Korean", "서울"), ("UTF-16", "서울")):
        _, table = trained(tmp_path, name)
        module, sign = module_of(tmp_path, table.dialect), table.dialect.delimiter
        other = tmp_path / "other.csv"
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            other.write_text(f"{text}{sign}b\n{text}{sign}1\n", encoding=encoding)
            rows = module.read(other, Shows(table))
            assert (rows.columns[0], rows.iloc[0, 0]) == (text, text)


def test_parquet_keeps_the_sign_of_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"p": ["2,440", "2,5"] * 9, "q": range(18)}, range(5, 23)).to_parquet(path)
    table = read_table(path)
    module, model = module_of(tmp_path, table.dialect), Shows(table)
    found = module.answer(model, module.read(path, model))
    np.testing.assert_array_equal(found, shown(table))
    assert found[0, 0] == 2.44


NUMERALS = [
    "1,5", "1.5", "2,440", "2.440", "1.234,125", "1,234.125", "0,125", "-2,125", "\u22122,125",
    "€ 1 234,50", "99,9 %", "1'000", "5e3", "5e-3", "1\u00a0000", "1\u202f000,5", "-$5", "$-5",
    "--5", "-$-5", "+7", "1.", ".5", ",5", "1,23,456", "12,34", "1e999", "inf", "0x10", "1_000",
    "5 kg", "01,000", "USD 5", "5EUR", "\u0661",
    "(302)", "(302", "-(302)", "302-", "-302-", "(€ 1,5)", "1e3 kg", "1,5\u00a0€", "- 5",
    "₩301658",
    "8원", "1,7\u202f%", "5 kg of it", "1.299,-", "1,299.-", "-5,-", "5,--", "5--", "5,\u2013 €",
    "5\u2013", "1\u2009234,5", "US$ 5", "-R$5", "5 US$", "5,---", "10 811,938", "1.234,567",
    "1.234,567.5", "1. Industry", "1.- €", "5. kg",
]  # fmt: skip


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("written", NUMERALS)
def test_numbers_are_read_as_the_training_reads_them(
    written: str, decimal: str, tmp_path: Path
) -> None:
    numbers, unit = numerals.parse(pa.array([written]), decimal)
    module = module_of(tmp_path, Dialect(decimal=decimal, units=(("a", unit),) if unit else ()))
    known = numbers[0].as_py()
    column = pd.Series([written, "", None, 1.5, True], dtype=object, name="a")
    if known is None or np.isinf(known):
        with pytest.raises(ValueError, match=r"^column a: found .* no number"):
            module._numbers(column)
    else:
        expected = [known, np.nan, np.nan, 1.5, 1]
        np.testing.assert_array_equal(module._numbers(column), expected)


def test_no_unit_is_taken_for_another(tmp_path: Path) -> None:
    """Whoever has pounds for kilograms would be answered, and wrongly."""
    file = tmp_path / "weighed.csv"
    file.write_text("w;p;y\n" + "".join(f"{i},5 kg;{i};{i % 7}\n" for i in range(20)))
    dialect = read_table(file).dialect
    assert dialect.units == (("w", "kg"),)
    module = module_of(tmp_path, dialect)
    column = pd.Series(["1,5 kg", "1,5", "\u22122kg"], dtype=object, name="w")
    np.testing.assert_array_equal(module._numbers(column), [1.5, 1.5, -2])
    for other in ("3 lb", "$3", "3 %"):
        column[1] = other
        with pytest.raises(ValueError, match=r"no number \(decimal sign ,, unit kg\)$"):
            module._numbers(column)
    with pytest.raises(ValueError, match=r"^column p: found '3 kg', no number"):
        module._numbers(pd.Series(["3 kg"], dtype=object, name="p"))


DATES = {
    "%d.%m.%Y": (["31.12.2023", "1.2.2024", "2024-02-01T10:00:00Z", "01.02.2024 10:30"],
                 ["12/31/2023", "01/02/2024", "01.02.24", "2024.02.01", "soon", "45000"]),
    "%m/%d/%Y %I:%M %p": (["12/31/2023 11:59 PM", "12/31/2023", "2023-12-31 23:59:00"],
                          ["31.12.2023", "12-31-2023"]),
    "%Y-%m-%dT%H:%M:%S.%f%z": (["2023-12-31T23:59:59.123+01:00", "2023-12-31"], ["12/31/2023"]),
    "%d %b %Y": (["1 Mar 2021", "2021-03-01"], ["1 3 2021"]),
    "%Y%m%d": (["20211231", "2021-12-31"], ["31122021 1"]),
}  # fmt: skip


@pytest.mark.parametrize("written", DATES)
def test_dates_that_are_written_otherwise_are_refused(written: str, tmp_path: Path) -> None:
    """Else the model would take them for missing, or the first of February for the second day."""
    features = Features((RawInput("d", "date", written),), (), missing=("open",))
    module = module_of(tmp_path, Dialect(), replace(TASK, features=features))
    good, bad = DATES[written]
    column = pd.Series([*good, "", None, "NA", "open"], dtype=object, name="d")
    assert module._texts(column).tolist() == [*good, "", "", "NA", "open"]
    for text in bad:
        column[1] = text
        with pytest.raises(
            ValueError, match=r"^column d: found .*, no date \(%.*, or ISO 8601\)$"
        ):
            module._texts(column)
    moments = pd.Series(pd.to_datetime(["2023-12-31 10:00", "NaT"]), name="d")
    assert module._texts(moments).tolist() == ["2023-12-31 10:00:00", ""]


@pytest.mark.parametrize("written", [*FORMATS, COMPACT])
def test_dates_of_every_format_are_known(written: str, tmp_path: Path) -> None:
    features = Features((RawInput("d", "date", written),), ())
    module = module_of(tmp_path, Dialect(), replace(TASK, features=features))
    moment = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC).strftime(written)
    assert module._texts(pd.Series([moment], dtype=object, name="d")).tolist() == [moment]


def test_what_somebody_says_is_missing_is(tmp_path: Path) -> None:
    task = replace(TASK, features=Features((), (), missing=("refused",)))
    module = module_of(tmp_path, Dialect(), task)
    column = pd.Series(["1", "refused"], dtype=object, name="a")
    np.testing.assert_array_equal(module._numbers(column), [1, np.nan])
    task = replace(TASK, features=Features((), (), missing=("-9 €",)))
    other = module_of(tmp_path, Dialect(), task)
    np.testing.assert_array_equal(other._numbers(column.replace("refused", "-9 €")), [1, np.nan])
    column[1] = "Refused"
    with pytest.raises(ValueError, match=r"^column a: found 'Refused', no number"):
        module._numbers(column)


def test_what_is_known_of_a_dialect_is_kept(tmp_path: Path) -> None:
    _, table = trained(tmp_path, "no names")
    about = About((TASK,), (), (), {}, table.dialect)
    assert _adapter().validate_json(_adapter().dump_json(about)).dialect == table.dialect


BAD = {
    "none.csv": (None, "No such file or directory"),
    "empty.csv": (b"", "is empty"),
    "names.csv": (b"a,b\n1,2\n", "missing columns: ['t', 'p'], found: ['a', 'b']"),
    "word.csv": (b"t,p\nUlm,much\n", "column p: found 'much', no number (decimal sign .)"),
    "ragged.csv": (b"t,p\nUlm\n", "row 1: found 1 values, allowed: 2"),
    "wide.csv": (b"t,p\nUlm,1,2\n", "row 1: found 3 values, allowed: 2"),
    "cp1252.csv": ("t,p\nKöln,1\n".encode("cp1252"), "is no text in utf-8-sig"),
    "zip.csv": (b"PK\3\4\0\0", "is no text in utf-8-sig"),
    "t.csv.gz": (b"\x1f\x8b\x08", "Compressed file ended"),
    "t.parquet": (b"nothing", "arquet"),
    ".": (None, "Is a directory"),
}
RUN = """
import io, predict, sys, types
class Model:
    input = {"t": types.SimpleNamespace(dtype="string"), "p": types.SimpleNamespace(dtype="f")}
    def __call__(self, given, training):
        return given["p"]
predict.load = Model
for path in sys.argv[1:]:
    sys.argv[1:] = [path] if path else []
    try:
        predict.main()
    except SystemExit as end:
        print(path, end.code, sep="|", file=sys.stderr)
"""


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path) -> None:
    module_of(tmp_path, Dialect())
    for name, (content, _) in BAD.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    (tmp_path / "good.csv").write_text("t,p\nUlm,1.5\n")
    done = subprocess.run(
        [sys.executable, "-c", RUN, *BAD, "", "good.csv"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "y\n1.5\n"
    said = dict(line.split("|") for line in done.stderr.splitlines() if "|" in line)
    assert said.pop("") == "2"
    assert "usage: python predict.py rows.csv" in done.stderr
    assert [*said] == [*BAD]
    for name, (_, sentence) in BAD.items():
        assert said[name].startswith(f"{name}: ")
        assert sentence in said[name]


def test_who_has_had_enough_of_the_answers_is_no_fault(tmp_path: Path) -> None:
    module_of(tmp_path, Dialect())
    (tmp_path / "many.csv").write_text("t,p\n" + "Ulm,1.5\n" * 100_000)
    reader, writer = os.pipe()
    os.close(reader)  # as head does when it has seen enough
    with os.fdopen(writer) as closed:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "many.csv"], cwd=tmp_path, stdout=closed,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 0
    assert "pipe" not in done.stderr.lower()
    assert "many.csv" not in done.stderr
