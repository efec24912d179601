"""Prints the answers of the model.keras beside this file: `python predict.py rows.csv`."""

import contextlib
import csv
import gzip
import io
import os
import re
import sys
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Set in a copy: the names of the classes, or of what is answered; and how the file is written
# that the model has learned from, since others are read in the same way.
ANSWERS: tuple[str, ...] = ()
DELIMITER: str = ","
ENCODING: str = "utf-8-sig"
DECIMAL: str = "."  # sign in numbers that are text; the other one, and blanks, part thousands
OTHER_DECIMAL: tuple[str, ...] = ()  # columns in which the other one is the decimal sign
UNITS: tuple[tuple[str, str], ...] = ()  # of columns, by name; any other is refused
N_SKIPPED: int = 0  # lines of titles above the table, which other files may lack
NAMES: tuple[str, ...] = ()  # of the columns, if the file has no line of names
DATES: tuple[tuple[str, str], ...] = ()  # columns of dates, each with how they are written
ALSO_MISSING: tuple[str, ...] = ()  # texts that mean a missing value, too
TARGET: str = ""  # the column that is answered, which other files may lack

ROWS_AT_ONCE = 8192
MISSING = ["", "na", "n/a", "nan", "-nan", "nat", "null", "none", "?", "-", "--", ".", "#n/a",
           "#n/a n/a", "#na", "<na>", "n.a.", "#div/0!", "#value!", "#ref!", "#num!", "#name?",
           "#null!", "\\n", "#nv", "#wert!", "#bezug!", "#zahl!", "#div/0 !", "#valeur!",
           "#nombre!", "#nom?"]  # fmt: skip
SPACES = " '\u2019\u00a0\u2009\u202f"  # may part thousands
SIGN = "[+\u2212\u2013-]?"
CURRENCY = "[A-Z]{0,2}[$€£¥₩₹]|USD|EUR|GBP|CHF"
UNIT = "[A-Z]{0,2}[$€£¥₩₹]|[%원円元]|[a-zA-Zµμ°][a-zA-Z0-9µμ°²³/]{0,9}"  # behind a number
DAY_PARTS = {"%Y": "[0-9]{4}", "%y": "[0-9]{2}", "%b": r"[^\W\d_]{3,10}[.]?",
             "%m": "[0-9]{1,2}", "%d": "[0-9]{1,2}"}  # fmt: skip
