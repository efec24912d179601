"""What a report says of trials that were paused or pruned, of a made-up study."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
import recorded

from pipeline.paths import Project
from pipeline.report import document
from pipeline.report.pruning_section import pruning
from pipeline.report.summary import StudySummary, as_csv, summarize
from pipeline.study.trial import State, Trial, ranking


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def with_drawn(facts: StudySummary, drawn: list[Trial]) -> StudySummary:
    """The references of the recorded study, and other trials than it has drawn."""
    ended = [trial for trial in facts.ended if trial.reference] + drawn
    return dataclasses.replace(facts, ended=ended, ranked=ranking(ended, facts.spec.direction))


def made(facts: StudySummary, values: list[float], state: State, **others: Any) -> Trial:
    """A trial of at most 8 epochs of two seconds."""
    history = {"loss": values, "val_accuracy": values, "seconds": [2.0] * len(values)}
    best = max(values)
    known = next(trial for trial in facts.ended if trial.is_drawn and trial.hyperparameters)
    return dataclasses.replace(
        known, history=history, value=best, best_epoch=values.index(best) + 1, state=state,
        **others,
    )  # fmt: skip


def test_of_a_pruner_it_says_where_trials_ended_and_what_that_saved(facts: StudySummary) -> None:
    said = document.as_markdown("", pruning(facts))
    assert (
        "Of 14 drawn trials 8 came to their own end, 5 were pruned and 1 failed or was stopped."
    ) in said
    assert "| after epoch | came to it | pruned there | went on |" in said
    assert "| 2 | 13 | 3 | 10 |" in said
    assert "paused" not in said


def test_of_a_policy_it_says_who_was_paused_promoted_and_let_go(facts: StudySummary) -> None:
    values = [0.5 + i / 100 for i in range(8)]
    drawn = [
        made(facts, values, State.COMPLETE, number=2, pauses=(1, 3)),
        made(facts, values[:3], State.PRUNED, number=3, pauses=(1, 3)),
        made(facts, values[:1], State.PRUNED, number=4, pauses=(1,)),
        made(facts, values, State.COMPLETE, number=5),
    ]
    said = document.as_markdown("", pruning(with_drawn(facts, drawn)))
    assert (
        "Of 4 drawn trials 3 were paused, of which 2 went on; 2 came to their own end and 2 were "
        "let go while paused."
    ) in said
    assert "| after epoch | came to it | paused there | went on |" in said
    assert "| 1 | 4 | 3 | 3 |\n| 3 | 3 | 2 | 2 |" in said
    assert "trained for 20 epochs in 40.0 seconds" in said
    assert "at most 32 in 64.0 seconds" in said
    assert "at most 12 epochs and 24.0 seconds (38 %)" in said
    assert "upper bound" in said


def test_where_no_trial_was_dropped_it_says_nothing(facts: StudySummary) -> None:
    whole = with_drawn(facts, [made(facts, [0.5, 0.6], State.COMPLETE, number=2)])
    assert pruning(whole) == []
    assert "pauses" not in as_csv(whole).splitlines()[0]


def test_the_csv_has_the_pauses_of_a_study_that_pauses(facts: StudySummary) -> None:
    drawn = [
        made(facts, [0.5] * 4, State.PRUNED, number=2, pauses=(1, 3)),
        made(facts, [0.5] * 8, State.COMPLETE, number=3),
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(with_drawn(facts, drawn)))))
    assert [row["pauses"] for row in rows] == ["", "", "1 3", ""]
