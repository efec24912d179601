"""Reads a TOML file that any system may have written, or says what is wrong with its text."""

import codecs
import contextlib
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
_OF_SINGLE_BYTES = "latin_1"  # in which any bytes are text
_PAIR = re.compile(rb"[\x80-\xff]{2}")
# Python's name, and that by which people know it.
_LEGACY = {
    "cp949": "CP949 (EUC-KR)", "cp932": "Shift-JIS", "euc_jp": "EUC-JP", "cp950": "Big5",
    "gb18030": "GB18030", _OF_SINGLE_BYTES: "Latin-1 (Windows-1252)",
}  # fmt: skip
_END_OF_FILE = "\x1a"  # as DOS had it
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
            f"line {line}: found the byte 0x{byte:02x}, which is no UTF-8; the text may be in "
            f"{_guess(content)} or another encoding; {_ALLOWED}"
        ) from None


def _guess(content: bytes) -> str:
    """Names the encodings that text which is not UTF-8 may be in; several fit almost any text."""
    fit = []
    for codec, name in _LEGACY.items():
        if codec != _OF_SINGLE_BYTES and not _PAIR.search(content):
            continue  # each letter stands between ASCII, as in a western word
        with contextlib.suppress(UnicodeDecodeError):
            content.decode(codec)
            fit.append(name)
    return ", ".join(fit)


def _parse(text: str) -> dict[str, Any]:
    text = text.replace("\r\n", "\n").removesuffix(_END_OF_FILE)
    if "\r" in text:
        raise UsageError("found lines that end with CR alone, allowed are LF and CRLF")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # an integer of 5,000 digits is no TOML error
        raise UsageError(f"{error}{_named(text, str(error))}") from None


def _named(text: str, said: str) -> str:
    """Names the character at the place of an error if nobody sees it, or takes it for another."""
    if found := re.search(r"line (\d+), column (\d+)", said):
        line, column = text.split("\n")[int(found[1]) - 1], int(found[2])
        for each in line[column - 1 : column]:
            if not (each.isascii() and each.isprintable()):
                return f", where {each!r} stands ({unicodedata.name(each, 'a control character')})"
    return ""
