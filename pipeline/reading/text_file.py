"""How a file of delimited text is written: encoding, delimiter, names, decimal sign."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.reading.encoding import opened, scan
from pipeline.reading.missing import MISSING_TEXTS
from pipeline.reading.numerals import decimal_of, is_number

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = ";\t|,"
_SAMPLE = 1 << 18  # characters at the top of a file, of which delimiter and decimal sign are found


_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANK = re.compile(r"(?:[ \t]*(?:\r\n|\r|\n))+")
_SEP = re.compile(r"sep=(.)\r?\n")  # written by Excel, for Excel
_TOP = re.compile(r"(?:#[^\r\n]*\r?\n)+|(?:[^\r\n]+\r?\n){1,5}(?=[ \t]*\r?\n)")
_TITLE = re.compile(r"(?:# [^\r\n]*(?:\r\n|\r|\n))+|[^\r\n]*(?:\r\n|\r|\n)")
_MOST_TITLES = 5  # lines, of which comments count as one


@dataclass(frozen=True)
class TextFile:
    """A file of delimited text, looked through once.

    Attributes:
        path: of the file; one that is compressed by gzip is read as what is in it.
        encoding: as Python calls it; one of UTF-8 is "utf-8-sig", which takes a mark at the top.
        delimiter: one character.
        decimal: "." or ",".
        names: of the columns, each once, none empty.
        n_skipped: lines before the names, or before the first row if there are none.
        has_names: whether there is a line of names.
        has_quotes: whether any value may be quoted, and so hold a line break.
        n_characters: of the whole file.
        remarks: what was found out, for people.
    """

    path: Path
    encoding: str
    delimiter: str
    decimal: str
    names: tuple[str, ...]
    n_skipped: int
    has_names: bool
    has_quotes: bool
    n_characters: int
    remarks: tuple[str, ...]

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Reads all records that are not empty, slowly, each with the line it begins in.

        The first are the names, if there are any.
        """
        with opened(self.path, self.encoding) as file:
            for _ in range(self.n_skipped):
                file.readline()
            reader, before = _reader(file, self.delimiter), 0
            for record in reader:
                if record:
                    yield self.n_skipped + before + 1, record
                before = reader.line_num

    def line_of(self, row: int) -> int:
        """Finds the line in which a row begins, counted from 1; the first row is 0."""
        for i, (line, _) in enumerate(self.records()):
            if i == self.has_names + row:
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
    scanned = scan(path, encoding)
    with opened(path, scanned.encoding) as file:
        sample = file.read(_SAMPLE)
    if not sample.strip():
        raise UsageError(f"{shown}: is empty, allowed is a line of names and then rows")
    if len(sample) == _SAMPLE:
        sample = sample[: sample.rfind("\n") + 1] or sample
    start, found = _find_table(sample, delimiter)
    rows = _sampled(sample[start:], found)
    if not rows:
        raise UsageError(f"{shown}: has no line of names, allowed is one and then rows")
    names, remarks, has_names = _names(rows, shown)
    sign, doubt = decimal_of((value for row in rows[has_names:] for value in row), found == ";")
    sign = decimal or sign
    shown_delimiter = {"\t": "tab", " ": "space"}.get(found, f'"{found}"')
    return TextFile(
        path=path,
        encoding=scanned.encoding,
        delimiter=found,
        decimal=sign,
        names=names,
        n_skipped=len(_LINE_END.findall(sample[:start])),
        has_names=has_names,
        has_quotes=scanned.has_quotes,
        n_characters=scanned.n_characters,
        remarks=(
            *([f"delimiter {shown_delimiter}"] if len(names) > 1 else []),
            f"encoding {scanned.said}",
            f"decimal sign {sign}{'' if decimal else doubt}",
            *(["lines before the names are left out"] if sample[:start].strip() else []),
            *remarks,
        ),
    )


def _reader(file: TextIO, delimiter: str) -> "Reader":
    csv.field_size_limit(2**31 - 1)
    return csv.reader(file, delimiter=delimiter)


def _find_table(sample: str, delimiter: str | None) -> tuple[int, str]:
    """Finds where a table begins, and its delimiter.

    Before it may stand Excel's `sep=;`, comments, or a title and an empty line, none of which has
    the delimiter in it.
    """
    start = _end_of(_BLANK, sample, 0)
    if said := _SEP.match(sample, start):
        return _end_of(_BLANK, sample, said.end()), delimiter or said[1]
    found = delimiter or _sniff(sample[start:])
    if top := _TOP.match(sample, start):
        below = _end_of(_BLANK, sample, top.end())
        inner = delimiter or _sniff(sample[below:])
        rows = _sampled(sample[below:], inner)
        if rows and len(rows[0]) > 1 and all(len(row) == 1 for row in _sampled(top[0], inner)):
            return below, inner
    first = next(iter(_sampled(sample[start:], found)), [""])  # a name may have several lines
    titled = _below_titles(sample, start, delimiter) if _is_title(first) else None
    return titled or (start, found)


