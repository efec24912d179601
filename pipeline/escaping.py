"""Text of a user, escaped for where it goes: a function for each target."""

import html
import re

from pipeline.errors import printable

LONGEST_TAG = 5000  # characters that MLflow takes everywhere
_SPECIAL = re.compile(r"[\\`*\[\]<>~&$]|(?<![^\W_])_|_(?![^\W_])")
_AT_START = re.compile(r"^(\d*)([-+=#.)])")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def for_screen(text: str) -> str:
    """Keeps lines, and shows control characters instead of obeying them."""
    return "\n".join(map(printable, text.splitlines()))


def for_markdown(text: str) -> str:
    """Makes one line that Markdown shows as it is: no emphasis, link, HTML, list or heading."""
    line = printable(" ".join(text.split()))
    return _AT_START.sub(r"\1\\\2", _SPECIAL.sub(r"\\\g<0>", line))


def for_code(text: str) -> str:
    """Makes one line of code in Markdown, or of plain text if it has what would end the code."""
    return for_markdown(text) if "`" in text else f"`{printable(' '.join(text.split()))}`"


def for_figure(text: str) -> str:
    """Makes one line that plotly shows as it is, where it would take tags."""
    return html.escape(printable(" ".join(text.split())), quote=False)


def for_csv(value: object) -> object:
    """Puts ' before a text that a spreadsheet would take for a formula; numbers stay."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def for_tag(text: str) -> str:
    """Shortens a text to what MLflow takes as the value of a tag or a parameter."""
    return text if len(text) <= LONGEST_TAG else f"{text[: LONGEST_TAG - 4]} ..."
