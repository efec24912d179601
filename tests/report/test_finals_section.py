"""What a report says of finals: the recorded study, with finals as a search would hold them."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import recorded

from pipeline.evaluation.finals import judge_finals
from pipeline.evaluation.intervals import Interval
from pipeline.paths import Project
from pipeline.report import contents, document
from pipeline.report.as_json import as_json
from pipeline.report.baseline import Baseline
from pipeline.report.sections import next_study
from pipeline.report.sections.search import best_so_far
from pipeline.report.summary import StudySummary, summarize
from pipeline.study import finals
from pipeline.study.finals import Held
from pipeline.study.load import parse
from pipeline.study.spec import Finals
from pipeline.study.trial import Trial, ranking


@pytest.fixture(scope="module")
def plain(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def with_finals(facts: StudySummary, *, reference_is_best: bool = False) -> StudySummary:
    """The study after finals of four networks; the best first run was a lucky one."""
    trials = list(facts.ended)
    plan = finals.lay_out(trials, "maximize", 4, 4, None, {"n_searched": len(trials)})
    assert plan
    while lacking := finals.wanted(plan, trials, "maximize"):
        for number, repeat in lacking:
            first = next(trial for trial in trials if trial.number == number)
            assert first.value is not None
            value = first.value - (0.008 if number == recorded.CHAMPION else 0.001 * repeat)
            value += 0.05 * bool(first.reference and reference_is_best)
            curves = recorded.history(value, first.n_epochs, first.best_epoch)
            trials.append(
                replace(
                    first, number=len(trials) + 20, value=value, history=curves,
                    reference="", final_of=number, repeat=repeat, run_id=f"{len(trials):032x}",
                )
            )  # fmt: skip
    best = finals.winner(plan, trials, "maximize")
    assert best
    held = Held(plan, best.number, {})
    judged = judge_finals(held, trials, facts.spec.objective, facts.n_validation_examples)
    return replace(
        facts, ended=trials, ranked=ranking(trials, "maximize"), plan=plan, judged=judged,
        winner=finals.best_run(best, "maximize"),
    )  # fmt: skip


def text(facts: StudySummary) -> str:
    return document.as_markdown("Study", contents.blocks(facts))


def test_the_winner_is_told_first_and_not_the_luckiest(plain: StudySummary) -> None:
    said = text(with_finals(plain))
    verdict = said[said.index("## Verdict") : said.index("## Finals")]
    assert f"The winner is the network of trial {recorded.SECOND}:" in verdict
    assert "adjusted for having been selected" in verdict
    assert "optimistically biased" not in verdict
    assert "the best reference, 'book: dropout | 0.3'" in verdict
    assert "is the model that is handed over" in verdict


def test_every_finalist_has_a_row(plain: StudySummary) -> None:
    facts = with_finals(plain)
    said = text(facts)
    table = said[said.index("## Finals") : said.index("## What searching bought")]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert facts.judged
    assert len(rows) == len(facts.judged.standings) == 5
    assert rows[0].startswith(f"| **Trial {recorded.SECOND}** | 3 |")
    assert "4 networks until each had 1 and 2 networks until each had 3 fresh runs" in table
    assert "differences are taken as between answers to different ones" in table


def test_without_finals_there_is_no_section(plain: StudySummary) -> None:
    assert "## Finals" not in text(plain)


def test_a_reference_that_wins_says_that_searching_found_nothing(plain: StudySummary) -> None:
    said = text(with_finals(plain, reference_is_best=True))
    assert "The winner is the reference 'book: dropout | 0.3':" in said
    assert "searching has found nothing that is better" in said


def test_a_trial_of_finals_is_told_apart_in_the_table_of_the_best(plain: StudySummary) -> None:
    facts = with_finals(plain)
    again: list[Trial] = [trial for trial in facts.ended if trial.is_final]
    assert f"(trial {again[0].final_of} again)" in text(facts)


def test_finals_are_no_records_of_the_search(plain: StudySummary) -> None:
    facts = with_finals(plain)
    _, records = best_so_far(facts)
    assert not any(trial.is_final for trial in records)
    lucky = [replace(t, value=0.99) if t.is_final else t for t in facts.ended]
    ranked = ranking(lucky, "maximize")
    assert best_so_far(replace(facts, ended=lucky, ranked=ranked))[1] == records


def test_if_finals_cannot_tell_the_next_study_has_more_of_them(plain: StudySummary) -> None:
    facts = with_finals(plain)
    assert facts.judged
    unsure = replace(facts, judged=replace(facts.judged, probability=0.6))
    sure = replace(facts, judged=replace(facts.judged, reference=None))
    for share, then in ((0.2, 0.4), (0.4, 0.5), (0.7, 0.7)):
        spec = plain.spec.model_copy(update={"finals": Finals(share=share, seeds=3)})
        found = parse("next", tomllib.loads(next_study.study_file(replace(unsure, spec=spec))))
        assert found.finals == Finals(share=then, seeds=3)
        found = parse("next", tomllib.loads(next_study.study_file(replace(sure, spec=spec))))
        assert found.finals == spec.finals


# Beside another study whose winner finals have judged, too


def beside(facts: StudySummary, ahead: float) -> StudySummary:
    """The study named beside itself, as if that had been better by so much."""
    assert facts.judged
    first = facts.judged.winner
    mean, known = first.value.mean + ahead, first.value.interval
    value = replace(
        first.value, mean=mean, interval=Interval(known.low + ahead, known.high + ahead)
    )
    theirs = replace(facts.judged, winner=replace(first, value=value))
    spec = facts.spec.model_copy(update={"baseline": "random"})
    return replace(facts, spec=spec, baseline=Baseline(facts.champion, facts.ended, 9.87, theirs))


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (-0.002, "better by 0.0020, which may be chance"),
        (-0.09, "better by 0.0900, which is more than chance"),
        (0.09, "worse by 0.0900, which is more than chance"),
        (0.0, "as good."),
    ],
)
def test_finals_are_held_against_those_of_the_baseline(
    plain: StudySummary, ahead: float, said: str
) -> None:
    facts = beside(with_finals(plain), ahead)
    assert facts.judged
    assert facts.baseline
    told = text(facts)
    n = sum(not trial.is_final for trial in facts.ended)
    expected = facts.spec.objective.show(facts.judged.winner.value.mean + ahead)
    spent = f"{n} trials in 9.9 minutes"
    assert f"{expected} is expected of its winner, after {spent}. This winner" in told
    assert f"This winner is {said}" in told
    assert f"| study `random`: winner of finals, of {spent} | {expected} |" in told
    assert "a baseline study's is one run" not in told
    values = json.loads(as_json(facts))["baseline"]
    assert facts.spec.objective.show(values["expected"]) == expected
    unjudged = replace(facts, baseline=replace(facts.baseline, judged=None))
    assert f"| study `random`: best of {spent} |" in text(unjudged)
    assert "a baseline study's is one run, the best of several." in text(unjudged)
    assert json.loads(as_json(unjudged))["baseline"]["expected"] is None
