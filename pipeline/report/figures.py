"""The figures of a report, with plotly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pipeline.study.ranges import Choices, Entry
from pipeline.study.trial import State, Trial
from pipeline.task.task import Metric

# such that are seen on white and on black
COLOURS = {State.COMPLETE: "#3d84d6", State.PRUNED: "#98a3ae", State.FAIL: "#d9534f"}
PANEL = 240  # pixels, the height of a small figure
MOST_TICKS = 4  # on a logarithmic axis of a panel
N_SHOWN = 1000  # trials in a figure; of many more, a browser cannot draw a panel for each range
CHAMPION_COLOUR, FAINT = "#e07b1a", "#8a94a0"
PARTS = {"": "training", "val_": "validation"}  # of the data, by the prefix of a metric's name
LINES = {"training": "#3d84d6", "validation": "#e07b1a"}
HOVER = "trial %{customdata}: %{y:.6~g}<br>%{text}<extra></extra>"  # `html_page` knows the text


def thin_out(trials: Sequence[Trial], ranked: Sequence[Trial]) -> list[Trial]:
    """Selects about `N_SHOWN` trials: the best of `ranked`, and of the others every so many."""
    if len(trials) <= N_SHOWN:
        return list(trials)
    best = {trial.number for trial in ranked[: N_SHOWN // 2]}
    others = [trial.number for trial in trials if trial.number not in best]
    shown = best | set(others[:: -(-len(others) // (N_SHOWN - len(best)))])
    return [trial for trial in trials if trial.number in shown]


def history(trials: Sequence[Trial], best_so_far: Sequence[float], metric: Metric) -> go.Figure:
    """Draws every trial's value in the order of the trials, and the best so far as a line.

    Args:
        trials: all that are drawn, by number.
        best_so_far: of the study after each of these trials.
        metric: the study's.
    """
    figure = go.Figure()
    valued = [trial for trial in trials if trial.value is not None]
    for state in (State.FAIL, State.PRUNED, State.COMPLETE):
        shown = [trial for trial in valued if trial.state == state]
        if state == State.FAIL and not shown:  # as in all but older stores
            continue
        figure.add_scatter(
            x=[trial.number for trial in shown],
            y=[trial.value for trial in shown],
            mode="markers",
            name=state.lower(),
            marker={"color": COLOURS[state], "size": 8},
            customdata=[trial.number for trial in shown],
            hovertemplate=HOVER,
        )
    figure.add_scatter(
        x=[trial.number for trial in trials],
        y=list(best_so_far),
        mode="lines",
        name="best so far",
        line={"color": CHAMPION_COLOUR, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    figure.update_xaxes(whole(len(trials)))
    return finish(figure, "trial", metric.name, focus([t.value for t in trials], metric))


def curves(trial: Trial, quantity: str) -> go.Figure:
    """Draws a quantity such as "loss" over a trial's epochs, in training and validation.

    What is scored from predictions is not known of training.
    """
    figure = go.Figure()
    epochs = list(range(1, trial.n_epochs + 1))
    for prefix, part in PARTS.items():
        if f"{prefix}{quantity}" not in trial.history:
            continue
        figure.add_scatter(
            x=epochs,
            y=list(trial.history[f"{prefix}{quantity}"]),
            mode="lines+markers",
            name=part,
            line={"color": LINES[part]},
        )
    figure.add_vline(x=trial.best_epoch, line={"color": FAINT, "dash": "dot", "width": 1})
    figure.update_xaxes(whole(trial.n_epochs))
    return finish(figure, "epoch", quantity, None)


def bands(runs: Sequence[Trial], quantities: Sequence[str]) -> dict[str, go.Figure]:
    """Draws quantities over the epochs: mean over runs, and a band from lowest to highest.

    Args:
        runs: of one network.
        quantities: such as "loss", a panel each.
    """
    return {quantity: _band(runs, quantity) for quantity in quantities}


def _band(runs: Sequence[Trial], quantity: str) -> go.Figure:
    figure = go.Figure()
    n_epochs = max(run.n_epochs for run in runs)
    epochs = list(range(1, n_epochs + 1))
    for prefix, part in PARTS.items():
        name = f"{prefix}{quantity}"
        if not all(name in run.history for run in runs):
            continue
        # at each epoch, those runs that came so far
        reached = [[r.history[name][i] for r in runs if r.n_epochs > i] for i in range(n_epochs)]
        edge = [max(values) for values in reached] + [min(values) for values in reached][::-1]
        figure.add_scatter(
            x=epochs + epochs[::-1],
            y=edge,
            fill="toself",
            fillcolor=f"{LINES[part]}33",
            line={"width": 0},
            hoverinfo="skip",
            legendgroup=part,
            showlegend=False,
        )
        figure.add_scatter(
            x=epochs,
            y=[sum(values) / len(values) for values in reached],
            mode="lines",
            name=part,
            legendgroup=part,
            line={"color": LINES[part]},
        )
    figure.update_xaxes(whole(n_epochs))
    return finish(figure, "epoch", quantity, None, height=PANEL)


def importance(shares: Mapping[str, float]) -> go.Figure:
    """Draws each hyperparameter's importance as a bar."""
    names = list(shares)[::-1]
    figure = go.Figure(
        go.Bar(
            x=[shares[name] for name in names],
            y=names,
            orientation="h",
            marker={"color": COLOURS[State.COMPLETE]},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )
    return finish(figure, "importance", "", None, height=60 + 34 * len(names))


def slices(
    trials: Sequence[Trial], space: Mapping[str, Entry], metric: Metric
) -> dict[str, go.Figure]:
    """Draws the metric against each searched hyperparameter, one small panel for each.

    A panel has the trials for which its hyperparameter was drawn, but for those that `off_scale`
    counts; of `units` the widest layer's.

    Args:
        trials: all that are drawn.
        space: entries by hyperparameter, a panel for each.
        metric: the study's.
    """
    known = [trial for trial in trials if trial.value is not None]
    seen = focus([trial.value for trial in known], metric)
    panels = {}
    for name, entry in space.items():
        drawn = [trial for trial in known if is_drawn(trial, name, entry)]
        drawn = [trial for trial in drawn if not _is_off_scale(trial, name, entry)]
        values = [scalar(trial, name) for trial in drawn]
        if entry.type == "categorical":
            values = [str(value) for value in values]
        figure = go.Figure(
            go.Scatter(
                x=values,
                y=[trial.value for trial in drawn],
                mode="markers",
                marker={"color": [COLOURS[trial.state] for trial in drawn], "size": 6},
                customdata=[trial.number for trial in drawn],
                hovertemplate=f"{name} %{{x}}<br>{HOVER}",
                showlegend=False,
            )
        )
        figure.update_xaxes(**_axis(entry, values))
        panels[name] = finish(figure, name, metric.name, seen, height=PANEL)
    return panels


def off_scale(trials: Sequence[Trial], space: Mapping[str, Entry]) -> dict[str, int]:
    """Counts, by hyperparameter, the trials for which a logarithmic panel has no place."""
    counts = {
        name: sum(
            trial.value is not None
            and is_drawn(trial, name, entry)
            and _is_off_scale(trial, name, entry)
            for trial in trials
        )
        for name, entry in space.items()
    }
    return {name: n for name, n in counts.items() if n}


def _is_off_scale(trial: Trial, name: str, entry: Entry) -> bool:
    """Tells whether a value has no logarithm: a reference may have no dropout at all."""
    is_log = not isinstance(entry, Choices) and entry.log
    return bool(is_log and scalar(trial, name) <= 0)


def is_drawn(trial: Trial, name: str, entry: Entry) -> bool:
    """Tells whether a trial has a value of a hyperparameter."""
    values = vars(trial.hyperparameters) if trial.hyperparameters else {}
    return bool(values) and entry.is_active(values) and values[name] != ()


def scalar(trial: Trial, name: str) -> Any:
    """Returns a trial's value of a hyperparameter; of `units` the widest layer's."""
    value = getattr(trial.hyperparameters, name)
    return max(value) if isinstance(value, tuple) else value


def _axis(entry: Entry, values: Sequence[Any]) -> dict[str, Any]:
    """Lays out a panel's x axis: all that can be drawn, and references beyond it; few ticks."""
    if entry.type == "categorical":
        names = list(dict.fromkeys([*map(str, entry.choices), *values]))
        return {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names,
            "range": [-0.5, len(names) - 0.5],
        }
    low, high = min([entry.low, *values]), max([entry.high, *values])
    if entry.log:
        ticks = log_ticks(low, high)
        margin = 0.05 * math.log10(high / low) or 0.1
        return {
            "type": "log",
            "tickvals": ticks,
            "ticktext": [f"{tick:g}" for tick in ticks],
            "range": [math.log10(low) - margin, math.log10(high) + margin],
        }
    margin = 0.05 * (high - low) or 0.5
    marks = whole(high - low) if entry.type == "int" else {}
    return {"range": [low - margin, high + margin], **marks}


def whole(span: float) -> dict[str, Any]:
    """Puts ticks at whole numbers: plotly would mark 1.5 layers."""
    return {"dtick": 1} if span <= 12 else {}


def log_ticks(low: float, high: float) -> list[float]:
    """Picks at most four round numbers in a range, as dense as that allows; else both ends."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    grids = [("125", 1), ("13", 1), *(("1", every) for every in range(1, len(powers) + 1))]
    for digits, every in grids:
        numbers = [float(f"{digit}e{power}") for power in powers[::every] for digit in digits]
        ticks = [number for number in numbers if low <= number <= high]
        if len(ticks) <= MOST_TICKS:
            break
    return ticks if len(ticks) > 1 else [low, high]


def focus(values: Sequence[float | None], metric: Metric) -> tuple[float, float]:
    """Chooses a range without the worst quarter: hopeless trials would flatten all others."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return 0.0, 1.0
    quarter = len(known) // 4
    kept = known[: -quarter or None] if metric.direction == "minimize" else known[quarter:]
    margin = 0.08 * (kept[-1] - kept[0]) or 0.01
    return kept[0] - margin, kept[-1] + margin


def finish(
    figure: go.Figure,
    x: str,
    y: str,
    y_range: tuple[float, float] | None,
    height: int = 340,
) -> go.Figure:
    """Names the axes, and sets the range of values and the height in pixels."""
    figure.update_layout(height=height)  # all other looks are the page's
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    if y_range:
        figure.update_yaxes(range=list(y_range))
    return figure
