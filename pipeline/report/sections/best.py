"""The part of a report on the best trials: their numbers, their curves, and their sizes."""

from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.report import figures, run_figures, search_figures
from pipeline.report.document import Block, Figure, Heading, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.study.trial import Trial
from pipeline.wording import count_noun

N_TOP = 10
SIZES = "Does it have to be so large?"


def best(facts: StudySummary) -> list[Block]:
    """Tables the best trials, and draws their curves beside the champion's."""
    lost = facts.ranked[: facts.ranked.index(facts.champion)]  # of older stores, if there are any
    top = facts.ranked[:N_TOP]
    columns = ["", "trial", facts.spec.metric, "epoch", "ended", "parameters", "seconds",
               "hyperparameters"]  # fmt: skip
    rows = [
        [
            str(rank),
            str(trial.number),
            facts.spec.objective.show(trial.value or 0.0),
            str(trial.best_epoch),
            trial.ending + ("; weights not kept" if trial in lost else ""),
            f"{trial.n_parameters:,}" if trial.n_parameters else "",
            f"{trial.seconds:.1f}",
            describe(trial),
        ]
        for rank, trial in enumerate(top, start=1)
    ]
    if not any(row[columns.index("ended")] for row in rows):
        at = columns.index("ended")
        columns, *rows = ([*row[:at], *row[at + 1 :]] for row in (columns, *rows))
    blocks: list[Block] = [Heading(f"The best {len(rows)}"), Table(columns, rows)]
    shown = [trial for trial in top if trial.n_epochs > 1]
    if facts.champion not in shown:
        shown.append(facts.champion)
    if len(shown) > 1 and facts.spec.metric in facts.champion.history:
        blocks.append(
            Figure(
                run_figures.of_several(shown, facts.champion, facts.spec.objective),
                f"{facts.spec.metric} of the best {len(top)}, the winner's in front. First "
                "epochs, beside which all others are alike, are left out of the frame.",
                _said_of_curves(facts),
            )
        )
    return blocks


def describe(trial: Trial) -> str:
    """Describes a trial's network, and what it was trained for besides the search."""
    return (
        f"{trial.hyperparameters or for_markdown(trial.reference)}"
        + (f" ({for_markdown(trial.reference)})" if trial.reference else "")
        + (f" (trial {trial.final_of} again)" if trial.is_final else "")
        + (f" (from {for_markdown(trial.started_from)})" if trial.started_from else "")
    )


def _said_of_curves(facts: StudySummary) -> str:
    """Says how near to each other the best are."""
    top, metric = facts.ranked[:N_TOP], facts.spec.objective
    spread = abs((top[0].value or 0.0) - (top[-1].value or 0.0))
    shown = intervals.show(metric, spread, top[0].value or 0.0)
    if not spread:
        return f"The best {len(top)} trials have the same {metric.noun}."
    said = f"Between the best trial and number {len(top)} lie {shown} of {metric.noun}"
    if facts.judged:
        noise = intervals.show(metric, facts.judged.noise, top[0].value or 0.0)
        than = "more than" if spread > facts.judged.noise else "less than"
        said += f", {than} another seed alone moves a run ({noise})"
    return f"{said}."


def sizes(facts: StudySummary) -> list[Block]:
    """Draws the metric against the number of parameters, and names the front."""
    drawn = [trial for trial in facts.ranked if trial.n_parameters]
    if len(drawn) < 2:
        return []
    metric = facts.spec.objective
    front = search_figures.front_of(drawn, metric.direction)
    rows = [
        [f"{t.n_parameters:,}", metric.show(t.value or 0.0), str(t.number), describe(t)]
        for t in front
    ]
    return [
        Heading(SIZES),
        Paragraph(
            "Networks than which no smaller one is as good, each by one run: of the larger ones "
            "some are there by luck alone."
        ),
        Table(["parameters", metric.name, "trial", "hyperparameters"], rows),
        Figure(
            search_figures.by_size(figures.thin_out(drawn, facts.ranked), front, metric),
            "Each trial by its number of trainable parameters.",
            said_of_sizes(facts, front),
        ),
    ]


def said_of_sizes(facts: StudySummary, front: list[Trial]) -> str:
    """Says how much smaller a network could be, and what that costs."""
    metric, largest = facts.spec.objective, front[-1]
    smaller = [t for t in front if 2 * t.n_parameters <= largest.n_parameters]
    if not smaller:
        return "No network of half the size was tried." if len(front) > 1 else (
            "The best network is the smallest of all that were tried."
        )  # fmt: skip
    other = smaller[-1]
    cost = abs((largest.value or 0.0) - (other.value or 0.0))
    shown = intervals.show(metric, cost, largest.value or 0.0)
    share = 100 * other.n_parameters / largest.n_parameters
    n = count_noun(other.n_parameters, "parameter")
    return (
        f"Trial {other.number} has {n}, {share:.0f} % of the best trial's, and is {shown} behind."
    )
