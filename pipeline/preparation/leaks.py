"""Columns that give the target away, and so are hardly known when an answer is wanted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.preparation.roles import as_codes, select_rows
from pipeline.reading.column import Codes, Column, ColumnKind
from pipeline.wording import inflect, join_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N_FIRST = 10_000  # rows that are looked at before all are
N_FEW = 20  # different values, of what may be classes
N_ORDERED = 30  # rows whose order may say something
LEAK_CORRELATION = 0.99999  # of a number with a target that is one


def find_leaks(
    inputs: Sequence[Column], target: Column, rows: "NDArray[np.intp]"
) -> tuple[str, ...]:
    """Finds inputs that equal the target, or from which it follows row by row.

    Args:
        inputs: columns.
        target: what is answered.
        rows: that are looked at: none of the test set, of whose answers nothing is to be said.

    Returns:
        A sentence for people, or none.
    """
    inputs, target = [select_rows(each, rows) for each in inputs], select_rows(target, rows)
    is_number = target.kind is ColumnKind.NUMBER
    classes = as_codes(target) if not is_number or _is_of_few(target) else None
    leaking = [
        repr(each.name)
        for each in inputs
        if (is_number and _is_line(each, target))
        or (classes is not None and _is_one_to_one(each, classes))
    ]
    if not leaking:
        return ()
    verb = inflect("gives", len(leaking), "give")
    return (
        f"{inflect('column', len(leaking))} {join_names(leaking)} {verb} the target away; what is "
        "not known when an answer is wanted is left out with [data] drop",
    )


def _is_of_few(target: Column) -> bool:
    """Tells whether numbers are few different ones, which may be classes."""
    import numpy as np

    values = target.values
    return all(len(np.unique(values[:n])) <= N_FEW for n in (N_FIRST, len(values)))


def _is_line(column: Column, target: Column) -> bool:
    """Tells whether a number follows from a column: as a line, or its logarithm, say, by order."""
    import numpy as np

    if column.is_coded:
        return False
    both = ~np.isnan(column.values)
    x, y = column.values[both], target.values[both]
    if both.mean() < 0.5 or x.std() == 0 or y.std() == 0:
        return False
    if abs(float(np.corrcoef(x, y)[0, 1])) > LEAK_CORRELATION:
        return True
    if column.kind is ColumnKind.DATE or len(x) < N_ORDERED:
        return False
    for n in (N_FIRST, len(x)):  # the first rows nearly always tell, and soon
        ranks, order = (np.unique(each[:n], return_inverse=True)[1] for each in (x, y))
        if abs(float(np.corrcoef(ranks, order)[0, 1])) <= LEAK_CORRELATION:
            return False
    return True


def _is_one_to_one(column: Column, classes: Codes) -> bool:
    """Tells whether each of a few values, or having one at all, stands with one class alone."""
    known = ~column.is_missing
    if _tell(known, classes):
        return True
    return bool(known.mean() >= 0.5) and _tell(column.values[known], classes[known])


def _tell(values: "NDArray[Any]", classes: Codes) -> bool:
    """Tells whether each of a few values stands with one class alone."""
    import numpy as np

    if (n_classes := len(np.unique(classes))) < 2:
        return False
    most = max(N_FEW, 2 * n_classes)  # values; else every id would be one
    for n in (N_FIRST, len(values)):  # as above
        _, codes = np.unique(values[:n], return_inverse=True)
        n_values = int(codes.max()) + 1
        if n_values > min(most, len(codes) // 2):
            return False
        pairs = codes.astype(np.int64) * (int(classes.max()) + 1) + classes[:n]
        if len(np.unique(pairs)) > n_values:
            return False
    return True
