"""Prints the answers of the model.keras beside this file: `python predict.py rows.csv`."""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

ANSWERS: tuple[str, ...] = ()  # names of the classes, or of what is answered; set in a copy
ROWS_AT_ONCE = 8192
ALSO_MISSING: tuple[str, ...] = ()  # texts that mean a missing value, too; set in a copy
MISSING = ["", "na", "n/a", "nan", "-nan", "nat", "null", "none", "?", "-", "--", ".", "#n/a",
           "#n/a n/a", "#na", "<na>", "n.a.",
           "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!",
           "\\n"]  # fmt: skip
NO_DIGITS = r"[\s'\u2019\u00a0\u202f$€£¥₩₹원円元%]|USD|EUR|GBP|CHF"
NEGATIVE = r"^\((.*)\)$|^([^-]*)-$"  # as in books of accounts
UNIT = (
    r"^([^a-zµμ°]*[\d.,](?:e[+-]?\d+)?)"
    r"((?!e[+-]?\d+$)[a-zµμ°][a-z0-9µμ°²³/]{0,9})$"
)
DECIMAL_COMMA = r"\d,(?:\d{1,2}|\d{4,})$|\.\d{3},|^-?0,"  # that parts no thousands
DECIMAL_POINT = r"\d\.(?:\d{1,2}|\d{4,})$|,\d{3}\.|^-?0\."


def answer(model: Any, rows: Any, is_comma_likely: bool = False) -> Any:
    """Answers rows: probabilities (n, classes), of two classes those of the second; or numbers.

    Raises:
        ValueError: a column is missing, or is to be of numbers and has other text.
    """
    import numpy as np
    import tensorflow as tf

    rows = rows.rename(columns=lambda name: str(name).strip())
    named = model.input if isinstance(model.input, dict) else {x.name: x for x in model.inputs}
    if [*named] == ["numbers"] and "numbers" not in rows:  # an array, its columns in order
        columns = [rows.iloc[:, i] for i in range(rows.shape[1])]
        inputs: Any = np.column_stack(_numbers(columns, is_comma_likely))
        if inputs.shape[1:] != model.input_shape[1:]:
            raise ValueError(f"found {rows.shape[1]} columns, allowed: {model.input_shape[1:]}")
    else:
        if missing := [name for name in named if name.strip() not in rows.columns]:
            raise ValueError(f"missing columns: {missing}, found: {[*rows.columns]}")
        texts = [name for name, each in named.items() if each.dtype == "string"]
        inputs = {name: _texts(rows[name.strip()])[:, None] for name in texts}
        others = [name for name in named if name not in texts]
        numbers = _numbers([rows[name.strip()] for name in others], is_comma_likely)
        inputs |= {name: each[:, None] for name, each in zip(others, numbers, strict=True)}
    answers = []
    for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
        block = slice(start, start + ROWS_AT_ONCE)
        tensors = tf.nest.map_structure(lambda values, at=block: tf.constant(values[at]), inputs)
        answers.append(np.asarray(model(tensors, training=False)))
    return np.concatenate(answers)


def answer_table(model: Any, rows: Any, is_comma_likely: bool = False) -> Any:
    """Answers rows as a DataFrame: a probability for each class, by its name; or the number."""
    import numpy as np
    import pandas as pd

    answers = answer(model, rows, is_comma_likely)
    if len(ANSWERS) == 2:
        answers = np.hstack([1 - answers, answers])
    index = getattr(rows, "index", None)
    return pd.DataFrame(answers, index, [*ANSWERS] or None)


class _Answering:
    """What MLflow calls a model: with `predict`."""

    def __init__(self, model: Any):
        self._model = model

    def predict(self, rows: Any, params: Any = None) -> Any:
        return answer_table(self._model, rows)


def _load_pyfunc(folder: str) -> _Answering:
    """Loads the model for MLflow's flavour python_function."""
    return _Answering(load(Path(folder)))


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
    return np.array([str(value).strip() for value in whole], object)


def _numbers(columns: list[Any], is_comma_likely: bool) -> list[Any]:
    """Reads numbers, also with decimal commas or signs of currency, and true and false."""
    import pandas as pd

    votes = 0
    read: list[Any] = []
    for column in columns:
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            read.append(column.astype("Float64").to_numpy("float64", na_value=float("nan")))
            continue
        written = pd.Series(_texts(column), dtype=object, name=column.name).astype(str)
        bare = written.str.replace(NO_DIGITS, "", regex=True).str.replace("\u2212", "-")
        bare = bare.str.lower().str.replace(NEGATIVE, r"-\1\2", regex=True)
        bare = bare.mask(written.str.lower().isin(MISSING) | written.isin(ALSO_MISSING), "")
        units = bare.str.extract(UNIT)[1]
        if units.nunique() == 1:  # as the reader has it, all have one or none has
            bare = bare.str.replace(UNIT, r"\1", regex=True)
        votes += bare.str.contains(DECIMAL_COMMA).sum() - bare.str.contains(DECIMAL_POINT).sum()
        read.append((written, bare.replace({"true": "1", "false": "0"})))
    is_comma = votes > 0 or (votes == 0 and is_comma_likely)
    return [
        _parsed(each[0], each[1], is_comma) if isinstance(each, tuple) else each for each in read
    ]


def _parsed(written: Any, bare: Any, is_comma: bool) -> Any:
    """Reads a column with the file's decimal sign, or with the other if that will not do."""
    import pandas as pd

    for sign, other in [(",", "."), (".", ",")][:: 1 if is_comma else -1]:
        plain = bare.str.replace(rf"\{other}(?=\d{{3}}(?:\D|$))", "", regex=True)
        numbers = pd.to_numeric(plain.str.replace(sign, "."), errors="coerce")
        if not (is_bad := numbers.isna() & (bare != "")).any():
            return numbers.to_numpy("float64")
    raise ValueError(f"column {written.name}: found {written[is_bad].iloc[0]!r}, no number")


def main() -> None:
    """Prints the answers for the rows of a CSV file, as CSV."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import pandas as pd

    if len(sys.argv) != 2:
        sys.exit("usage: python predict.py rows.csv")
    content = Path(sys.argv[1]).read_bytes()
    text = content.decode("utf-8-sig", "replace")
    if "\ufffd" in text:
        text = content.decode("cp1252")
    delimiter = max(",;\t|", key=text.partition("\n")[0].count)
    rows = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False)
    try:
        answers = answer_table(load(), rows, is_comma_likely=delimiter == ";")
        answers.to_csv(sys.stdout, index=False)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
