"""Figures of a whole search: its course in time, its space, its costs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pipeline.evaluation import edges
from pipeline.evaluation.budget import Budget
from pipeline.evaluation.ledger import Ledger
from pipeline.report.figures import (
    CHAMPION_COLOUR,
    COLOURS,
    FAINT,
    HOVER,
    finish,
    focus,
    is_drawn,
    log_ticks,
    scalar,
)
from pipeline.report.incumbents import Incumbent
from pipeline.study.ranges import Choices, Entry
from pipeline.study.trial import State, Trial
from pipeline.task.task import Metric

BELOW = -0.14  # where a parallel axis has what a trial does not use
SHORTEST, LONGEST = 0.02, 0.98  # share of the height of a parallel axis


def over_time(
    trials: Sequence[Trial],
    records: Sequence[Incumbent],
    metric: Metric,
    used: Mapping[int, float],
) -> go.Figure:
    """Draws the best so far, and every trial's value, by the minutes that the search had used.

    Args:
        trials: that are drawn.
        records: the best so far of the whole search, in their order.
        metric: the study's.
        used: minutes when each trial ended, by number.
    """
    timed = [(each.minutes, each.value) for each in records if each.minutes is not None]
    timed += [(max(used.values()), value) for _, value in timed[-1:]]
    valued = [trial for trial in trials if trial.value is not None]
    figure = go.Figure()
    figure.add_scatter(
        x=[used[trial.number] for trial in valued],
        y=[trial.value for trial in valued],
        mode="markers",
        name="trials",
        marker={"color": [COLOURS[trial.state] for trial in valued], "size": 6},
        customdata=[trial.number for trial in valued],
        hovertemplate=HOVER,
        showlegend=False,
    )
    figure.add_scatter(
        x=[minutes for minutes, _ in timed],
        y=[value for _, value in timed],
        mode="lines",
        name="best so far",
        line={"color": CHAMPION_COLOUR, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    return finish(figure, "minutes", metric.name, focus([t.value for t in trials], metric))


def _running_best(values: Sequence[float], metric: Metric) -> list[float]:
    return [*itertools.accumulate(values, max if metric.direction == "maximize" else min)]


def parallel(trials: Sequence[Trial], space: Mapping[str, Entry], best: Sequence[Trial]) -> Any:
    """Draws every trial as a line through its hyperparameters, the best ones in front.

    Args:
        trials: that are drawn, and have a value.
        space: entries by hyperparameter, an axis each.
        best: those that are in front.
    """
    front = {trial.number for trial in best}
    figure = go.Figure()
    for name, is_front in (("others", False), ("the best", True)):
        own = [trial for trial in trials if (trial.number in front) is is_front]
        xs: list[float | None] = []
        ys: list[float | None] = []
        numbers: list[int | None] = []
        for trial in own:
            xs += [*range(len(space)), None]
            ys += [*(_height(trial, key, entry) for key, entry in space.items()), None]
            numbers += [trial.number] * (len(space) + 1)
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="lines",
            name=name,
            line={"color": CHAMPION_COLOUR if is_front else FAINT, "width": 1.6 - (not is_front)},
            opacity=0.85 if is_front else 0.4,
            customdata=numbers,
            hovertemplate="trial %{customdata}<br>%{text}<extra></extra>",
        )
    for i, entry in enumerate(space.values()):
        for text, height in _labels(entry):
            figure.add_annotation(
                x=i, y=height, text=text, showarrow=False, font={"size": 11},
                bgcolor="rgba(128,128,128,0.18)", borderpad=2,
            )  # fmt: skip
    figure.update_xaxes(
        tickmode="array", tickvals=[*range(len(space))], ticktext=[*space], side="bottom",
        range=[-0.45, len(space) - 0.55], tickangle=-30,
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[BELOW - 0.08, 1.08])
    return finish(figure, "", "", None, height=420)


def _height(trial: Trial, name: str, entry: Entry) -> float:
    if not is_drawn(trial, name, entry):
        return BELOW
    value = scalar(trial, name)
    if isinstance(entry, Choices):
        return _of_choice([*map(str, entry.choices)], str(value))
    return min(max(edges.place(entry, value), SHORTEST), LONGEST)


def _of_choice(choices: Sequence[str], value: str) -> float:
    if value not in choices:  # a reference's own
        return BELOW
    return (choices.index(value) + 0.5) / len(choices)


def _labels(entry: Entry) -> list[tuple[str, float]]:
    if isinstance(entry, Choices):
        names = [*map(str, entry.choices)]
        return [(name, _of_choice(names, name)) for name in names]
    return [(f"{entry.low:g}", SHORTEST), (f"{entry.high:g}", LONGEST)]


def by_size(trials: Sequence[Trial], front: Sequence[Trial], metric: Metric) -> go.Figure:
    """Draws the metric against the number of parameters, and the front of what is not beaten.

    Args:
        trials: that are drawn; those without a value or a number of parameters are left out.
        front: networks than which no smaller one is as good, by their size.
        metric: the study's.
    """
    known = [trial for trial in trials if trial.value is not None and trial.n_parameters]
    figure = go.Figure()
    figure.add_scatter(
        x=[trial.n_parameters for trial in known],
        y=[trial.value for trial in known],
        mode="markers",
        name="trials",
        marker={"color": [COLOURS[trial.state] for trial in known], "size": 7},
        customdata=[trial.number for trial in known],
        hovertemplate="%{x:,} parameters<br>" + HOVER,
    )
    figure.add_scatter(
        x=[trial.n_parameters for trial in front],
        y=[trial.value for trial in front],
        mode="lines+markers",
        name="no smaller one is as good",
        line={"color": CHAMPION_COLOUR, "width": 2, "shape": "hv"},
        customdata=[trial.number for trial in front],
        hovertemplate="%{x:,} parameters<br>" + HOVER,
    )
    sizes = [trial.n_parameters for trial in known]
    ticks = log_ticks(min(sizes), max(sizes))
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,.0f}" for tick in ticks])
    return finish(figure, "parameters", metric.name, focus([t.value for t in known], metric))


def front_of(trials: Sequence[Trial], direction: str) -> list[Trial]:
    """Finds networks than which no smaller one is as good, by their size."""
    sign = 1.0 if direction == "maximize" else -1.0
    known = [trial for trial in trials if trial.value is not None and trial.n_parameters]
    known.sort(key=lambda trial: (trial.n_parameters, -sign * (trial.value or 0.0)))
    front: list[Trial] = []
    for trial in known:
        if not front or sign * (trial.value or 0.0) > sign * (front[-1].value or 0.0):
            front.append(trial)
    return front


def budget(trials: Sequence[Trial], known: Budget, metric: Metric) -> go.Figure:
    """Draws the best by the number of drawn trials, and what twice as many might bring.

    Args:
        trials: drawn ones that have a value, in the order in which they ended.
        known: what is foreseen.
        metric: the study's.
    """
    best = _running_best([trial.value or 0.0 for trial in trials], metric)
    figure = go.Figure()
    figure.add_scatter(
        x=[*range(1, len(best) + 1)], y=best, mode="lines", name="best so far",
        line={"color": CHAMPION_COLOUR, "width": 2, "shape": "hv"},
        hovertemplate="after %{x} trials: %{y:.6~g}<extra></extra>",
    )  # fmt: skip
    values = best[len(best) // 8 :]  # before, all is found that is easily found
    if known.gain is not None and known.interval is not None:
        sign = 1.0 if metric.direction == "maximize" else -1.0
        ends = [known.best + sign * end for end in (known.interval.low, known.interval.high)]
        middle = known.best + sign * known.gain
        figure.add_scatter(
            x=[2 * len(best)], y=[middle], mode="markers", name="with twice as many",
            marker={"color": COLOURS[State.COMPLETE], "size": 10},
            error_y={
                "type": "data", "symmetric": False,
                "array": [max(ends) - middle], "arrayminus": [middle - min(ends)],
            },
            hovertemplate="twice as many: %{y:.6~g}<extra></extra>",
        )  # fmt: skip
        values += [*ends]
    margin = 0.08 * (max(values) - min(values)) or 0.01
    shown = min(values) - margin, max(values) + margin
    return finish(figure, "drawn trials", metric.name, shown, height=300)


def ledger(known: Ledger) -> go.Figure:
    """Draws what the seconds of workers went into as bars, and those that were saved."""
    rows = [(entry.name, entry.seconds, FAINT) for entry in known.entries]
    colours = {
        "the winner": CHAMPION_COLOUR,
        "trained to their own end": COLOURS[State.COMPLETE],
        "failed or diverged": COLOURS[State.FAIL],
    }
    rows = [(name, seconds, colours.get(name, colour)) for name, seconds, colour in rows]
    if known.seconds_saved:
        rows.append(("saved, at most", known.seconds_saved, "rgba(128,128,128,0.25)"))
    rows.reverse()
    figure = go.Figure(
        go.Bar(
            x=[seconds / 60 for _, seconds, _ in rows],
            y=[name for name, *_ in rows],
            orientation="h",
            marker={"color": [colour for *_, colour in rows]},
            hovertemplate="%{y}: %{x:.1f} minutes<extra></extra>",
        )
    )
    return finish(figure, "minutes", "", None, height=90 + 34 * len(rows))
