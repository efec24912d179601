"""Reads a TOML file that any system may have written, or says what is wrong with its text."""

import codecs
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.paths import display_path

# The longer marks first, for one begins with another.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
_ALLOWED = "allowed is UTF-8: save it as UTF-8"


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a file of UTF-8, with or without a byte order mark, with LF or CRLF.

    Raises:
        UsageError: it cannot be read, is no TOML, or is in another encoding, which is named.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{display_path(path)}: cannot be read: {error.strerror}") from None
    try:
        return _parse(_decode(content))
    except UsageError as error:
        raise UsageError(f"{display_path(path)}: not a TOML file: {error}") from None


def _decode(content: bytes) -> str:
    for mark, name in _MARKS:
        if content.startswith(mark):
            raise UsageError(f"found text in {name}, {_ALLOWED}")
    if b"\0" in content:
        raise UsageError(f"found NUL bytes, as of text in UTF-16 or of no text, {_ALLOWED}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise UsageError(
            f"line {line}: found the byte 0x{byte:02x}, which is no UTF-8; the text looks like "
            f"{_guess(content)}; {_ALLOWED}"
        ) from None


def _guess(content: bytes) -> str:
    """Names the encoding of text that is not UTF-8: a Korean or a western system's."""
    try:
        text = content.decode("cp949")
    except UnicodeDecodeError:
        return "Latin-1, Windows-1252 or another of a byte for each letter"
    letters = [each for each in text if not each.isascii()]
    n_korean = sum(unicodedata.name(each, "").startswith("HANGUL") for each in letters)
    return "CP949 (EUC-KR)" if 2 * n_korean > len(letters) else "a legacy East Asian encoding"


def _parse(text: str) -> dict[str, Any]:
    if "\r" in text.replace("\r\n", ""):
        raise UsageError("found lines that end with CR alone, allowed are LF and CRLF")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # an integer of 5,000 digits is no TOML error
        raise UsageError(f"{error}{_typographic(text, str(error))}") from None


def _typographic(text: str, said: str) -> str:
    """Names the character at the place of an error if it only looks like one of TOML's."""
    if found := re.search(r"line (\d+), column (\d+)", said):
        line, column = text.split("\n")[int(found[1]) - 1], int(found[2])
        for each in line[column - 1 : column]:
            if not each.isascii():
                return f", where {each!r} stands ({unicodedata.name(each, 'no character')})"
    return ""
