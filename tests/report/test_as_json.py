"""`report.json`: the golden file, the schema that describes it, and what it says.

`UPDATE_GOLDEN=1 pytest tests/report` writes the golden file anew.
"""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import recorded
from test_finals_section import with_finals
from test_pruning_section import made, with_drawn
from test_scored_metrics import RMSE, as_if, of_houses
from test_simple_section import with_models

from pipeline.errors import run_command
from pipeline.paths import Project
from pipeline.report import __main__ as report_command
from pipeline.report.as_json import SCHEMA, as_json
from pipeline.report.baseline import Baseline
from pipeline.report.summary import StudySummary, summarize
from pipeline.study.spec import Comparison
from pipeline.study.trial import State

GOLDEN = Path(__file__).parent / "golden" / "report.json"
DOCS = Path(__file__).parents[2] / "docs"
DESCRIBED: dict[str, Any] = json.loads((DOCS / "report.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def facts(recorded_folder: Path) -> StudySummary:
    return summarize(recorded.open_stored(Project(recorded_folder)))


def values(facts: StudySummary) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(as_json(facts))
    return found


# The golden file


def rounded(text: str) -> str:
    """Numbers with nine digits: the last of them may be others on another processor."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda found: f"{float(found[0]):.9g}", text)


def test_what_is_written_is_the_golden_file(facts: StudySummary) -> None:
    found = as_json(facts)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(found, encoding="utf-8")
    assert rounded(found) == rounded(GOLDEN.read_text(encoding="utf-8"))


def test_the_command_writes_it(
    facts: StudySummary, recorded_study: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", recorded.NAME])
    assert run_command(report_command.main) == 0
    written = recorded_study.report_dir(recorded.NAME) / "report.json"
    assert written.read_text(encoding="utf-8") == as_json(facts)
    assert (written.parent / values(facts)["trials"]["file"]).is_file()


# The schema


def with_looks(facts: StudySummary) -> StudySummary:
    """The study after three looks at the test set, and a change of its file."""
    broken = {
        "when": "now", "trial": 9, "ensemble": {"9": 2, "7": 1}, "command": "best --export",
        "accuracy": None, "loss": None, "n_examples": None,
    }  # fmt: skip
    again = {**recorded.TEST_LOOK, "refit": 7, "weights": "0" * 64, "n_groups": 30}
    changes = [{"when": "2026-01-02 03:04", "n_trials": 1, "what": ["[[reference]] 'new' added"]}]
    looks = [recorded.TEST_LOOK, again, broken]
    return dataclasses.replace(facts, test_looks=looks, changes=changes)


def with_baseline(facts: StudySummary, *, is_run: bool = True) -> StudySummary:
    spec = facts.spec.model_copy(update={"baseline": "random"})
    known = Baseline(facts.ranked[2], facts.ended[:7], 12.34) if is_run else None
    return dataclasses.replace(facts, spec=spec, baseline=known)


def with_pauses(facts: StudySummary) -> StudySummary:
    """The study with trials that were paused, let go and audited."""
    drawn = [
        made(facts, [0.5, 0.5, 0.9], State.COMPLETE, number=2, audited_after=2),
        made(facts, [0.5, 0.6, 0.7], State.PRUNED, number=3, pauses=(1, 3)),
    ]
    return with_drawn(facts, drawn)


def with_comparison(facts: StudySummary) -> StudySummary:
    first, second = (each.name for each in facts.spec.reference)
    compared = Comparison(
        claim="Dropout helps", first=second, second=first, measure="val_accuracy",
        difference="positive",
    )  # fmt: skip
    spec = facts.spec.model_copy(update={"comparison": (compared,)})
    return dataclasses.replace(facts, spec=spec)


STUDIES: dict[str, Callable[[StudySummary], StudySummary]] = {
    "as recorded": lambda facts: facts,
    "with finals": with_finals,
    "with finals that a reference has won": lambda f: with_finals(f, reference_is_best=True),
    "with finals that have no verdict": lambda f: dataclasses.replace(with_finals(f), judged=None),
    "with simple models": lambda f: with_models(
        f, constant=0.1, linear=None, gradient_boosting=(0.91, 0.914)
    ),
    "with looks": with_looks,
    "with a baseline": with_baseline,
    "with a baseline that was not run": lambda f: with_baseline(f, is_run=False),
    "with pauses": with_pauses,
    "with a comparison": with_comparison,
    "of one trial": lambda f: dataclasses.replace(
        f, ended=f.ended[:1], ranked=[f.ended[0]], importance={}, about={"machine": "none"}
    ),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_every_report_is_by_the_schema(kind: str, facts: StudySummary) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    validator.check_schema(DESCRIBED)
    found = validator(DESCRIBED).iter_errors(values(STUDIES[kind](facts)))
    assert [f"{error.json_path}: {error.message}" for error in found] == []


def of_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema, with what it refers to."""
    if name := schema.get("$ref", "").removeprefix("#/$defs/"):
        return {**of_schema(DESCRIBED["$defs"][name]), **schema}
    return schema


def misnamed(value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Keys that the schema does not name, and those that it requires and that are not there."""
    schema = of_schema(schema)
    if isinstance(value, dict):
        named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        for key, each in value.items():
            if key in named or isinstance(others, dict):
                yield from misnamed(each, named.get(key, others), f"{where}.{key}")
            elif not others:
                yield f"{where}.{key} is not named"
        lacking = [key for key in schema.get("required", ()) if key not in value]
        yield from (f"{where}.{key} is missing" for key in lacking)
    if isinstance(value, list):
        for each in value:
            yield from misnamed(each, schema.get("items", {}), f"{where}[]")


@pytest.mark.parametrize("kind", STUDIES)
def test_every_key_is_named_in_the_schema(kind: str, facts: StudySummary) -> None:
    assert list(misnamed(values(STUDIES[kind](facts)), DESCRIBED)) == []


def test_a_key_that_is_not_named_is_seen() -> None:
    assert list(misnamed({"name": "x", "more": 1}, DESCRIBED["properties"]["metric"])) == [
        ".more is not named", ".direction is missing",
    ]  # fmt: skip


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """All parts of a schema that describe an object by its keys."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and "type" in schema:
            yield schema
        schema = [*schema.values()]
    for each in schema if isinstance(schema, list) else ():
        yield from objects(each)


def test_the_schema_describes_every_key_and_leaves_none_open() -> None:
    found = list(objects(DESCRIBED))
    assert len(found) > 20
    for each in found:
        for name, part in each["properties"].items():
            assert part.get("description", "").endswith("."), name
        assert "additionalProperties" in each
        if each["additionalProperties"] is not False:  # metrics, which are not ours to name
            assert "n_examples" in each["properties"]
        assert set(each["required"]) <= each["properties"].keys()


def test_its_version_is_that_of_the_contract() -> None:
    text = (DOCS / "contracts.md").read_text(encoding="utf-8")
    assert f"\n## Report: schema version {SCHEMA}\n" in text
    assert DESCRIBED["properties"]["schema"]["const"] == SCHEMA


# What it says


def test_it_says_what_the_report_says(facts: StudySummary) -> None:
    found = values(facts)
    champion = found["champion"]
    assert (champion["trial"], champion["value"]) == (recorded.CHAMPION, 0.8950)
    assert champion["value_95"] == pytest.approx([0.8894, 0.9004], abs=5e-5)
    assert champion["hyperparameters"]["units"] == [487, 243]
    assert [record[0] for record in found["records"]] == [0, 1, 7, 9]
    assert found["trials"]["ends"] == {"complete": 10, "failed": 1, "pruned": 5}
    assert found["cost"]["minutes"] == facts.minutes
    assert found["saved"]["epochs_saved"] == 26
    assert found["saved"]["seconds_saved"] == pytest.approx(45.5, abs=0.05)
    lead = found["references"][1]
    assert lead["name"] == "book: dropout | 0.3"
    assert lead["lead"] == pytest.approx(0.0120)
    assert lead["lead_95"] == pytest.approx([0.0041, 0.0199], abs=5e-5)
    assert [claim["verdict"] for claim in found["claims"]] == ["cannot tell"] * 3
    assert (found["verdict"], found["finals"], found["baseline"]) == (None, None, None)
    assert found["data"]["fingerprint"] == facts.data_fingerprint != ""


def test_finals_are_told_with_the_winner_first(facts: StudySummary) -> None:
    found = values(with_finals(facts))
    first, *others = found["finals"]["standings"]
    assert first["trial"] == found["verdict"]["trial"] == recorded.SECOND
    assert first["expected_95"] == found["verdict"]["expected_95"]
    assert first["winner_lead"] == 0
    assert all(each["winner_lead"] > 0 for each in others)
    assert [each["n_fresh"] for each in found["finals"]["rounds"]] == [1, 3]
    assert len(found["champion"]["seeds"]["trials"]) == 4
    assert found["champion"]["trial"] in found["champion"]["seeds"]["trials"]


def test_simple_models_are_told_apart_from_references(facts: StudySummary) -> None:
    found = values(STUDIES["with simple models"](facts))
    assert len(found["references"]) == 2
    constant, linear, trees = found["simple_models"]
    assert constant["mean"] == 0.1
    assert (linear["values"], linear["lead"], len(linear["trials"])) == ([], None, 1)
    assert trees["mean"] == pytest.approx(0.9120)
    assert trees["lead"] == pytest.approx(-0.0170)


def test_of_an_error_a_lead_is_positive_where_the_champion_has_less(
    facts: StudySummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses = as_if(facts, monkeypatch, RMSE, of_houses, 0.02)
    found = values(houses)
    assert found["metric"] == {"name": "val_rmse", "direction": "minimize"}
    assert found["champion"]["value"] == pytest.approx(3912.3)
    best = found["references"][1]
    assert best["lead"] == pytest.approx(447.12)
    assert best["lead_95"] == pytest.approx([217.5, 676.7], abs=0.1)
    assert list(misnamed(found, DESCRIBED)) == []


def test_what_is_no_finite_number_is_null(facts: StudySummary) -> None:
    lost = [
        each.model_copy(update={"claim": {"val_accuracy": float("nan")}})
        for each in facts.spec.reference
    ]
    spec = facts.spec.model_copy(update={"reference": tuple(lost)})
    text = as_json(dataclasses.replace(facts, spec=spec, finals_minutes=float("inf")))
    assert not re.search(r"\b(NaN|Infinity)\b", text)
    found = json.loads(text)
    assert [claim["published"] for claim in found["claims"]] == [None, None]
    assert found["cost"]["finals_minutes"] is None


def test_any_text_comes_back_as_it_was(facts: StudySummary) -> None:
    goal = 'Wörter, "quoted" \\ and\n두 줄 \x1b[2J'
    spec = facts.spec.model_copy(update={"goal": goal})
    assert values(dataclasses.replace(facts, spec=spec))["goal"] == goal
    assert "두 줄" in as_json(dataclasses.replace(facts, spec=spec))
