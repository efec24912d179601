"""Text or typed values of a column: found out what they are, and made a `Column` of."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.reading import dates, doubts, numerals
from pipeline.reading.column import Asked, Column, ColumnKind
from pipeline.reading.doubts import quoted
from pipeline.reading.kinds import ALL_RARE, ID, remark_of
from pipeline.reading.missing import MISSING_TEXTS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

# From here on a column is one of numbers, or dates, in which something is wrong.
_MOSTLY, _LEAST = 0.95, 10
_MOST_TEXT = 2**31 - 1  # bytes that one array of text holds
_NO_VALUE = "a missing value (empty, NA, ?)"
_BOOLEANS = {"true": 1.0, "false": 0.0, "True": 1.0, "False": 0.0, "TRUE": 1.0, "FALSE": 0.0}


class BadValueError(Exception):
    """A value that cannot stand where it stands.

    Attributes:
        row: counted from 0.
        found: the value.
        allowed: what may stand there.
    """

    def __init__(self, row: int, found: object, allowed: str) -> None:
        super().__init__(row, found, allowed)
        self.row, self.found, self.allowed = row, found, allowed


def of_text(
    name: str,
    text: "pa.ChunkedArray",
    asked: Asked,
    decimal: str = ".",
    is_decimal_set: bool = False,
) -> tuple[Column, str]:
    """Makes a column of text.

    Args:
        name: of the column.
        text: of all rows, (n,).
        asked: what the values have to be, and which are missing; found out if it says nothing.
        decimal: sign in numbers.
        is_decimal_set: whether the other sign is out of the question.

    Returns:
        The column, and what is to be said of how it was read.

    Raises:
        BadValueError: a value is not of the kind that was given, or that nearly all others are of.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, text = asked.kinds.get(name), pc.utf8_trim_whitespace(text)
    missing = pa.array([*MISSING_TEXTS, *asked.missing], text.type)
    is_missing = pc.is_in(text, value_set=missing)
    if pc.any(is_missing).as_py():
        text = pc.if_else(is_missing, None, text)
    if text.null_count == len(text):
        return _all_missing(name, len(text), kind), ""
    if kind in (None, ColumnKind.NUMBER) and (plain := numerals.cast(text, decimal)) is not None:
        numbers = _to_numpy(plain, asked.missing)
        _refuse_infinite(name, numbers, text)
        doubt = "" if kind else doubts.said_of_numbers(name, numbers, text, numbers)
        said = "" if kind else doubts.said_of_compact_dates(name, text)
        column = _finished(name, ColumnKind.NUMBER, numbers, is_set=kind is not None)
        return replace(column, doubt=doubt), said
    codes, values = _encoded(text)
    del text, is_missing
    encoded = _Encoded(name, codes, values, kind, asked.date_formats.get(name, ""))
    return encoded.column(decimal, is_decimal_set)


