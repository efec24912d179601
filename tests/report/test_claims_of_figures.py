"""What figures and answers claim, of studies in which a careless claim would be wrong."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import recorded
from test_scored_metrics import RMSE, as_if, of_houses

from pipeline.paths import Project
from pipeline.report import contents
from pipeline.report.document import Answers, Figure, Panels
from pipeline.report.summary import StudySummary, summarize
from pipeline.study.trial import Trial, ranking


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def of_trials(facts: StudySummary, ended: Sequence[Trial]) -> StudySummary:
    ranked = ranking(ended, facts.spec.direction)
    return dataclasses.replace(facts, ended=ended, ranked=ranked, importance={})


def titles(facts: StudySummary) -> list[str]:
    return [each.title for each in contents.blocks(facts) if isinstance(each, Figure | Panels)]


def answer(facts: StudySummary, question: str) -> str:
    (asked,) = (each for each in contents.blocks(facts) if isinstance(each, Answers))
    return next(row.answer for row in asked.rows if row.question.startswith(question))


def alike(trial: Trial) -> Trial:
    """The trial, if it had come to what every other one came to."""
    history = {name: [0.5] * len(values) for name, values in trial.history.items()}
    return dataclasses.replace(trial, value=trial.value and 0.5, history=history)


def test_of_a_single_trial_nothing_is_concluded(facts: StudySummary) -> None:
    single = of_trials(facts, [trial for trial in facts.ended if trial.is_drawn][:1])
    assert answer(single, "By how much") == "No other network has a value."
    assert "flatters" not in answer(single, "How sure")
    assert answer(single, "Where do the best lie") == (
        "1 drawn trial is too few to say whether a bound is too tight; 8 are needed."
    )
    assert answer(single, "What next").startswith("Search for longer")
    said = titles(single)
    assert all(said)
    assert "1 drawn trial is too few to see where the best lie." in said
    assert "100 % of the time of workers went into the winner." in said


def test_of_trials_that_are_all_alike_none_is_ahead(facts: StudySummary) -> None:
    same = of_trials(facts, [alike(trial) for trial in facts.ended])
    assert answer(same, "By how much").startswith("By nothing: the second (trial 1) has the same")
    said = titles(same)
    assert "The best 10 trials have the same accuracy." in said
    assert (
        "The best value, 0.5000, is that of trial 0, and 15 trials after it were no better."
        in (said)
    )
    assert "The best network is the smallest of all that were tried." in said


def test_before_a_drawn_trial_has_a_value_no_bound_is_judged(facts: StudySummary) -> None:
    known = of_trials(facts, [trial for trial in facts.ended if trial.reference])
    assert answer(known, "Where do the best lie").startswith("0 drawn trials are too few")
    assert answer(known, "Was the budget enough") == (
        "Not known: no trial that was drawn has a value yet."
    )
    assert "No network of half the size was tried." in titles(known)


def test_the_lower_error_is_ahead(facts: StudySummary) -> None:
    with pytest.MonkeyPatch.context() as patch:
        houses = as_if(facts, patch, RMSE, of_houses, 0.02)
        assert answer(houses, "By how much") == (
            "By 70.8 of RMSE it is ahead of the second (trial 7), in one run of each."
        )
        assert answer(houses, "Against what was known").startswith("By 447.1 of RMSE it is ahead")
        assert all(titles(houses))


def test_where_not_all_of_the_best_have_it_that_is_said(facts: StudySummary) -> None:
    spec = facts.spec.model_copy(update={"space": {"dropout": facts.spec.space["dropout"]}})
    (said,) = (each for each in titles(dataclasses.replace(facts, spec=spec)) if "dropout" in each)
    assert said == "Where the best 8 have `dropout`, it is 0 to 0.24."


def test_the_best_so_far_is_drawn_when_it_was_there(facts: StudySummary) -> None:
    """Trial 0 ends last: the line does not have its value before."""
    late = max(trial.ended for trial in facts.ended) + 60
    ended = [
        dataclasses.replace(trial, ended=late, value=0.9) if trial.number == 0 else trial
        for trial in facts.ended
    ]
    figures = [b for b in contents.blocks(of_trials(facts, ended)) if isinstance(b, Figure)]
    (timed,) = (b for b in figures if b.title.startswith("The search had its best value, 0.9000"))
    line = timed.figure.data[-1]
    assert list(line.y) == sorted(line.y)
    assert line.y[0] < 0.9
    assert "100 % of the time" in timed.title
