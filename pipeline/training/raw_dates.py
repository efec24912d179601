"""Dates read by a model that is handed over: text in, seconds since 1970 out, in Keras's graph."""

import functools
import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from pipeline.reading.dates import MONTHS

_KNOWN = "0123456789-./: ,+abcdefghijklmnopqrstuvwxyzäéû년월일年月日"
_CODES = {character: i for i, character in enumerate(_KNOWN, start=2)}  # 0: none, 1: another
_LONGEST = 40  # characters; what is beyond is cut off
_MOST_FIELDS = 7  # runs of digits: year to second, and its fraction
_WIDTHS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2, "%f": 6}
_DAY = ("%Y", "%y", "%m", "%d")
_ISO = ("%Y", "%m", "%d", "%H", "%M", "%S", "%f")
_RANGES = {"%m": (1, 12), "%H": (0, 23), "%M": (0, 59), "%S": (0, 59)}
_N_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_POWERS = np.array([10.0**i for i in range(_LONGEST)])


class DateReader:
    """Reads columns of dates, each in its own format and in ISO 8601.

    A date is taken apart into runs of digits, so leading zeros and the kind of separator do not
    matter. It may lack its time, or have one though the format has none, and a time its zone.
    """

    def __init__(self) -> None:
        self._characters = keras.layers.TextVectorization(
            standardize="lower",
            split="character",
            vocabulary=[*_KNOWN],
            output_sequence_length=_LONGEST,
            name="date_characters",
        )

    def seconds(self, texts: keras.KerasTensor, date_format: str) -> keras.KerasTensor:
        """Reads a column of dates.

        Args:
            texts: (n, 1).
            date_format: one that `reading.dates` knows.

        Returns:
            Seconds since 1970, UTC, float64 (n, 1); NaN where the text is no date of the format
            and none of ISO 8601 either.
        """
        characters = self._characters(texts)
        moment, ahead = _split_zone(characters)
        fields, month = _fields(moment), None
        own = re.findall(r"(?:%[A-Za-z])+", re.sub("%[bpz]", " ", date_format.replace("%I", "%H")))
        is_monthly = "%d" not in date_format and "%H" not in date_format
        if tuple(own) == _ISO[: len(own)] and not is_monthly:
            seconds = _in_layout(*fields, _ISO, n_needed=3)
        else:
            days = [i for i, run in enumerate(own) if any(x in run for x in _DAY)]
            n_needed = 1 + days[-1] if days else 2
            missing = [each for each in _ISO[3:] if each not in own and not is_monthly]
            if "%b" in date_format:
                month = _month_by_name(moment)
            seconds = _in_layout(*fields, [*own, *missing], n_needed, month)
            if days and (is_monthly or _n_digits(own[0]) != 4):
                n_digits = fields[1][:, 2:3] if is_monthly else fields[1][:, :1]
                is_iso = ops.greater(n_digits, 0) if is_monthly else ops.equal(n_digits, 4)
                seconds = ops.where(is_iso, _in_layout(*fields, _ISO, n_needed=3), seconds)
        letters = "tz" + "apm" * ("%p" in date_format) + "utcgm" * ("%z" in date_format)
        letters = _KNOWN if "%b" in date_format else letters + re.sub("%.", "", date_format)
        if "%p" in date_format:
            seconds = _of_24_hours(moment, seconds)
        is_known = np.array([True, False, *(x in "0123456789-./: ," + letters for x in _KNOWN)])
        is_known[_CODES["+"]] = False
        is_strange = ops.any(ops.logical_not(ops.take(is_known, moment)), axis=1, keepdims=True)
        return ops.where(is_strange, np.float64("nan"), seconds - ahead)


def _is(characters: keras.KerasTensor, character: str) -> keras.KerasTensor:
    return ops.equal(characters, _CODES[character])


def _has(characters: keras.KerasTensor, word: str) -> keras.KerasTensor:
    """Tells whether texts have a word in them, (n, 1)."""
    n = _LONGEST - len(word) + 1
    is_here = _is(characters[:, :n], word[0])
    for i, letter in enumerate(word[1:], start=1):
        is_here = ops.logical_and(is_here, _is(characters[:, i : i + n], letter))
    return ops.any(is_here, axis=1, keepdims=True)


