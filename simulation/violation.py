"""What is said of a schedule that goes wrong."""

import traceback


class Violation(Exception):
    """Something is not as it must be; the text says what."""


def end_of(error: Exception) -> str:
    """The last lines of a traceback."""
    return "".join(traceback.format_exception(error)[-4:])
