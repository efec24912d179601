"""Figures of single networks and of those that are compared: curves, intervals, confidence."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pipeline.evaluation.verdict import Standing
from pipeline.report.figures import CHAMPION_COLOUR, COLOURS, FAINT, finish, whole
from pipeline.study.trial import State, Trial
from pipeline.task.task import Metric

FEW = 10  # examples, of which a share says little
_MOST_OF_LABEL = 18  # characters of a line, so that a phone has room for the figure beside them


def of_several(trials: Sequence[Trial], champion: Trial, metric: Metric) -> go.Figure:
    """Draws the metric of several trials over their epochs, the champion's in front.

    Args:
        trials: that are drawn.
        champion: one of them.
        metric: the study's.
    """
    figure = go.Figure()
    for trial in [*(each for each in trials if each is not champion), champion]:
        values = trial.history.get(metric.name, ())
        is_champion = trial is champion
        figure.add_scatter(
            x=[*range(1, len(values) + 1)],
            y=[*values],
            mode="lines",
            name=f"trial {trial.number}" + " (winner)" * is_champion,
            line={
                "color": CHAMPION_COLOUR if is_champion else FAINT,
                "width": 2.5 if is_champion else 1.2,
            },
            customdata=[trial.number] * len(values),
            hovertemplate="trial %{customdata}, epoch %{x}: %{y:.6~g}<br>%{text}<extra></extra>",
            showlegend=is_champion,
        )
    figure.update_xaxes(whole(max(len(t.history.get(metric.name, ())) for t in trials)))
    return finish(figure, "epoch", metric.name, _without_start(trials, metric))


def _without_start(trials: Sequence[Trial], metric: Metric) -> tuple[float, float] | None:
    """Chooses a range without first epochs, beside which the others would be one line."""
    values = [v for trial in trials for v in trial.history.get(metric.name, ())[2:]]
    if not values:
        return None
    margin = 0.06 * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin


def standings(known: Sequence[Standing], names: Sequence[str], metric: Metric) -> go.Figure:
    """Draws what each finalist is expected to be worth, with its 95 % interval.

    Args:
        known: the winner first.
        names: of each, as a reader knows them.
        metric: the study's.
    """
    rows = [*zip(known, names, strict=True)][::-1]
    figure = go.Figure(
        go.Scatter(
            x=[each.value.mean for each, _ in rows],
            y=[name for _, name in rows],
            mode="markers",
            marker={
                "size": 11,
                "color": [CHAMPION_COLOUR if each is known[0] else FAINT for each, _ in rows],
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [each.value.interval.high - each.value.mean for each, _ in rows],
                "arrayminus": [each.value.mean - each.value.interval.low for each, _ in rows],
                "color": FAINT,
            },
            hovertemplate="%{y}: %{x:.6~g}<extra></extra>",
        )
    )
    figure.add_vline(x=known[0].value.mean, line={"color": FAINT, "dash": "dot", "width": 1})
    lines = [textwrap.wrap(name, _MOST_OF_LABEL, break_long_words=False) for _, name in rows]
    figure.update_yaxes(
        tickvals=[name for _, name in rows], ticktext=["<br>".join(each) for each in lines]
    )
    return finish(figure, metric.name, "", None, height=100 + 42 * len(rows))


def reliability(points: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draws how often a model is right where it is so sure.

    Args:
        points: `low`, `high`, `n`, `confidence` and `accuracy` of each bin, as exported.
    """
    many = [each for each in points if each["n"] >= FEW]
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="as sure as right",
        line={"color": FAINT, "dash": "dot"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[each["confidence"] for each in many],
        y=[each["accuracy"] for each in many],
        mode="lines+markers",
        name="the model",
        line={"color": COLOURS[State.COMPLETE]},
        text=[f"{each['n']:,}" for each in many],
        hovertemplate="%{text} examples: sure %{x:.3f}, right %{y:.3f}<extra></extra>",
    )
    figure.update_xaxes(range=[0, 1.02])
    figure.update_yaxes(range=[0, 1.02])
    return finish(figure, "confidence of the answer", "share that is right", None, height=380)