def _month_by_name(characters: keras.KerasTensor) -> keras.KerasTensor:
    """Finds the month that is named, int64 (n, 1), 0 if none is."""
    found = 0
    for i, names in enumerate(MONTHS, start=1):
        is_here = [_has(characters, name) for name in names.split("|")]
        found = found + ops.cast(functools.reduce(ops.logical_or, is_here), "int64") * i
    return found


def _of_24_hours(characters: keras.KerasTensor, seconds: keras.KerasTensor) -> keras.KerasTensor:
    """Puts hours after noon, and those after midnight, where they are marked as such."""
    is_pm, is_am = _has(characters, "pm"), _has(characters, "am")
    hour = ops.floor((seconds - ops.floor(seconds / 86_400) * 86_400) / 3600)
    is_12 = ops.equal(hour, 12)
    later = ops.where(ops.logical_and(is_pm, ops.logical_not(is_12)), np.float64(43_200), 0.0)
    earlier = ops.where(ops.logical_and(is_am, is_12), np.float64(43_200), 0.0)
    is_bad = ops.logical_or(ops.equal(hour, 0), ops.greater(hour, 12))
    is_bad = ops.logical_and(is_bad, ops.logical_or(is_pm, is_am))
    return ops.where(is_bad, np.float64("nan"), seconds + later - earlier)


