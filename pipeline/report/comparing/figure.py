"""The figure of a comparison: the best so far of two searches."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from pipeline.escaping import for_figure
from pipeline.report.figures import CHAMPION_COLOUR, COLOURS, finish, focus
from pipeline.report.incumbents import Incumbent
from pipeline.study.trial import State
from pipeline.task.task import Metric


def best_so_far(
    found: Mapping[str, Sequence[Incumbent]], until: Mapping[str, float], metric: Metric
) -> go.Figure:
    """Draws the best so far of searches against minutes, or trials where those are not known.

    Args:
        found: incumbents by the name of the study, two at most.
        until: how far each search went, in the same unit.
        metric: of both.
    """
    is_timed = all(each.minutes is not None for some in found.values() for each in some)
    figure = go.Figure()
    colours = (CHAMPION_COLOUR, COLOURS[State.COMPLETE])
    for (name, some), colour in zip(found.items(), colours, strict=False):
        steps = [each.minutes if is_timed else each.n_trials for each in some]
        values = [each.value for each in some]
        figure.add_scatter(
            x=[*steps, until[name]],
            y=[*values, *values[-1:]],
            mode="lines",
            name=for_figure(name),
            line={"color": colour, "width": 2, "shape": "hv"},
            hovertemplate="%{x:.1f}: %{y:.6~g}<extra></extra>",
        )
    known = [each.value for some in found.values() for each in some]
    unit = "minutes of search" if is_timed else "trials"
    return finish(figure, unit, metric.name, focus(known, metric))
