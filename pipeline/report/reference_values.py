"""What a report tells of known models, as plain values: references, claims, a baseline study."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from pipeline.evaluation import claims, intervals
from pipeline.evaluation.intervals import Interval
from pipeline.report.summary import StudySummary
from pipeline.study.measures import has_measure, measure
from pipeline.study.spec import Reference
from pipeline.study.trainers import SIMPLE
from pipeline.study.trial import Trial


def references(facts: StudySummary) -> list[dict[str, Any]]:
    """Tells of each reference but simple models, in the order of the study file."""
    known = [each for each in facts.spec.reference if each.trainer not in SIMPLE]
    return [_reference(each, facts) for each in known]


def simple_models(facts: StudySummary) -> list[dict[str, Any]]:
    """Tells of each simple model, in the order of the study file."""
    known = [each for each in facts.spec.reference if each.trainer in SIMPLE]
    return [_reference(each, facts) for each in known]


def published_claims(facts: StudySummary) -> list[dict[str, Any]]:
    """Tells each number that was published of a reference, what was measured, and the verdict."""
    found: list[dict[str, Any]] = []
    for reference in facts.spec.reference:
        runs = [run for run in _trials(reference, facts) if run.value is not None]
        for name, published in reference.claim.items():
            if isinstance(published, str):  # its source
                continue
            values = [
                measure(name, run, facts.spec.task) for run in runs if has_measure(name, run)
            ]
            found.append(
                {
                    "reference": reference.name,
                    "measure": name,
                    "published": published,
                    "source": str(reference.claim.get("source", "")),
                    **over_runs(values),
                    "verdict": claims.judge_published(values, published).value,
                }
            )
    return found


def comparisons(facts: StudySummary) -> list[dict[str, Any]]:
    """Tells each claim about two references, what was measured in pairs, and the verdict."""
    found: list[dict[str, Any]] = []
    for comparison in facts.spec.comparison:
        values = claims.paired(comparison, facts.ended, facts.spec.task)
        found.append(
            {
                **comparison.model_dump(),
                **over_runs(values),
                "verdict": claims.judge_difference(values, comparison).value,
            }
        )
    return found


def baseline(facts: StudySummary) -> dict[str, Any] | None:
    """Tells what the study found that is named as `baseline`; None if none is named."""
    known = facts.baseline
    if not facts.spec.baseline:
        return None
    winner = known.judged.winner if known and known.judged else None
    return {
        "study": facts.spec.baseline,
        "n_trials": len(known.ended) if known else None,
        "minutes": known.minutes if known else None,
        "champion": network(known.best, facts) if known else None,
        "expected": winner.value.mean if winner else None,
        "expected_95": ends(winner.value.interval) if winner else None,
    }


def network(trial: Trial, facts: StudySummary) -> dict[str, Any]:
    """Tells of a trial what it trained, and what it came to by the study's metrics."""
    metric, value = facts.spec.objective, trial.kept(facts.spec.metric)
    error = trial.kept(metric.error_name)
    interval = None
    if value is not None:
        interval = intervals.interval_of(metric, value, facts.n_independent, error)
    measured = {each.name: trial.kept(each.name) for each in facts.spec.task.metrics}
    return {
        "trial": trial.number,
        "run_id": trial.run_id,
        "value": value,
        "value_95": ends(interval),
        "best_epoch": trial.best_epoch,
        "epochs_trained": trial.n_epochs,
        "ended": trial.ending,
        "seed": trial.seed,
        "n_parameters": trial.n_parameters or None,
        "train_seconds": trial.seconds,
        "measured": {name: each for name, each in measured.items() if each is not None},
        "hyperparameters": trial.hyperparameters.as_dict() if trial.hyperparameters else None,
    }


def over_runs(values: Sequence[float]) -> dict[str, Any]:
    """Tells the values of several runs, and of their mean the 95 % interval over seeds."""
    known = claims.estimate(values) if values else None
    return {
        "values": list(values),
        "mean": known.mean if known else None,
        "mean_95": ends(known.interval) if known else None,
        "standard_deviation": known.deviation if known and known.n > 1 else None,
    }


def ends(interval: Interval | None) -> list[float] | None:
    """Lists both ends of an interval; None without one."""
    return [interval.low, interval.high] if interval else None


def _trials(reference: Reference, facts: StudySummary) -> list[Trial]:
    return [trial for trial in facts.ended if trial.reference == reference.name]


def _reference(reference: Reference, facts: StudySummary) -> dict[str, Any]:
    trials, network_of = _trials(reference, facts), reference.network
    runs = [run for run in trials if run.value is not None]
    sizes = [run.n_parameters for run in runs if run.n_parameters]
    return {
        "name": reference.name,
        "trainer": reference.trainer,
        "trials": [trial.number for trial in trials],
        **over_runs([run.value for run in runs if run.value is not None]),
        **_lead(runs, facts),
        "n_parameters": sizes[0] if sizes else None,
        "train_seconds": [run.seconds for run in runs],
        "hyperparameters": network_of.as_dict() if network_of else None,
    }


def _lead(runs: Sequence[Trial], facts: StudySummary) -> Mapping[str, Any]:
    """Tells by how much the champion is better than the mean of runs, and the 95 % interval.

    The interval is of the examples alone, as if both had been measured on different ones.
    """
    metric, own = facts.spec.objective, facts.champion.value
    values = [run.value for run in runs if run.value is not None]
    if not values or own is None:
        return {"lead": None, "lead_95": None}
    errors = [error for run in runs if (error := run.kept(metric.error_name)) is not None]
    both = (
        facts.champion.kept(metric.error_name),
        fmean(errors) if len(errors) == len(runs) else None,  # they err on the same examples
    )
    mean = claims.estimate(values).mean
    gap = intervals.difference_of(metric, own, mean, facts.n_independent, both)
    sign = 1.0 if metric.direction == "maximize" else -1.0
    found = sorted(sign * end for end in (gap.low, gap.high)) if gap else None
    return {"lead": sign * (own - mean), "lead_95": found}
