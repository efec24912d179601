"""A document as Markdown and as HTML: each block, what is escaped, and nothing from outside."""

import hashlib
import json
import re
from typing import Any

import plotly.graph_objects as go
import pytest

from pipeline.report import document, html_page
from pipeline.report.document import (
    Answer,
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
)
from pipeline.report.html_page import Trials


def markdown(*blocks: Block) -> str:
    return document.as_markdown("Title", blocks)


def body(*blocks: Block) -> str:
    """The HTML between the title and the end."""
    text = html_page.as_html("Title", blocks)
    return text.partition("<h1>Title</h1>")[2].partition("</main>")[0].strip()


def figure() -> Figure:
    drawn = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], customdata=[7, 8]))
    return Figure(drawn.update_layout(height=300), "What is to be seen.", "It rises.")


def data(html: str) -> dict[str, Any]:
    """What the page's script gets."""
    found = re.search(r'<script type="application/json" id="data">(.*)</script>', html)
    assert found
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (Heading("A part"), "## A part"),
        (Paragraph("Some `code` and **bold**."), "Some `code` and **bold**."),
        (Note("Take care."), "> Take care."),
        (Items(["one", "two"]), "- one\n- two"),
        (Code("a = 1\n", "toml"), "```toml\na = 1\n```"),
        (
            Answers([Answer("Who?", "**9**.", "A part"), Answer("Why?", "a < b")]),
            "- **Who?** **9**.\n- **Why?** a \\< b",
        ),
        (Table(["n"], [["1"]], is_in_markdown=False), ""),
        (Panels({"a": go.Figure()}, "What is to be seen.", "It falls."), "It falls."),
        (
            Table(["name", "n"], [["a", "1,000"], ["b", "-2.5 %"]]),
            "| name | n |\n| --- | ---: |\n| a | 1,000 |\n| b | -2.5 % |",
        ),
    ],
)
def test_a_block_in_markdown(block: Block, expected: str) -> None:
    assert markdown(block) == f"# Title\n\n{expected}\n".replace("\n\n\n", "\n")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (Heading("A part, of 2"), '<h2 id="a-part-of-2">A part, of 2</h2>'),
        (
            Paragraph("Some `code` and **bold**."),
            "<p>Some <code>code</code> and <strong>bold</strong>.</p>",
        ),
        (Note("Take `care`."), '<p class="note">Take <code>care</code>.</p>'),
        (Code("a < b\n"), "<pre><code>a &lt; b</code></pre>"),
        (
            Paragraph("[here](#a-part) and [there](https://example.org/?a=1&b=2)"),
            '<p><a href="#a-part">here</a> and <a href="https://example.org/?a=1&amp;b=2" '
            'target="_blank" rel="noopener">there</a></p>',
        ),
        (
            Paragraph(r"\[no](javascript:x) [no](file:///x)"),
            "<p>[no](javascript:x) [no](file:///x)</p>",
        ),
        (
            Answers([Answer("Who?", "**9**.", "A part")]),
            '<dl class="answers"><div><dt><a href="#a-part">Who?</a></dt>'
            "<dd><strong>9</strong>.</dd></div></dl>",
        ),
        (Items(["one", "**two**"]), "<ul><li>one</li><li><strong>two</strong></li></ul>"),
        (
            Table(["name", "n"], [["a", "1,000"], ["`b`", "-2.5 %"]]),
            '<div class="table" tabindex="0"><table><thead><tr><th>name</th>'
            '<th class="number">n</th></tr></thead><tbody>'
            '<tr><td>a</td><td class="number">1,000</td></tr>'
            '<tr><td><code>b</code></td><td class="number">-2.5 %</td></tr></tbody></table></div>',
        ),
    ],
)
def test_a_block_in_html(block: Block, expected: str) -> None:
    assert body(block) == expected


@pytest.mark.parametrize(
    "text", ["12", "1,234", "-0.5", "+0.0048", "1e-05", "12 %", "3.5%", "-1 to +2", ""]
)
def test_a_column_of_numbers_is_set_to_the_right(text: str) -> None:
    assert "---:" in markdown(Table(["n"], [["1"], [text]]))


