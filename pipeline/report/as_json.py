"""The report as values, for programs: `report.json`, by the schema `docs/report.schema.json`.

It is made of the same summary as the report for people. Numbers are not rounded; what is not
known, or is no finite number, is null. What came of each trial stands in `trials.csv`.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.evaluation.pruning import Audit, Pruning
from pipeline.evaluation.sentences import as_values
from pipeline.evaluation.verdict import Standing
from pipeline.report import reference_values
from pipeline.report.incumbents import incumbents
from pipeline.report.reference_values import ends, network, over_runs
from pipeline.report.summary import StudySummary
from pipeline.study.spec import Component, StudySpec

SCHEMA = 1  # the schema version of reports, in docs/contracts.md
TRIALS_FILE = "trials.csv"  # has a row for each trial


def as_json(facts: StudySummary) -> str:
    """Writes the report as JSON; its keys are always in the same order."""
    values = _without_nan(_report(facts))
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _report(facts: StudySummary) -> dict[str, Any]:
    spec = facts.spec
    return {
        "schema": SCHEMA,
        "study": spec.name,
        "goal": spec.goal,
        "metric": {"name": spec.metric, "direction": spec.direction},
        "data": _data(facts),
        "budget": _budget(spec),
        "space": _space(spec),
        "champion": _champion(facts),
        "verdict": as_values(facts.judged) if facts.judged else None,
        "finals": _finals(facts),
        "references": reference_values.references(facts),
        "baseline": reference_values.baseline(facts),
        "simple_models": reference_values.simple_models(facts),
        "claims": reference_values.published_claims(facts),
        "comparisons": reference_values.comparisons(facts),
        "importance": {
            "n_complete": facts.n_complete,
            "shares": dict(facts.importance),
            "constant": list(facts.constant),
        },
        "trials": _trials(facts),
        "records": [[each.trial.number, each.minutes, each.value] for each in incumbents(facts)],
        "cost": {
            "minutes": facts.minutes,
            "finals_minutes": facts.finals_minutes,
            "epochs": sum(trial.n_epochs for trial in facts.ended),
            "train_seconds": math.fsum(trial.seconds for trial in facts.ended),
        },
        "saved": _saved(facts),
        "test_looks": [dict(look) for look in facts.test_looks],
        "changes": [dict(change) for change in facts.changes],
        "provenance": _provenance(facts),
    }


def _data(facts: StudySummary) -> dict[str, Any]:
    spec = facts.spec
    return {
        "dataset": spec.dataset,
        "target": spec.target or None,
        "fingerprint": facts.data_fingerprint or None,
        "settings": spec.data.model_dump(mode="json", exclude_defaults=True),
        "example": spec.task.example,
        "n_validation_examples": facts.n_validation_examples,
        "n_validation_groups": spec.task.n_validation_groups,
        "n_folds": spec.task.n_folds,
        "warnings": list(facts.warnings),
    }


def _budget(spec: StudySpec) -> dict[str, Any]:
    finals = spec.finals.model_dump() if spec.finals else None
    return {"trials": spec.budget.trials, "minutes": spec.budget.minutes, "finals": finals}


def _space(spec: StudySpec) -> dict[str, Any]:
    searched = {
        name: entry.model_dump(mode="json", exclude_defaults=True)
        for name, entry in spec.space.items()
    }
    return {"fixed": dict(spec.fixed), "searched": searched}


def _champion(facts: StudySummary) -> dict[str, Any]:
    """Tells of the champion, and what its network came to with other seeds."""
    runs = [run for run in facts.with_seeds if run.value is not None]
    return {
        **network(facts.champion, facts),
        "seeds": {
            "trials": [run.number for run in runs],
            **over_runs([run.value for run in runs if run.value is not None]),
        },
    }


def _finals(facts: StudySummary) -> dict[str, Any] | None:
    if facts.plan is None:
        return None
    return {
        "rounds": [asdict(each) for each in facts.plan.rounds],
        "standings": [_standing(each) for each in facts.judged.standings] if facts.judged else [],
    }


def _standing(each: Standing) -> dict[str, Any]:
    finalist = each.finalist
    return {
        "trial": finalist.number,
        "reference": finalist.reference or None,
        "n_parameters": finalist.n_parameters or None,
        "first_value": finalist.first,
        "fresh_values": list(finalist.fresh),
        "expected": each.value.mean,
        "expected_95": ends(each.value.interval),
        "winner_lead": each.behind.mean,
        "winner_lead_95": ends(each.behind.interval),
        "is_apart": each.is_apart,
    }


def _trials(facts: StudySummary) -> dict[str, Any]:
    n = Counter(trial.how for trial in facts.ended)
    return {
        "file": TRIALS_FILE,
        "n_counted": len(facts.ended),
        "n_interrupted": facts.n_interrupted,
        "ends": {how: n[how] for how in sorted(n)},
        "is_exhausted": facts.is_exhausted,
    }


def _saved(facts: StudySummary) -> dict[str, Any] | None:
    known, audit = Pruning.of(facts.ended), Audit.of(facts.ended, facts.spec.direction)
    if known is None:
        return None
    audited = audit and {
        "trials": [trial.number for trial in audit.trials],
        "lost": [trial.number for trial in audit.lost],
        "n_top": audit.n_top,
        "n_ranked": audit.n_ranked,
        "lost_95": ends(audit.interval),
        "epochs": audit.epochs,
        "seconds": audit.seconds,
    }
    return {**asdict(known), "audit": audited}


def _provenance(facts: StudySummary) -> dict[str, Any]:
    spec, about = facts.spec, facts.about
    return {
        "study_fingerprint": spec.fingerprint,
        "sampler": _component(spec.sampler),
        "pruner": _component(spec.own_pruner),
        "started_from": [each.started_from for each in facts.ended if each.started_from],
        "machine": about.get("machine"),
        "git_commit": about.get("git_commit"),
        "versions": {
            name.removeprefix("version."): version
            for name, version in about.items()
            if name.startswith("version.")
        },
    }


def _component(component: Component) -> dict[str, Any]:
    return {"type": component.type, "arguments": component.arguments}


def _without_nan(value: Any) -> Any:
    """Copies values for JSON, which has neither NaN nor infinity: each becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(each) for each in value]
    return value
