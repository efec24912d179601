"""Which networks were the best so far, after how many trials and minutes of a search."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import recorded
from test_finals_section import with_finals

from pipeline.paths import Project
from pipeline.report.incumbents import at_minutes, at_trials, incumbents
from pipeline.report.summary import StudySummary, summarize


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def ended_at(facts: StudySummary, ends: Sequence[float], minutes: float) -> StudySummary:
    """The study's first trials, had they ended then, and had each been trained for ten seconds."""
    ended = [
        dataclasses.replace(trial, ended=end, history={**trial.history, "seconds": [10.0]})
        for trial, end in zip(facts.ended, ends, strict=False)
    ]
    return dataclasses.replace(facts, ended=ended, minutes=minutes)


def test_they_are_the_records_of_the_report(facts: StudySummary) -> None:
    found = incumbents(facts)
    assert [(each.trial.number, each.value) for each in found] == [
        (0, 0.8790), (1, 0.8830), (recorded.SECOND, 0.8931), (recorded.CHAMPION, 0.8950),
    ]  # fmt: skip
    assert [each.n_trials for each in found] == [1, 2, 7, 9], "one was interrupted"


def test_what_ended_first_is_first_whatever_its_number(facts: StudySummary) -> None:
    last = max(trial.ended for trial in facts.ended)
    ended = [
        dataclasses.replace(trial, ended=last + 1) if trial.number == recorded.SECOND else trial
        for trial in facts.ended
    ]
    found = incumbents(dataclasses.replace(facts, ended=ended))
    assert [each.trial.number for each in found] == [0, 1, recorded.CHAMPION]


def test_finals_are_no_part_of_a_search(facts: StudySummary) -> None:
    known = [each.trial.number for each in incumbents(facts)]
    finals = with_finals(facts, reference_is_best=True)
    assert max(trial.value or 0.0 for trial in finals.ended) > 0.92
    assert [each.trial.number for each in incumbents(finals)] == known
    assert finals.minutes_used == facts.minutes_used


def test_time_is_counted_back_from_the_end_of_the_last_trial(facts: StudySummary) -> None:
    used = ended_at(facts, [1010, 1020, 1030], 1.0).minutes_used
    assert [60 * used[number] for number in (0, 1, 2)] == pytest.approx([40, 50, 60])


@pytest.mark.parametrize(
    ("ends", "used"),
    [
        ([1010, 1020, 9030], [10, 20, 60]),  # one gap is too long
        ([1010, 1510, 2510], [10, 35, 60]),  # two are: both become as long
        ([1010, 1010, 1010], [60, 60, 60]),
    ],
)
def test_time_in_which_nobody_searched_is_left_out(
    ends: list[float], used: list[float], facts: StudySummary
) -> None:
    found = ended_at(facts, ends, 1.0).minutes_used
    assert [60 * found[number] for number in (0, 1, 2)] == pytest.approx(used)


def test_all_trials_ended_within_the_time_that_was_used(facts: StudySummary) -> None:
    used = facts.minutes_used
    assert len(used) == recorded.N_COUNTED
    assert 0 < min(used.values()) < max(used.values()) == facts.minutes


def test_without_the_end_of_each_trial_no_time_is_known(facts: StudySummary) -> None:
    assert ended_at(facts, [1010, 0.0], 1.0).minutes_used == {}
    assert ended_at(facts, [1010, 1020], 0.0).minutes_used == {}
    (first, *_) = incumbents(ended_at(facts, [1010, 0.0], 1.0))
    assert first.minutes is None


def test_the_incumbent_at_a_budget(facts: StudySummary) -> None:
    found = incumbents(ended_at(facts, [1010, 1020, 1030], 1.0))
    assert at_minutes(found, 39 / 60) is None
    early, late = at_minutes(found, 41 / 60), at_minutes(found, 1.0)
    assert early
    assert late
    assert (early.trial.number, late.trial.number) == (0, 1)
    assert at_trials(found, 0) is None
    first = at_trials(found, 1)
    assert first
    assert first.trial.number == 0
