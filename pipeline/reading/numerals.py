"""Numbers as people write them: decimal commas, thousands, currencies, per cent."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# Between thousands, besides the sign that is not the decimal one.
_SPACES = " '\u2019\u00a0\u2009\u202f"
_MINUS = "\u2212\u2013"  # as typesetters write it
_NO_CENTS = f"[\\-{_MINUS}]{{1,2}}"  # behind the decimal sign, where others have cents
_CURRENCY = r"[A-Z]{0,2}[$€£¥₩₹]|USD|EUR|GBP|CHF"
_UNIT = "[a-zA-Zµμ°][a-zA-Z0-9µμ°²³/]{0,9}"
_GAP = "[\\s\u00a0\u2009\u202f]*"
_AFFIXED = (
    rf"^(?P<open>\(?){_GAP}(?P<minus>[+\-{_MINUS}]?){_GAP}(?P<before>(?:{_CURRENCY})?){_GAP}"
    rf"(?P<minus_after>[+\-{_MINUS}]?)"
    rf"(?P<digits>[0-9.,](?:[0-9.,{_SPACES}]*[0-9.,])?(?:[eE][+\-]?[0-9]+)?)"
    rf"(?P<minus_last>(?:{_NO_CENTS})?){_GAP}(?P<after>(?:%|{_CURRENCY}|원|円|元|{_UNIT})?){_GAP}"
    rf"(?P<close>\)?)$"
)
_AFFIXED_VALUE = re.compile(_AFFIXED)
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")


def _plain(decimal: str) -> str:
    return rf"(?:[0-9]+[{decimal}]?[0-9]*|[{decimal}][0-9]+)(?:[eE][+\-]?[0-9]+)?"


def _grouped(decimal: str) -> str:
    signs = ("." if decimal == "," else ",", *_SPACES)  # one of them, throughout
    groups = "|".join(rf"(?:[{sign}][0-9]{{3}})+" for sign in signs)
    groups += r"|(?:,[0-9]{2})+,[0-9]{3}" if decimal == "." else ""  # as in India
    return rf"[1-9][0-9]{{0,2}}(?:{groups})(?:[{decimal}][0-9]*)?"


_WRITTEN = {sign: re.compile(f"{_plain(sign)}|{_grouped(sign)}") for sign in ".,"}


def is_number(value: str) -> bool:
    """Tells whether a value is a number, whichever its decimal sign is."""
    return bool(_NUMBER.fullmatch(value.strip()))


def plain(texts: Iterable[str]) -> list[float]:
    """Reads those of some texts that are numbers with a point, or whole ones."""
    return [float(text) for text in texts if is_number(text) and "," not in text]


def decimal_of(values: Iterable[str], is_likely_comma: bool) -> tuple[str, str]:
    """Finds the decimal sign of values, by those that could not be read with the other sign.

    Args:
        values: some of a file; those that are no numbers are passed over.
        is_likely_comma: whether a comma that might part thousands rather is the decimal sign.

    Returns:
        The sign, and what is to be said where no value decides it.
    """
    votes: Counter[str] = Counter()
    unsure: dict[str, str] = {}
    for value in values:
        match = _AFFIXED_VALUE.match(value.strip())
        if not match or not ("," in (digits := match["digits"]) or "." in digits):
            continue
        if digits[-1] in ".," and match["after"] and not match["minus_last"]:
            continue  # 1. Industry
        point, comma = (_WRITTEN[sign].fullmatch(digits) is not None for sign in ".,")
        if point != comma:
            votes["." if point else ","] += 1
        elif point:
            unsure.setdefault("," if "," in digits else ".", digits)
    if votes:
        return ("," if votes[","] + is_likely_comma > votes["."] else "."), ""
    sign = "," if is_likely_comma and "," in unsure else "."
    if not unsure:
        return sign, ""
    example = next(iter(unsure.values()))
    return sign, f" (a guess: {example} could be either; set [data] decimal if it is the other)"


def cast(text: "pa.ChunkedArray", decimal: str) -> "pa.ChunkedArray | None":
    """Reads numbers that are written as programs write them, fast; None if one is not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if decimal == ",":
        if pc.any(pc.match_substring(text, ".")).as_py():
            return None  # it may part thousands
        text = pc.replace_substring(text, ",", ".")
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return None


def parse(values: "pa.Array", decimal: str) -> tuple["pa.Array", str]:
    """Reads numbers that are written with a decimal sign, thousands or one common unit.

    Args:
        values: text without missing values, (n,).
        decimal: "." or ",".

    Returns:
        float64, (n,), null where a value is no number; and the unit that all numbers have, "" if
        none. A unit, be it a sign of currency, per cent or a word, is passed over where every
        number has the same one; where only some have it, none of those is a number. One is
        negative with a minus on either side, or in brackets; a dash behind the decimal sign, as in
        1.299,- says that there are no cents.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = pa.nulls(len(values), pa.float64())
    parts = pc.extract_regex(values, _AFFIXED)
    if parts.null_count == len(values):
        return nothing, ""
    before, digits, after = (pc.struct_field(parts, x) for x in ("before", "digits", "after"))
    has_no_cents = pc.match_substring_regex(digits, "[.,]$")
    is_bare = pc.equal(pc.struct_field(parts, "minus_last"), "")
    is_listed = pc.and_(pc.and_(has_no_cents, is_bare), pc.not_equal(after, ""))
    digits = pc.if_else(is_listed, None, digits)  # 1. Industry
    units = pc.unique(pc.drop_null(pc.binary_join_element_wise(before, after, ""))).to_pylist()
    if len(units) > 1:
        bare = pc.and_(pc.equal(before, ""), pc.equal(after, ""))
        digits = pc.if_else(bare, digits, None)
        units = [""]
    is_plain = pc.match_substring_regex(digits, f"^(?:{_plain(decimal)})$")
    is_grouped = pc.match_substring_regex(digits, f"^(?:{_grouped(decimal)})$")
    other = "." if decimal == "," else ","
    ungrouped = pc.replace_substring_regex(digits, f"[{other}{_SPACES}]", "")
    digits = pc.if_else(is_plain, digits, pc.if_else(is_grouped, ungrouped, None))
    if decimal == ",":
        digits = pc.replace_substring(digits, ",", ".")
    names = ("open", "minus", "minus_after", "minus_last", "close")
    signs = {name: pc.struct_field(parts, name) for name in names}
    signs["minus_last"] = pc.if_else(has_no_cents, "", signs["minus_last"])
    sign = pc.binary_join_element_wise(*signs.values(), "")
    numbers = pc.cast(digits, pa.float64())
    is_negative = pc.match_substring_regex(sign, rf"^(?:[\-{_MINUS}]|\(\))$")
    is_sign = pc.match_substring_regex(sign, rf"^(?:[+\-{_MINUS}]?|\(\))$")
    numbers = pc.if_else(is_negative, pc.negate(numbers), numbers)
    return pc.if_else(is_sign, numbers, None), units[0]
