"""What is to be said of a column whose kind is not certain, and what sets another."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.reading.numerals import is_number
from pipeline.wording import inflect, join_names

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_STANDS_IN_ROWS, _LEAST_DIFFERENT = 3, 10  # of a number far from all others, and of these
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
_TIME = r"^[0-9]{1,3}[:.][0-9]{2}(?:[:.][0-9]{2}(?:[.,][0-9]+)?)?$"
_WITH_UNIT = r"^[+\-]?[0-9][0-9.,]*[\s\x{a0}\x{202f}]*(?P<unit>[%$€£¥₩₹]|[A-Za-zµμ°²³/]{1,10})$"
_LEAST_OF_A_UNIT = 5  # different numbers
_PADDED = "^0[0-9]{2,}$"
_TOTAL = re.compile(
    r"(?i)(?:(?:grand|sub)[ -]?)?(?:totals?|sum|summe|gesamt(?:summe)?|insgesamt|somme|totale|suma"
    r"|합계|총계|소계|計|合計|总计)\b[^a-z]*"
)
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
    if what == "numbers" and all(map(is_number, others)):
        return (
            f"column {name!r}: some numbers, such as {others[0]!r}, have another decimal sign "
            "than others: it is taken for a category, and for numbers if all have the same"
        )
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


def said_of_order(name: str, date_format: str, other: str) -> str:
    """Says that in all dates of a column day and month could be the other way round."""
    return (
        f"dates of column {name} read as {date_format}, which could be {other}: [data] types = "
        f"{{ {quoted(name)} = {quoted(other)} }} reads them so"
    )


def said_of_quantities(name: str, values: "pa.Array") -> str:
    """Says of times, or numbers with several units, that they are no numbers; "" of others."""
    import pyarrow.compute as pc

    sample = values.slice(0, 1000)
    if pc.all(pc.match_substring_regex(sample, _TIME)).as_py():
        return (
            f"column {name!r} has times such as {values[0].as_py()!r}, which are no numbers to a "
            "network: they are if they are written in minutes or seconds, or behind a date"
        )
    found = pc.extract_regex(sample, _WITH_UNIT)
    units = Counter(pc.struct_field(found, "unit").to_pylist())
    if found.null_count or not 1 < len(units) < 9 or min(units.values()) < _LEAST_OF_A_UNIT:
        return ""
    if max(map(len, units)) == 1 and "".join(units).isalpha():
        return ""  # seats, such as 12A and 12B
    return (
        f"column {name!r} has numbers with several units, {join_names([*units])}, which are no "
        "numbers to a network: they are if they are brought to one"
    )


def said_of_unknown_dates(name: str, values: "pa.Array", *, is_useless: bool) -> str:
    """Says of what looks like dates what becomes of it, and what would have it read."""
    fate = "left out" if is_useless else "taken for a category"
    return (
        f"column {name!r} {UNKNOWN_DATES}, such as {_cut(values[0].as_py())!r}: it is {fate}; it "
        "is read if the dates are written like 2024-03-31 or 2024-03-31 23:59"
    )


def said_of_numbers(
    name: str,
    values: "NDArray[np.float64]",
    text: "pa.ChunkedArray | pa.Array",
    numbers: "NDArray[np.float64]",
) -> str:
    """Says of numbers that they may be codes, or that one of them may stand for a missing value.

    Args:
        name: of the column.
        values: of all rows, NaN where missing; of dates seconds.
        text: as they are written, of all rows or each different one.
        numbers: that are written so.
    """
    import numpy as np
    import pyarrow.compute as pc

    sample = text.slice(0, 1000).drop_null()
    is_padded = pc.match_substring_regex(sample, _PADDED)
    if pc.any(is_padded).as_py() and pc.count_distinct(pc.utf8_length(sample)).as_py() == 1:
        return (
            f"column {name!r} is taken for a number, but has zeros in front, such as "
            f"{sample.filter(is_padded)[0].as_py()!r}: if it is a code, set [data] types = "
            f'{{ {quoted(name)} = "category" }}'
        )
    present = values[~np.isnan(values)]
    for end in (present.min(), present.max()) if len(present) else ():
        others = present[present != end]
        is_often = len(present) - len(others) >= max(_STANDS_IN_ROWS, 0.002 * len(present))
        if end and is_often and len(np.unique(others[:1000])) > _LEAST_DIFFERENT:
            low, high = others.min(), others.max()
            is_code = abs(end) >= 99 and set(f"{abs(end):.0f}") == {"9"}
            if max(low - end, end - high) > (high - low) * (0.1 if is_code else 1):
                found = text[int(np.argmax(numbers == end))].as_py()
                return (
                    f"column {name!r}: {len(present) - len(others):,} rows have {found}, far from "
                    f"all others: if it says that nothing is known, set "
                    f"{advice_of_missing([found])}"
                )
    return ""


def said_of_total(name: str, last: str) -> str:
    """Says that a value that stands in the last row alone looks like that of a total."""
    if not _TOTAL.fullmatch(last):
        return ""
    return (
        f"column {name!r}: the last row has {_cut(last)!r}, which looks like a row of totals: it "
        "is learned from like all others, unless it is removed from the file"
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
