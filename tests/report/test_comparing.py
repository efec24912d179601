"""Two studies side by side: who is ahead and whether that may be chance, and what is refused."""

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import recorded
from test_finals_section import with_finals
from test_scored_metrics import RMSE, as_if, of_houses

from pipeline.errors import UsageError, run_command
from pipeline.evaluation.intervals import Interval
from pipeline.evaluation.verdict import Estimate
from pipeline.paths import Project
from pipeline.report import __main__ as report_command
from pipeline.report import document
from pipeline.report.comparing import leads
from pipeline.report.comparing.compare import compare
from pipeline.report.document import Paragraph, Table
from pipeline.report.summary import StudySummary, summarize
from pipeline.storage import studies, study_store
from pipeline.study.ranges import FloatRange
from pipeline.study.resources import Resources
from pipeline.study.trial import Trial, ranking
from pipeline.task.settings import DataSettings

ROUND = "at equal time, after 2.8 minutes"


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def with_spec(facts: StudySummary, **changes: Any) -> StudySummary:
    """The study under another name, with another file."""
    spec = facts.spec.model_copy(update={"name": "other", **changes})
    return dataclasses.replace(facts, spec=spec)


def with_champion(facts: StudySummary, accuracy: float) -> StudySummary:
    """The other study, whose trial 9 came to another accuracy."""

    def changed(trial: Trial) -> Trial:
        if trial.number != recorded.CHAMPION:
            return trial
        curves = recorded.history(accuracy, trial.n_epochs, trial.best_epoch)
        return dataclasses.replace(trial, value=accuracy, history=curves)

    ended = [changed(trial) for trial in facts.ended]
    ranked = ranking(ended, facts.spec.direction)
    return dataclasses.replace(with_spec(facts), ended=ended, ranked=ranked)


def slowed_down(facts: StudySummary, factor: int) -> StudySummary:
    """The other study, that took so many times as long for the same."""
    start = facts.ended[0].ended
    ended = [
        dataclasses.replace(trial, ended=start + factor * (trial.ended - start))
        for trial in facts.ended
    ]
    return dataclasses.replace(with_spec(facts), ended=ended, minutes=factor * facts.minutes)


def without_times(facts: StudySummary) -> StudySummary:
    ended = [dataclasses.replace(trial, ended=0.0) for trial in facts.ended]
    return dataclasses.replace(facts, ended=ended)


def text(first: StudySummary, second: StudySummary) -> str:
    return document.as_markdown("Studies", compare(first, second))


