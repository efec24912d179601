"""A document as Markdown and as HTML: each block, what is escaped, and nothing from outside."""

import re

import plotly.graph_objects as go
import pytest

from pipeline.report import document
from pipeline.report.document import Block, Figure, Heading, Items, Paragraph, Table


def markdown(*blocks: Block) -> str:
    return document.as_markdown("Title", blocks)


def body(*blocks: Block) -> str:
    """The HTML between the title and the end."""
    text = document.as_html("Title", blocks)
    return text.partition("<h1>Title</h1>")[2].partition("</main>")[0].strip()


def figure() -> Figure:
    return Figure(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), "What is to be seen.")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (Heading("A part"), "## A part"),
        (Paragraph("Some `code` and **bold**."), "Some `code` and **bold**."),
        (Items(["one", "two"]), "- one\n- two"),
        (
            Table(["name", "n"], [["a", "1,000"], ["b", "-2.5 %"]]),
            "| name | n |\n| --- | ---: |\n| a | 1,000 |\n| b | -2.5 % |",
        ),
    ],
)
def test_a_block_in_markdown(block: Block, expected: str) -> None:
    assert markdown(block) == f"# Title\n\n{expected}\n"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (Heading("A part"), "<h2>A part</h2>"),
        (
            Paragraph("Some `code` and **bold**."),
            "<p>Some <code>code</code> and <strong>bold</strong>.</p>",
        ),
        (Items(["one", "**two**"]), "<ul><li>one</li><li><strong>two</strong></li></ul>"),
        (
            Table(["name", "n"], [["a", "1,000"], ["`b`", "-2.5 %"]]),
            '<div class="table"><table><thead><tr><th>name</th><th class="number">n</th></tr>'
            '</thead><tbody><tr><td>a</td><td class="number">1,000</td></tr>'
            '<tr><td><code>b</code></td><td class="number">-2.5 %</td></tr></tbody></table></div>',
        ),
    ],
)
def test_a_block_in_html(block: Block, expected: str) -> None:
    assert body(block) == expected


@pytest.mark.parametrize("text", ["12", "1,234", "-0.5", "+0.0048", "1e-05", "12 %", "3.5%", ""])
def test_a_column_of_numbers_is_set_to_the_right(text: str) -> None:
    assert "---:" in markdown(Table(["n"], [["1"], [text]]))


@pytest.mark.parametrize("text", ["trial 1", "1-2", "0.1 to 0.2", "v3", "1.2.3", "."])
def test_a_column_with_a_word_is_set_to_the_left(text: str) -> None:
    assert "---:" not in markdown(Table(["n"], [["1"], [text]]))


def test_a_table_without_rows_is_its_head() -> None:
    assert markdown(Table(["a", "b"], [])) == "# Title\n\n| a | b |\n| --- | --- |\n"
    assert "<tbody></tbody>" in body(Table(["a", "b"], []))


def test_a_cell_of_markdown_stays_one_cell_on_one_line() -> None:
    lines = markdown(Table(["a | b", "c"], [["x | y", "two\nlines"]])).splitlines()
    assert lines[2:] == ["| a \\| b | c |", "| --- | --- |", "| x \\| y | two lines |"]


@pytest.mark.parametrize(
    "block",
    [
        Heading("1 < 2 <b>"),
        Paragraph("1 < 2 <b>"),
        Items(["1 < 2 <b>"]),
        Table(["1 < 2 <b>"], [["x"]]),
        Table(["x"], [["1 < 2 <b>"]]),
    ],
)
def test_angle_brackets_are_text_in_both_forms(block: Block) -> None:
    assert "1 \\< 2 \\<b>" in markdown(block)
    assert "1 &lt; 2 &lt;b&gt;" in body(block)


def test_angle_brackets_in_code_are_left_alone_in_markdown() -> None:
    assert "`a < b` \\< c" in markdown(Paragraph("`a < b` < c"))
    assert "<code>a &lt; b</code> &lt; c" in body(Paragraph("`a < b` < c"))


def test_the_title_and_captions_are_escaped() -> None:
    assert document.as_markdown("a < b", []) == "# a \\< b\n"
    html = document.as_html("</title><script>", [Figure(go.Figure(), "1 < 2 & `x`")])
    assert html.count("&lt;/title&gt;&lt;script&gt;") == 2
    assert "<figcaption>1 &lt; 2 &amp; <code>x</code></figcaption>" in html


def test_a_figure_is_in_the_html_alone() -> None:
    assert markdown(Paragraph("before"), figure(), Paragraph("after")) == (
        "# Title\n\nbefore\n\nafter\n"
    )
    html = body(figure())
    assert html.startswith("<figure>")
    assert html.endswith("<figcaption>What is to be seen.</figcaption></figure>")
    assert "Plotly.newPlot" in html


@pytest.mark.parametrize("n_figures", [0, 1, 3])
def test_the_script_of_plotly_is_inside_once(n_figures: int) -> None:
    html = document.as_html("Title", [figure() for _ in range(n_figures)])
    assert html.count("plotly.js v") == min(1, n_figures)
    assert html.count("Plotly.newPlot(  ") + html.count("Plotly.newPlot(\n") == n_figures


def test_nothing_is_loaded_from_outside() -> None:
    html = document.as_html("Title", [figure(), figure()])
    tags = re.findall(r"<(?:script|link|img|iframe|source|object|embed)\b[^>]*>", html)
    assert len(tags) > 2  # the scripts of the figures
    for loads in (r"src\s*=", r"href\s*=", r"data\s*="):
        assert not [tag for tag in tags if re.search(loads + r"""\s*["']?(https?:)?//""", tag)]
    assert 'src="http' not in html
    assert "@import" not in html


def test_the_same_document_is_the_same_html() -> None:
    blocks = [figure(), figure()]
    assert document.as_html("Title", blocks) == document.as_html("Title", blocks)
