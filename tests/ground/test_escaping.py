"""What a user wrote is shown as it is, wherever it goes, and does nothing there."""

import csv
import io
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipeline.escaping import (
    LONGEST_TAG,
    for_code,
    for_csv,
    for_markdown,
    for_screen,
    for_tag,
)
from pipeline.report.document import Paragraph, Table, as_markdown
from pipeline.report.html_page import as_html

NASTY = st.text(st.sampled_from("ab1 *_`[]()<>!|#+-=.~&;$\\\n\t:/\"'\u202e\x1b한"), max_size=40)


def shown(text: str) -> str:
    return for_screen(" ".join(text.split()))


class Text(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def body(block: Paragraph) -> Text:
    """What stands between the title of a page and its end."""
    page = as_html("", [block])
    return Text(page.partition("<h1></h1>")[2].partition("</main>")[0])


@given(NASTY)
def test_markdown_shows_a_users_text_as_it_is(text: str) -> None:
    source = as_markdown(
        "t", [Paragraph(for_markdown(text)), Table(["h"], [[for_markdown(text)]])]
    )
    page = Text(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source))
    assert set(page.tags) <= {"h1", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert "".join(page.text.split()) == "".join(f"t{shown(text)}h{shown(text)}".split())


@given(NASTY)
def test_code_shows_a_users_text_as_it_is(text: str) -> None:
    text = f"x{text}x"
    source = as_markdown("t", [Table(["h"], [[for_code(text)]])])
    page = Text(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source))
    assert set(page.tags) <= {"h1", "table", "thead", "tbody", "tr", "th", "td", "code"}
    assert "".join(page.text.split()) == "".join(f"th{shown(text)}".split())
    page = body(Paragraph(for_code(text)))
    assert page.tags[-1] in ("p", "code")
    assert page.text == f"\n{shown(text)}\n"


@given(NASTY)
def test_html_shows_a_users_text_as_it_is(text: str) -> None:
    page = body(Paragraph(f"**{for_markdown(text)}**" if text.strip() else ""))
    assert page.tags[-1] == ("strong" if text.strip() else "p")
    assert page.text == f"\n{shown(text)}\n"


@pytest.mark.parametrize(
    ("cell", "safe"),
    [("=1+1", "'=1+1"), ("+a", "'+a"), ("-a", "'-a"), ("@a", "'@a"), ("\ta", "\\ta"),
     ("\n=1", "'\n=1"), ("\x1b[31mred", r"\x1b[31mred"), ("two\nlines", "two\nlines"),
     ("연구", "연구"),
     ("-1.5e-3", "-1.5e-3"), (-1.5, -1.5), ("a=1", "a=1"), ("", ""), (None, None)],
)  # fmt: skip
def test_no_cell_is_a_formula(cell: object, safe: object) -> None:
    assert for_csv(cell) == safe
    row = io.StringIO()
    csv.writer(row).writerow([for_csv(cell)])


@given(st.text())
def test_a_terminal_obeys_nothing(text: str) -> None:
    assert all(line.isprintable() for line in for_screen(text).split("\n"))


@given(st.text())
def test_nobody_who_shows_a_tag_or_a_cell_on_a_terminal_obeys_it(text: str) -> None:
    for shown in (for_tag(text), str(for_csv(text))):
        assert all(line.isprintable() for line in shown.split("\n"))


def test_a_tag_keeps_its_lines() -> None:
    assert for_tag("one\ntwo \x1b[2J") == "one\ntwo \\x1b[2J"


def test_a_tag_is_short_enough() -> None:
    assert len(for_tag("x" * 30_000)) == LONGEST_TAG
    assert for_tag("short") == "short"
