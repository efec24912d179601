"""What is measured of searches in virtual time, and how it is told."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.document import Paragraph, Table, as_markdown
from pipeline.study.trial import is_better
from pipeline.task.task import Metric

PARTS = (0.1, 0.5, 1.0)  # of a search's budget, at which regret is measured


@dataclass(frozen=True)
class Run:
    """One search in virtual time.

    Attributes:
        seconds: its budget; what comes later does not count.
        steps: when a network was better than all before it, and its value.
        n_trials: that ended and count.
        n_epochs: that were trained, those of all trials.
    """

    seconds: float
    steps: tuple[tuple[float, float], ...]
    n_trials: int
    n_epochs: int

    def value_at(self, seconds: float) -> float | None:
        """Returns the best value so far at a moment within the budget; None before the first."""
        until = min(seconds, self.seconds)
        return next((value for at, value in reversed(self.steps) if at <= until), None)

    @property
    def final(self) -> float | None:
        """The best value when the budget is used."""
        return self.value_at(self.seconds)

    def seconds_to(self, value: float | None, direction: str) -> float:
        """Returns when it was as good as a value; infinite if never within the budget."""
        if value is None:
            return 0.0
        reached = (at for at, each in self.steps if not is_better(value, each, direction))
        at = next(reached, math.inf)
        return at if at <= self.seconds else math.inf


@dataclass(frozen=True)
class Measured:
    """What was measured of a policy, seed by seed.

    Attributes:
        runs: its searches.
        shares: of random search's budget, until its final value with the same seed was reached;
            infinite if that was never.
        beats_twice: whether the final value is better than that of random search with twice the
            budget and the same seed.
        regrets: by the part of the policy's own budget: how much worse the best value so far is
            than the best of all; infinite before there is one.
    """

    runs: Sequence[Run]
    shares: Sequence[float]
    beats_twice: Sequence[bool]
    regrets: Mapping[float, Sequence[float]]

    @property
    def n_never(self) -> int:
        """How many searches never reached random search's final value."""
        return sum(map(math.isinf, self.shares))


@dataclass(frozen=True)
class Comparison:
    """What was measured of several policies.

    Attributes:
        best: the value from which regret is counted; None if no search has any value.
        policies: by name.
    """

    best: float | None
    policies: Mapping[str, Measured]


def measure(
    runs: Mapping[str, Sequence[Run]],
    random: str,
    twice: str,
    direction: str,
    best: float | None = None,
) -> Comparison:
    """Holds policies against random search, seed by seed.

    Args:
        runs: by policy, the seeds in the same order.
        random: name of random search among them.
        twice: name of random search with twice the budget.
        direction: "maximize" or "minimize".
        best: from which regret is counted; None for the best value of any run.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    finals = [run.final for each in runs.values() for run in each]
    known = [value for value in finals if value is not None]
    if best is None and known:
        best = sign * max(sign * value for value in known)

    def regret(value: float | None) -> float:
        return math.inf if value is None or best is None else sign * (best - value)

    def beats(run: Run, other: Run) -> bool:
        return run.final is not None and is_better(run.final, other.final, direction)

    return Comparison(
        best,
        {
            name: Measured(
                runs=own,
                shares=[
                    run.seconds_to(other.final, direction) / other.seconds
                    for run, other in zip(own, runs[random], strict=True)
                ],
                beats_twice=[beats(*pair) for pair in zip(own, runs[twice], strict=True)],
                regrets={
                    part: [regret(run.value_at(part * run.seconds)) for run in own]
                    for part in PARTS
                },
            )
            for name, own in runs.items()
        },
    )


def as_text(found: Mapping[str, Measured], metric: Metric, about: Mapping[str, Any]) -> str:
    """Writes a table for people, and what it shows.

    Args:
        found: by policy.
        metric: the study's.
        about: what was searched, as `benchmarks.policies` tells in JSON.
    """
    rows = [
        [
            name,
            spread(each.shares, "{:.2f}".format),
            f"{each.n_never} of {len(each.runs)}",
            f"{statistics.fmean(each.beats_twice):.0%}",
            *(spread(each.regrets[part], metric.show) for part in PARTS),
            f"{statistics.median(run.n_trials for run in each.runs):g}",
            f"{statistics.median(run.n_epochs for run in each.runs):g}",
        ]
        for name, each in found.items()
    ]
    columns = ["policy", "share of the budget until random's final value", "never"]
    columns += ["better than random x2", *(f"regret at {part:.0%}" for part in PARTS)]
    start, notes = about.get("start_from"), []
    if start:
        notes.append(
            Paragraph(
                "`warm start`: tries first the best networks that a search of "
                f"{start['study']} found in {start['minutes']:g} virtual minutes, by "
                f"{start['curves']}, with another seed for each. With seed 0, "
                f"{start['with_seed_0']}."
            )
        )
    best = "none" if about["best"] is None else metric.show(about["best"])
    return as_markdown(
        f"{about['study']}: {about['metric']} by {about['curves']}",
        [
            Table([*columns, "trials", "epochs"], rows),
            Paragraph(
                f"{about['seeds']} seeds, {about['minutes']:g} virtual minutes, "
                f"{about['workers']} workers; medians, with quartiles in brackets. Random search "
                "with the same seed and the study's pruner is what a policy is held against; "
                f"regret is counted from {best}, at parts of a policy's own budget."
            ),
            *notes,
        ],
    )


def as_json(found: Mapping[str, Measured]) -> dict[str, Any]:
    """Returns the same for machines, with the values of each seed; what is infinite is None."""
    return {
        name: {
            "share_until_random": _summary(each.shares) | {"n_never": each.n_never},
            "better_than_random_x2": {
                "share": statistics.fmean(each.beats_twice),
                "values": list(each.beats_twice),
            },
            "regret": {f"{part:g}": _summary(each.regrets[part]) for part in PARTS},
            "final": [run.final for run in each.runs],
            "n_trials": [run.n_trials for run in each.runs],
            "n_epochs": [run.n_epochs for run in each.runs],
        }
        for name, each in found.items()
    }


def _summary(values: Sequence[float]) -> dict[str, Any]:
    low, middle, high = (_finite(each) for each in _quartiles(values))
    return {
        "median": middle,
        "quartiles": [low, high],
        "mean": _finite(statistics.fmean(values)),
        "values": [_finite(each) for each in values],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; quartiles are values, as some may be infinite."""
    ordered = sorted(values)
    low, high = (ordered[math.ceil(part * len(ordered)) - 1] for part in (0.25, 0.75))
    return low, statistics.median(ordered), high


def spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """Median, and in brackets the quartiles, for a cell of a table; what is infinite is never."""
    low, middle, high = ("never" if math.isinf(x) else show(x) for x in _quartiles(values))
    return middle if low == high else f"{middle} ({low}–{high})"  # noqa: RUF001
