"""The part of a report on the space: where the best lie, and what matters."""

import re
from collections import Counter
from collections.abc import Sequence

from pipeline.evaluation import edges
from pipeline.evaluation.edges import Edge
from pipeline.report import figures, search_figures
from pipeline.report.document import Block, Figure, Heading, Note, Panels, Paragraph, Table
from pipeline.report.sections.search import left_out
from pipeline.report.summary import N_FOR_IMPORTANCE, StudySummary
from pipeline.study.trial import Trial
from pipeline.wording import count_noun, inflect, join_names

HEADING = "Where the best lie"
IMPORTANCE = "Which hyperparameters matter"
FEW = 50  # complete trials, of which importance is a hint
FEWEST_OF_BEST = 3  # that have a hyperparameter: of fewer nothing is said
MOST_LINES = 300  # of a figure of parallel axes


def space(facts: StudySummary) -> list[Block]:
    """Draws the metric over each range, warns of bounds that are too tight, and ranks."""
    return [*_ranges(facts), *_importance(facts)]


def said_of_best(facts: StudySummary) -> str:
    """Says in short whether a bound may be too tight, and where the best lie."""
    if not facts.spec.space:
        return "Nothing was searched."
    if len(edges.best_of(facts.ranked)) < edges.FEWEST:
        return _said_of_none(facts)
    said = [_said_of(edge) for edge in tight(facts) if not edge.is_natural]
    return " ".join([*(said or [_said_of_none(facts)]), _said_of_ranges(facts)])


def said_of_edges(facts: StudySummary) -> str:
    """Says in a sentence or two whether a bound may be too tight."""
    return " ".join(_said_of(edge) for edge in tight(facts)) or _said_of_none(facts)


def _said_of_none(facts: StudySummary) -> str:
    n = len(edges.best_of(facts.ranked))
    if n < edges.FEWEST:
        few = f"{count_noun(n, 'drawn trial')} {inflect('is', n, 'are')} too few"
        return f"{few} to say whether a bound is too tight; {edges.FEWEST} are needed."
    return f"No bound is too tight: the best {n} trials lie inside their ranges."


def tight(facts: StudySummary) -> list[Edge]:
    """Finds bounds of the space near which most of the best trials lie."""
    return edges.find(facts.ranked, facts.spec.space)


def _said_of(edge: Edge) -> str:
    side = "upper" if edge.is_upper else "lower"
    what = f"{edge.n_near} of {edge.n_best} values of `{edge.name}` in the best trials"
    said = f"{what} lie near its {side} bound, {edge.bound:g}"
    if edge.is_natural:
        return f"{said}, beyond which there is nothing."
    return f"{said}: it may be too tight."


def _ranges(facts: StudySummary) -> list[Block]:
    searched, metric = facts.spec.space, facts.spec.objective
    if not searched:
        return []
    drawn = figures.thin_out(facts.ended, facts.ranked)
    caption = (
        "The metric against each hyperparameter, of trials that have it; of `units`, the widest "
        "layer's. Blue: complete, grey: pruned."
    )
    off_scale = [
        f"{count_noun(n, 'trial')} of `{name}`"
        for name, n in figures.off_scale(drawn, searched).items()
    ]
    if off_scale:
        caption += f" Left out, for a logarithmic axis has no 0: {join_names(off_scale)}."
    is_tight = any(not edge.is_natural for edge in tight(facts))
    said = said_of_edges(facts)
    return [
        Heading(HEADING),
        Note(said) if is_tight else Paragraph(said),
        *_best_values(facts),
        Panels(
            figures.slices(drawn, searched, metric),
            caption + left_out(drawn, facts.ended),
            _said_of_ranges(facts),
        ),
        *_lines(facts),
    ]


def _said_of_ranges(facts: StudySummary) -> str:
    """Says what the best have of the hyperparameter that decides most, or of the first one."""
    best, searched = edges.best_of(facts.ranked), facts.spec.space
    decisive = [re.sub(r"_\d+$", "", name) for name in facts.importance]  # of layers, `units`
    for name in dict.fromkeys([*decisive, *searched]):
        entry = searched.get(name)
        own = [t for t in best if entry and figures.is_drawn(t, name, entry)]
        if entry is None or len(own) < FEWEST_OF_BEST:
            continue
        values = [figures.scalar(trial, name) for trial in own]
        where = f"Where the best {len(best)} have `{name}`, it is"
        if entry.type == "categorical":
            value, n = Counter(values).most_common(1)[0]
            return f"{where} {value} in {n} of {len(own)}."
        shown = f"{min(values):.3g}" + f" to {max(values):.3g}" * (min(values) < max(values))
        return f"{where} {shown}{' in the widest layer' if entry.per else ''}."
    few = f"{count_noun(len(best), 'drawn trial')} {inflect('is', len(best), 'are')} too few"
    return f"{few} to see where the best lie."


