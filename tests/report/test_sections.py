"""The report of the recorded study: golden files, a real browser, and what the verdict says.

`UPDATE_GOLDEN=1 pytest tests/report` writes the golden files anew.
"""

import csv
import dataclasses
import io
import itertools
import json
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest
import recorded
from browser import dom

from pipeline.errors import PipelineError, run_command
from pipeline.paths import Project
from pipeline.report import __main__ as report_command
from pipeline.report import contents, document, figures, html_page
from pipeline.report.baseline import Baseline
from pipeline.report.document import Block, Figure, Heading, Panels, Paragraph, Table
from pipeline.report.sections import budget, verdict
from pipeline.report.summary import StudySummary, as_csv, summarize
from pipeline.storage import studies, study_store
from pipeline.study.ranges import FloatRange
from pipeline.study.spec import Reference
from pipeline.study.trial import State, Trial, ranking

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    project = Project(recorded_folder)
    return summarize(recorded.open_stored(project))


@pytest.fixture(scope="module")
def written(recorded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after `python -m pipeline.report recorded`."""
    folder = tmp_path_factory.mktemp("written")
    shutil.copytree(recorded_folder, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["report", recorded.NAME])
        assert run_command(report_command.main) == 0
    return Project(folder).report_dir(recorded.NAME)


def verdict_of(facts: StudySummary) -> str:
    return document.as_markdown("", verdict.verdict(facts))


def section(facts: StudySummary, heading: str) -> str:
    text = document.as_markdown("", contents.blocks(facts))
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def blocks_of(facts: StudySummary, heading: str) -> list[Block]:
    """The blocks of one section."""
    blocks = contents.blocks(facts)
    start = blocks.index(Heading(heading)) + 1
    return list(itertools.takewhile(lambda block: not isinstance(block, Heading), blocks[start:]))


def with_accuracy(trial: Trial, accuracy: float) -> Trial:
    curves = recorded.history(accuracy, trial.n_epochs, trial.best_epoch)
    return dataclasses.replace(trial, value=accuracy, history=curves)


def ranked_anew(facts: StudySummary, ended: list[Trial]) -> StudySummary:
    return dataclasses.replace(facts, ended=ended, ranked=ranking(ended, facts.spec.direction))


# Golden files


@pytest.mark.parametrize("name", ["report.md", "trials.csv"])
def test_what_is_written_is_the_golden_file(written: Path, name: str) -> None:
    found, golden = (written / name).read_text(encoding="utf-8"), GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


def of_this_study(page: str) -> str:
    """A page without the files that are in every page, and with lines that a diff can show.

    Numbers have nine digits: the last of them may be others on another processor.
    """
    for file in sorted(html_page.FOLDER.iterdir()):
        page = page.replace(file.read_text(encoding="utf-8"), f"({file.name})")
    before, start, rest = page.partition('id="data">')
    data, end, after = rest.partition("</script>")
    known = json.loads(data)
    figures = [json.dumps(each, ensure_ascii=False) for each in known.pop("figures")]
    shown = ["", *figures, json.dumps(known, ensure_ascii=False, indent=1), ""]
    drawn = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda n: f"{float(n[0]):.9g}", "\n".join(shown))
    lines = re.sub(r"(?<=>)(?=<(tr|li|h3|div|table|figcaption)\b)", "\n", before)
    return f"{lines}{start}{drawn}{end}{after}"


def test_the_page_is_the_golden_file(written: Path) -> None:
    page = (written / "report.html").read_text(encoding="utf-8")
    found, golden = of_this_study(page), GOLDEN / "report.html"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        golden.write_text(found, encoding="utf-8")
    assert "(page.css)" in found
    assert "(page.js)" in found
    assert "(plotly-basic.min.js)" in found
    assert found == golden.read_text(encoding="utf-8")


def test_the_command_says_what_it_wrote(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", f"studies/{recorded.NAME}.toml"])
    assert run_command(report_command.main) == 0
    said, complaints = capsys.readouterr()
    assert complaints == ""
    assert said.splitlines() == [
        "studies/recorded/report.html",
        "studies/recorded/report.md",
        "studies/recorded/report.json",
        "studies/recorded/trials.csv",
    ]
    folder = recorded_study.report_dir(recorded.NAME)
    assert sorted(file.name for file in folder.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
        "trials.csv",
    ]


def test_a_rerun_writes_the_same_again(
    written: Path, recorded_study: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", recorded.NAME])
    assert run_command(report_command.main) == 0
    again = recorded_study.report_dir(recorded.NAME)
    for file in written.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()


# The HTML


class _Words(HTMLParser):
    """The text of a page, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in ("script", "style")
        if tag not in ("strong", "code"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def words(html: str) -> str:
    parser = _Words()
    parser.feed(html)
    return " ".join("".join(parser.parts).split())


def plain(markdown: str) -> str:
    """Markdown without its marks."""
    text = re.sub(r"^[->] |[*`]|\\(?=[<>|])", "", markdown, flags=re.MULTILINE)
    return " ".join(text.split())


@pytest.mark.slow
def test_a_browser_draws_every_figure_and_shows_the_verdict(
    written: Path, facts: StudySummary, tmp_path: Path
) -> None:
    blocks = contents.blocks(facts)
    n_figures = sum(isinstance(block, Figure) for block in blocks)
    n_panels = sum(len(block.figures) for block in blocks if isinstance(block, Panels))
    assert (n_figures, n_panels) == (10, len(facts.spec.space))
    page = dom((written / "report.html").as_uri(), tmp_path)
    figures = page.split('data-figure="')[1:]
    assert len(figures) == n_figures + n_panels
    assert all(re.search(r'<svg class="main-svg"', figure) for figure in figures)
    assert page.count('class="point"') > recorded.N_COUNTED
    assert 'class="scatterlayer' in page
    assert plain(verdict_of(facts).partition("## Verdict")[2]) in words(page)
    assert recorded.REASON in words(page)


def test_the_html_says_what_the_markdown_says(written: Path) -> None:
    shown = words((written / "report.html").read_text(encoding="utf-8"))
    markdown = (written / "report.md").read_text(encoding="utf-8")
    lines = [line for line in markdown.splitlines() if not line.startswith(("#", "|")) and line]
    assert len(lines) > 8
    for line in lines:
        assert plain(line) in shown


# The verdict


def test_a_gain_beyond_chance(facts: StudySummary) -> None:
    text = verdict_of(facts)
    assert "'book: dropout | 0.3' with 0.8830" in text
    assert "that is +0.0120 (95 % interval +0.0041 to +0.0199), more than chance" in text


def test_a_gain_that_may_be_chance(facts: StudySummary) -> None:
    ended = [
        with_accuracy(t, 0.8940) if t.number == recorded.BEST_REFERENCE else t for t in facts.ended
    ]
    text = verdict_of(ranked_anew(facts, ended))
    assert "with 0.8940, that is +0.0010" in text
    assert "which may be chance: the interval includes zero" in text


def test_a_loss_of_accuracy_is_not_called_a_gain_by_chance(facts: StudySummary) -> None:
    """A study that ranks by loss can prefer a network that is less accurate."""
    by_loss = facts.spec.model_copy(update={"metric": "val_loss"})
    champion = with_accuracy(facts.champion, 0.8600)
    others = [t for t in facts.ranked if t.number != champion.number]
    text = verdict_of(dataclasses.replace(facts, spec=by_loss, ranked=[champion, *others]))
    assert "that is -0.0230" in text
    assert "includes zero" not in text
    assert text.count("less accurate") == 2  # than the reference, than the second


def test_a_champion_that_is_a_reference(facts: StudySummary) -> None:
    ended = [
        with_accuracy(t, 0.9100) if t.number == recorded.BEST_REFERENCE else t for t in facts.ended
    ]
    text = verdict_of(ranked_anew(facts, ended))
    assert f"**trial {recorded.BEST_REFERENCE}: 100 relu" in text
    assert "the reference 'book: dropout | 0.3' itself: searching found nothing better" in text


def with_finals(facts: StudySummary, first: int, accuracies: list[float]) -> StudySummary:
    """The report's facts, had a trial been trained again."""
    (known,) = (t for t in facts.ended if t.number == first)
    finals = [
        dataclasses.replace(
            with_accuracy(known, each),
            number=90 + i,
            state=State.COMPLETE,
            reference="",
            final_of=first,
            seed=i,
        )
        for i, each in enumerate(accuracies)
    ]
    return ranked_anew(facts, [*facts.ended, *finals])


def test_a_champion_with_several_seeds(facts: StudySummary) -> None:
    seeds = with_finals(facts, recorded.CHAMPION, [0.8930, 0.8970])
    text = verdict_of(seeds)
    assert (
        "The same network was trained with 3 seeds, one of which was selected: mean validation "
        "accuracy **0.8950** (95 % interval of the mean 0.8900 to 0.9000; standard deviation "
        "0.0020)"
    ) in text
    assert "**trial 91: " in text
    assert "the second, trial 7." in text, "another network"
    assert "These are one run of each" in text
    assert "(trial 9 again) |" in section(seeds, "The best 10")
    assert "best of 16 trials in" in section(seeds, "What searching bought")
    looks = [
        {"trial": n, "when": "today", "n_examples": 10_000, "accuracy": value, **more}
        for n, value, more in (
            (9, 0.88, {}), (90, 0.89, {}), (91, 0.9, {}),
            (9, 0.9, {"refit": 7}), (90, 0.9, {"refit": 7}),
        )
    ]  # fmt: skip
    text = verdict_of(dataclasses.replace(seeds, test_looks=looks))
    assert "; on the test set **0.8900** (0.8652 to 0.9148)." in text
    assert "trained again on all other data, on the test set" not in text, "one is missing"
    seen = dataclasses.replace(seeds, test_looks=looks)
    assert 'looked at 5 times: see "Looks at the test set".' in verdict_of(seen)
    listed = section(seen, "Looks at the test set")
    assert "| trial 90 | 0.8900 | 0.8837 to 0.8960 | 10,000 images | today |" in listed
    assert "| trial 9 trained again on all other data for 7 epochs | 0.9000 |" in listed
    broken = {
        "trial": 9, "when": "now", "n_examples": None, "ensemble": {"9": 2, "7": 1},
        "command": "best --ensemble --export",
    }  # fmt: skip
    listed = section(
        dataclasses.replace(seeds, test_looks=[*looks, broken]), "Looks at the test set"
    )
    assert (
        "| the mean of trials 9 and 7 | the export broke off |  |  | now "
        "| best --ensemble --export |"
    ) in listed
    assert "(now, best --ensemble --export)" in verdict_of(
        dataclasses.replace(seeds, test_looks=[broken])
    )
    looks.append({**looks[-1], "trial": 91})
    text = verdict_of(dataclasses.replace(seeds, test_looks=looks))
    assert "; trained again on all other data, on the test set **0.9000** (0.9000 to 0.9" in text


def test_a_reference_with_a_lucky_seed_is_no_gain(facts: StudySummary) -> None:
    ended = [
        with_accuracy(t, 0.9100) if t.number == recorded.BEST_REFERENCE else t for t in facts.ended
    ]
    lucky = with_finals(ranked_anew(facts, ended), recorded.BEST_REFERENCE, [0.92])
    text = verdict_of(lucky)
    assert "**trial 90: 100 relu" in text
    assert "the reference 'book: dropout | 0.3' itself: searching found nothing better" in text


def test_seeds_of_which_nothing_came_or_that_ended_otherwise_are_told(facts: StudySummary) -> None:
    seeds = with_finals(with_ends(facts, state=State.PRUNED), recorded.CHAMPION, [0.9, 0.9])
    lost = [
        dataclasses.replace(t, state=State.FAIL, value=None) if t.number == 91 else t
        for t in seeds.ended
    ]
    text = verdict_of(ranked_anew(seeds, lost))
    assert "trained with 2 seeds" in text
    assert "; trial 9 was pruned after epoch 8; nothing came of 1 other seed." in text


def test_no_reference(facts: StudySummary) -> None:
    ended = [t for t in facts.ended if not t.reference]
    spec = facts.spec.model_copy(update={"reference": ()})
    without = dataclasses.replace(ranked_anew(facts, ended), spec=spec)
    assert "names no reference" in verdict_of(without)
    assert "## References" not in document.as_markdown("", contents.blocks(without))


def test_references_that_never_came_to_an_end(facts: StudySummary) -> None:
    without = ranked_anew(facts, [t for t in facts.ended if not t.reference])
    assert "no reference is complete" in verdict_of(without)
    table = next(block for block in blocks_of(without, "References") if isinstance(block, Table))
    assert [row[0].partition(":")[0] for row in table.rows] == ["book", "book"]
    assert [row[1:] for row in table.rows] == [["0", "", "", "", "", ""]] * 2
    claims = next(block for block in blocks_of(without, "Claims") if isinstance(block, Table))
    assert [row[2:5] for row in claims.rows] == [["", "0", "cannot tell"]] * 3


def test_the_second_is_told_apart_only_if_the_images_can(facts: StudySummary) -> None:
    assert f"cannot be told from the second, trial {recorded.SECOND}" in verdict_of(facts)
    ended = [with_accuracy(t, 0.95) if t.number == recorded.CHAMPION else t for t in facts.ended]
    assert f"is better than the second, trial {recorded.SECOND}" in verdict_of(
        ranked_anew(facts, ended)
    )


def test_the_best_of_several_is_called_biased(facts: StudySummary) -> None:
    assert "optimistically biased: selected as the best of 16 trials." in verdict_of(facts)
    assert "biased" not in verdict_of(ranked_anew(facts, [facts.champion]))


def test_the_test_set_is_sealed(facts: StudySummary) -> None:
    assert "The test set is sealed: nobody has looked at it" in verdict_of(facts)


def test_every_look_at_the_test_set_is_told(facts: StudySummary) -> None:
    look = recorded.TEST_LOOK
    once = verdict_of(dataclasses.replace(facts, test_looks=[look]))
    assert "looked at once: trial 9 scored 0.8871 on 10,000 images (2026-03-02 10:30:00" in once
    again = {**look, "trial": 7, "accuracy": 0.8801}
    twice = verdict_of(dataclasses.replace(facts, test_looks=[look, again]))
    assert "looked at 2 times: trial 9 scored 0.8871" in twice
    assert "; trial 7 scored 0.8801 on 10,000 images" in twice


# What else it says


def test_interrupted_trials_do_not_count(facts: StudySummary) -> None:
    assert recorded.INTERRUPTED not in [t.number for t in facts.ended]
    assert (len(facts.ended), facts.n_interrupted) == (
        recorded.N_COUNTED,
        recorded.N_INTERRUPTED,
    )
    how = section(facts, "How this was made")
    assert "| trials | 10 complete, 5 pruned, 1 failed |" in how
    assert "| interrupted and queued again | 1 |" in how


def test_claims_stand_beside_what_was_measured(facts: StudySummary) -> None:
    table = next(block for block in blocks_of(facts, "Claims") if isinstance(block, Table))
    first, second, third = table.rows
    source = r"notebook \<7-2\>"
    accuracy, loss = "validation accuracy at the kept epoch", "validation loss at the kept epoch"
    known = facts.ended[0].history["val_loss"][facts.ended[0].best_epoch - 1]
    assert first == [f"book: adam: {accuracy}", "0.8726", "0.8790", "1", "cannot tell", source]
    assert second == [
        f"book: adam: {loss}", "0.3450", f"{known:.4f}", "1", "cannot tell", source,
    ]  # fmt: skip
    assert third[:3] == [f"book: dropout | 0.3: {accuracy}", "0.8859", "0.8830"]


def baseline_of(facts: StudySummary) -> StudySummary:
    spec = facts.spec.model_copy(update={"baseline": "random"})
    best = dataclasses.replace(with_accuracy(facts.ranked[2], 0.8888), number=44)
    return dataclasses.replace(facts, spec=spec, baseline=Baseline(best, facts.ended[:7], 12.34))


def test_what_searching_bought_stands_side_by_side(facts: StudySummary) -> None:
    table = next(
        each
        for each in blocks_of(baseline_of(facts), "What searching bought")
        if isinstance(each, Table)
    )
    assert [row[:2] for row in table.rows] == [
        ["best reference: book: dropout | 0.3", "0.8830"],
        ["study `random`: best of 7 trials in 12.3 minutes", "0.8888"],
        ["this study: best of 16 trials in 2.8 minutes", "0.8950"],
    ]
    assert table.rows[2][2:] == ["0.8894 to 0.9004", "21,106", str(facts.champion.hyperparameters)]


def test_the_first_sentence_on_what_searching_bought_calls_it_a_gain(facts: StudySummary) -> None:
    first, *_ = blocks_of(facts, "What searching bought")
    assert isinstance(first, Paragraph)
    assert first.text.startswith("This is the gain over the known baselines")


def test_a_baseline_that_has_not_been_run_is_said_to_belong_there(facts: StudySummary) -> None:
    spec = facts.spec.model_copy(update={"baseline": "random"})
    text = section(dataclasses.replace(facts, spec=spec), "What searching bought")
    assert "it has not been run: `make search STUDY=random`" in text
    assert "has not been run" not in section(baseline_of(facts), "What searching bought")
    assert "has not been run" not in section(facts, "What searching bought")


def test_a_baseline_is_read_from_the_store(recorded_study: Project) -> None:
    stored = recorded.open_stored(recorded_study)
    study, spec = stored.study, stored.spec
    assert summarize(stored).baseline is None
    absent = spec.model_copy(update={"baseline": "absent"})
    assert summarize(dataclasses.replace(stored, spec=absent)).baseline is None
    other = studies.open_study(recorded_study, spec.model_copy(update={"name": "other"}))
    beside = spec.model_copy(update={"baseline": "other"})
    assert summarize(dataclasses.replace(stored, spec=beside)).baseline is None, (
        "no trial is complete yet"
    )
    for frozen in study.get_trials()[:3]:
        other.add_trial(frozen)
    other.set_user_attr(study_store.SECONDS, 90.0)
    baseline = summarize(dataclasses.replace(stored, spec=beside)).baseline
    assert baseline is not None
    assert (baseline.best.value, len(baseline.ended), baseline.minutes) == (0.8830, 3, 1.5)


def references_only(facts: StudySummary) -> StudySummary:
    ended = [t for t in facts.ended if t.reference]
    spec = facts.spec.model_copy(update={"space": {}})
    return dataclasses.replace(ranked_anew(facts, ended), spec=spec, importance={})


def test_where_nothing_was_searched_nothing_was_bought(facts: StudySummary) -> None:
    text = document.as_markdown("", contents.blocks(references_only(facts)))
    assert "It is a run of the reference 'book: dropout | 0.3': nothing was searched." in text
    assert "searching found nothing better" not in text
    assert "What searching bought" not in text


def test_logistic_regression_is_reported_by_its_name(facts: StudySummary) -> None:
    complete, failed = (
        dataclasses.replace(
            facts.ended[0], number=number, state=State(state), reference="logistic",
            hyperparameters=None, value=value, reason="no memory" * (state == "FAIL"),
        )
        for number, state, value in ((50, "COMPLETE", 0.99), (51, "FAIL", None))
    )  # fmt: skip
    other = Reference(name="logistic", trainer="sgd_classifier", claim={"n_parameters": 7850.0})
    spec = facts.spec.model_copy(update={"reference": (*facts.spec.reference, other)})
    ended = [*facts.ended, complete, failed]
    with_it = ranked_anew(dataclasses.replace(facts, spec=spec), ended)
    assert with_it.champion.number == recorded.CHAMPION, "only networks are ranked"
    text = document.as_markdown("", contents.blocks(with_it))
    assert "| 51 | failed | no memory |  | logistic |" in text
    assert "| logistic | 1 | 10,000 |" in text
    assert "| logistic: number of trainable weights | 7,850 | 10,000 | 1 | cannot tell |" in text
    assert "None" not in text
    rows = list(csv.DictReader(io.StringIO(as_csv(with_it))))
    assert (rows[-2]["reference"], rows[-2]["units_1"]) == ("logistic", "")


def test_a_study_of_a_single_trial_can_be_reported(facts: StudySummary) -> None:
    single = ranked_anew(dataclasses.replace(facts, importance={}), list(facts.ended[:1]))
    text = document.as_markdown("", contents.blocks(single))
    assert "The best of 1 trial is **trial 0" in text
    assert "1 complete trial is too few to say; 8 are needed" in text


def test_a_study_without_a_space_has_no_slices(facts: StudySummary) -> None:
    spec = facts.spec.model_copy(update={"space": {}})
    blocks = contents.blocks(dataclasses.replace(facts, spec=spec))
    assert not any(isinstance(block, Panels) for block in blocks)
    assert "What to try next" not in document.as_markdown("", blocks)


def slices_caption(facts: StudySummary) -> str:
    (slices,) = (b for b in blocks_of(facts, "Where the best lie") if isinstance(b, Panels))
    return slices.caption


def test_what_a_logarithmic_panel_leaves_out_is_said(facts: StudySummary) -> None:
    dropout = FloatRange(type="float", low=0.05, high=0.5, log=True)
    spec = facts.spec.model_copy(update={"space": {"dropout": dropout}})
    caption = slices_caption(dataclasses.replace(facts, spec=spec))
    n = sum(t.value is not None and t.hyperparameters.dropout == 0 for t in facts.ended)  # type: ignore[union-attr]
    assert n > 1
    assert f"Left out, for a logarithmic axis has no 0: {n} trials of `dropout`." in caption
    assert "Left out, for" not in slices_caption(facts)


def test_enough_trials_without_a_common_hyperparameter(facts: StudySummary) -> None:
    blocks = contents.blocks(dataclasses.replace(facts, importance={}))
    said = " ".join(block.text for block in blocks if isinstance(block, Paragraph))
    assert "too few to say" not in said
    assert "None shows in what came of the trials" in said


def test_without_a_failure_there_is_no_table_of_failures(facts: StudySummary) -> None:
    ended = [t for t in facts.ended if t.state != "FAIL"]
    text = document.as_markdown("", contents.blocks(ranked_anew(facts, ended)))
    assert "Failed and stopped trials" not in text


def with_ends(facts: StudySummary, **changes: Any) -> StudySummary:
    """The champion, changed."""
    ended = [
        dataclasses.replace(t, **changes) if t.number == recorded.CHAMPION else t
        for t in facts.ended
    ]
    return ranked_anew(facts, ended)


def test_a_champion_that_was_stopped_or_pruned_says_how_it_ended(facts: StudySummary) -> None:
    for changes, how in (
        ({"reason": "stopped after 5 minutes"}, "stopped after 5 minutes"),
        ({"state": State.PRUNED}, "pruned after epoch 8"),
    ):
        changed = with_ends(facts, **changes)
        assert changed.champion.number == recorded.CHAMPION
        assert f"It was ended before its own end: {how}." in verdict_of(changed)
        text = document.as_markdown("", contents.blocks(changed))
        assert f"| ended | {how} |" in text
        assert f"| 1 | {recorded.CHAMPION} | 0.8950 | 7 | {how} |" in text


def test_where_a_study_started_from_is_told(facts: StudySummary) -> None:
    assert "started from" not in section(facts, "How this was made")
    warm = with_ends(facts, started_from="a*b, trial 3")
    assert "| started from | a\\*b, trial 3 |" in section(warm, "How this was made")
    assert "adam 0.00083, batch 64, at most 8 epochs (from a\\*b, trial 3) |" in section(
        warm, "The best 10"
    )


def test_what_was_better_but_kept_no_weights_is_ranked_and_said(facts: StudySummary) -> None:
    old = with_ends(facts, state=State.PRUNED, keeps_weights=False)
    assert old.champion.number == recorded.SECOND
    assert "The best of 16 trials whose weights were kept is **trial 7" in verdict_of(old)
    assert "trial 9 with 0.8950 (pruned after epoch 8)" in verdict_of(old)
    text = document.as_markdown("", contents.blocks(old))
    assert "| 1 | 9 | 0.8950 | 7 | pruned after epoch 8; weights not kept |" in text


def test_a_reference_that_was_stopped_counts_and_is_named(facts: StudySummary) -> None:
    ended = [
        dataclasses.replace(t, reason="stopped after 1 minutes", scores={}) if t.number == 0 else t
        for t in facts.ended
    ]
    text = document.as_markdown("", contents.blocks(ranked_anew(facts, ended)))
    assert "| book: adam | 0 | stopped after 1 minutes | 6 |" in text
    table = next(each for each in blocks_of(facts, "References") if isinstance(each, Table))
    assert [row[1] for row in table.rows] == ["1", "1"]


def test_of_many_failures_the_last_are_listed(
    facts: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    (failed,) = (t for t in facts.ended if t.state == "FAIL")
    again = dataclasses.replace(failed, number=99)
    many = dataclasses.replace(facts, ended=[*facts.ended, again])
    assert "The last" not in section(many, "Failed and stopped trials")
    monkeypatch.setattr(budget, "N_FAILED", 1)
    said = section(many, "Failed and stopped trials")
    assert "The last 1 of 2; all are in `trials.csv`." in said
    assert "| 99 |" in said
    assert f"| {failed.number} |" not in said


def test_figures_of_a_long_search_say_what_they_leave_out(
    facts: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def captions() -> list[str]:
        (history, _) = (
            block for block in blocks_of(facts, "How the search went") if isinstance(block, Figure)
        )
        return [history.caption, slices_caption(facts)]

    assert not any("Shown are" in caption for caption in captions())
    monkeypatch.setattr(figures, "N_SHOWN", 8)
    assert len(captions()) == 2
    for caption in captions():
        assert f"of {recorded.N_COUNTED} trials: the best, and a sample" in caption


def test_every_row_of_every_table_is_as_long_as_its_head(facts: StudySummary) -> None:
    tables = [block for block in contents.blocks(facts) if isinstance(block, Table)]
    # bought, champion, best, records, pruning, cost, failures, where the best lie, importance,
    # sizes, references, claims, how, all
    assert len(tables) == 14
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_what_did_not_vary_is_said_to_be_left_out(facts: StudySummary) -> None:
    same = dataclasses.replace(facts, constant=["units_1", "dropout"])
    said = section(same, "Which hyperparameters matter")
    assert "these trials have one value of it: `units_1` and `dropout`" in said
    none = section(dataclasses.replace(same, importance={}), "Which hyperparameters matter")
    assert "these trials have one value of it: `units_1` and `dropout`" in none
    assert "| importance |" not in none
    assert "None shows in what came of the trials" in none


def test_a_space_of_which_all_was_tried_says_so(facts: StudySummary) -> None:
    assert "was tried" not in section(facts, "How this was made")
    tried = dataclasses.replace(facts, is_exhausted=True)
    assert "all that the space has was tried" in section(tried, "How this was made")


# trials.csv


def test_the_csv_has_a_row_for_each_trial_that_counts(facts: StudySummary) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(facts))))
    assert [int(row["trial"]) for row in rows] == [t.number for t in facts.ended]
    champion = next(row for row in rows if row["trial"] == str(recorded.CHAMPION))
    assert (champion["units_1"], champion["units_2"], champion["units_3"]) == ("487", "243", "")
    assert float(champion["val_accuracy"]) == 0.8950
    assert champion["nesterov"] == "False"
    failed = next(row for row in rows if row["state"] == "FAIL")
    assert failed["reason"] == recorded.REASON
    assert failed["n_parameters"] == ""


def test_the_csv_tells_from_which_earlier_trial_a_network_is(facts: StudySummary) -> None:
    assert "started_from" not in as_csv(facts).splitlines()[0].split(",")
    first, *others = facts.ended
    warm = dataclasses.replace(first, started_from="houses, trial 3")
    rows = list(
        csv.DictReader(io.StringIO(as_csv(dataclasses.replace(facts, ended=[warm, *others]))))
    )
    assert [row["started_from"] for row in rows] == ["houses, trial 3", *[""] * len(others)]


def test_counts_in_the_csv_are_whole_numbers(facts: StudySummary) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(facts))))
    for row in rows:
        for name in ("n_parameters", "seed", "units_1", "units_2", "units_3", "best_epoch"):
            assert re.fullmatch(r"\d*", row[name]), (name, row[name])