def of_numbers(
    name: str,
    values: "pa.ChunkedArray",
    kind: ColumnKind = ColumnKind.NUMBER,
    date_format: str = "",
    is_set: bool = False,
    missing: Sequence[str] = (),
) -> Column:
    """Makes a column of numbers, or of dates as seconds; missing are nulls and NaN.

    Raises:
        BadValueError: a number is infinite.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = _to_numpy(pc.cast(values, pa.float64(), safe=False), missing)
    _refuse_infinite(name, numbers, values)
    return _finished(name, kind, numbers, date_format, is_set)


class _Encoded:
    """A column as codes and distinct values, none of them missing; -1 is missing."""

    def __init__(
        self,
        name: str,
        codes: "NDArray[np.int32]",
        values: "pa.Array",
        kind: ColumnKind | None,
        date_format: str = "",
    ) -> None:
        import numpy as np

        self.name, self.codes, self.values, self.kind = name, codes, values, kind
        self.date_format = date_format
        self.counts = np.bincount(codes[codes >= 0], minlength=len(values))

    def column(self, decimal: str, is_decimal_set: bool) -> tuple[Column, str]:
        """Finds the kind and makes the column of it; see `of_text`."""
        if self.kind in (None, ColumnKind.BOOLEAN) and (column := self._booleans()):
            return column, ""
        doubt = ""
        if self.kind in (None, ColumnKind.NUMBER):
            other = "," if decimal == "." else "."
            for sign in [decimal] if is_decimal_set else [decimal, other]:
                numbers, unit = numerals.parse(self.values, sign)
                if not numbers.null_count:
                    column = replace(self._of(ColumnKind.NUMBER, numbers), unit=unit)
                    words = [f"unit {unit} of all values of column {self.name}"] * bool(unit)
                    if sign != decimal:
                        column = replace(column, decimal=sign)
                        words.insert(0, f"decimal sign {sign} in column {self.name}")
                    return column, ", ".join(words)
                if sign == decimal:
                    self._refuse_if_mostly(numbers, "a number")
                    doubt = self._doubt_of(numbers, "numbers")
        if self.kind in (None, ColumnKind.DATE):
            formats = dates.allowed(self.date_format, is_date=self.kind is not None)
            date_format, found, other = dates.find_format(self.values, self.counts, formats)
            if not found.null_count:
                said = doubts.said_of_order(self.name, date_format, other) if other else ""
                return self._of(ColumnKind.DATE, found, date_format), said
            is_mostly = f"a date written {date_format}"
            self._refuse_if_mostly(found, dates.ALLOWED if self.kind else is_mostly)
            doubt = doubt or self._doubt_of(found, f"dates written {date_format}")
        return self._words(doubt), ""

    def _booleans(self) -> Column | None:
        import pyarrow as pa

        known = dict(_BOOLEANS)
        if self.kind:
            known |= {"1": 1.0, "0": 0.0}
        few = self.values.slice(0, len(known) + 1).to_pylist()
        if not self.kind and not (len(few) <= len(known) and set(few) <= set(known)):
            return None
        found = pa.array([known.get(value) for value in self.values.to_pylist()], pa.float64())
        if found.null_count:
            self._refuse(found, f"true, false, 1, 0, or {_NO_VALUE}")
        return self._of(ColumnKind.BOOLEAN, found)

    def _of(self, kind: ColumnKind, values: "pa.Array", date_format: str = "") -> Column:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        numbers = _to_numpy(pc.cast(values, pa.float64()))
        numbers = np.append(numbers, np.nan)[self.codes]  # -1 is the last
        if not np.isfinite(numbers[self.codes >= 0]).all():
            self._refuse(pc.if_else(pc.is_finite(values), values, None), "a finite number")
        column = _finished(self.name, kind, numbers, date_format, is_set=self.kind is not None)
        known = self.name, numbers, self.values, _to_numpy(values)
        return column if self.kind else replace(column, doubt=doubts.said_of_numbers(*known))

    def _words(self, doubt: str) -> Column:
        kind = self.kind or (ColumnKind.TEXT if self._is_free_text() else ColumnKind.CATEGORY)
        vocabulary = tuple(self.values.to_pylist())
        remark = remark_of(self.name, kind, self.codes, is_set=self.kind is not None)
        if not self.kind and not doubt and doubts.are_like_dates(self.values):
            is_useless = kind == ColumnKind.TEXT or remark in (ID, ALL_RARE)
            remark = doubts.UNKNOWN_DATES if is_useless else remark
            doubt = doubts.said_of_unknown_dates(self.name, self.values, is_useless=is_useless)
        doubt = doubt or ("" if self.kind else doubts.said_of_quantities(self.name, self.values))
        if not doubt and (last := self.codes[-1]) >= 0 and self.counts[last] == 1:
            doubt = doubts.said_of_total(self.name, vocabulary[last])
        return Column(self.name, kind, self.codes, vocabulary, remark=remark, doubt=doubt)

    def _doubt_of(self, found: "pa.Array", what: str) -> str:
        """Says that many rows of what becomes a category are something else; "" if not many."""
        n, n_found = int(self.counts.sum()), int(self.counts[dates.is_valid(found)].sum())
        if n_found < max(_LEAST, n / 2):
            return ""
        return doubts.said_of_mixed(self.name, n_found / n, what, self._others(found))

    def _others(self, found: "pa.Array") -> list[str]:
        """Lists the values that were not found, the most frequent first."""
        import numpy as np

        bad = np.flatnonzero(~dates.is_valid(found))
        bad = bad[np.argsort(-self.counts[bad], kind="stable")]
        return list(self.values.take(bad).to_pylist())

    def _is_free_text(self) -> bool:
        """Tells whether nearly all values differ and are of several words, or many are long."""
        import pyarrow.compute as pc

        share = len(self.values) / int(self.counts.sum())
        n_words = 1 + pc.mean(pc.count_substring_regex(self.values, r"\s+")).as_py()
        length = pc.mean(pc.utf8_length(self.values)).as_py()
        return (share > 0.8 and n_words >= 2) or (share > 0.5 and (n_words >= 5 or length >= 50))

    def _refuse_if_mostly(self, found: "pa.Array", what: str) -> None:
        """Refuses the first value that was not found, if the kind is set or nearly all were.

        Raises:
            BadValueError: it is.
        """
        if self.kind:
            if self.date_format:
                what = f"a date written {self.date_format}"
            self._refuse(found, f"{what}, or {_NO_VALUE}; {self._advice(found)}")
        n, n_found = int(self.counts.sum()), int(self.counts[dates.is_valid(found)].sum())
        if n_found >= max(_LEAST, _MOSTLY * n):
            self._refuse(
                found,
                f"{what} as in {n_found:,} of {n:,} rows, or {_NO_VALUE}; {self._advice(found)}; "
                f'or set [data] types = {{ {quoted(self.name)} = "category" }}',
            )

    def _advice(self, found: "pa.Array") -> str:
        advice = doubts.advice_of_missing(self._others(found))
        return f"mend or remove the line, or, if it says that nothing is known, set {advice}"

    def _refuse(self, found: "pa.Array", allowed: str) -> None:
        import numpy as np

        is_bad = np.append(~dates.is_valid(found), False)[self.codes]
        row = int(np.argmax(is_bad))
        raise BadValueError(row, self.values[int(self.codes[row])].as_py(), allowed)


def _all_missing(name: str, n_rows: int, kind: ColumnKind | None) -> Column:
    import numpy as np

    kind = kind or ColumnKind.NUMBER
    is_coded = kind in (ColumnKind.CATEGORY, ColumnKind.TEXT)
    values: Any = np.full(n_rows, -1, np.int32) if is_coded else np.full(n_rows, np.nan)
    return _finished(name, kind, values, dates.FORMATS[0] if kind == ColumnKind.DATE else "")


def _finished(
    name: str,
    kind: ColumnKind,
    values: "NDArray[np.float64]",
    date_format: str = "",
    is_set: bool = False,
) -> Column:
    remark = remark_of(name, kind, values, is_set)
    return Column(name, kind, values, date_format=date_format, remark=remark)


def _encoded(text: "pa.ChunkedArray") -> tuple["NDArray[np.int32]", "pa.Array"]:
    """Splits text into codes, -1 where it is missing, and its distinct values as they come."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if text.nbytes > _MOST_TEXT:
        text = text.cast(pa.large_string())
    encoded = (
        text.combine_chunks().dictionary_encode()
    )  # chunk by chunk it takes ten times as long
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int32), encoded.dictionary


def _to_numpy(numbers: Any, missing: Sequence[str] = ()) -> "NDArray[np.float64]":
    """Copies numbers to memory of NumPy's own, as NaN nulls and those that mean a missing one."""
    import numpy as np

    asked: Any = {} if hasattr(numbers, "chunks") else {"zero_copy_only": False}
    copied = np.array(numbers.to_numpy(**asked), np.float64)
    copied[np.isin(copied, numerals.plain(missing))] = np.nan
    return copied


def _refuse_infinite(name: str, numbers: "NDArray[np.float64]", values: "pa.ChunkedArray") -> None:
    import numpy as np

    if (is_infinite := np.isinf(numbers)).any():
        found = values[row := int(np.argmax(is_infinite))].as_py()
        drop = f"[data] drop = [{quoted(name)}]"
        advice = doubts.advice_of_missing([found]) if isinstance(found, str) else drop
        raise BadValueError(row, found, f"a finite number, or {_NO_VALUE}; or set {advice}")
