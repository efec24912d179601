"""What to try next: each step from the data, and a study file that is accepted as it stands."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
import recorded

from pipeline.evaluation.edges import Edge
from pipeline.paths import Project
from pipeline.report.document import Code
from pipeline.report.sections import next_study, space
from pipeline.report.summary import StudySummary, summarize
from pipeline.study.load import load, parse
from pipeline.study.ranges import FloatRange, IntRange
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State

REPOSITORY = Path(__file__).parents[2]
# but for the one whose data a benchmark makes
STUDIES = sorted({file.stem for file in (REPOSITORY / "studies").glob("*.toml")} - {"diamonds"})


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def next_of(facts: StudySummary) -> StudySpec:
    return parse("next", tomllib.loads(next_study.study_file(facts)))


def with_edges(patch: pytest.MonkeyPatch, *edges: Edge) -> None:
    for module in (space, next_study):
        patch.setattr(module, "tight", lambda _: [*edges])


def test_the_study_file_is_shown_to_be_copied(facts: StudySummary) -> None:
    *_, code = next_study.next_study(facts)
    assert code == Code(next_study.study_file(facts), "toml")


def test_what_is_not_changed_stays(facts: StudySummary) -> None:
    found, known = next_of(facts), facts.spec
    assert found.start_from == (known.name,)
    assert found.baseline == known.name
    for name in ("dataset", "metric", "training", "sampler", "pruner", "reference", "finals"):
        assert getattr(found, name) == getattr(known, name), name
    settled = set(known.space) - set(found.space)
    assert all(found.space[name] == known.space[name] for name in found.space)
    assert {*found.fixed} == {*known.fixed} | settled


@pytest.mark.parametrize("name", STUDIES)
def test_the_file_of_any_study_here_can_be_gone_on_from(
    facts: StudySummary, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every hyperparameter searched as before; references are written out."""
    monkeypatch.chdir(REPOSITORY)
    spec = load(Project(REPOSITORY), name)
    if not spec.space:
        return
    own = dataclasses.replace(facts, spec=spec, importance={}, judged=None)
    with_edges(monkeypatch)
    found = next_of(own)
    assert found.space == spec.space
    assert found.fixed == spec.fixed
    assert found.data == spec.data
    assert [each.name for each in found.reference] == [each.name for each in spec.reference]


def test_a_tight_bound_is_moved_outward(
    facts: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_edges(
        monkeypatch,
        Edge("learning_rate", True, 0.1, 9, 10, False),
        Edge("units", False, 32, 8, 10, False),
        Edge("dropout", False, 0.0, 8, 10, True),
        Edge("hidden_layers", True, 3, 9, 10, False),
    )
    space = next_of(facts).space
    rate, units, layers = space["learning_rate"], space["units"], space["hidden_layers"]
    assert isinstance(rate, FloatRange)
    assert (rate.low, rate.high) == pytest.approx((1e-4, 0.4))
    assert isinstance(units, IntRange)
    assert (units.low, units.high) == (8, 512)
    assert isinstance(layers, IntRange)
    assert (layers.low, layers.high) == (0, 5)
    assert space["dropout"] == facts.spec.space["dropout"], "nothing lies beyond 0"
    said = " ".join(next_study.suggestions(facts))
    assert "Widen `learning_rate`, whose upper bound is 0.1: 9 of 10 values in" in said
    assert "dropout" not in said


def test_what_decides_nothing_is_settled_unless_others_hang_on_it(facts: StudySummary) -> None:
    shares = {"units_1": 0.9, "batch_size": 0.01, "optimizer": 0.0, "momentum": 0.0}
    own = dataclasses.replace(facts, importance=shares)
    found = next_of(own)
    assert "batch_size" not in found.space
    champion = facts.champion.hyperparameters
    assert champion
    assert found.fixed["batch_size"] == champion.batch_size
    assert {"optimizer", "momentum"} <= set(found.space), "momentum is drawn if it is sgd"


def test_many_failures_are_said(facts: StudySummary) -> None:
    failed = [dataclasses.replace(t, state=State.FAIL) if t.number % 2 else t for t in facts.ended]
    said = next_study.suggestions(dataclasses.replace(facts, ended=failed))
    assert any("failed trials" in step for step in said)


def test_where_nothing_stands_out_that_is_said(
    facts: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_edges(monkeypatch)
    plain = dataclasses.replace(facts, importance={}, is_exhausted=True)
    assert next_study.suggestions(plain) == [
        "Nothing stands out: this space and this budget have given what they had."
    ]
    assert next_study.suggestions(dataclasses.replace(plain, is_exhausted=False)) == [
        "Search for longer: so few trials cannot tell what more would bring."
    ]
