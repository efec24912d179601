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
    """Shows a text's control characters; puts ' before what a spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = for_screen(value)
    is_formula = text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def for_tag(text: str) -> str:
    """Shows control characters, and shortens a text to what MLflow takes as a tag's value."""
    text = for_screen(text)
    return text if len(text) <= LONGEST_TAG else f"{text[: LONGEST_TAG - 4]} ..."