def _below_titles(sample: str, start: int, delimiter: str | None) -> tuple[int, str] | None:
    """Finds a table whose names come right below comments, or lines that have one field.

    The line of a title may be filled up with delimiters, as Excel does.
    """
    for _ in range(_MOST_TITLES):
        begin, start = start, _end_of(_TITLE, sample, start)
        inner = delimiter or _sniff(sample[start:])
        titles = _sampled(sample[begin:start], inner)
        if begin == start or not all(map(_is_title, titles)):
            return None
        rows = _sampled(sample[start:], inner)
        n_even = sum(len(row) == len(rows[0]) for row in rows)
        is_table = len(rows) > 1 and len(rows[0]) > 1 and n_even >= 0.75 * len(rows)
        if is_table and all(rows[0]) and not is_number(rows[0][0]):
            return None if _are_values(rows[0], rows[1:]) else (start, inner)
    return None


def _is_title(row: Sequence[str]) -> bool:
    return row[0].startswith("# ") or not (any(row[1:]) or is_number(row[0]))


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _sampled(sample: str, delimiter: str) -> list[list[str]]:
    """Splits the top of a file into the records that are not empty."""
    return [row for row in _reader(io.StringIO(sample, newline=""), delimiter) if row]


def _sniff(sample: str) -> str:
    """Finds the delimiter that splits most records into as many fields as there are names.

    Where several do, it is not the comma, which also stands in names and numbers.
    """
    best, found = (0.0, 0.0), ""
    for delimiter in DELIMITERS:
        counts = list(map(len, _sampled(sample, delimiter))) or [0]
        n_same = sum(each == counts[0] for each in counts) / len(counts)
        n_split = sum(each > 1 for each in counts) / len(counts)
        score = (round(n_same, 1), n_split)
        if counts[0] > 1 and n_split >= 0.5 and score > best:
            best, found = score, delimiter
    if not found and _is_parted_by_spaces(_sampled(sample, " ")):
        found = " "
    # One column: a delimiter that splits nothing.
    return found or next((each for each in DELIMITERS if each not in sample), "\x1f")


def _is_parted_by_spaces(rows: Sequence[Sequence[str]]) -> bool:
    """Tells whether a space is a delimiter, between numbers most of all, and not in a text."""
    n_numbers = sum(is_number(value) for row in rows for value in row)
    n_values = sum(map(len, rows))
    return (
        bool(rows)
        and len(rows[0]) > 1
        and len({len(row) for row in rows}) == 1
        and n_numbers > n_values / 2
    )


def _names(rows: Sequence[Sequence[str]], shown: str) -> tuple[tuple[str, ...], list[str], bool]:
    """Returns the columns' names, what is to be said of them, and whether the file has any.

    Raises:
        UsageError: a name stands twice.
    """
    given = [name.strip() for name in rows[0]]
    if _are_values(given, rows[1:]):
        names = tuple(f"column {i + 1}" for i in range(len(given)))
        return names, ["no line of names: the columns are called column 1, column 2 ..."], False
    return *name_columns(given, shown), True


def _are_values(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Tells whether a file's first record is one like the others, and no line of names.

    It is if it has numbers where the others have, and one of its words stands below it again, or
    if all do, but not as a line of names that comes again. One of numbers alone is, unless they
    count: 0, 1, 2 or 2023, 2024.
    """
    given = [name for name in first if name not in MISSING_TEXTS]
    if given and all(map(is_number, given)):
        start = int(given[0]) if given[0].isdecimal() else 0
        return given != [str(start + i) for i in range(len(given))]
    below = list(zip(*(row for row in rows if len(row) == len(first)), strict=True))
    n_again, n_same = 0, [[value.strip() for value in row] for row in rows].count(list(first))
    for name, values in zip(first, below, strict=False):
        present = [value.strip() for value in values if value.strip() not in MISSING_TEXTS]
        if present and all(map(is_number, present)) and not is_number(name):
            return False
        n_again += not is_number(name) and present.count(name) > n_same
    return n_again == len(first) > 1 or (n_again > 0 and any(map(is_number, first)))


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
