"""Dates as people write them: which format a column has, and what its values are in seconds."""

import functools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_TWO = "[0-9]{1,2}"
_ZONE = " ?(?:Z|UTC|GMT|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)"
_PARTS = {
    "%Y": "[0-9]{4}", "%y": "[0-9]{2}", "%m": _TWO, "%d": f"(?P<day>{_TWO})", "%H": _TWO,
    "%M": _TWO, "%S": _TWO, "%f": "[0-9]{1,9}", "%b": r"\pL{3,10}\.?", "%I": _TWO,
    "%p": "[AaPp][Mm]", "%z": _ZONE,
}  # fmt: skip
# How names of months begin, in English, German, French, Spanish, Italian and Dutch.
MONTHS = (
    "jan|jän|ene|gen", "feb|fév", "mar|mär|mrz|maa|mrt", "apr|avr|abr", "may|mai|mei|mag",
    "jun|juin|giu", "jul|juil|lug", "aug|aoû|aou|ago", "sep|set", "oct|okt|ott", "nov",
    "dec|déc|dez|dic",
)  # fmt: skip
# The first of those that fit is taken: the day before the month where that is open. A model that
# is handed over reads them all.
_DAYS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
    "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y",
)  # fmt: skip
_RARE_DAYS = (
    "%d. %b %Y", "%d/%b/%Y", "%d%b%Y", "%d de %b de %Y", "%d-%b-%y", "%d %b %y", "%Y.%m.%d.",
    "%Y. %m. %d.", "%Y. %m. %d", "%Y년 %m월 %d일", "%Y년%m월%d일", "%Y年%m月%d日",
)  # fmt: skip
_TIMES = (
    "", " %H:%M:%S", "T%H:%M:%S", "T%H:%M:%SZ", " %H:%M:%S.%f", "T%H:%M:%S.%f", " %H:%M", "T%H:%M",
    "T%H:%M:%S.%fZ", "T%H:%M:%S%z", "T%H:%M:%S.%f%z", " %H:%M:%S%z", " %H:%M:%S.%f%z",
    " %I:%M %p", " %I:%M:%S %p", ", %I:%M %p", ", %I:%M:%S %p", ", %H:%M", ", %H:%M:%S",
    "T%H:%M%z", " %H:%M%z",
)  # fmt: skip
COMPACT = "%Y%m%d"
_MONTHLY = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%Y년 %m월")  # each the first day of a month
CLOCKS = ("%H:%M:%S", "%H:%M", "%H.%M.%S")  # times of day, as of the first day of 1970
FORMATS = (
    *(day + time for day in _DAYS for time in _TIMES),
    *(day + time for day in _RARE_DAYS for time in ("", " %H:%M", " %H:%M:%S")),
    *_MONTHLY,
    *CLOCKS,
)
_LIKE_A_DATE = (
    r"^(?:[0-9]{1,4}[-./] ?[0-9]{1,2}[-./] ?[0-9]{1,4}|[0-9]{4}[-/][0-9]{1,2}$|[0-9]{4}[년年]"
    r"|[0-9]{1,2}(?:\. |[- /]| de )?\pL{3,10}\.?(?:[- /]| de )?[0-9]{2,4}"
    r"|\pL{3,10}\.? [0-9]{1,2},? [0-9]{4}"
    r"|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?$|[0-9]{1,2}/[0-9]{4}$|\pL{3,10}\.? [0-9]{4}$)"
)
_SAMPLE = 200
_FORMAT = re.compile(
    r"(?:%[Yymdb]|[-./ ,년월일年月日]| de )+"
    r"(?:[T ](?:%H:%M(?::%S(?:\.%f)?)?|%I:%M(?::%S)? %p)(?:Z| ?%z)?)?"
)
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

    if date_format in CLOCKS:
        values = pc.binary_join_element_wise("1970-01-01", values, " ")
        date_format = f"%Y-%m-%d {date_format}"
    found = pc.extract_regex(values, f"^{_pattern(date_format)}$")
    if found.null_count == len(values):
        return pa.nulls(len(values), pa.int64())
    # Arrow's strptime knows neither fractions of a second nor zones.
    if ".%f" in date_format:
        values = pc.replace_substring_regex(values, r"(:[0-9]{1,2})\.[0-9]+", r"\1")
    if "%z" in date_format:
        values = pc.replace_substring_regex(values, f"{_ZONE}$", "")
    whole = date_format.replace(".%f", "").replace(" %z", "%z").replace("%z", "")
    if "%b" in date_format:
        values, whole = _in_english(values), whole.replace("T%", "t%").replace("SZ", "Sz")
    if "%d" not in date_format:
        values, whole = pc.binary_join_element_wise(values, "1", " "), f"{whole} %d"
    times = pc.strptime(values, format=whole, unit="s", error_is_null=True)
    exists = times.is_valid()
    if "%d" in date_format:  # strptime makes the 2nd of March of the 30th of February
        exists = pc.equal(pc.day(times), pc.cast(pc.struct_field(found, "day"), pa.int64()))
    seconds = pc.cast(times, pa.int64())
    if "%z" in date_format:
        seconds = pc.subtract(seconds, _zones(found))
    return pc.if_else(pc.fill_null(exists, False), seconds, None)


