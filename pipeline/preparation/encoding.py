"""The encoded matrix of a table or an array: fitted on the training part, made once."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pipeline.preparation import dates
from pipeline.reading.column import Column, ColumnKind
from pipeline.reading.kinds import FEW_ROWS, RARE
from pipeline.reading.missing import MISSING_TEXTS
from pipeline.task.features import (
    FIRST_CODE,
    MISSING_CODE,
    OTHER_CODE,
    Category,
    Features,
    Number,
    RawInput,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rows: TypeAlias = "NDArray[np.intp]"

N_KNOTS = 65  # of a number at most: 64 bins
N_VOCABULARY = 1_000  # values of one category with a code of their own, the most frequent
_BLOCK = 1_000  # examples that are encoded at once
_MOST_FITTED = 10_000_000  # numbers of an array of pictures or the like that are looked at


def fit_features(columns: Sequence[Column], rows: Rows) -> Features:
    """Finds out how columns are encoded, from their training part alone.

    Args:
        columns: that a network is to see, in the file's order.
        rows: of the training part.
    """
    inputs: list[RawInput] = []
    numbers: list[Number] = []
    categories: list[Category] = []
    for column in columns:
        if column.is_coded:
            inputs.append(RawInput(column.name, "category"))
            categories.append(_fit_category(column, rows))
        elif column.kind is ColumnKind.DATE:
            parts = dates.parts_of(column.date_format)
            inputs.append(RawInput(column.name, "date", column.date_format, parts))
            numbers += [
                _fit_number(f"{column.name}: {part}", _part(column, part, rows)) for part in parts
            ]
        else:
            inputs.append(RawInput(column.name, "number"))
            numbers.append(_fit_number(column.name, column.values[rows]))
    return Features(tuple(inputs), tuple(numbers), tuple(categories))


def encode(
    features: Features,
    columns: Sequence[Column],
    rows: Rows,
    out: "NDArray[np.float32] | None" = None,
) -> "NDArray[np.float32]":
    """Encodes rows of a table, one column after the other.

    Args:
        features: by `fit_features`.
        columns: found by their names; others may be among them.
        rows: which, in which order.
        out: is filled and returned, if given, such as a file in memory.

    Returns:
        The encoded matrix, float32 (len(rows), features.width).

    Raises:
        KeyError: a column is not there.
    """
    import numpy as np

    by_name = {column.name: column for column in columns}
    encoded = np.empty((len(rows), features.width), np.float32) if out is None else out
    i_number, i_indicator = 0, len(features.numbers)
    categories = iter(enumerate(features.categories, i_indicator + features.n_indicators))
    for each in features.inputs:
        column = by_name[each.name]
        if each.kind == "category":
            i, category = next(categories)
            encoded[:, i] = _codes(category, column)[column.values[rows] + 1]
            continue
        for part in each.parts or ("",):
            values = _part(column, part, rows) if part else column.values[rows]
            number = features.numbers[i_number]
            encoded[:, i_number] = _standardised(number, values)
            i_number += 1
            if number.may_miss:
                encoded[:, i_indicator] = ~np.isfinite(values)
                i_indicator += 1
    return encoded


def fit_array(inputs: "NDArray[Any]", rows: Rows) -> Features:
    """Finds out how an array of numbers is encoded, from its training part alone.

    Args:
        inputs: (n, d), each of whose columns is a number of its own, or (n, ...), of which all
            numbers have one mean and one scale, of some ten millions of them. NaN is missing.
        rows: of the training part.
    """
    import numpy as np

    if inputs.ndim == 2:
        columns = (inputs[rows, i].astype(np.float64) for i in range(inputs.shape[1]))
        return Features((), tuple(_fit_number(f"x{i}", x) for i, x in enumerate(columns, 1)))
    step = math.ceil(len(rows) * math.prod(inputs.shape[1:]) / _MOST_FITTED) or 1
    number = _fit_number("x", inputs[rows[::step]].astype(np.float64).ravel(), may_miss=False)
    return Features((), (number,))


def encode_array(
    features: Features,
    inputs: "NDArray[Any]",
    rows: Rows,
    out: "NDArray[Any] | None" = None,
) -> "NDArray[np.float32]":
    """Encodes rows of an array of numbers.

    Args:
        features: by `fit_array`.
        inputs: as it was given there.
        rows: which, in which order.
        out: is filled and returned, if given.

    Returns:
        Of (n, d) the encoded matrix, float32 (len(rows), features.width); of an array of more
        dimensions one of its own shape, float32 (len(rows), ...).
    """
    import numpy as np

    shape = (features.width,) if inputs.ndim == 2 else inputs.shape[1:]
    encoded = np.empty((len(rows), *shape), np.float32) if out is None else out
    if inputs.ndim != 2:
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            encoded[block] = _standardised(
                features.numbers[0], inputs[rows[block]].astype(np.float64)
            )
        return encoded
    i_indicator = len(features.numbers)
    for i, number in enumerate(features.numbers):
        values = inputs[rows, i].astype(np.float64)
        encoded[:, i] = _standardised(number, values)
        if number.may_miss:
            encoded[:, i_indicator] = ~np.isfinite(values)
            i_indicator += 1
    return encoded


def _fit_number(name: str, values: "NDArray[Any]", may_miss: bool | None = None) -> Number:
    """Fits a number on values of the training part; what is not finite is missing."""
    import numpy as np

    present = values[np.isfinite(values)]
    if may_miss is None:
        may_miss = len(present) < len(values)
    if not len(present):
        return Number(name, 0.0, 1.0, 0.0, may_miss, (0.0, 1.0))
    quantiles = np.quantile(present, np.linspace(0, 1, N_KNOTS), method="closest_observation")
    is_constant = quantiles[0] == quantiles[-1]
    mean, scale = _mean_and_deviation(present)
    if not (math.isfinite(scale) and (scale > 0 or is_constant)):  # 1e308 that means missing, say
        unit = float(np.abs(present).max())
        mean, scale = (unit * each for each in _mean_and_deviation(present / unit))
    scale = 1.0 if is_constant else scale
    knots = np.unique(((quantiles - mean) / scale).astype(np.float32)).tolist()
    if len(knots) == 1:
        knots.append(knots[0] + 1)
    return Number(name, mean, scale, float(np.median(present)), may_miss, tuple(knots))


def _mean_and_deviation(values: "NDArray[Any]") -> tuple[float, float]:
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean(values))
        return mean, float(np.std(values, mean=mean))


def _fit_category(column: Column, rows: Rows) -> Category:
    """Gives codes to the values that are frequent enough in the training part.

    Of equally frequent ones by their text: the vocabulary's order is that of the whole file.
    """
    import numpy as np

    codes = column.values[rows] + 1
    n_missing, *counts = np.bincount(codes, minlength=len(column.vocabulary) + 1).tolist()
    fewest = 1 if len(rows) < FEW_ROWS else RARE
    known = [i for i, count in enumerate(counts) if count >= fewest]
    known = sorted(known, key=lambda i: (-counts[i], column.vocabulary[i]))[:N_VOCABULARY]
    vocabulary = tuple(column.vocabulary[i] for i in known)
    return Category(column.name, vocabulary, may_miss=n_missing > 0)


def _codes(category: Category, column: Column) -> "NDArray[np.float32]":
    """Lists the code of a missing value, then those of a column's vocabulary."""
    import numpy as np

    missing = MISSING_CODE if category.may_miss else OTHER_CODE
    known = dict.fromkeys(MISSING_TEXTS, missing)
    known |= {value: i for i, value in enumerate(category.vocabulary, FIRST_CODE)}
    codes = [known.get(value, OTHER_CODE) for value in column.vocabulary]
    return np.array([missing, *codes], np.float32)


def _part(column: Column, part: str, rows: Rows) -> "NDArray[np.float64]":
    import numpy as np

    values: NDArray[np.float64] = dates.part(part, column.values[rows], np)
    return values


def _standardised(number: Number, values: "NDArray[Any]") -> "NDArray[np.float64]":
    import numpy as np

    present: NDArray[np.float64] = np.where(np.isfinite(values), values, number.median)
    return (present - number.mean) / number.scale
