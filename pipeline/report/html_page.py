"""A document as one HTML file that needs no network.

Its style and script lie beside this module in `page/`, and so does plotly's basic bundle (MIT), a
quarter of what plotly's Python package brings: https://github.com/plotly/plotly.js
"""

import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.escaping import for_figure
from pipeline.report.document import (
    ESCAPED,
    LINK,
    PUNCTUATION,
    Answers,
    Block,
    Code,
    Figure,
    Heading,
    Items,
    Note,
    Panels,
    Paragraph,
    Table,
    visible,
)
from pipeline.report.sections.best import describe
from pipeline.report.summary import StudySummary

FOLDER = Path(__file__).parent / "page"
LONG = 36  # characters of a cell that is to be no column of single words
DIGITS = 7  # of a number in a figure: more cannot be seen, and would be a third of the file
BUNDLE = FOLDER / "plotly-basic.min.js"
_INLINE = re.compile(
    rf"\\({PUNCTUATION})|\*\*((?:{ESCAPED}|.)+?)\*\*|`(.+?)`"
    rf"|{LINK}|[&<>]"
)


@dataclass(frozen=True)
class Trials:
    """What a reader is told of a trial that a figure has a point for.

    Attributes:
        address: what a run's id is put behind, for a link to the run in MLflow's UI; "" for none.
        tell: by number: the id of the run, and the trial in a line that plotly shows as it is;
            None for what is no trial.
    """

    address: str = ""
    tell: Callable[[int], tuple[str, str] | None] = lambda _: None


def as_html(
    title: str,
    blocks: Sequence[Block],
    trials: Trials | None = None,
    refresh_seconds: int = 0,
) -> str:
    """Writes the document as one file.

    Args:
        title: of the page.
        blocks: what it tells.
        trials: those whose numbers are the `customdata` of figures.
        refresh_seconds: after which a browser loads it again; 0 for never.
    """
    trials = trials or Trials()
    figures: list[Any] = []  # in their order; a place in the page names one by its number
    body = "\n".join(_block(block, figures) for block in blocks)
    heads = [block for block in blocks if isinstance(block, Heading)]
    contents = "".join(f'<li><a href="#{h.slug}">{_inline(h.text)}</a></li>' for h in heads)
    drawn = [_drawn(figure) for figure in figures]
    shown = {
        number
        for each in drawn
        for trace in each["traces"]
        for number in trace.get("customdata", ())
        if number is not None
    }
    told = {number: trials.tell(number) for number in sorted(shown)}
    data = {
        "figures": drawn,
        "runs": trials.address,
        "trials": {number: text for number, text in told.items() if text},
    }
    style, script = ((FOLDER / name).read_text() for name in ("page.css", "page.js"))
    again = f'<meta http-equiv="refresh" content="{refresh_seconds}">\n' * bool(refresh_seconds)
    bundle = f"<script>{BUNDLE.read_text()}</script>\n" if figures else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{again}"
        f"<title>{html.escape(title)}</title>\n<style>{style}</style></head>\n"
        '<body><div class="frame">\n<nav aria-label="Contents"><details open>'
        f"<summary>Contents</summary><ol>{contents}</ol></details>"
        '<button class="theme" type="button">Dark</button></nav>\n'
        f"<main><h1>{_inline(title)}</h1>\n{body}\n</main></div>\n"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        f"{bundle}<script>{script}</script></body></html>\n"
    )


def trials_of(facts: StudySummary) -> Trials:
    """Tells what figures say of a study's trials."""
    known = {trial.number: trial for trial in facts.ended}

    def tell(number: int) -> tuple[str, str] | None:
        trial = known.get(number)
        return (trial.run_id, for_figure(describe(trial))) if trial else None

    return Trials(facts.runs_address, tell)


