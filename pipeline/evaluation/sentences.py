"""The verdict on finals in plain sentences, the same in a terminal, a report and a model card."""

import math
from collections.abc import Callable
from typing import Any

from pipeline.evaluation import intervals
from pipeline.evaluation.verdict import SURE, Estimate, Finalist, Standing, Verdict
from pipeline.task.task import Metric, Task
from pipeline.wording import count_noun, inflect, join_names

Escape = Callable[[str], str]


def name_of(finalist: Finalist, escape: Escape = str) -> str:
    """Names a finalist in a sentence: by its trial, a reference by its own name.

    Args:
        finalist: who.
        escape: makes a user's text fit for its target.
    """
    return f"the reference {escape(repr(finalist.reference))}" if finalist.reference else (
        f"trial {finalist.number}"
    )  # fmt: skip


def show_lead(standing: Standing, metric: Metric, like: float) -> tuple[str, str]:
    """Shows the winner's value less a finalist's, and the 95 % interval of that.

    Args:
        standing: the finalist's.
        metric: the study's.
        like: a value with as many decimals.
    """
    sign = 1.0 if metric.direction == "maximize" else -1.0
    behind = standing.behind
    low, high = sorted((sign * behind.interval.low, sign * behind.interval.high))
    interval = intervals.Interval(low, high).show(metric, like, is_signed=True)
    return intervals.show(metric, sign * behind.mean, like, is_signed=True), interval


def describe_verdict(
    verdict: Verdict, task: Task, objective: str, escape: Escape = str
) -> list[str]:
    """Says what finals have shown: the winner's worth, its lead, who is as good, and the limits.

    Args:
        verdict: on the finals.
        task: of the study.
        objective: name of the study's metric.
        escape: makes a user's text fit for its target.
    """
    said = [
        _worth(verdict, task, objective, escape),
        _lead(verdict, task, objective, escape),
        _alike(verdict, escape),
        _smallest(verdict, task, objective, escape),
        _limits(verdict, task, objective),
    ]
    return [sentence for sentence in said if sentence]


def _worth(verdict: Verdict, task: Task, objective: str, escape: Escape) -> str:
    metric, winner = task.metric(objective), verdict.winner
    value, n = winner.value, len(winner.finalist.fresh)
    shown = metric.show(value.mean)
    interval = value.interval.show(metric, value.mean)
    network = name_of(winner.finalist, escape)
    if not winner.finalist.reference:
        network = f"the network of {network}"
    return (
        f"The winner is {network}: with any seed, and on "
        f"{inflect(task.example, 2)} to come, its {metric.noun} is expected to be {shown} (95 % "
        f"interval {interval}). That rests on {count_noun(n, 'run')} with fresh seeds, and is "
        "adjusted for having been selected."
    )


def _lead(verdict: Verdict, task: Task, objective: str, escape: Escape) -> str:
    """Says whether the winner is better than the best reference."""
    metric, known = task.metric(objective), verdict.reference
    if verdict.winner.finalist.reference:
        return "It is a reference itself: searching has found nothing that is better."
    if known is None or verdict.probability is None:
        return ""
    by, interval = show_lead(known, metric, verdict.winner.value.mean)
    name = escape(repr(known.finalist.reference))
    sure = f"{_percent(max(verdict.probability, 1 - verdict.probability))} sure"
    if verdict.is_better is None:
        wanted = _percent(SURE)
        return (
            f"Whether it is better than the best reference, {name}, cannot be told: the "
            f"difference is {by} (95 % interval {interval}), and that it is better is "
            f"{_percent(verdict.probability)} sure, where {wanted} is asked for."
        )
    how = "better" if verdict.is_better else "worse"
    return (
        f"It is {how} than the best reference, {name}: by {by} (95 % interval {interval}), which "
        f"is {sure}."
    )