@pytest.mark.parametrize("text", ["trial 1", "1-2", "0.1 to", "v3", "1.2.3", "."])
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
    html = html_page.as_html("</title><script>", [Figure(go.Figure(), "1 < 2 & `x`")])
    assert html.count("&lt;/title&gt;&lt;script&gt;") == 2
    assert "<figcaption>1 &lt; 2 &amp; <code>x</code></figcaption>" in html


def test_of_a_figure_markdown_has_what_it_shows() -> None:
    assert markdown(Paragraph("before"), figure(), Paragraph("after")) == (
        "# Title\n\nbefore\n\nIt rises.\n\nafter\n"
    )


def test_a_figure_is_a_place_that_the_script_draws() -> None:
    assert body(figure()) == (
        '<figure><h3>It rises.</h3><div class="plot" data-figure="0" style="min-height:300px">'
        "</div><figcaption>What is to be seen.</figcaption></figure>"
    )
    (drawn,) = data(html_page.as_html("Title", [figure()]))["figures"]
    assert drawn["traces"][0]["y"] == [3, 4]
    assert drawn["layout"] == {"height": 300}, "looks are the page's, not a template's"


def test_panels_are_figures_beside_each_other() -> None:
    panels = Panels({"a": go.Figure(), "b": go.Figure()}, "Two.")
    html = body(figure(), panels)
    assert '<div class="panels"><div class="plot" data-figure="1"' in html
    assert html.count('class="plot"') == 3


def test_trials_are_told_once_and_only_those_that_are_drawn() -> None:
    known = {7: ("abc", "x</script>"), 9: ("d", "y")}
    trials = Trials("http://127.0.0.1:5000/#/runs/", known.get)
    html = html_page.as_html("Title", [figure(), figure()], trials)
    found = data(html)
    assert found["runs"] == "http://127.0.0.1:5000/#/runs/"
    assert found["trials"] == {"7": ["abc", "x</script>"]}
    assert html.count("x\\u003c/script>") == 1


def test_the_contents_name_each_heading() -> None:
    html = html_page.as_html("Title", [Heading("A part"), Heading("Another")])
    assert '<li><a href="#a-part">A part</a></li><li><a href="#another">Another</a></li>' in html


def test_a_matrix_is_shaded_and_a_long_cell_is_wide() -> None:
    html = body(Table(["", "a"], [["b", "2"]], shades=[[0.0, 0.5]]))
    assert 'color-mix(in srgb,var(--accent) 50%,transparent)">2</td>' in html
    assert '<td class="long">' in body(Table(["a", "b", "c"], [["x " * 30, "y", "z"]]))


@pytest.mark.parametrize("n_figures", [0, 1, 3])
def test_the_bundle_of_plotly_is_inside_once(n_figures: int) -> None:
    html = html_page.as_html("Title", [figure() for _ in range(n_figures)])
    assert html.count("plotly.js (basic - minified) v") == min(1, n_figures)
    assert html.count('<div class="plot"') == n_figures


def test_the_bundle_is_the_one_that_was_published() -> None:
    """As the package plotly.js-basic-dist-min 4.1.1 of the npm registry has it."""
    digest = hashlib.sha256(html_page.BUNDLE.read_bytes()).hexdigest()
    assert digest == "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
    assert "MIT License" in (html_page.FOLDER / "plotly-LICENSE.txt").read_text()


def test_nothing_is_loaded_from_outside() -> None:
    html = html_page.as_html("Title", [figure(), figure()])
    tags = re.findall(r"<(?:script|link|img|iframe|source|object|embed)\b[^>]*>", html)
    assert len(tags) > 2  # the scripts of the figures
    for loads in (r"src\s*=", r"href\s*=", r"data\s*="):
        assert not [tag for tag in tags if re.search(loads + r"""\s*["']?(https?:)?//""", tag)]
    assert 'src="http' not in html
    assert "@import" not in html


def test_the_same_document_is_the_same_html() -> None:
    blocks = [figure(), figure()]
    assert html_page.as_html("Title", blocks) == html_page.as_html("Title", blocks)