def _drawn(figure: Any) -> dict[str, Any]:
    """What a browser draws of a figure; its looks are the page's, which knows light and dark."""
    drawn = json.loads(figure.to_json(), parse_float=_rounded)
    drawn["layout"].pop("template", None)
    return {"traces": drawn["data"], "layout": drawn["layout"]}


def _rounded(text: str) -> float:
    return float(f"{float(text):.{DIGITS}g}")


def _json(value: object) -> str:
    """JSON that ends no script: `</script>` in a text would."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _block(block: Block, figures: list[Any]) -> str:
    match block:
        case Heading(text):
            return f'<h2 id="{block.slug}">{_inline(text)}</h2>'
        case Paragraph(text):
            return f"<p>{_inline(text)}</p>"
        case Note(text):
            return f'<p class="note">{_inline(text)}</p>'
        case Items(texts):
            return f"<ul>{''.join(f'<li>{_inline(text)}</li>' for text in texts)}</ul>"
        case Code(text):
            return f"<pre><code>{html.escape(text.rstrip(), quote=False)}</code></pre>"
        case Answers():
            return _answers(block)
        case Table():
            return _table(block)
        case Figure(figure, caption, title):
            return _figure(_plot(figure, figures), caption, title)
        case Panels(panels, caption, title):
            plots = "".join(_plot(figure, figures) for figure in panels.values())
            return _figure(f'<div class="panels">{plots}</div>', caption, title)


def _figure(drawn: str, caption: str, title: str) -> str:
    said = f"<h3>{_inline(title)}</h3>" if title else ""
    return f"<figure>{said}{drawn}<figcaption>{_inline(caption)}</figcaption></figure>"


def _plot(figure: Any, figures: list[Any]) -> str:
    """Makes the place of a figure, which the page's script draws."""
    figures.append(figure)
    height = figure.layout.height or 340
    number = len(figures) - 1
    return f'<div class="plot" data-figure="{number}" style="min-height:{height}px"></div>'


def _answers(block: Answers) -> str:
    rows = []
    for each in block.rows:
        question = _inline(each.question)
        if each.part:
            question = f'<a href="#{Heading(each.part).slug}">{question}</a>'
        rows.append(f"<div><dt>{question}</dt><dd>{_inline(each.answer)}</dd></div>")
    return f'<dl class="answers">{"".join(rows)}</dl>'


def _table(table: Table) -> str:
    styles = [' class="number"' if right else "" for right in table.are_numbers()]
    head = "".join(
        f"<th{style}>{_inline(text)}</th>"
        for style, text in zip(styles, table.columns, strict=True)
    )
    rows = "".join(f"<tr>{_cells(table, i, styles)}</tr>" for i in range(len(table.rows)))
    content = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    kind = "" if table.shades is None else ' class="matrix"'
    if table.columns[0] == "" and len(table.columns) == 2:
        kind = ' class="facts"'
    return f'<div class="table" tabindex="0"><table{kind}>{content}</table></div>'


def _cells(table: Table, i: int, styles: Sequence[str]) -> str:
    cells = []
    for j, text in enumerate(table.rows[i]):
        style = styles[j]
        if len(visible(text)) > LONG and not style:
            style = ' class="long"'
        if table.shades is not None and (shade := table.shades[i][j]):
            share = f"{100 * shade:.0f}%"
            style += f' style="background:color-mix(in srgb,var(--accent) {share},transparent)"'
        cells.append(f"<td{style}>{_inline(text)}</td>")
    return "".join(cells)


def _inline(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        escaped, bold, code, linked, address = found.groups()
        if bold:
            return f"<strong>{_inline(bold)}</strong>"
        if code:
            return f"<code>{html.escape(code, quote=False)}</code>"
        if linked:
            there = "" if address.startswith("#") else ' target="_blank" rel="noopener"'
            return f'<a href="{html.escape(address)}"{there}>{_inline(linked)}</a>'
        return html.escape(escaped or found[0], quote=False)

    return _INLINE.sub(replaced, text)