def test_the_layers_stand_side_by_side_in_the_csv(facts: StudySummary) -> None:
    names = as_csv(facts).splitlines()[0].split(",")
    first = names.index("units_1")
    assert names[first : first + 3] == ["units_1", "units_2", "units_3"]
    assert names[-1] == "nesterov"


# When there is nothing to report


def test_no_complete_trial_is_one_sentence(recorded_study: Project) -> None:
    stored = recorded.open_stored(recorded_study)
    study, spec = stored.study, stored.spec
    empty = optuna.create_study(direction="maximize")
    empty.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    with pytest.raises(PipelineError) as caught:
        summarize(dataclasses.replace(stored, study=empty))
    assert str(caught.value) == (
        "study 'recorded' has no trial with a value yet: nothing to report"
    )
    assert study.user_attrs[study_store.FINGERPRINT] == spec.fingerprint


def test_an_unknown_study_is_one_line(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", "absent"])
    assert run_command(report_command.main) == 1
    said, complaint = capsys.readouterr()
    assert said == ""
    assert len(complaint.splitlines()) == 1
    assert "no study 'absent' yet; studies/absent.toml: no such study file" in complaint
    assert not recorded_study.report_dir("absent").exists()


def test_a_changed_study_file_is_told_with_its_date(recorded_study: Project) -> None:
    facts = summarize(studies.stored_study(recorded_study, recorded.NAME))
    note = {"when": "2026-01-02 03:04", "n_trials": 1, "what": ["[[reference]] 'new' added"]}
    text = document.as_markdown("", contents.blocks(dataclasses.replace(facts, changes=[note])))
    said = "On 2026-01-02 03:04, after 1 trial, the study file was changed: "
    assert said in text