def _pattern(date_format: str) -> str:
    pattern = date_format.replace(".", r"\.")
    for code, digits in _PARTS.items():
        pattern = pattern.replace(code, digits)
    return pattern


@functools.cache
def _regex(date_format: str) -> re.Pattern[str]:
    """Makes an expression of Python's, which is faster for a few values."""
    return re.compile(_pattern(date_format).replace(r"\pL", r"[^\W\d_]"))


def _in_english(values: "pa.Array") -> "pa.Array":
    """Writes months as `strptime` knows them; a model that is handed over knows no other case."""
    import pyarrow.compute as pc

    values = pc.ascii_lower(values)
    for names in MONTHS:
        values = pc.replace_substring_regex(values, rf"(?:{names})\pL*\.?", names[:3])
    return values


def _zones(found: "pa.Array") -> "pa.Array":
    """Computes how many seconds a zone is ahead of UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hours, minutes = (
        pc.cast(pc.if_else(pc.equal(text, ""), "0", text), pa.int64())
        for text in (pc.struct_field(found, "hours"), pc.struct_field(found, "minutes"))
    )
    ahead = pc.add(pc.multiply(hours, 3600), pc.multiply(minutes, 60))
    return pc.if_else(pc.equal(pc.struct_field(found, "sign"), "-"), pc.negate(ahead), ahead)


def is_format(text: str) -> bool:
    """Tells whether a text is a format of dates that can be read, here and by a model."""
    if text in CLOCKS:
        return True
    codes = re.findall("%[A-Za-z]", text)
    is_whole = ("%d" in codes or text in _MONTHLY) and all(
        (first in codes) + (second in codes) == 1 for first, second in (("%m", "%b"), ("%Y", "%y"))
    )
    return is_whole and len({*codes}) == len(codes) and bool(_FORMAT.fullmatch(text))


def allowed(date_format: str = "", is_date: bool = False) -> tuple[str, ...]:
    """Lists formats that a column may have.

    Args:
        date_format: that somebody has set, "" if none.
        is_date: whether somebody has said that it is one of dates; then it may be 20240331, too.
    """
    if date_format:
        return (date_format,)
    return (*FORMATS, COMPACT) if is_date else FORMATS


def find_format(
    values: "pa.Array", counts: "NDArray[np.intp]", formats: Sequence[str] = FORMATS
) -> tuple[str, "pa.Array", str]:
    """Finds the format in which most values are dates.

    Where the format has a time, a value may be without one: then it is midnight.

    Args:
        values: distinct text without missing values, (n,).
        counts: rows of each value, (n,).
        formats: that it may be, the likeliest first.

    Returns:
        The format, "" if there is none; the values as `parse` gives them; and the format with day
        and month the other way round, if all values fit that as well, else "".
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = pa.nulls(len(values), pa.int64())
    sample = values.slice(0, _SAMPLE)
    if formats is FORMATS and not pc.any(pc.match_substring_regex(sample, _LIKE_A_DATE)).as_py():
        return "", nothing, ""
    texts = sample.to_pylist()
    likely = [each for each in formats if any(map(_regex(each).fullmatch, texts))]
    likely = [each for each in likely if parse(sample, each).null_count < len(sample)]
    found = {each: parse(values, each) for each in likely}
    for each in likely:
        if (day := _day_of(each)) != each and day in found:
            found[each] = pc.coalesce(found[each], found[day])
    fits = {each: int(counts[is_valid(dates)].sum()) for each, dates in found.items()}
    if not fits:
        return "", nothing, ""
    most = max(fits.values())
    best = [each for each in fits if fits[each] == most]
    if found[best[0]].null_count and best[0] in CLOCKS and formats is FORMATS:
        return "", nothing, ""  # how long something took
    if found[best[0]].null_count:
        return best[0], found[best[0]], ""
    first, other = best[0], next((x for x in best[1:] if _swapped(x) == best[0]), "")
    if other and not _is_each_month(found[first]) and _is_each_month(found[other]):
        first, other = other, first
    return first, found[first], other


def _day_of(date_format: str) -> str:
    """Takes the time off a format."""
    return next((x for x in (*_DAYS, *_RARE_DAYS) if date_format.startswith(x)), date_format)


def _swapped(date_format: str) -> str:
    """Puts month for day in a format, and day for month."""
    return date_format.translate(str.maketrans("dm", "md"))


def _is_each_month(dates: "pa.Array") -> bool:
    """Tells whether there are several dates, all of one day of a month."""
    import pyarrow as pa
    import pyarrow.compute as pc

    times = pc.cast(dates, pa.timestamp("s"))
    return len(times) > 1 and pc.count_distinct(pc.day(times)).as_py() == 1


def is_valid(array: "pa.Array") -> "NDArray[np.bool_]":
    """Tells which values are not null."""
    valid: NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid
