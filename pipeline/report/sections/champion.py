"""The part of a report on the champion: what it is, how it learned, and whether it overfits."""

from collections.abc import Sequence

from pipeline.evaluation import intervals
from pipeline.evaluation.fit import Fit
from pipeline.report import figures
from pipeline.report.document import Block, Figure, Heading, Panels, Table
from pipeline.report.summary import StudySummary
from pipeline.task.task import LOSS, Metric
from pipeline.wording import capitalize, count_noun, inflect

HEADING = "Champion"
WHILE = ", while it learned"  # a mean over an epoch, with dropout
SMALL_RISE = 0.02  # of the validation loss, as a share, that is none


def champion(facts: StudySummary) -> list[Block]:
    """Tables the champion's numbers and hyperparameters, and draws its curves."""
    found, task = facts.champion, facts.spec.task
    assert found.hyperparameters is not None
    best = found.best_epoch - 1
    rows = [
        ["trial", str(found.number)],
        ["MLflow run", f"`{found.run_id}`"],
        ["parameters", f"{found.n_parameters:,}"],
        ["seed", str(found.seed)],
        ["best epoch", f"{found.best_epoch} of {found.n_epochs}"],
        *([["ended", found.ending]] if found.ending else []),
        *(
            [
                metric.words + _unit(metric, facts) + WHILE * (metric.part == "training"),
                metric.show(found.history[metric.name][best]),
            ]
            for metric in task.metrics
            if metric.name in found.history  # a metric may be younger than the trial
        ),
        *_of_training(facts),
        *([f"`{k}`", str(v)] for k, v in found.hyperparameters.shown(facts.spec.named).items()),
    ]
    drawn = [q for q in task.quantities if f"val_{q}" in found.history]
    return [
        Heading(HEADING),
        Table(["", "value"], rows),
        *(
            Figure(
                figures.curves(found, quantity),
                f"{capitalize(task.metric(f'val_{quantity}').noun)} of the champion. The dotted "
                "line is the epoch whose weights were kept.",
                (quantity == drawn[0] and said_of_fit(facts)) or _said_of(quantity, facts),
            )
            for quantity in drawn
        ),
        *_seeds(facts, drawn),
    ]


def _of_training(facts: StudySummary) -> list[list[str]]:
    """Shows the score on training examples of the weights that were kept, if it is known."""
    score, found = facts.spec.task.score, facts.champion
    if (value := found.scores.get(f"train_{score.quantity}")) is None:
        return []
    examples = inflect(facts.spec.task.example, 2)
    return [[f"{score.noun} on training {examples}, once it had learned", score.show(value)]]


def _seeds(facts: StudySummary, drawn: Sequence[str]) -> list[Block]:
    """Draws the curves of the champion's network with all seeds that it was trained with."""
    runs = [run for run in facts.with_seeds if run.n_epochs > 1]
    if len(runs) < 2:
        return []
    metric, values = facts.spec.objective, [run.value or 0.0 for run in runs]
    spread = intervals.show(metric, max(values) - min(values), values[0])
    return [
        Panels(
            figures.bands(runs, drawn),
            f"The champion's network with {len(runs)} seeds: their mean, and a band from the "
            "lowest to the highest, at each epoch of those that came so far.",
            f"With {len(runs)} seeds the same network differs by {spread} of {metric.noun}.",
        )
    ]


def said_of_fit(facts: StudySummary) -> str:
    """Says in a sentence or two whether the champion overfits; "" if it cannot be told."""
    task, found = facts.spec.task, Fit.of(facts.champion, facts.spec.task)
    if found is None:
        return ""
    score, gap = task.score, found.gap(task.score.direction)
    shown = intervals.show(score, abs(gap), found.validation)
    if gap <= 0:
        return (
            f"It does not overfit: its {score.noun} is {score.show(found.training)} on training "
            f"{inflect(task.example, 2)} and {score.show(found.validation)} on the others."
        )
    said = (
        f"Its {score.noun} is {score.show(found.training)} on training {inflect(task.example, 2)} "
        f"and {score.show(found.validation)} on the others, {shown} worse"
    )
    if found.rise > SMALL_RISE:
        n = found.kept - found.lowest_loss
        when = f"{count_noun(abs(n), 'epoch')} {'before' if n > 0 else 'after'} the one kept"
        return (
            f"It overfits in part: i{said[1:]}, and its validation loss is {100 * found.rise:.0f} "
            f"% above its lowest, {when}."
        )
    return f"{said}; its validation loss had not risen when its weights were kept."


def _said_of(quantity: str, facts: StudySummary) -> str:
    """Says at which epoch the best weights were found."""
    found = facts.champion
    noun = facts.spec.task.metric(f"val_{quantity}").noun
    left = found.n_epochs - found.best_epoch
    better = facts.spec.objective.noun
    after = f"; {count_noun(left, 'epoch')} more brought no better {better}" if left else ""
    return f"{capitalize(noun)}: kept are the weights of epoch {found.best_epoch}{after}."


def _unit(metric: Metric, facts: StudySummary) -> str:
    """Says in what the loss of a regression is, which is not in the target's own units."""
    is_other = facts.spec.task.is_regression and metric.quantity == LOSS
    return f" ({facts.spec.task.loss}, of the standardised target)" if is_other else ""
