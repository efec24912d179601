"""A document of headings, paragraphs, lists, tables and figures, and its form as Markdown.

So that a report is written once and both of its forms say the same; `page` has the other one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Heading:
    """A heading of a section."""

    text: str

    @property
    def slug(self) -> str:
        """What a link to it names, as GitHub makes it of the text."""
        return re.sub(r"[^\w\- ]", "", self.text.lower()).strip().replace(" ", "-")


@dataclass(frozen=True)
class Paragraph:
    """Text with `code`, **bold** and [links](#part); a user's comes through `for_markdown`."""

    text: str


@dataclass(frozen=True)
class Note:
    """A paragraph that warns."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Lines to be copied as they are.

    Attributes:
        text: the lines.
        language: that they are written in.
    """

    text: str
    language: str = ""


@dataclass(frozen=True)
class Answer:
    """A question that a reader has, and the answer to it.

    Attributes:
        question: in a few words.
        answer: in a sentence or two.
        part: heading of the section that tells more; "" if none does.
    """

    question: str
    answer: str
    part: str = ""


@dataclass(frozen=True)
class Answers:
    """Questions and their answers, the most important first."""

    rows: Sequence[Answer]


@dataclass(frozen=True)
class Table:
    """Rows of text; columns of numbers are set to the right.

    Attributes:
        columns: their heads.
        rows: a cell for each column.
        shades: of a matrix: how dark each cell is, from 0 to 1, and of a head 0; None of others.
        is_in_markdown: whether the Markdown form has it, too.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    shades: Sequence[Sequence[float]] | None = None
    is_in_markdown: bool = True

    def are_numbers(self) -> list[bool]:
        """Tells of each column whether it has numbers, or intervals, alone."""
        return [
            bool(self.rows) and all(_NUMBER.fullmatch(visible(row[i])) for row in self.rows)
            for i in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Figure:
    """A plotly figure, in HTML alone.

    Attributes:
        figure: of traces that plotly's basic bundle can draw: points, lines, bars.
        caption: says what is to be seen.
        title: what it shows, as a sentence; "" if nothing can be concluded.
    """

    figure: Any
    caption: str
    title: str = ""


@dataclass(frozen=True)
class Panels:
    """Small figures beside each other, in HTML alone.

    Attributes:
        figures: of plotly, by what each shows.
        caption: says what is to be seen.
        title: what they show, as a sentence; "" if nothing can be concluded.
    """

    figures: Mapping[str, Any]
    caption: str
    title: str = ""


def visible(text: str) -> str:
    """Returns what a reader sees of a text with links."""
    return _LINK.sub(lambda found: found[1], text)


Block = Heading | Paragraph | Note | Items | Code | Answers | Table | Figure | Panels

PUNCTUATION = r"[!-/:-@\[-`{-~]"
ESCAPED = rf"\\{PUNCTUATION}"  # what `escaping.for_markdown` makes of a user's text
LINK = rf"\[((?:{ESCAPED}|[^\]])+)\]\((#[\w-]+|https?://[^)\s]+)\)"
_LINK = re.compile(LINK)
_PLAIN_NUMBER = r"[-+]?[\d,]+(\.\d+)?(e-?\d+)?( ?%)?"
_NUMBER = re.compile(rf"{_PLAIN_NUMBER}(\sto\s{_PLAIN_NUMBER})?|")


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """Writes the document as Markdown: of a figure what it shows; without a title no heading."""
    parts = [f"# {_text(title)}"] if title else []
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"## {_text(text)}")
            case Paragraph(text):
                parts.append(_text(text))
            case Note(text):
                parts.append(f"> {_text(text)}")
            case Items(texts):
                parts.append("\n".join(f"- {_text(text)}" for text in texts))
            case Code(text, language):
                parts.append(f"```{language}\n{text.rstrip()}\n```")
            case Answers(rows):
                said = (f"- **{_text(row.question)}** {_text(row.answer)}" for row in rows)
                parts.append("\n".join(said))
            case Table() if block.is_in_markdown:
                parts.append(_table(block))
            case Figure(title=shown) | Panels(title=shown) if shown:
                parts.append(_text(shown))
            case _:
                pass
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    marks = ["---:" if right else "---" for right in table.are_numbers()]
    head, *body = ([_cell(text) for text in row] for row in (table.columns, *table.rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *body))


def _text(text: str) -> str:
    """Escapes text for Markdown: `<` would begin HTML, but not in code."""
    return re.sub(rf"({ESCAPED}|`.+?`)|<", lambda found: found[1] or "\\<", text)


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|").replace("\n", " ")