ISO_DAY = "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
TIME = (
    "[0-9]{1,2}[:.][0-9]{1,2}(?:[:.][0-9]{1,2}(?:[.][0-9]{1,9})?)?"
    "(?: ?[AaPp][Mm])?(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
FOUND_AFTER_UTF_8 = ("cp1252", "latin-1", "utf-16")  # in which nearly all bytes are some text
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def answer(model: Any, rows: Any) -> Any:
    """Answers rows: probabilities (n, classes), of two classes those of the second; or numbers.

    Raises:
        ValueError: a column is missing, stands twice, or is to be of numbers, or of dates that are
            written in one way, and has other text.
    """
    import numpy as np
    import tensorflow as tf

    columns = read_columns(rows, _inputs(model))
    inputs = {name: values[:, None] for name, values in columns.items()}
    answers = []
    for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        tensors = tf.nest.map_structure(lambda values, at=block: tf.constant(values[at]), inputs)
        answers.append(np.asarray(model(tensors, training=False)))
    return np.concatenate(answers)


def read_columns(rows: Any, named: Any) -> dict[str, Any]:
    """Reads the columns that a model takes: numbers float64 (n,), NaN where missing; texts (n,).

    Raises:
        ValueError: as `answer`.
    """
    rows = rows.set_axis(_names(rows.columns, named), axis=1)
    if missing := [name for name in named if name not in rows.columns]:
        raise ValueError(f"missing columns: {missing}, found: {[*rows.columns]}")
    if twice := [name for name in named if rows.columns.tolist().count(name) > 1]:
        raise ValueError(f"columns that stand twice: {twice}")
    return {
        name: (_texts if each.dtype == "string" else _numbers)(rows[name])
        for name, each in named.items()
    }


def answer_table(model: Any, rows: Any) -> Any:
    """Answers rows as a DataFrame: a probability for each class, by its name; or the number."""
    import numpy as np
    import pandas as pd

    answers = answer(model, rows)
    if len(ANSWERS) == 2:
        answers = np.hstack([1 - answers, answers])
    index = getattr(rows, "index", None)
    return pd.DataFrame(answers, index, [*ANSWERS] or None)


def _load_pyfunc(folder: str) -> Any:
    """Loads the model for MLflow's flavour python_function."""
    model = load(Path(folder))
    return SimpleNamespace(predict=lambda rows, params=None: answer_table(model, rows))


def load(folder: Path = Path(__file__).parent) -> Any:
    """Loads the model.keras in a folder; Keras's safe mode refuses code in it."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "When providing `inputs`")  # of names with a slash
        return keras.saving.load_model(folder / "model.keras", safe_mode=True)


def _texts(column: Any) -> Any:
    """Spells values as a file has them: a whole number without ".0", a date as ISO 8601."""
    import numpy as np

    if getattr(column.dtype, "tz", None):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    values = column.astype(object).where(column.notna(), "")
    whole = (int(x) if isinstance(x, float) and x.is_integer() else x for x in values.tolist())
    texts = np.array([str(value).strip() for value in whole], object)
    if written := dict(DATES).get(column.name):
        _refuse_other_dates(column.name, texts, written)
    return texts


def _refuse_other_dates(name: str, texts: Any, written: str) -> None:
    """Refuses what a model takes for a missing date, or for one with day and month swapped."""
    import pandas as pd

    day = re.split("(?:,? |T)?%[HI]", written)[0].replace(".", "[.]")
    for code, pattern in DAY_PARTS.items():
        day = day.replace(code, pattern)
    found = pd.Series(texts, dtype=object).astype(str)
    is_date = found.str.fullmatch(f"(?:{day}|{ISO_DAY})(?:(?:,? |T)?{TIME})?")
    is_bad = ~is_date & ~found.str.lower().isin(MISSING) & ~found.isin(ALSO_MISSING)
    if is_bad.any():
        example = texts[is_bad.to_numpy(bool)][0]
        raise ValueError(f"column {name}: found {example!r}, no date ({written}, or ISO 8601)")


def _numbers(column: Any) -> Any:
    """Reads numbers; of text with the column's decimal sign, whatever the other rows say."""
    import numpy as np
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        return column.astype("Float64").to_numpy("float64", na_value=float("nan"))
    other = "," if DECIMAL == "." else "."
    decimal = other if column.name in OTHER_DECIMAL else DECIMAL
    is_text = np.array([isinstance(value, str) for value in column], bool)
    written, numbers = _texts(column), np.empty(len(column))
    for rows, sign in ((is_text, decimal), (~is_text, ".")):
        numbers[rows] = _parsed(column.name, written[rows], sign)
    return numbers


def _parsed(name: Any, written: Any, decimal: str) -> Any:
    """Reads numbers with thousands, signs of currency or per cent, true and false."""
    import numpy as np
    import pandas as pd

    parting = f"{',' if decimal == '.' else '.'}{SPACES}"
    groups = "|".join(rf"(?:[{sign}][0-9]{{3}})+" for sign in parting)
    groups += r"|(?:,[0-9]{2})+,[0-9]{3}" if decimal == "." else ""  # as in India
    plain = rf"(?:[0-9]+[{decimal}]?[0-9]*|[{decimal}][0-9]+)(?:[eE][+-]?[0-9]+)?"
    grouped = rf"[1-9][0-9]{{0,2}}(?:{groups})(?:[{decimal}][0-9]*)?"
    number = (
        rf"^(\(?)\s*({SIGN})\s*((?:{CURRENCY})?)\s*({SIGN})({plain}|{grouped})"
        rf"([\u2212\u2013-]{{0,2}})((?:(?<![.,])\s*(?:{UNIT}))?)\s*(\)?)$"
    )
    texts = pd.Series(written, dtype=object).astype(str)
    parts, folded = texts.str.extract(number), texts.str.lower()
    digits = parts[4].str.replace(f"[{parting}]", "", regex=True).str.replace(decimal, ".")
    last = parts[5].mask(parts[4].str.contains("[.,]$", na=False), "")  # 5,- has no cents
    signs = parts[0] + parts[1] + parts[3] + last  # a bracket or a minus on either side
    signs = signs.str.replace("[\u2212\u2013(]", "-", regex=True)
    is_one = (signs.str.len() < 2) & ((parts[0] == "(") == (parts[7] == ")"))
    unit = dict(UNITS).get(name, "")
    is_one &= (parts[2] + parts[6].str.strip()).isin(["", unit])
    numbers = (signs + digits).where(is_one, "nan").to_numpy("float64")
    numbers = np.select([folded == "true", folded == "false"], [1.0, 0.0], numbers)
    numbers[texts.isin(ALSO_MISSING)] = np.nan
    is_missing = (folded.isin(MISSING) | texts.isin(ALSO_MISSING)).to_numpy(bool)
    if (is_bad := ~np.isfinite(numbers) & ~is_missing).any():
        found = written[is_bad][0]
        known = f"decimal sign {decimal}{unit and f', unit {unit}'}"
        raise ValueError(f"column {name}: found {found!r}, no number ({known})")
    return numbers


def _inputs(model: Any) -> dict[str, Any]:
    """Returns the model's inputs by their columns' names."""
    return model.input if isinstance(model.input, dict) else {x.name: x for x in model.inputs}


def _names(given: Any, needed: Any) -> list[str]:
    """Names columns as in the training: also those without a name, such as an index."""
    names = [str(name).strip() for name in given]
    for i, name in enumerate(names):
        if name in ("", f"Unnamed: {i}") and name not in needed:  # the latter is what pandas says
            names[i] = "index" if not i and "index" not in names else f"column {i + 1}"
    return names


def read(path: Any, model: Any) -> Any:
    """Reads a file of rows for a model: CSV as in the training, compressed or not, or Parquet.

    Raises:
        OSError, EOFError, zlib.error: the file cannot be read.
        ValueError, csv.Error: it is no table.
    """
    import pandas as pd

    csv.field_size_limit(2**31 - 1)
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        rows = pd.read_parquet(path)
        return rows if isinstance(rows.index, pd.RangeIndex) else rows.reset_index()
    content = Path(path).read_bytes()
    text = _decoded(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    delimiter, needed = DELIMITER, _inputs(model)
    if said := re.match(r"\s*sep=(.)(?:\r\n|\r|\n)", text):  # written by Excel, for Excel
        delimiter, text = said[1], text[said.end() :]
    for _ in range(0 if said else N_SKIPPED):
        line, *below = re.split(r"\r\n|\r|\n", text, maxsplit=1)
        fields = next(csv.reader([line], delimiter=delimiter), [])
        is_row = NAMES and 0 <= len(NAMES) - len(fields) <= 1
        if is_row or needed.keys() <= {*_names(fields, needed)}:
            break
        text = "".join(below)
    table = [row for row in csv.reader(io.StringIO(text, ""), delimiter=delimiter) if row]
    if not table:
        raise ValueError("is empty")
    names = [x for x in NAMES if x != TARGET or len(table[0]) == len(NAMES)] or table.pop(0)
    if uneven := [i for i, row in enumerate(table) if len(row) != len(names)]:
        found = len(table[uneven[0]])
        raise ValueError(f"row {uneven[0] + 1}: found {found} values, allowed: {len(names)}")
    return pd.DataFrame(table, columns=names, dtype=object)


def _decoded(content: bytes) -> str:
    """Decodes text as that of the training, or else UTF-8; raises ValueError if it is neither."""
    tries = [ENCODING, "utf-8-sig"][:: -1 if ENCODING in FOUND_AFTER_UTF_8 else 1]
    tries = [MARKS[mark] for mark in MARKS if content.startswith(mark)] or tries
    for encoding in tries:
        with contextlib.suppress(UnicodeError):
            if "\0" not in (text := content.decode(encoding)):
                return text
    raise ValueError(f"is no text in {' or '.join(tries)}")


def main() -> None:
    """Prints the answers for the rows of a file, as CSV."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if len(sys.argv) != 2:
        print("usage: python predict.py rows.csv", file=sys.stderr)
        sys.exit(2)
    try:
        with Path(sys.argv[1]).open("rb"):  # before seconds of loading
            model = load()
        answers = answer_table(model, read(sys.argv[1], model))
    except (OSError, EOFError, zlib.error, csv.Error, ValueError, ImportError) as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        sys.exit(f"{sys.argv[1]}: {said}")
    try:
        answers.to_csv(sys.stdout, index=False)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads them, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
