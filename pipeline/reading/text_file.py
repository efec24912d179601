"""How a file of delimited text is written: encoding, delimiter, names, decimal sign."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.reading.numerals import decimal_of, is_number

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = ";\t|,"
_CHUNK = 1 << 20  # characters that are looked at at once
_SAMPLE = 1 << 18  # characters at the top of a file, of which delimiter and decimal sign are found
_GZIP = b"\x1f\x8b"
_OTHERS = {b"PK\x03\x04": "a workbook or zip archive", b"PAR1": "a Parquet file",
           b"%PDF": "a PDF document", b"\xd0\xcf\x11\xe0": "an old workbook"}  # fmt: skip


@dataclass(frozen=True)
class TextFile:
    """A file of delimited text, looked through once.

    Attributes:
        path: of the file; one that is compressed by gzip is read as what is in it.
        encoding: as Python calls it; one of UTF-8 is "utf-8-sig", which takes a mark at the top.
        delimiter: one character.
        decimal: "." or ",".
        names: of the columns, each once, none empty.
        n_preceding: records before the first row: the names', and Excel's `sep=;`.
        has_quotes: whether any value may be quoted, and so hold a line break.
        n_characters: of the whole file.
        remarks: what was found out, for people.
    """

    path: Path
    encoding: str
    delimiter: str
    decimal: str
    names: tuple[str, ...]
    n_preceding: int
    has_quotes: bool
    n_characters: int
    remarks: tuple[str, ...]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Reads all records that are not empty, slowly, each with the line it begins in."""
        with _opened(self.path, self.encoding) as file:
            line = 1
            reader = _reader(file, self.delimiter)
            for record in reader:
                if record:
                    yield line, record
                line = reader.line_num + 1

    def line_of(self, row: int) -> int:
        """Finds the line in which a row begins, counted from 1; the first row is 0."""
        for i, (line, _) in enumerate(self.records()):
            if i == self.n_preceding + row:
                return line
        return 0


def look_at(
    path: Path,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
) -> TextFile:
    """Finds out how a file of delimited text is written.

    Args:
        path: of a file that is there.
        delimiter: one character, found among `DELIMITERS` if not given.
        encoding: UTF-8 if not given, UTF-16 with its mark, else that of Western Windows.
        decimal: sign in numbers, found out if not given.

    Raises:
        UsageError: it is empty, no text, not in that encoding, or has no usable names.
    """
    shown = display_path(path)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UsageError(
            f"[data] delimiter: found {delimiter!r}, allowed is one character, such as ; or \\t"
        )
    scan = _scan(path, encoding)
    with _opened(path, scan.encoding) as file:
        sample = file.read(_SAMPLE)
    if not sample.strip():
        raise UsageError(f"{shown}: is empty, allowed is a line of names and then rows")
    n_preceding = 0
    if said := re.match(r"sep=(.)\r?\n", sample):  # written by Excel, for Excel
        delimiter, n_preceding = delimiter or said[1], 1
    found = delimiter or _sniff(sample)
    rows = _sampled(sample, found)[n_preceding:]
    if not rows:
        raise UsageError(f"{shown}: has no line of names, allowed is one and then rows")
    names, remarks, has_names = _names(rows[0], shown)
    sign, doubt = decimal_of((value for row in rows[has_names:] for value in row), found == ";")
    sign = decimal or sign
    shown_delimiter = "tab" if found == "\t" else found
    return TextFile(
        path=path,
        encoding=scan.encoding,
        delimiter=found,
        decimal=sign,
        names=names,
        n_preceding=n_preceding + has_names,
        has_quotes=scan.has_quotes,
        n_characters=scan.n_characters,
        remarks=(
            *([f"delimiter {shown_delimiter}"] if len(names) > 1 else []),
            f"encoding {scan.said}",
            f"decimal sign {sign}{'' if decimal else doubt}",
            *remarks,
        ),
    )


@dataclass(frozen=True)
class _Scan:
    encoding: str
    said: str
    has_quotes: bool
    n_characters: int


class _NotInEncodingError(Exception):
    """Bytes that are no text in an encoding; its argument is the line."""


