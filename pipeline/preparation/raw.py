"""Columns of a table as a model that is handed over takes them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.reading.column import Column
from pipeline.task.features import Features

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def raw_columns(
    features: Features, columns: Sequence[Column], rows: "NDArray[np.intp]"
) -> "dict[str, NDArray[Any]]":
    """Selects rows of the columns that a model takes.

    Args:
        features: say which.
        columns: found by their names.
        rows: which, in which order.

    Returns:
        By name, (len(rows),): float64 of numbers, NaN where missing; of categories and dates
        texts in an array of objects, "" where missing.
    """
    import numpy as np

    by_name = {column.name: column for column in columns}
    found = {}
    for each in features.inputs:
        column = by_name[each.name]
        values = column.values[rows]
        if each.kind == "category":
            found[each.name] = _texts(column, values)
        elif each.kind == "date":
            found[each.name] = _dates(values.astype(np.float64), each.date_format)
        else:
            found[each.name] = values
    return found


def _texts(column: Column, codes: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    texts = np.empty(len(column.vocabulary) + 1, object)
    texts[:] = [*column.vocabulary, ""]  # of the code -1
    selected: NDArray[Any] = texts[codes]
    return selected


def _dates(seconds: "NDArray[np.float64]", date_format: str) -> "NDArray[Any]":
    import numpy as np
    import pandas as pd

    moments = pd.to_datetime(pd.Series(seconds), unit="s")
    texts: NDArray[Any] = np.array(moments.dt.strftime(date_format), object)
    texts[np.isnan(seconds)] = ""
    return texts