def _split_zone(
    characters: keras.KerasTensor,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Parts texts from a zone such as +02:00 or -0530 that ends them, behind a time.

    Returns:
        The characters without it; and the seconds that it is ahead of UTC, float64 (n, 1), 0
        where there is none and NaN where it is none.
    """
    is_time = ops.greater(ops.cumsum(ops.cast(_is(characters, ":"), "int32"), axis=1), 0)
    is_sign = ops.logical_or(_is(characters, "+"), _is(characters, "-"))
    is_sign = ops.logical_and(is_sign, is_time)
    n_signs = ops.cumsum(ops.cast(is_sign, "int32"), axis=1)
    zone = ops.where(ops.greater(n_signs, 0), characters, 0)
    values, n_digits = _fields(zone)
    value, is_whole = values[:, :1], ops.equal(n_digits[:, :1], 4)
    hours = ops.where(is_whole, value // 100, value)
    minutes = ops.where(is_whole, value % 100, values[:, 1:2])
    is_parted = ops.logical_and(ops.equal(n_digits[:, :1], 2), ops.equal(n_digits[:, 1:2], 2))
    is_one = ops.logical_or(is_whole, ops.equal(n_digits[:, :1], 2))
    is_zone = ops.logical_or(ops.logical_and(is_one, ops.equal(n_digits[:, 1:2], 0)), is_parted)
    may_be = np.array([True, False, *(x in "0123456789+-:" for x in _KNOWN)])
    is_zone = ops.logical_and(is_zone, ops.all(ops.take(may_be, zone), axis=1, keepdims=True))
    is_zone = ops.logical_and(is_zone, ops.equal(n_digits[:, 2:3], 0))
    is_zone = ops.logical_and(is_zone, ops.equal(n_signs[:, -1:], 1))
    is_west = ops.any(_is(zone, "-"), axis=1, keepdims=True)
    ahead = ops.cast(hours * 3600 + minutes * 60, "float64")
    ahead = ops.where(is_west, -ahead, ahead)
    ahead = ops.where(is_zone, ahead, np.float64("nan"))
    is_none = ops.equal(n_signs[:, -1:], 0)
    return ops.where(ops.greater(n_signs, 0), 0, characters), ops.where(
        is_none, np.float64(0), ahead
    )


def _fields(characters: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Finds the runs of digits: their values and numbers of digits, int64 (n, _MOST_FIELDS + 1).

    The last is of a run that no date has.
    """
    digits = characters - 2  # 0 is no character, and 1 one that no date has
    is_digit = ops.logical_and(ops.greater_equal(digits, 0), ops.less(digits, 10))
    counted = ops.cast(is_digit, "int32")
    before = ops.pad(counted[:, :-1], [[0, 0], [1, 0]])
    run = ops.cumsum(counted * (1 - before), axis=1)  # from 1
    runs = np.arange(1, _MOST_FIELDS + 2)
    is_in = ops.logical_and(
        ops.expand_dims(is_digit, 2), ops.equal(ops.expand_dims(run, 2), runs)
    )  # (n, _LONGEST, runs)
    places = np.arange(_LONGEST)[:, np.newaxis]
    last = ops.max(ops.where(is_in, places, 0), axis=1, keepdims=True, initial=0)
    power = ops.take(_POWERS, ops.maximum(last - places, 0))
    value = ops.cast(ops.expand_dims(digits, 2), "float64") * power
    values = ops.sum(ops.where(is_in, value, np.float64(0)), axis=1)
    n_digits = ops.sum(ops.cast(is_in, "int64"), axis=1)
    return ops.cast(ops.minimum(values, np.float64(1e17)), "int64"), n_digits


def _in_layout(
    values: keras.KerasTensor,
    n_digits: keras.KerasTensor,
    layout: Sequence[str],
    n_needed: int,
    month: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Reads fields as a layout names them, each one code or several side by side.

    Args:
        values: of the fields.
        n_digits: of the fields; 0 of one that is not there.
        layout: the codes of each field.
        n_needed: fields that must be there.
        month: if no field is one.
    """
    found: dict[str, keras.KerasTensor] = {"%d": np.int64(1)}
    if layout[0] == "%H":
        found |= {"%Y": np.int64(1970), "%m": np.int64(1)}
    if month is not None:
        found["%m"] = month
    is_date = ops.equal(n_digits[:, len(layout) : len(layout) + 1], 0)  # no field is left over
    for i, run in enumerate(layout):
        value, n = values[:, i : i + 1], n_digits[:, i : i + 1]
        codes, width = [run[j : j + 2] for j in range(0, len(run), 2)], _n_digits(run)
        fits = ops.equal(n, width)
        if len(codes) == 1 and run not in ("%Y", "%y"):
            fits = ops.logical_and(ops.greater_equal(n, 1), ops.less_equal(n, max(width, 2)))
            if run == "%f":
                fits = ops.less_equal(n, 9)
                value = value * 10**9 // ops.take(10 ** np.arange(10), ops.minimum(n, 9))
        is_date = ops.logical_and(
            is_date, fits if i < n_needed else ops.logical_or(fits, ops.equal(n, 0))
        )
        for code in reversed(codes):
            found[code] = value if len(codes) == 1 else value % 10 ** _WIDTHS[code]
            value = value // 10 ** _WIDTHS[code]
    is_date = ops.logical_and(is_date, _is_possible(found))
    day = _days_since_1970(_year(found), found["%m"], found["%d"])
    times = {"%H": 3600, "%M": 60, "%S": 1}
    seconds = day * 86_400 + sum(found[x] * n for x, n in times.items() if x in found)
    seconds = ops.cast(seconds, "float64")
    if "%f" in found:
        seconds = seconds + ops.cast(found["%f"], "float64") / 1e9
    return ops.where(is_date, seconds, np.float64("nan"))


def _n_digits(run: str) -> int:
    """Counts the digits of codes that stand side by side, leading zeros included."""
    return sum(_WIDTHS[run[i : i + 2]] for i in range(0, len(run), 2))


def _year(found: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
    if "%Y" in found:
        return found["%Y"]
    return found["%y"] + ops.where(
        ops.less(found["%y"], 69), np.int64(2000), np.int64(1900)
    )  # as `strptime`


def _is_possible(found: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
    """Tells whether there are such a day and such a time."""
    year, month, day = _year(found), found["%m"], found["%d"]
    is_leap = ops.logical_and(
        ops.equal(year % 4, 0),
        ops.logical_or(ops.not_equal(year % 100, 0), ops.equal(year % 400, 0)),
    )
    n_days = ops.take(_N_DAYS, ops.clip(month, 1, 12) - 1)
    n_days = n_days + ops.cast(ops.logical_and(is_leap, ops.equal(month, 2)), "int64")
    is_possible = ops.logical_and(ops.greater_equal(day, 1), ops.less_equal(day, n_days))
    for code, (low, high) in _RANGES.items():
        if code in found:
            is_inside = ops.logical_and(
                ops.greater_equal(found[code], low), ops.less_equal(found[code], high)
            )
            is_possible = ops.logical_and(is_possible, is_inside)
    return is_possible


def _days_since_1970(
    year: keras.KerasTensor, month: keras.KerasTensor, day: keras.KerasTensor
) -> keras.KerasTensor:
    """Counts days of the Gregorian calendar: Howard Hinnant's `days_from_civil`, all int64."""
    year = year - ops.cast(ops.less_equal(month, 2), "int64")  # which begins in March
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468
