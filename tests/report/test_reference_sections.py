"""The part of a report on references: their numbers, the claims, the curves."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import recorded

from pipeline.evaluation import claims
from pipeline.paths import Project
from pipeline.report import document, html_page
from pipeline.report.document import Block, Heading, Panels, Paragraph, Table
from pipeline.report.sections import references
from pipeline.report.summary import StudySummary, summarize
from pipeline.study.spec import Comparison, Reference
from pipeline.study.trial import State, Trial

NAMES = ("book: adam", "book: dropout | 0.3")
LAST = [0.880, 0.883, 0.881]  # accuracies of three seeds


@pytest.fixture(scope="module")
def single(recorded_folder: Path) -> StudySummary:
    """The recorded study: each reference was run once."""
    project = Project(recorded_folder)
    return summarize(recorded.open_stored(project))


@pytest.fixture(scope="module")
def facts(single: StudySummary) -> StudySummary:
    """Both references with three seeds; the second gains .01 with each."""
    return with_runs(single, LAST, [value + 0.01 for value in LAST])


def with_runs(facts: StudySummary, *accuracies: Sequence[float]) -> StudySummary:
    """The study with other runs of its references, of eight epochs, the last the best."""
    runs = [
        dataclasses.replace(
            next(trial for trial in facts.ended if trial.reference == name),
            number=100 * i + seed,
            seed=seed,
            value=value,
            best_epoch=8,
            history=recorded.history(value, 8, 8),
            n_parameters=79_510,
        )
        for i, (name, values) in enumerate(zip(NAMES, accuracies, strict=True))
        for seed, value in enumerate(values)
    ]
    return dataclasses.replace(facts, ended=runs)


def with_claim(
    facts: StudySummary, comparison: Sequence[Comparison] = (), **claim: float
) -> StudySummary:
    """Nothing is claimed but this, of the first reference."""
    first, second = facts.spec.reference
    changed = (
        first.model_copy(update={"claim": {**claim, "source": "p. 3"} if claim else {}}),
        second.model_copy(update={"claim": {}}),
    )
    spec = facts.spec.model_copy(update={"reference": changed, "comparison": tuple(comparison)})
    return dataclasses.replace(facts, spec=spec)


def comparison(**changes: Any) -> Comparison:
    known = {
        "claim": "Dropout helps",
        "first": NAMES[1],
        "second": NAMES[0],
        "measure": "last_val_accuracy",
        "difference": "positive",
    }
    return Comparison.model_validate({**known, **changes})


def section(facts: StudySummary, heading: str) -> list[Block]:
    blocks = references.blocks(facts)
    if Heading(heading) not in blocks:
        return []
    after = blocks[blocks.index(Heading(heading)) + 1 :]
    ends = [i for i, block in enumerate(after) if isinstance(block, Heading)]
    return after[: ends[0]] if ends else after


def rows(facts: StudySummary, heading: str) -> list[list[str]]:
    (table,) = (block for block in section(facts, heading) if isinstance(block, Table))
    assert all(len(row) == len(table.columns) for row in table.rows)
    return [list(row) for row in table.rows]


def said(facts: StudySummary, heading: str) -> str:
    blocks = section(facts, heading)
    return " ".join(block.text for block in blocks if isinstance(block, Paragraph))


def test_a_study_without_references_has_no_such_part(facts: StudySummary) -> None:
    spec = facts.spec.model_copy(update={"reference": ()})
    assert references.blocks(dataclasses.replace(facts, spec=spec)) == []


# Their numbers


def test_a_single_run_is_a_number_and_several_a_mean_with_its_interval(
    single: StudySummary, facts: StudySummary
) -> None:
    (row, _), (mean_row, _) = rows(single, "References"), rows(facts, "References")
    hyperparameters = facts.spec.reference[0].network
    assert row[0] == mean_row[0] == f"book: adam: {hyperparameters}"
    assert row[1:5] == ["1", "10,000", "0.9030", "0.8764"]
    interval = claims.estimate(LAST).interval
    assert mean_row[1:3] == ["3", "79,510"]
    assert mean_row[4] == f"0.8813 ({interval})"
    assert mean_row[6] == "8", "the same in every run: no interval"


def test_runs_that_are_not_complete_are_not_counted(facts: StudySummary) -> None:
    failed = dataclasses.replace(facts.ended[0], state=State.FAIL, history={}, value=None)
    ended = [failed, *facts.ended[1:]]
    row, _ = rows(dataclasses.replace(facts, ended=ended), "References")
    assert row[1] == "2"


# Claims


@pytest.mark.parametrize(
    ("name", "published", "cells"),
    [
        ("last_val_accuracy", 0.8820, ["0.8820", "3", "holds"]),
        ("last_val_accuracy", 0.8900, ["0.8900", "3", "does not hold"]),
        ("n_parameters", 79_510, ["79,510", "3", "holds"]),
        ("n_parameters", 79_511, ["79,511", "3", "does not hold"]),
        ("n_epochs", 8, ["8", "3", "holds"]),
    ],
)
def test_a_published_number_has_its_verdict(
    facts: StudySummary, name: str, published: float, cells: list[str]
) -> None:
    (row,) = rows(with_claim(facts, (), **{name: published}), "Claims")
    assert [row[1], row[3], row[4]] == cells
    assert row[0].startswith("book: adam: ")
    assert row[5] == "p. 3"


def test_measured_is_the_mean_with_its_interval_or_an_exact_number(facts: StudySummary) -> None:
    known = with_claim(facts, last_val_accuracy=0.88, n_parameters=7850)
    mean, exact = rows(known, "Claims")
    assert mean[2] == f"0.8813 ({claims.estimate(LAST).interval})"
    assert exact[2] == "79,510"


@pytest.mark.parametrize(
    ("changes", "wanted", "published", "verdict"),
    [
        ({}, "above 0", "", "holds"),
        ({"difference": "negative"}, "below 0", "", "does not hold"),
        ({"difference": "none"}, "within 0 of zero", "", "does not hold"),
        ({"difference": "none", "margin": 0.02}, "within 0.02 of zero", "", "holds"),
        (
            {"difference": "none", "margin": 0.02, "published": 0.001},
            "within 0.02 of zero",
            "+0.0010",
            "holds",
        ),
        ({"margin": 0.02}, "above 0.02", "", "does not hold"),
        ({"difference": "negative", "margin": 0.02}, "below -0.02", "", "does not hold"),
        ({"published": 0.0192}, "above 0", "+0.0192", "holds"),
        ({"measure": "n_epochs", "published": -3}, "above 0", "-3", "does not hold"),
    ],
    ids=str,
)
def test_a_comparison_says_what_was_wanted_and_found(
    facts: StudySummary, changes: dict[str, Any], wanted: str, published: str, verdict: str
) -> None:
    ((about, number, measured, n, found, source),) = rows(
        with_claim(facts, [comparison(source="p. 9", **changes)]), "Claims"
    )
    assert about.startswith("Dropout helps (")
    assert about.endswith(f", 'book: dropout | 0.3' less 'book: adam': {wanted})")
    assert (number, n, found, source) == (published, "3", verdict, "p. 9")
    assert measured.split(" (")[0] == ("+0" if "measure" in changes else "+0.0100")


def test_an_interval_of_a_difference_has_signs(single: StudySummary) -> None:
    known = with_runs(single, LAST, [0.885, 0.884, 0.881])
    ((_, _, measured, *_),) = rows(with_claim(known, [comparison()]), "Claims")
    interval = claims.estimate([0.005, 0.001, 0.0]).interval
    assert interval is not None
    assert measured == f"+0.0020 ({interval.low:+.4f} to {interval.high:+.4f})"


def test_a_claim_that_was_not_measured_is_listed_all_the_same(facts: StudySummary) -> None:
    first_only = dataclasses.replace(facts, ended=facts.ended[3:])
    known = with_claim(first_only, [comparison()], val_loss=0.3)
    number, difference = rows(known, "Claims")
    assert number[1:5] == ["0.3000", "", "0", "cannot tell"]
    assert difference[2:5] == ["", "0", "cannot tell"]


def test_without_claims_there_is_no_such_section(facts: StudySummary) -> None:
    known = with_claim(facts)
    assert section(known, "Claims") == []
    assert section(known, "References") != []


def test_comparisons_are_explained_where_there_are_any(facts: StudySummary) -> None:
    assert "pairs of the same seed" not in said(with_claim(facts, val_loss=0.3), "Claims")
    assert "pairs of the same seed" in said(with_claim(facts, [comparison()]), "Claims")


def test_logistic_regression_has_its_row_and_claims(facts: StudySummary) -> None:
    other = Reference(name="logistic", trainer="sgd_classifier", claim={"val_accuracy": 0.8196})
    spec = facts.spec.model_copy(update={"reference": (other,)})
    runs: list[Trial] = [
        dataclasses.replace(
            run,
            reference="logistic",
            hyperparameters=None,
            n_parameters=7850,
            best_epoch=1,
            history={
                **{name: [run.history[name][-1]] for name in ("loss", "val_loss", "accuracy")},
                "val_accuracy": [0.8193 + 0.0003 * run.number],
                **{f"fold_{i}": [0.8 + i / 100] for i in range(1, 6)},
            },
        )
        for run in facts.ended[:3]
    ]
    known = dataclasses.replace(facts, spec=spec, ended=runs)
    table, folds = (each for each in section(known, "References") if isinstance(each, Table))
    assert table.rows[0][:3] == ["logistic", "3", "7,850"]
    scores = ["0.8100", "0.8200", "0.8300", "0.8400", "0.8500"]
    assert folds.rows[0] == ["logistic", "0", *scores, "0.8193"]
    assert len(folds.rows) == 3
    (claim,) = rows(known, "Claims")
    assert claim[1:5] == ["0.8196", "0.8196 (0.8189 to 0.8203)", "3", "holds"]
    assert section(known, "Curves of the references") == [], "a single epoch is no curve"


# Curves


def captions(facts: StudySummary) -> list[str]:
    blocks = section(facts, "Curves of the references")
    assert all(isinstance(block, Panels) for block in blocks[1:])
    return [block.caption for block in blocks if isinstance(block, Panels)]


def test_curves_are_drawn_of_references_with_several_runs(
    single: StudySummary, facts: StudySummary
) -> None:
    assert captions(single) == []
    assert captions(facts) == [
        f"**{name}**: mean of 3 seeds; the band is from the lowest to the highest."
        for name in NAMES
    ]
    assert len(captions(with_runs(single, LAST, [0.88]))) == 1


def test_a_band_of_runs_that_stopped_early_says_so(facts: StudySummary) -> None:
    curves = recorded.history(0.88, 5, 5)
    short = dataclasses.replace(facts.ended[0], history=curves, best_epoch=5)
    first, second = captions(dataclasses.replace(facts, ended=[short, *facts.ended[1:]]))
    assert first.endswith("to the highest, at each epoch of those that came so far.")
    assert second.endswith("to the highest.")


def test_the_whole_part_can_be_written_in_both_forms(facts: StudySummary) -> None:
    blocks = references.blocks(with_claim(facts, [comparison()], val_loss=0.3))
    headings = ["References", "Claims", "Curves of the references"]
    assert [block.text for block in blocks if isinstance(block, Heading)] == headings
    assert document.as_markdown("", blocks).count("\n| ") == 3 + 1 + 3 + 1
    assert html_page.as_html("", blocks).count("<figure>") == 2