def _opened(path: Path, encoding: str) -> TextIO:
    """Opens a file as text, compressed or not, with its line breaks as they are."""
    return io.TextIOWrapper(_opened_bytes(path), encoding=encoding, newline="")


def _opened_bytes(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if is_compressed(path) else path.open("rb")


def is_compressed(path: Path) -> bool:
    """Tells by its first bytes whether a file is compressed by gzip."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _scan(path: Path, encoding: str | None) -> _Scan:
    """Reads a file through once, and finds its encoding.

    Raises:
        UsageError: it is no text, or not in the encoding that is set or that its mark says.
    """
    shown = display_path(path)
    try:
        with _opened_bytes(path) as file:
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
            why = f"(line {error.args[0]} is no UTF-8)"
        try:
            return _scanned(path, "cp1252", f"cp1252 {why}")
        except _NotInEncodingError:
            return _scanned(path, "latin-1", f"latin-1 {why}")
    except _NotInEncodingError as error:
        raise UsageError(
            f"{shown} line {error.args[0]}: found bytes that are no {encoding}, allowed is text "
            "in the encoding that [data] sets or that the file's first bytes say"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{shown}: cannot be decompressed ({error}), allowed is gzip") from None


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


def _scanned(path: Path, encoding: str, said: str) -> _Scan:
    decoder = codecs.getincrementaldecoder(encoding)()
    n_characters, n_lines, has_quotes = 0, 0, False
    with _opened_bytes(path) as file:
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
                    "is UTF-16, set [data] encoding"
                )
            n_characters += len(text)
            n_lines += text.count("\n")
            has_quotes = has_quotes or '"' in text
            if not chunk:
                return _Scan(encoding, said, has_quotes, n_characters)


def _reader(file: TextIO, delimiter: str) -> "Reader":
    csv.field_size_limit(2**31 - 1)
    return csv.reader(file, delimiter=delimiter)


def _sampled(sample: str, delimiter: str) -> list[list[str]]:
    """Splits the top of a file into records; one that may be cut off is left out."""
    rows = [row for row in _reader(io.StringIO(sample, newline=""), delimiter) if row]
    return rows[:-1] if len(sample) == _SAMPLE and len(rows) > 2 else rows


def _sniff(sample: str) -> str:
    """Finds the delimiter that splits most records into as many fields as there are names.

    Where several do, it is not the comma, which also stands in names and numbers.
    """
    best, found = (0.0, 0.0), ""
    for delimiter in DELIMITERS:
        counts = list(map(len, _sampled(sample, delimiter)))
        n_same = sum(each == counts[0] for each in counts) / len(counts)
        n_split = sum(each > 1 for each in counts) / len(counts)
        score = (round(n_same, 1), n_split)
        if counts[0] > 1 and n_split > 0.5 and score > best:
            best, found = score, delimiter
    # One column: a delimiter that splits nothing.
    return found or next((each for each in DELIMITERS if each not in sample), "\x1f")


def _names(record: Sequence[str], shown: str) -> tuple[tuple[str, ...], list[str], bool]:
    """Returns the columns' names, what is to be said of them, and whether the file has any.

    Raises:
        UsageError: a name stands twice.
    """
    given = [name.strip() for name in record]
    numbers = [str(i) for i in range(len(given) + 1)]
    if all(map(is_number, given)) and given not in (numbers[:-1], numbers[1:]):
        names = tuple(f"column {i}" for i in numbers[1:])
        return names, ["no line of names: the columns are called column 1, column 2 ..."], False
    return *name_columns(given, shown), True


def name_columns(given: Sequence[str], shown: str) -> tuple[tuple[str, ...], list[str]]:
    """Names columns that have no name: the first "index", as pandas writes it, others by place.

    Raises:
        UsageError: a name stands twice.
    """
    names, remarks = [], []
    for i, name in enumerate(given):
        if not name:
            first = not i and "index" not in given
            name = "index" if first else f"column {i + 1}"
            remarks.append(f"column {i + 1} has no name: it is called {name}")
        names.append(name)
    for name, count in Counter(names).items():
        if count > 1:
            places = [str(i + 1) for i, each in enumerate(names) if each == name]
            raise UsageError(
                f"{shown}: found {name!r} as the name of columns {' and '.join(places)}, allowed "
                "is each name once"
            )
    return tuple(names), remarks