def conclusions(first: StudySummary, second: StudySummary) -> tuple[str, str]:
    """The first two paragraphs: who is ahead at equal budget, and whose champion is better."""
    one, other, *_ = compare(first, second)
    assert isinstance(one, Paragraph)
    assert isinstance(other, Paragraph)
    return one.text, other.text


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of all tables of a section, heads included."""
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [re.split(r" ?\| ?", line)[1:-1] for line in lines]
    return [row for row in cells if not set("".join(row)) <= set("-: ")]


# The conclusion


def test_a_lead_that_may_be_chance(facts: StudySummary) -> None:
    conclusion, champions = conclusions(facts, with_champion(facts, 0.8960))
    assert conclusion == (
        f"Study `other` is ahead of `recorded` by 0.0010 {ROUND} (validation accuracy 0.8960 "
        "against 0.8950); by these 12,000 images alone that may be chance (95 % interval -0.0067 "
        "to +0.0087)."
    )
    assert champions == (
        "The champion of `other` is better than that of `recorded` by 0.0010 (validation accuracy "
        "0.8960 against 0.8950); by these 12,000 images alone that may be chance (95 % interval "
        "-0.0067 to +0.0087). That rests on one run of each, the best of 16 and of 16 trials: it "
        "tells of the images, neither of seeds nor of having been selected, since `recorded` and "
        "`other` have had no finals."
    )


def test_a_lead_beyond_chance_is_the_same_whoever_is_named_first(facts: StudySummary) -> None:
    better = with_champion(facts, 0.9300)
    (one, _), (other, _) = conclusions(facts, better), conclusions(better, facts)
    assert one == other
    assert one.startswith(f"Study `other` is ahead of `recorded` by 0.0350 {ROUND} (")
    assert "; that is more than chance in these 12,000 images would give (95 % " in one
    assert "interval +0.0279 to +0.0421)" in one


def test_two_that_came_to_the_same_are_level(facts: StudySummary) -> None:
    conclusion, champions = conclusions(facts, with_spec(facts))
    said = f"Studies `recorded` and `other` are level {ROUND}: validation accuracy 0.8950."
    assert conclusion == said
    assert champions.startswith("The champions are level: validation accuracy 0.8950. ")


def test_who_took_longer_is_behind_at_equal_time(facts: StudySummary) -> None:
    slow = slowed_down(facts, 10)
    conclusion, champions = conclusions(slow, facts)
    assert conclusion.startswith(
        f"Study `recorded` is ahead of `other` by 0.0160 {ROUND} (validation accuracy 0.8950 "
        "against 0.8790); that is more than chance"
    )
    assert champions.startswith("The champions are level")
    head, *lines = rows(text(facts, slow), "Best so far at equal budget")
    assert head == [
        "after minutes", "`recorded`", "trials of `recorded`", "`other`", "trials of `other`",
        "difference", "95 % interval",
    ]  # fmt: skip
    assert [line[0] for line in lines[:4]] == ["0.70", "1.40", "2.10", "2.80"]
    assert lines[3][:6] == ["2.80", "0.8950", "16", "0.8790", "1", "+0.0160"]
    assert lines[0][3:] == ["", "0", "", ""], "no trial of the slow one has ended"
    assert lines[4] == [
        "after trials", "`recorded`", "minutes of `recorded`", "`other`", "minutes of `other`",
        "difference", "95 % interval",
    ]  # fmt: skip
    assert [line[0] for line in lines[5:]] == ["4", "8", "12", "16"]
    assert lines[8][:6] == ["16", "0.8950", "2.80", "0.8950", "28.00", "+0.0000"]


def test_who_had_no_value_in_time_is_behind(facts: StudySummary) -> None:
    slow = slowed_down(facts, 100)
    assert conclusions(facts, slow)[0] == (
        f"Study `recorded` is ahead of `other` {ROUND}: by then `other` had no trial with a value."
    )


def test_where_times_are_not_known_trials_are_counted(facts: StudySummary) -> None:
    few = with_champion(facts, 0.7)
    few = without_times(dataclasses.replace(few, ended=few.ended[:9]))
    said = text(facts, few)
    assert "is ahead of `other` by 0.0019 after equally many trials, 9 each (validation" in said
    assert "When the trials of both ended is not known, so that times are left out." in said
    assert "after minutes" not in said
    last = rows(said, "Best so far at equal budget")[-1]
    assert last[:5] == ["9", "0.8950", "1.63", "0.8931", ""]


def test_where_trials_were_paused_equally_many_tell_nothing(facts: StudySummary) -> None:
    heading = "Best so far at equal budget"
    paused = [dataclasses.replace(trial, pauses=[2]) for trial in facts.ended[-3:]]
    pausing = dataclasses.replace(facts, ended=[*facts.ended[:-3], *paused])
    other = with_champion(facts, 0.8960)
    assert [row[0] for row in rows(text(facts, other), heading)].count("after trials") == 1
    told = text(pausing, other)
    assert "after trials" not in [row[0] for row in rows(told, heading)]
    assert "after minutes" in [row[0] for row in rows(told, heading)]
    assert "not compared after equally many trials, since those that `recorded` paused" in told
    blind = text(without_times(pausing), without_times(other))
    assert "after trials" in [row[0] for row in rows(blind, heading)], "nothing else is left"


def test_of_an_error_the_lower_one_is_ahead(
    facts: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = as_if(with_champion(facts, 0.9), monkeypatch, RMSE, of_houses, 0.02)
    houses = as_if(facts, monkeypatch, RMSE, of_houses, 0.02)
    conclusion, _ = conclusions(houses, better)
    assert conclusion == (
        f"Study `other` is ahead of `recorded` by 186.3 {ROUND} (validation RMSE 3,726.0 against "
        "3,912.3); by these 1,234 rows alone that may be chance (95 % interval -25.5 to +398.1)."
    )
    said = text(houses, better)
    assert "of which the lower is the better" in said
    assert rows(said, "Best so far at equal budget")[4][5:] == ["+186.3", "-25.5 to +398.1"]


def by_loss(facts: StudySummary) -> StudySummary:
    """The study, had it optimized the validation loss."""
    ended = [
        dataclasses.replace(trial, value=trial.history["val_loss"][trial.best_epoch - 1])
        for trial in facts.ended
    ]
    spec = facts.spec.model_copy(update={"metric": "val_loss"})
    ranked = ranking(ended, "minimize")
    return dataclasses.replace(facts, spec=spec, ended=ended, ranked=ranked)


def test_without_an_interval_nobody_says_what_is_chance(facts: StudySummary) -> None:
    one, other = by_loss(facts), by_loss(with_champion(facts, 0.93))
    assert conclusions(one, other)[0] == (
        f"Study `other` is ahead of `recorded` by 0.1015 {ROUND} (validation loss 0.2030 against "
        "0.3045); how much of that is chance is not known, since the loss has no interval here."
    )
    said = text(one, other)
    assert "makes intervals too wide" not in said
    head, *_ = rows(said, "Champions")
    assert "95 % interval" not in head


# Champions


def test_after_finals_of_both_what_is_expected_decides(facts: StudySummary) -> None:
    one = with_finals(facts)
    other = with_finals(with_spec(facts), reference_is_best=True)
    conclusion, champions = conclusions(one, other)
    assert "are level" in conclusion, "finals are no part of the search"
    assert champions.startswith(
        "With any seed, and on images to come, the winner of the finals of `other` is expected to "
        "be better than that of `recorded` by "
    )
    assert ", which is more than chance (95 % interval +" in champions
    assert "That rests on the finals of both" in champions
    head, *lines = rows(text(one, other), "Champions")
    assert head[:6] == [
        "study", "champion", "val_accuracy", "95 % interval", "expected of its network", "runs",
    ]  # fmt: skip
    assert [line[0] for line in lines] == ["`recorded`", "`other`"]
    assert all(re.fullmatch(r"0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)", line[4]) for line in lines)


def test_after_finals_of_one_it_says_who_had_none(facts: StudySummary) -> None:
    _, champions = conclusions(with_finals(facts), with_spec(facts))
    assert "the best of 16 and of 16 trials" in champions
    assert champions.endswith("since `other` has had no finals.")


def test_without_finals_nothing_is_expected(facts: StudySummary) -> None:
    head, *lines = rows(text(facts, with_spec(facts)), "Champions")
    assert "expected of its network" not in head
    assert lines[0][:4] == ["`recorded`", "trial 9", "0.8950", "0.8894 to 0.9004"]


def test_the_interval_of_two_estimates_may_be_lopsided(facts: StudySummary) -> None:
    first, second = Estimate(0.90, Interval(0.89, 0.92)), Estimate(0.88, Interval(0.87, 0.89))
    found = leads.of_estimates(first, second, facts.spec.objective).interval
    assert found
    assert (found.low, found.high) == pytest.approx((0.02 - 0.02**0.5 / 10, 0.02 + 0.05**0.5 / 10))


# What was asked, and used


def test_what_differs_in_the_space_is_marked(facts: StudySummary) -> None:
    dropout = FloatRange(type="float", low=0.0, high=0.7)
    space = {name: each for name, each in facts.spec.space.items() if name != "momentum"}
    other = with_spec(
        facts, space={**space, "dropout": dropout}, fixed={**facts.spec.fixed, "momentum": 0.9}
    )
    found = {row[0]: row[1:] for row in rows(text(facts, other), "Search space")}
    assert found["`dropout`"] == [
        "a number from 0 to 0.5, if hidden_layers is 1 or 2 or 3", "a number from 0 to 0.7",
        "differs",
    ]  # fmt: skip
    assert found["`momentum`"][1:] == ["fixed at 0.9", "differs"]
    assert found["`units`"] == [
        *["an integer from 32 to 512, evenly in the logarithm, one for each hidden layer"] * 2, "",
    ]  # fmt: skip
    assert found["`epochs`"] == ["fixed at 8", "fixed at 8", ""]


def test_what_was_asked_is_marked_and_what_was_used_is_not(facts: StudySummary) -> None:
    sampler = facts.spec.sampler.model_copy(update={"type": "RandomSampler"})
    slow = slowed_down(facts, 10)
    spec = slow.spec.model_copy(update={"sampler": sampler, "finals": None})
    said = text(facts, dataclasses.replace(slow, spec=spec, about={"machine": "a big one"}))
    found = {row[0]: row[1:] for row in rows(said, "Budget and search")}
    assert found["sampler"] == [
        "`TPESampler(n_startup_trials=4, seed=7)`", "`RandomSampler(n_startup_trials=4, seed=7)`",
        "differs",
    ]  # fmt: skip
    assert found["finals"] == ["20 % of it, 10 networks, 5 seeds", "none", "differs"]
    assert found["budget"] == ["16 trials or 5 minutes", "16 trials or 5 minutes", ""]
    assert found["minutes of search"] == ["2.8", "28.0", ""]
    assert found["trials"] == [*["10 complete, 5 pruned, 1 failed"] * 2, ""]
    found = {row[0]: row[1:] for row in rows(said, "Machine and versions")}
    assert found["machine"] == ["a machine of 2 cores", "a big one", "differs"]
    assert found["keras"] == ["3.15.1", "not known", "differs"]
    assert "- The machines differ, so that equal time is not equal work." in said
    assert "The machines differ" not in text(facts, with_spec(facts))


def test_what_a_training_has_of_a_machine_is_told_if_a_file_says_so(facts: StudySummary) -> None:
    assert "a training has" not in text(facts, with_spec(facts))
    said = text(facts, with_spec(facts, resources=Resources(cpus=2, gpus=0.5)))
    found = {row[0]: row[1:] for row in rows(said, "Budget and search")}
    assert found["a training has"] == ["1 CPU", "2 CPUs, 0.5 GPUs", "differs"]


def test_every_row_is_as_long_as_its_head(facts: StudySummary) -> None:
    found = [each for each in compare(facts, with_spec(facts)) if isinstance(each, Table)]
    assert len(found) == 7
    for table in found:
        assert {len(row) for row in table.rows} == {len(table.columns)}


# What is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": "val_loss"}, "found metric 'val_accuracy' and 'val_loss'; "),
        ({"target": "price"}, "found target none and 'price'; "),
        (
            {"data": DataSettings(validation=0.3, group="patient")},
            "found [data] validation 0.2 and 0.3; [data] group none and 'patient'; ",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    changes: dict[str, Any], said: str, facts: StudySummary
) -> None:
    with pytest.raises(UsageError) as caught:
        compare(facts, with_spec(facts, **changes))
    sentence = str(caught.value)
    start = f"studies 'recorded' and 'other': {said}allowed is the same in both: "
    assert sentence.startswith(start)
    assert "\n" not in sentence


def test_other_data_are_refused_whatever_they_are_called(facts: StudySummary) -> None:
    changed = dataclasses.replace(with_spec(facts), data_fingerprint="f" * 64)
    known = facts.data_fingerprint[:12]
    with pytest.raises(UsageError) as caught:
        compare(facts, changed)
    said = f"found data fashion_mnist ({known}) and fashion_mnist (ffffffffffff); allowed"
    assert said in str(caught.value)


def test_the_same_data_elsewhere_are_the_same(facts: StudySummary) -> None:
    assert text(facts, with_spec(facts, folder="elsewhere"))
    older = dataclasses.replace(with_spec(facts), data_fingerprint="")
    assert "| fingerprint |" in text(facts, older)


def test_another_number_of_validation_examples_is_refused(facts: StudySummary) -> None:
    fewer = dataclasses.replace(with_spec(facts), n_validation_examples=9)
    with pytest.raises(UsageError, match="found validation on 12,000 images and 9 images; "):
        compare(facts, fewer)


def test_settings_of_the_loss_matter_where_the_loss_is_the_metric(facts: StudySummary) -> None:
    huber = with_spec(facts, data=DataSettings(loss="huber"))
    assert text(facts, huber)
    one = dataclasses.replace(facts, spec=facts.spec.model_copy(update={"metric": "val_loss"}))
    other = dataclasses.replace(huber, spec=huber.spec.model_copy(update={"metric": "val_loss"}))
    with pytest.raises(UsageError, match="loss none and 'huber'; "):
        compare(one, other)


# The command


def add_study(project: Project, name: str, metric: str = "val_accuracy") -> None:
    """Adds another study: the recorded one's first ten trials, in half the time."""
    stored = recorded.open_stored(project)
    spec = stored.spec.model_copy(update={"name": name, "metric": metric})
    study = studies.open_study(project, spec)
    for frozen in stored.study.get_trials()[:10]:
        study.add_trial(frozen)
    study.set_user_attr(study_store.VERSIONS, recorded.FACTS)
    study.set_user_attr(study_store.SECONDS, 90.0)


def run(monkeypatch: pytest.MonkeyPatch, *names: str) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *names])
    return run_command(report_command.main)


def test_two_studies_are_compared_by_the_command(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_study(recorded_study, "other")
    assert run(monkeypatch, "recorded", "studies/other.toml") == 0
    said, told = capsys.readouterr()
    assert said.startswith("# Studies recorded and other\n\n")
    assert "Study `other` is ahead of `recorded` by 0.0019 at equal time, after 1.5 mi" in said
    files = [f"studies/recorded/recorded_vs_other.{kind}" for kind in ("md", "html")]
    assert told.splitlines() == files
    assert Path(files[0]).read_text(encoding="utf-8") == said
    html = Path(files[1]).read_text(encoding="utf-8")
    assert "Studies recorded and other</h1>" in html
    assert "Best so far at equal budget" in html


def test_studies_that_cannot_be_compared_leave_nothing_behind(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_study(recorded_study, "by_loss", "val_loss")
    assert run(monkeypatch, "recorded", "by_loss") == 2
    said, complaint = capsys.readouterr()
    assert said == ""
    assert complaint.startswith("error: studies 'recorded' and 'by_loss': found metric ")
    assert len(complaint.splitlines()) == 1
    assert not recorded_study.report_dir("recorded").exists()


@pytest.mark.parametrize("names", [("a", "b", "c"), ("a", "a"), ("a", "studies/a.toml")])
def test_other_numbers_of_studies_are_bad_usage(
    names: tuple[str, ...],
    project_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *names) == 2
    said, complaint = capsys.readouterr()
    assert said == ""
    assert complaint.startswith("error: study: found 'a', ")
    assert complaint.endswith("allowed is one study, or two that differ\n")
    assert not list(project_folder.iterdir())
