"""What is to be said of a column whose kind is not certain, and what sets another."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.wording import inflect

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN, _LONGEST = 3, 30  # values in a sentence, characters of one
# A year of four digits at one end, or two short numbers and a longer one, with words for months.
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_MONTH = rf"(?:{_DAY}|\pL{{3,10}})"
_BETWEEN = r"[^0-9\pL:]{1,3}"
_AROUND = rf"(?:{_BETWEEN}|[^0-9]\s?)"  # also 2021년 03월 01일
_LIKE_A_DATE = (
    rf"^(?:\pL{{2,9}}\.?,? )?(?:[0-9]{{4}}{_AROUND}{_MONTH}{_AROUND}{_DAY}"
    rf"|{_DAY}(?:st|nd|rd|th)?{_BETWEEN}{_MONTH}{_BETWEEN}(?:[0-9]{{4}}|[0-9]{{2}})"
    rf"|\pL{{3,10}}{_BETWEEN}{_DAY}{_BETWEEN}[0-9]{{4}})(?:[^0-9].*)?$"
)
_COMPACT = r"^(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$"
UNKNOWN_DATES = "looks like dates in a form that is not known"


def quoted(name: str) -> str:
    """Quotes a name as TOML has a key or a string."""
    return json.dumps(name, ensure_ascii=False)


def said_of_mixed(name: str, share: float, what: str, others: Sequence[str]) -> str:
    """Says of a category that many of its values are numbers or dates, and how it becomes those.

    Args:
        name: of the column.
        share: of the rows that are numbers, or dates.
        what: that are those, such as "numbers".
        others: all distinct values that are none, the most frequent first.
    """
    found = " and ".join(
        [f"{_cut(others[0])!r}", *([f"{len(others) - 1:,} more"] if len(others) > 1 else [])]
    )
    verb = inflect("is", len(others), "are")
    return (
        f"column {name!r}: {100 * share:.0f} % are {what}, {found} {verb} not: it is taken for a "
        f"category; {advice_of_missing(others)} makes it one of {what}"
    )


def advice_of_missing(others: Sequence[str]) -> str:
    """Writes the setting by which texts mean a missing value, the first of many."""
    shown = ", ".join(quoted(each) for each in others[:_SHOWN])
    more = ", ..." if len(others) > _SHOWN else ""
    return f"[data] missing = [{shown}{more}]"


def are_like_dates(values: "pa.Array") -> bool:
    """Tells whether most of some distinct texts look like dates, in whatever form."""
    import pyarrow.compute as pc

    return bool(
        pc.mean(pc.match_substring_regex(values.slice(0, 1000), _LIKE_A_DATE)).as_py() > 0.8
    )


def said_of_unknown_dates(name: str, values: "pa.Array", *, is_useless: bool) -> str:
    """Says of what looks like dates what becomes of it, and what would have it read."""
    fate = "left out" if is_useless else "taken for a category"
    return (
        f"column {name!r} {UNKNOWN_DATES}, such as {_cut(values[0].as_py())!r}: it is {fate}; it "
        "is read if the dates are written like 2024-03-31 or 2024-03-31 23:59"
    )


def said_of_compact_dates(name: str, text: "pa.ChunkedArray") -> str:
    """Says of numbers such as 20240331 that they could be dates; "" if one could not."""
    import pyarrow.compute as pc

    sample = text.slice(0, 1000).drop_null()
    if not len(sample) or not pc.all(pc.match_substring_regex(sample, _COMPACT)).as_py():
        return ""
    return (
        f"column {name} is taken for a number, its values look like dates written %Y%m%d: "
        f'[data] types = {{ {quoted(name)} = "date" }} reads them so'
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
