"""Numbers that are made of a moment: how far along it is, and where in its week, year and day.

The same arithmetic is done by NumPy before training and by Keras in a model that is handed over.
"""

import math
from typing import Any

from pipeline.reading.dates import CLOCKS

_DAY = 86_400.0  # seconds
# A year is the mean one of the calendar, so that a day of the year is right to about a day. All
# begin on 1970-01-01, a Thursday. The week and the year go on within a day, hours included.
_PERIODS = {"day of week": 7 * _DAY, "day of year": 365.2425 * _DAY, "time of day": _DAY}
_HOURS = ("%H", "%I", "%T", "%X", "%R", "%c")


def parts_of(date_format: str) -> tuple[str, ...]:
    """Lists the numbers that are made of dates of a format: with a time of day if it has hours."""
    has_hours = any(each in date_format for each in _HOURS)
    has_days = date_format not in CLOCKS
    periods = [name for name in _PERIODS if (has_hours if name == "time of day" else has_days)]
    return "days", *(f"{name} ({wave})" for name in periods for wave in ("sin", "cos"))


def part(name: str, seconds: Any, ops: Any) -> Any:
    """Computes one of the numbers, float64 like `seconds`.

    Args:
        name: one of `parts_of`: "days" since 1970, or a wave with a period.
        seconds: since 1970, UTC; NaN stays NaN.
        ops: NumPy, or `keras.ops` for a tensor of Keras.
    """
    if name == "days":
        return seconds / _DAY
    period, wave = name[:-1].split(" (")
    length = _PERIODS[period]  # whole seconds: what is left of moments is exact
    left = seconds - ops.floor(seconds / length) * length
    angle = left / length * (2 * math.pi)
    return ops.sin(angle) if wave == "sin" else ops.cos(angle)
