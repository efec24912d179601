"""A document of headings, paragraphs, lists, tables and figures, as Markdown or as one HTML file.

So that a report is written once and both of its forms say the same.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Heading:
    """A heading of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Text with `code` and **bold**; a user's text comes through `escaping.for_markdown`."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows of text; columns of numbers are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A plotly figure, in HTML alone; the caption says what is to be seen."""

    figure: Any
    caption: str


Block = Heading | Paragraph | Items | Table | Figure

_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_ESCAPED = rf"\\{_PUNCTUATION}"  # what `escaping.for_markdown` makes of a user's text
_NUMBER = re.compile(r"[-+]?[\d,]+(\.\d+)?(e-?\d+)?( ?%)?|")


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """Writes the document as Markdown; figures are left to the HTML form."""
    parts = [f"# {_text(title)}"]
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"## {_text(text)}")
            case Paragraph(text):
                parts.append(_text(text))
            case Items(texts):
                parts.append("\n".join(f"- {_text(text)}" for text in texts))
            case Table(columns, rows):
                marks = ["---:" if right else "---" for right in _are_numbers(block)]
                head, *body = ([_cell(text) for text in row] for row in (columns, *rows))
                lines = (f"| {' | '.join(line)} |" for line in (head, marks, *body))
                parts.append("\n".join(lines))
            case Figure():
                pass
    return "\n\n".join(parts) + "\n"


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """Writes the document as one file that needs no network: plotly's script is inside, once."""
    parts: list[str] = []
    n_figures = 0
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"<h2>{_inline(text)}</h2>")
            case Paragraph(text):
                parts.append(f"<p>{_inline(text)}</p>")
            case Items(texts):
                items = "".join(f"<li>{_inline(text)}</li>" for text in texts)
                parts.append(f"<ul>{items}</ul>")
            case Table():
                parts.append(_html_table(block))
            case Figure(figure, caption):
                drawn = figure.to_html(
                    full_html=False,
                    include_plotlyjs=n_figures == 0,
                    div_id=f"figure-{n_figures + 1}",  # else a random one
                    config={"displayModeBar": False, "responsive": True},
                )
                n_figures += 1
                parts.append(
                    f"<figure>{drawn}<figcaption>{_inline(caption)}</figcaption></figure>"
                )
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{_inline(title)}</h1>\n{body}\n</main></body></html>\n"
    )


def _html_table(table: Table) -> str:
    styles = [' class="number"' if right else "" for right in _are_numbers(table)]
    head = "".join(
        f"<th{style}>{_inline(text)}</th>"
        for style, text in zip(styles, table.columns, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{style}>{_inline(text)}</td>" for style, text in zip(styles, row, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    content = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    return f'<div class="table"><table>{content}</table></div>'


def _are_numbers(table: Table) -> list[bool]:
    return [
        bool(table.rows) and all(_NUMBER.fullmatch(row[i]) for row in table.rows)
        for i in range(len(table.columns))
    ]


def _text(text: str) -> str:
    """Escapes text for Markdown: `<` would begin HTML, but not in code."""
    return re.sub(rf"({_ESCAPED}|`.+?`)|<", lambda found: found[1] or "\\<", text)


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|").replace("\n", " ")


def _inline(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        escaped, bold, code = found.groups()
        if bold:
            return f"<strong>{_inline(bold)}</strong>"
        if code:
            return f"<code>{html.escape(code, quote=False)}</code>"
        return html.escape(escaped or found[0], quote=False)

    pattern = rf"\\({_PUNCTUATION})|\*\*((?:{_ESCAPED}|.)+?)\*\*|`(.+?)`|[&<>]"
    return re.sub(pattern, replaced, text)


_STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --faint: #5b6672; --line: #dfe3e8; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f5f7; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 920px; margin: 32px auto; padding: 24px 48px 56px; background: var(--paper);
  border: 1px solid var(--line); border-radius: 10px; }
h1 { font-size: 1.9em; margin: .6em 0 .4em; }
h2 { font-size: 1.25em; margin: 2.2em 0 .6em; padding-top: .8em;
  border-top: 1px solid var(--line); }
code { background: #f1f3f5; padding: .1em .35em; border-radius: 4px; font-size: .9em;
  font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92em;
  font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--faint); font-weight: 600; }
th, td { padding: .42em .7em .42em 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.number { text-align: right; white-space: nowrap; padding-right: 1.2em; }
figure { margin: 1.4em 0; }
figcaption { color: var(--faint); font-size: .9em; }
@media (max-width: 700px) { main { padding: 16px; margin: 0; border: 0; } }
"""
