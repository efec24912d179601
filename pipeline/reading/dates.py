"""Dates as people write them: which format a column has, and what its values are in seconds."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_TWO = "[0-9]{1,2}"
_PARTS = {
    "%Y": "[0-9]{4}", "%y": "[0-9]{2}", "%m": _TWO, "%d": f"(?P<day>{_TWO})", "%H": _TWO,
    "%M": _TWO, "%S": _TWO, "%f": "[0-9]{1,9}",
}  # fmt: skip
# The first of those that fit is taken: the day before the month where that is open. A model that
# is handed over reads them all.
_DAYS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
)  # fmt: skip
_TIMES = (
    "", " %H:%M:%S", "T%H:%M:%S", "T%H:%M:%SZ", " %H:%M:%S.%f", "T%H:%M:%S.%f", " %H:%M", "T%H:%M",
)  # fmt: skip
FORMATS = tuple(day + time for day in _DAYS for time in _TIMES)
_LIKE_A_DATE = "^[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}"
_SAMPLE = 200
ALLOWED = "a date such as 2024-03-31, 31.03.2024 or 31/03/2024, which 23:59 or 23:59:00 may follow"


def parse(values: "pa.Array", date_format: str) -> "pa.Array":
    """Reads dates of one format, of days that exist; numbers may lack their leading zeros.

    Args:
        values: text without missing values, (n,).
        date_format: one of `FORMATS`.

    Returns:
        Whole seconds since 1970, UTC, int64 (n,), null where a value is no such date.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    pattern = date_format.replace(".", r"\.")
    for code, digits in _PARTS.items():
        pattern = pattern.replace(code, digits)
    found = pc.extract_regex(values, f"^{pattern}$")
    if found.null_count == len(values):
        return pa.nulls(len(values), pa.int64())
    if date_format.endswith(".%f"):  # which strptime of Arrow does not know
        values = pc.replace_substring_regex(values, r"\.[0-9]+$", "")
    whole = date_format.removesuffix(".%f")
    times = pc.strptime(values, format=whole, unit="s", error_is_null=True)
    day = pc.cast(pc.struct_field(found, "day"), pa.int64())
    exists = pc.equal(
        pc.day(times), day
    )  # strptime makes the 2nd of March of the 30th of February
    return pc.if_else(pc.fill_null(exists, False), pc.cast(times, pa.int64()), None)


def find_format(values: "pa.Array", counts: "NDArray[np.intp]") -> tuple[str, "pa.Array", bool]:
    """Finds the format in which most values are dates.

    Args:
        values: distinct text without missing values, (n,).
        counts: rows of each value, (n,).

    Returns:
        The format, "" if there is none; the values as `parse` gives them; and whether day and
        month could be the other way round.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    sample = values.slice(0, _SAMPLE)
    if not pc.any(pc.match_substring_regex(sample, _LIKE_A_DATE)).as_py():
        return "", pa.nulls(len(values), pa.int64()), False
    likely = [each for each in FORMATS if parse(sample, each).null_count < len(sample)]
    found = {each: parse(values, each) for each in likely}
    fits = {each: int(counts[is_valid(dates)].sum()) for each, dates in found.items()}
    if not fits:
        return "", pa.nulls(len(values), pa.int64()), False
    best = max(fits, key=lambda each: fits[each])  # of several the first
    is_open = sum(fits[each] == fits[best] for each in fits) > 1
    return best, found[best], is_open


def is_valid(array: "pa.Array") -> "NDArray[np.bool_]":
    """Tells which values are not null."""
    valid: NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid
