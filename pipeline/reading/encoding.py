"""The bytes of a file as text: compression, encoding, and what is no text at all."""

import codecs
import contextlib
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from pipeline.errors import UsageError
from pipeline.paths import display_path

_CHUNK = 1 << 20  # bytes that are looked at at once
_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"PK\x03\x04": "a workbook or zip archive",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old workbook",
}


@dataclass(frozen=True)
class Scan:
    """What a file's bytes are as text.

    Attributes:
        encoding: as Python calls it; one of UTF-8 is "utf-8-sig", which takes a mark at the top.
        said: the encoding as people call it, and why it is that one.
        has_quotes: whether there is a quotation mark.
        n_characters: of the whole file.
    """

    encoding: str
    said: str
    has_quotes: bool
    n_characters: int


class _NotInEncodingError(Exception):
    """Bytes that are no text in an encoding; its argument is the line."""


def opened(path: Path, encoding: str) -> TextIO:
    """Opens a file as text, compressed or not, with its line breaks as they are."""
    return io.TextIOWrapper(_bytes(path), encoding=encoding, newline="")


def _bytes(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if is_compressed(path) else path.open("rb")


def is_compressed(path: Path) -> bool:
    """Tells by its first bytes whether a file is compressed by gzip."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def scan(path: Path, encoding: str | None) -> Scan:
    """Reads a file through once, and finds its encoding.

    Raises:
        UsageError: it is no text, or not in the encoding that is set or that its mark says.
    """
    shown = display_path(path)
    try:
        with _bytes(path) as file:
            top = file.read(4)
        for magic, what in _OTHERS.items():
            if top.startswith(magic):
                raise UsageError(f"{shown}: is {what}, allowed is text; save it as CSV")
        if encoding is None and top.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding = "utf-16"
        if encoding is not None:
            return _scanned(path, _codec(encoding), encoding)
        try:
            return _scanned(path, _codec("utf-8"), "utf-8")
        except _NotInEncodingError as error:
            why = f"line {error.args[0]} is no UTF-8"
        doubt = ", a guess: if words look wrong, set [data] encoding" if _is_dense(path) else ""
        for encoding in [*["cp949"] * _is_korean(path), "cp1252", "latin-1"]:
            with contextlib.suppress(_NotInEncodingError):
                return _scanned(path, encoding, f"{encoding} ({why}{doubt})")
        raise AssertionError("any bytes are latin-1")
    except _NotInEncodingError as error:
        raise UsageError(
            f"{shown} line {error.args[0]}: found bytes that are no {encoding}, allowed is text "
            "in the encoding that [data] sets or that the file's first bytes say"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{shown}: cannot be decompressed ({error}), allowed is gzip") from None


def _is_korean(path: Path) -> bool:
    """Tells whether nearly all that is not ASCII would be Hangul, as in no Western text."""
    with _bytes(path) as file:
        text = file.read(_CHUNK).decode("euc_kr", "replace")
    n_hangul = len(re.findall("[가-힣]", text))
    return n_hangul > 0.9 * len(re.findall(r"[^\0-\x7f]", text))


def _is_dense(path: Path) -> bool:
    """Tells whether letters that are not ASCII mostly touch, as few do in the West."""
    with _bytes(path) as file:
        runs = re.findall(rb"[\x80-\xff]+", file.read(_CHUNK))
    return sum(map(len, runs)) >= 2 * len(runs)


def _codec(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # some are no encodings of text
    except LookupError:
        raise UsageError(
            f"[data] encoding: found {encoding!r}, allowed is one that Python knows, such as "
            "utf-8 or cp1252"
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _scanned(path: Path, encoding: str, said: str) -> Scan:
    decoder = codecs.getincrementaldecoder(encoding)()
    n_characters, n_lines, has_quotes = 0, 0, False
    with _bytes(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                before = chunk[: getattr(error, "start", 0)]
                raise _NotInEncodingError(n_lines + before.count(b"\n") + 1) from None
            if "\0" in text:
                line = n_lines + text[: text.index("\0")].count("\n") + 1
                raise UsageError(
                    f"{display_path(path)} line {line}: found a zero byte, allowed is text; if it "
                    'is UTF-16, set [data] encoding = "utf-16-le"'
                )
            n_characters += len(text)
            n_lines += text.count("\n")
            has_quotes = has_quotes or '"' in text
            if not chunk:
                return Scan(encoding, said, has_quotes, n_characters)
