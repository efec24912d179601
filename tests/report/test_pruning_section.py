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
from pipeline.report.sections.pruning import pruning
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
    assert "it would have been 32 in 64.0 seconds." in said
    assert "So 12 epochs and 24.0 seconds (38 % of that) were saved;" in said
    assert "upper bound" in said


def test_where_nothing_was_dropped_nothing_was_saved(facts: StudySummary) -> None:
    drawn = [made(facts, [0.5] * 8, State.COMPLETE, number=2, pauses=(1,))]
    said = document.as_markdown("", pruning(with_drawn(facts, drawn)))
    assert said.rstrip().endswith("They were trained for 8 epochs in 16.0 seconds.")


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


def test_an_audit_says_how_often_a_top_trial_would_have_been_lost(facts: StudySummary) -> None:
    drawn = [
        made(facts, [0.5, 0.5, 0.9], State.COMPLETE, number=2, audited_after=2),
        made(facts, [0.5, 0.6, 0.5, 0.5], State.COMPLETE, number=3, audited_after=1),
        *(made(facts, [0.4], State.PRUNED, number=n) for n in range(4, 12)),
    ]
    audited = with_drawn(facts, drawn)
    audited = dataclasses.replace(audited, spec=facts.spec.model_copy(update={"audit": 0.25}))
    said = document.as_markdown("", pruning(audited))
    assert "| after epoch | came to it | pruned there | audited there | went on |" in said
    assert "| 1 | 10 | 8 | 1 | 2 |\n| 2 | 2 | 0 | 1 | 2 |" in said
    assert (
        "Audit: 2 trials that would have been pruned were trained to their own end, with a chance "
        "of 25 % each: 2 complete. A top trial is one of the best 10 %, here 1 of 10 drawn trials;"
    ) in said
    assert "only after it would have been pruned. That is so of 1 of 2 (trial 2): 50 %, " in said
    assert "95 % interval 9 % to 91 %." in said
    assert "took 4 epochs and 8.0 seconds." in said
    assert "upper bound, for some of them" not in said
    sampler = audited.spec.sampler.model_copy(update={"type": "FreezeThawSampler"})
    paused = audited.spec.model_copy(update={"sampler": sampler})
    said = document.as_markdown("", pruning(dataclasses.replace(audited, spec=paused)))
    assert "2 trials that would have been paused for the first time were trained" in said
    assert "upper bound, for some of them might have gone on later." in said
    rows = list(csv.DictReader(io.StringIO(as_csv(audited))))
    assert [row["audited_after"] for row in rows] == ["", "", "2", "1", *[""] * 8]
