"""The figures of a report, with plotly."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from pipeline.trials import Trial

COLOURS = {"COMPLETE": "#2463b0", "PRUNED": "#c9ced6", "FAIL": "#c23b3b"}
CHAMPION, FAINT = "#d9730d", "#8a94a0"
LINES = {
    "accuracy": "#2463b0",
    "val_accuracy": "#d9730d",
    "loss": "#2463b0",
    "val_loss": "#d9730d",
}
NAMES = {
    "accuracy": "training",
    "val_accuracy": "validation",
    "loss": "training",
    "val_loss": "validation",
}


def history(trials: Sequence["Trial"], best_so_far: Sequence[float], metric: str) -> "go.Figure":
    """Every trial's value in the order of the trials, and the best so far as a line."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for state in ("PRUNED", "COMPLETE"):
        shown = [trial for trial in trials if trial.state == state and trial.value is not None]
        figure.add_scatter(
            x=[trial.number for trial in shown],
            y=[trial.value for trial in shown],
            mode="markers",
            name=state.lower(),
            marker={"color": COLOURS[state], "size": 8},
            text=[str(trial.hyperparameters) for trial in shown],
            hovertemplate="trial %{x}: %{y:.4f}<br>%{text}<extra></extra>",
        )
    figure.add_scatter(
        x=[trial.number for trial in trials],
        y=list(best_so_far),
        mode="lines",
        name="best so far",
        line={"color": CHAMPION, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    return _finish(figure, "trial", metric, _focus([t.value for t in trials], metric))


def curves(trial: "Trial", kind: str) -> "go.Figure":
    """Training and validation over the epochs of one trial; `kind` is "loss" or "accuracy"."""
    import plotly.graph_objects as go

    figure = go.Figure()
    epochs = list(range(1, trial.n_epochs + 1))
    for name in (kind, f"val_{kind}"):
        figure.add_scatter(
            x=epochs,
            y=list(trial.history[name]),
            mode="lines+markers",
            name=NAMES[name],
            line={"color": LINES[name]},
        )
    figure.add_vline(x=trial.best_epoch, line={"color": FAINT, "dash": "dot", "width": 1})
    return _finish(figure, "epoch", kind, None)


def importance(shares: Mapping[str, float]) -> "go.Figure":
    """How much of the metric's variation each hyperparameter explains."""
    import plotly.graph_objects as go

    names = list(shares)[::-1]
    figure = go.Figure(
        go.Bar(
            x=[shares[name] for name in names],
            y=names,
            orientation="h",
            marker={"color": COLOURS["COMPLETE"]},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )
    return _finish(figure, "importance", "", None, height=60 + 34 * len(names))


def slices(trials: Sequence["Trial"], names: Sequence[str], metric: str) -> "go.Figure":
    """The metric against each searched hyperparameter, one small panel for each."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    n_columns = 3
    n_rows = -(-len(names) // n_columns)
    figure = make_subplots(
        n_rows, n_columns, subplot_titles=list(names), shared_yaxes=True,
        vertical_spacing=0.22 / max(1, n_rows - 1) if n_rows > 1 else 0.2,
    )  # fmt: skip
    known = [t for t in trials if t.value is not None and t.hyperparameters is not None]
    for i, name in enumerate(names):
        row, column = i // n_columns + 1, i % n_columns + 1
        values = [_scalar(trial, name) for trial in known]
        figure.add_trace(
            go.Scatter(
                x=values,
                y=[trial.value for trial in known],
                mode="markers",
                marker={"color": [COLOURS[trial.state] for trial in known], "size": 6},
                text=[f"trial {trial.number}" for trial in known],
                hovertemplate="%{text}: %{x}, %{y:.4f}<extra></extra>",
                showlegend=False,
            ),
            row=row,
            col=column,
        )
        if name == "learning_rate":
            figure.update_xaxes(type="log", row=row, col=column)
    figure = _finish(figure, "", "", None, height=90 + 210 * n_rows)
    low, high = _focus([trial.value for trial in known], metric)
    figure.update_yaxes(range=[low, high])
    return figure


def _scalar(trial: "Trial", name: str) -> Any:
    assert trial.hyperparameters is not None
    value = getattr(trial.hyperparameters, name)
    if isinstance(value, tuple):
        return max(value, default=0)
    return str(value) if isinstance(value, bool) else value


def _focus(values: Sequence[float | None], metric: str) -> tuple[float, float]:
    """A range that leaves out the worst quarter: hopeless trials would flatten all others."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return 0.0, 1.0
    quarter = len(known) // 4
    kept = known[: -quarter or None] if metric.endswith("loss") else known[quarter:]
    margin = 0.08 * (kept[-1] - kept[0]) or 0.01
    return kept[0] - margin, kept[-1] + margin


def _finish(
    figure: "go.Figure",
    x: str,
    y: str,
    y_range: tuple[float, float] | None,
    height: int = 340,
) -> "go.Figure":
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 16, "t": 28, "b": 44},
        legend={"orientation": "h", "y": 1.1, "x": 0},
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    if y_range:
        figure.update_yaxes(range=list(y_range))
    return figure