def _alike(verdict: Verdict, escape: Escape) -> str:
    others = verdict.standings[1:]
    if not others:
        return ""
    alike = [name_of(each.finalist, escape) for each in verdict.alike]
    n = count_noun(len(others), "other finalist")
    if len(others) == 1:
        told = f"can be told from the other finalist, {name_of(others[0].finalist, escape)}"
        return f"It cannot {told[4:]}." if alike else f"It {told}, at 95 % confidence."
    if not alike:
        return f"It is better than each of the {n}, at 95 % confidence."
    if len(alike) == len(others):
        return f"None of the {n} can be told from it: {join_names(alike)}."
    return f"Of the {n} {len(alike)} cannot be told from it: {join_names(alike)}."


def _smallest(verdict: Verdict, task: Task, objective: str, escape: Escape) -> str:
    small, metric = verdict.smallest, task.metric(objective)
    if small is None:
        return ""
    return (
        f"The smallest network within one standard error of it is "
        f"{name_of(small.finalist, escape)}, with {small.finalist.n_parameters:,} parameters "
        f"instead of {verdict.winner.finalist.n_parameters:,}: {_behind(small, verdict, metric)}."
    )


def _behind(standing: Standing, verdict: Verdict, metric: Metric) -> str:
    like, lag = verdict.winner.value.mean, standing.behind.mean
    lagging = intervals.show(metric, abs(lag), like)
    return f"{lagging} {'behind' if lag >= 0 else 'ahead'}"


def _limits(verdict: Verdict, task: Task, objective: str) -> str:
    """Says what could not have been shown, by so many seeds and by any number of them."""
    metric, like = task.metric(objective), verdict.winner.value.mean
    examples = inflect(task.example, 2)

    def show(number: float) -> str:
        return intervals.show(metric, number, like)

    n_runs = count_noun(len(verdict.winner.finalist.fresh), "fresh run")
    said = (
        f"Another seed alone moves a run by {show(verdict.noise)} (standard deviation), so that "
        f"{n_runs} of each could hardly have shown a difference below "
        f"{show(verdict.smallest_difference)} (power 80 %)"
    )
    if math.isnan(verdict.smallest_of_examples):
        return f"{said}; what the choice of validation {examples} adds is not known."
    if not verdict.is_paired:
        return (
            f"{said}; answers to the same {examples} are not at hand, so that networks are taken "
            "to be measured on different ones, which makes all differences too uncertain."
        )
    if not verdict.smallest_of_examples:
        return f"{said}; with any number of seeds these {examples} could show smaller ones."
    return (
        f"{said}, and no number of seeds could have shown one below "
        f"{show(verdict.smallest_of_examples)} with these validation {examples}."
    )


def _percent(share: float) -> str:
    """Shows a probability as one says it, never as quite certain."""
    percent = min(100 * share, 99.9) if share < 1 else 99.9
    return f"{percent:.1f} %" if percent > 99 and percent != 99.0 else f"{percent:.0f} %"


def as_values(verdict: Verdict) -> dict[str, Any]:
    """Returns the verdict as plain values for JSON, in the units of the study's metric."""
    numbers = {
        "trial": verdict.winner.finalist.number,
        "expected": verdict.winner.value.mean,
        "expected_95": [*_ends(verdict.winner.value)],
        "fresh_runs": len(verdict.winner.finalist.fresh),
        "cannot_be_told_apart": [each.finalist.number for each in verdict.alike],
        "smallest_within_one_standard_error": (
            verdict.smallest.finalist.number if verdict.smallest else None
        ),
        "seed_standard_deviation": verdict.noise,
        "selection_excess": verdict.excess,
        "smallest_difference": verdict.smallest_difference,
        "smallest_difference_with_any_number_of_seeds": (
            None if math.isnan(verdict.smallest_of_examples) else verdict.smallest_of_examples
        ),
        "is_paired": verdict.is_paired,
    }
    known = verdict.reference
    if known is None:
        return numbers
    reference = {
        "name": known.finalist.reference,
        "lead": known.behind.mean,
        "lead_95": [*_ends(known.behind)],
        "probability": verdict.probability,
        "is_better": verdict.is_better,
    }
    return {**numbers, "reference": reference}


def _ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.interval.low, estimate.interval.high
