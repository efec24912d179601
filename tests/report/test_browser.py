"""The report in a real browser, at the widths of a phone, a tablet and a desk, light and dark."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import recorded
from browser import launched

from pipeline.paths import Project
from pipeline.report import contents, html_page
from pipeline.report.summary import StudySummary, summarize
from pipeline.study.trial import Trial, ranking

PHONE, TABLET, DESK = 390, 768, 1440
A4 = 703  # pixels between the margins of a page
RUN = "http://127.0.0.1:5000/#/runs/"


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    found = summarize(recorded.open_stored(Project(recorded_folder)))
    return dataclasses.replace(found, runs_address=RUN)


@pytest.fixture(scope="module")
def report(facts: StudySummary, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("browser") / "report.html"
    file.write_text(page_of(facts), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with launched() as browser:
        yield browser


class Opened:
    """The report in a window, with all that the browser complained of or asked for."""

    def __init__(self, chromium: Any, url: str, width: int, scheme: str = "light") -> None:
        size = {"width": width, "height": 900}
        self.page = chromium.new_page(viewport=size, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def column(self, table: int, name: str) -> list[str]:
        """Cells of a column that are shown, of a table by its number."""
        return list(self.page.evaluate(
            """([table, name]) => {
              const found = document.querySelectorAll(".table table")[table];
              const heads = [...found.tHead.rows[0].cells].map((head) => head.textContent);
              const place = heads.indexOf(name);
              return [...found.tBodies[0].rows].filter((row) => !row.hidden)
                .map((row) => row.cells[place].textContent);
            }""",
            [table, name],
        ))  # fmt: skip

    def table(self, *heads: str) -> int:
        """The number of the first table that has these heads."""
        tables = self.page.eval_on_selector_all(
            ".table table",
            "all => all.map((t) => [...t.tHead.rows[0].cells].map((head) => head.textContent))",
        )
        return next(i for i, known in enumerate(tables) if set(heads) <= set(known))


def page_of(facts: StudySummary) -> str:
    return html_page.as_html("Study", contents.blocks(facts), html_page.trials_of(facts))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
def test_all_is_drawn_and_nothing_is_asked_for(
    chromium: Any, report: str, width: int, scheme: str
) -> None:
    opened = Opened(chromium, report, width, scheme)
    assert opened.complaints == []
    assert opened.requests == [report]
    n_plots = len(opened.page.query_selector_all(".plot"))
    assert n_plots > 12
    assert len(opened.page.query_selector_all(".plot .main-svg")) >= n_plots
    wide = opened.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "tables and code scroll inside themselves"
    back = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", back)[:3])) / 3
    assert (brightness > 128) is (scheme == "light")


def test_no_figure_is_wider_than_its_place(chromium: Any, report: str) -> None:
    opened = Opened(chromium, report, PHONE)
    opened.page.set_viewport_size({"width": 320, "height": 700})
    opened.page.wait_for_timeout(500)
    off = opened.page.eval_on_selector_all(
        ".plot", "all => all.filter((p) => p.querySelector('.main-svg').clientWidth > innerWidth)"
    )
    assert off == []


def test_a_table_is_sorted_by_a_click_on_a_head(chromium: Any, report: str) -> None:
    opened = Opened(chromium, report, DESK)
    best = opened.table("epoch", "seconds", "val_accuracy")
    head = opened.page.locator(".table table").nth(best).locator("th", has_text="val_accuracy")
    before = opened.column(best, "val_accuracy")
    head.click()
    assert opened.column(best, "val_accuracy") == sorted(before, key=float)
    assert head.get_attribute("aria-sort") == "ascending"
    head.press("Enter")
    assert opened.column(best, "val_accuracy") == sorted(before, key=float, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"


def test_numbers_are_sorted_as_numbers_and_what_is_missing_comes_last(
    chromium: Any, report: str
) -> None:
    opened = Opened(chromium, report, DESK)
    every = opened.table("best epoch", "ended", "parameters")
    head = (
        opened.page.locator(".table table")
        .nth(every)
        .locator("th", has_text=re.compile("^parameters"))
    )
    for is_rising in (True, False):
        head.click()
        found = opened.column(every, "parameters")
        known = [int(text.replace(",", "")) for text in found if text]
        assert known == sorted(known, reverse=not is_rising)
        assert found[len(known) :] == [""] * (len(found) - len(known))
        assert len(found) > len(known), "trials that failed have no number"


def test_rows_are_filtered_by_words(chromium: Any, report: str, facts: StudySummary) -> None:
    opened = Opened(chromium, report, DESK)
    every = opened.table("best epoch", "ended", "parameters")
    box = opened.page.locator(".table").nth(every)
    field = box.locator("xpath=preceding-sibling::div[1]").locator("input")
    field.fill("SGD 64")
    shown = opened.column(every, "hyperparameters")
    assert shown
    assert all("sgd" in text and "64" in text for text in shown)
    said = box.locator("xpath=preceding-sibling::div[1]").inner_text()
    assert f"{len(shown)} of {len(facts.ended)}" in said
    field.fill("")
    assert len(opened.column(every, "trial")) == len(facts.ended)


def test_light_and_dark_are_chosen_and_kept(chromium: Any, report: str) -> None:
    opened = Opened(chromium, report, DESK, "light")
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    before = opened.page.evaluate(ink)
    opened.page.click(".theme")
    assert opened.page.get_attribute("html", "data-theme") == "dark"
    assert opened.page.evaluate(ink) != before, "figures, too"
    opened.page.reload()
    opened.page.wait_for_selector("html[data-ready]", state="attached")
    assert opened.page.get_attribute("html", "data-theme") == "dark"
    assert opened.complaints == []


def test_a_point_says_which_trial_it_is_and_leads_to_its_run(
    chromium: Any, report: str, facts: StudySummary
) -> None:
    opened = Opened(chromium, report, DESK)
    page = opened.page
    plot = page.locator("h2#how-the-search-went ~ figure .plot").first
    plot.scroll_into_view_if_needed()
    page.evaluate("window.open = (address) => { window.opened = address; }")
    point = plot.locator(".scatterlayer .trace").nth(2).locator(".point").first
    place = point.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.wait_for_selector(".hovertext")
    said = plot.locator(".hovertext").text_content()
    number = int(re.findall(r"trial (\d+)", said)[0])
    trial = next(each for each in facts.ended if each.number == number)
    assert str(trial.hyperparameters)[:12] in said
    page.mouse.click(x, y)
    assert page.evaluate("window.opened") == f"{RUN}{trial.run_id}"


def test_the_contents_lead_to_each_part(chromium: Any, report: str) -> None:
    opened = Opened(chromium, report, DESK)
    links = opened.page.eval_on_selector_all("nav a", "all => all.map((a) => a.hash)")
    assert len(links) > 10
    missing = opened.page.evaluate("all => all.filter((id) => !document.querySelector(id))", links)
    assert missing == []
    opened.page.click("nav a[href='#what-it-cost']")
    opened.page.wait_for_function("document.querySelector('nav a.here')?.hash === '#what-it-cost'")
    phone = Opened(chromium, report, PHONE)
    assert not phone.page.is_visible("nav a")
    phone.page.click("nav summary")
    assert phone.page.is_visible("nav a")


def test_it_is_printed_whole(chromium: Any, report: str) -> None:
    opened = Opened(chromium, report, DESK, "dark")
    printed = opened.page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page/") < 40


def test_it_is_printed_in_light_and_nothing_is_cut_off(chromium: Any, report: str) -> None:
    page = Opened(chromium, report, DESK, "dark").page
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    dark = page.evaluate(ink)
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": A4, "height": 1000})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert sum(map(int, re.findall(r"\d+", page.evaluate(ink))[:3])) < 200, "on white paper"
    cut_off = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter((each) =>
          !each.closest("svg") && each.getBoundingClientRect().right > innerWidth + 1)
          .map((each) => each.outerHTML.slice(0, 80))"""
    )
    assert cut_off == []
    assert page.evaluate("document.querySelector('nav').getBoundingClientRect().height") == 0
    scrolling = page.eval_on_selector_all(
        "main *", "all => all.filter((each) => each.scrollHeight > each.clientHeight + 2 &&"
        " getComputedStyle(each).overflowY !== 'visible' && !each.closest('.plot')).length"
    )  # fmt: skip
    assert scrolling == 0, "what is below a fold on a screen is on paper, too"
    page.emulate_media(media="screen", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(ink) == dark
    assert page.get_attribute("html", "data-theme") is None


@pytest.mark.parametrize(("n", "most"), [(150, 1_500_000), (10_000, 3_000_000)])
def test_a_report_of_many_trials_is_no_large_file(facts: StudySummary, n: int, most: int) -> None:
    known = [trial for trial in facts.ended if trial.is_drawn and trial.n_epochs]
    many: list[Trial] = [
        dataclasses.replace(known[i % len(known)], number=i, run_id=f"{i:032x}", ended=1e9 + i)
        for i in range(n)
    ]
    large = dataclasses.replace(facts, ended=many, ranked=ranking(many, "maximize"))
    assert len(page_of(large).encode()) < most