def _best_values(facts: StudySummary) -> list[Block]:
    """Tables what the best have of each hyperparameter, beside its range."""
    best, rows = edges.best_of(facts.ranked), []
    for name, entry in facts.spec.space.items():
        own = [trial for trial in best if figures.is_drawn(trial, name, entry)]
        if not own:
            continue
        values = [figures.scalar(trial, name) for trial in own]
        if entry.type == "categorical":
            counts = {choice: values.count(choice) for choice in entry.choices}
            shown = ", ".join(f"{choice} ({n})" for choice, n in counts.items() if n)
            known = ", ".join(map(str, entry.choices))
        else:
            shown = f"{min(values):.4g} to {max(values):.4g}"
            if min(values) == max(values):
                shown = f"{values[0]:.4g}"
            shown += " (widest layer)" * (entry.per is not None)
            known = f"{entry.low:g} to {entry.high:g}{' (log)' if entry.log else ''}"
        rows.append([f"`{name}`", known, shown, str(_champions(name, facts))])
    if not rows:
        return []
    columns = ["hyperparameter", "range", f"of the best {len(best)}", "champion"]
    return [Table(columns, rows)]


def _champions(name: str, facts: StudySummary) -> object:
    value = getattr(facts.champion.hyperparameters, name)
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else value


def _lines(facts: StudySummary) -> list[Block]:
    """Draws trials as lines through all hyperparameters."""
    best = edges.best_of(facts.ranked)
    own = [trial for trial in facts.ranked if trial.is_drawn]
    if len(facts.spec.space) < 2 or len(own) < 3:
        return []
    every = -(-len(own) // MOST_LINES)
    drawn = _without_twins([*best, *own[::every]])
    caption = (
        f"A line is a trial: {len(drawn):,} of {len(own):,}, the best {len(best)} in front. "
        "Axes that are logarithmic in the study file are here; what a network does not have "
        "lies below its axis."
    )
    figure = search_figures.parallel(drawn, facts.spec.space, best)
    return [Figure(figure, caption, _said_of_lines(best, facts))]


def _without_twins(trials: Sequence[Trial]) -> list[Trial]:
    return [*{trial.number: trial for trial in trials}.values()]


def _said_of_lines(best: Sequence[Trial], facts: StudySummary) -> str:
    """Says what all of the best have in common."""
    common = []
    for name, entry in facts.spec.space.items():
        own = [trial for trial in best if figures.is_drawn(trial, name, entry)]
        values = {str(figures.scalar(trial, name)) for trial in own}
        if len(own) == len(best) and len(values) == 1 and entry.type != "float":
            widest = " in the widest layer" * (entry.per is not None)
            common.append(f"`{name}` = {values.pop()}{widest}")
    if not common:
        return f"The best {len(best)} have no value in common."
    return f"All of the best {len(best)} have {join_names(common)}."


def _importance(facts: StudySummary) -> list[Block]:
    n, heading = facts.n_complete, Heading(IMPORTANCE)
    if n < N_FOR_IMPORTANCE:
        said = f"{count_noun(n, 'complete trial')} {inflect('is', n, 'are')} too few to say"
        return [heading, Paragraph(f"{said}; {N_FOR_IMPORTANCE} are needed.")]
    left = _constant(facts)
    if not facts.importance:
        said = "None shows in what came of the trials."
        if not facts.spec.space:
            said = "There is no hyperparameter that was searched."
        return [heading, Paragraph(said + left)]
    warning = (
        f"These are {n} complete trials: shares are a hint, and less than that for what only "
        "some of them have, such as the units of a third layer."
    )
    return [
        heading,
        Paragraph(
            f"Optuna's PED-ANOVA over {n} complete trials: how much each hyperparameter decides "
            f"whether a trial is among the best quarter.{left}"
        ),
        *([Note(warning)] if n < FEW else []),
        Table(
            ["hyperparameter", "importance"],
            [[f"`{name}`", f"{share:.2f}"] for name, share in facts.importance.items()],
        ),
        Figure(
            figures.importance(facts.importance),
            "Importances sum to one.",
            said_of_importance(facts),
        ),
    ]


def said_of_importance(facts: StudySummary) -> str:
    """Says which hyperparameters decide most."""
    if not facts.importance:
        n = facts.n_complete
        if n < N_FOR_IMPORTANCE:
            return f"{count_noun(n, 'complete trial')} {inflect('is', n, 'are')} too few to say."
        return "None shows in what came of the trials."
    most, share = [], 0.0
    for name, own in facts.importance.items():
        most.append(f"`{name}` ({own:.2f})")
        share += own
        if share >= 0.6 or len(most) == 3:
            break
    hint = " With so few complete trials that is a hint." if facts.n_complete < FEW else ""
    return f"{join_names(most)} {inflect('decides', len(most), 'decide')} most.{hint}"


def _constant(facts: StudySummary) -> str:
    """Says which hyperparameters cannot matter."""
    names = [f"`{name}`" for name in facts.constant]
    if not names:
        return ""
    return f" Left out, for within [space] these trials have one value of it: {join_names(names)}."
