"""The part of a report on references: their numbers, claims about them, their curves."""

from collections.abc import Sequence

from pipeline.escaping import for_markdown
from pipeline.evaluation import claims, intervals
from pipeline.report import figures
from pipeline.report.document import Block, Heading, Panels, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.study.measures import MEASURES, has_measure, measure
from pipeline.study.spec import Comparison
from pipeline.study.trainers import SIMPLE
from pipeline.study.trial import Trial
from pipeline.task.task import METRICS
from pipeline.training.job import N_FOLDS
from pipeline.wording import capitalize, join_names

_METRICS = {metric.name: metric for metric in METRICS}


def blocks(facts: StudySummary) -> list[Block]:
    """Tells each reference's numbers, each claim with its verdict, and the curves.

    Simple models that nothing is claimed of are told of elsewhere, and have no epochs.
    """
    spec = facts.spec
    is_told = all(each.trainer in SIMPLE and not each.claim for each in spec.reference)
    if is_told and not spec.comparison:
        return []
    score = facts.spec.task.score
    columns = {
        **({} if score.is_scored else {f"last_{score.quantity}": f"training {score.noun}"}),
        f"last_{score.name}": score.words,
        "lowest_val_loss": "lowest validation loss",
        "lowest_val_loss_epoch": "at epoch",
    }
    rows = []
    for reference in facts.spec.reference:
        network, name = reference.network, for_markdown(reference.name)
        about = f"{name}: {network}" if network else name
        runs = _runs(facts, reference.name)
        if not runs:
            rows.append([about, "0", *[""] * (len(columns) + 1)])
            continue
        size = f"{runs[0].n_parameters:,}" if runs[0].n_parameters else ""
        cells = [_measured(name, _values(name, runs, facts)) for name in columns]
        rows.append([about, str(len(runs)), size, *cells])
    shown = "Accuracies are those"
    if score.quantity != "accuracy":
        shown = f"The {score.words} is that"
    return [
        Heading("References"),
        Paragraph(
            f"Known models, trained first, and never pruned. {shown} of the last epoch; with more "
            "than one run, means with their 95 % interval over seeds."
        ),
        Table(["reference", "runs", "parameters", *columns.values()], rows),
        *_stopped(facts),
        *_folds(facts),
        *_claims(facts),
        *_bands(facts),
    ]


def _stopped(facts: StudySummary) -> list[Block]:
    """Tells which runs of references were ended before their own end, and by what."""
    rows = [
        [trial.reference, str(trial.number), trial.ending, f"{trial.best_epoch or ''}"]
        for trial in facts.ended
        if trial.reference and trial.ending
    ]
    if not rows:
        return []
    return [
        Paragraph(
            "Not trained to their end; with an epoch, they count here and in the claims by what "
            "they came to:"
        ),
        Table(["reference", "trial", "ended", "best epoch"], rows),
    ]


def _folds(facts: StudySummary) -> list[Block]:
    """Tells the scores of each fold, of references that are cross-validated."""
    score, rows = facts.spec.task.score, []
    for reference in facts.spec.reference:
        runs = [run for run in _runs(facts, reference.name) if "fold_1" in run.history]
        for run in runs:
            folds = [score.show(run.history[f"fold_{i}"][0]) for i in range(1, N_FOLDS + 1)]
            mean = score.show(run.history[score.name][0])
            rows.append([for_markdown(reference.name), str(run.number), *folds, mean])
    if not rows:
        return []
    folds = [f"fold {i}" for i in range(1, N_FOLDS + 1)]
    return [
        Paragraph(f"{capitalize(score.words)} of each fold, of what is cross-validated:"),
        Table(["reference", "trial", *folds, "mean"], rows),
    ]


def _claims(facts: StudySummary) -> list[Block]:
    """Tells each published number and each comparison, with its verdict."""
    rows = []
    for reference in facts.spec.reference:
        runs = _runs(facts, reference.name)
        source = for_markdown(str(reference.claim.get("source", "")))
        for name, published in reference.claim.items():
            if isinstance(published, str):
                continue
            values = _values(name, runs, facts)
            verdict = claims.judge_published(values, published).value
            said = f"{for_markdown(reference.name)}: {MEASURES[name].words}"
            number = _number(name, published)
            rows.append([said, number, _measured(name, values), str(len(values)), verdict, source])
    for comparison in facts.spec.comparison:
        values = claims.paired(comparison, facts.ended, facts.spec.task)
        verdict = claims.judge_difference(values, comparison).value
        first, second = (for_markdown(repr(n)) for n in (comparison.first, comparison.second))
        said = (
            f"{for_markdown(comparison.claim)} ({MEASURES[comparison.measure].words}, "
            f"{first} less {second}: {_wanted(comparison)})"
        )
        name, known = comparison.measure, comparison.published
        number = "" if known is None else _number(name, known, signed=True)
        measured = _measured(name, values, signed=True)
        rows.append(
            [said, number, measured, str(len(values)), verdict, for_markdown(comparison.source)]
        )
    if not rows:
        return []
    return [
        Heading("Claims"),
        Paragraph(
            "Measured is the mean over n seeds, with its 95 % interval. A published number is "
            "one run, which scatters more than a mean: it holds if it could be a further run of "
            "ours, that is if it lies in their 95 % prediction interval, which is wider than the "
            "interval shown. About one in twenty that could be is refused by chance. Numbers that "
            "are the same in every run must be met exactly. Fewer than "
            f"{claims.N_FOR_VERDICT} runs, or pairs of runs, tell nothing."
        ),
        *([Paragraph(_ABOUT_COMPARISONS)] if facts.spec.comparison else []),
        Table(["claim", "published", "measured", "n", "verdict", "source"], rows),
    ]


_ABOUT_COMPARISONS = (
    "A comparison is made in n pairs of the same seed. It holds if all of the 95 % interval of "
    "the mean difference is where the claim says, and does not hold if nothing of it is; in "
    "between nobody can tell."
)


def _wanted(comparison: Comparison) -> str:
    """Says what a paired difference must be for the claim to hold."""
    margin = f"{comparison.margin:g}"
    return {
        "positive": f"above {margin}",
        "negative": f"below {f'-{margin}' if comparison.margin else '0'}",
        "not positive": f"at most {margin}",
        "not negative": f"at least {f'-{margin}' if comparison.margin else '0'}",
        "none": f"within {margin} of zero",
    }[comparison.difference]


def _bands(facts: StudySummary) -> list[Block]:
    """Draws curves of every reference that was run more than once."""
    blocks: list[Block] = []
    task = facts.spec.task
    for reference in facts.spec.reference:
        runs = _runs(facts, reference.name)
        if len(runs) > 1 and max(run.n_epochs for run in runs) > 1:
            known = set.intersection(*(set(run.history) for run in runs))
            quantities = [name for name in task.quantities if f"val_{name}" in known]
            stopped = len({run.n_epochs for run in runs}) > 1
            caption = (
                f"**{for_markdown(reference.name)}**: mean of {len(runs)} seeds; the band is from "
                f"the lowest to the highest"
                f"{', at each epoch of those that came so far' * stopped}."
            )
            blocks.append(Panels(figures.bands(runs, quantities), caption))
    if not blocks:
        return []
    drawn = join_names([task.metric(f"val_{name}").noun for name in task.quantities])
    where = "training and validation"
    if task.scored:
        where = "validation, and training where it is measured"
    said = f"{capitalize(drawn)} of every reference, {where}: in `report.html`."
    return [Heading("Curves of the references"), Paragraph(said), *blocks]


def _runs(facts: StudySummary, reference: str) -> list[Trial]:
    return [t for t in facts.ended if t.reference == reference and t.value is not None]


def _values(name: str, runs: Sequence[Trial], facts: StudySummary) -> list[float]:
    """Computes a measure on each run that has it."""
    return [measure(name, run, facts.spec.task) for run in runs if has_measure(name, run)]


def _measured(name: str, values: Sequence[float], *, signed: bool = False) -> str:
    if not values:
        return ""
    known = claims.estimate(values)
    text = _number(name, known.mean, signed=signed)
    if known.interval is None or known.deviation == 0:
        return text
    low, high = (
        _number(name, end, signed=signed, like=known.mean)
        for end in (known.interval.low, known.interval.high)
    )
    return f"{text} ({low} to {high})"


def _number(name: str, value: float, *, signed: bool = False, like: float | None = None) -> str:
    """Shows what was measured; in units of its own with the decimals that `like` has."""
    metric = _METRICS.get(name.removeprefix("last_"))
    if metric and metric.digits is None:
        return intervals.show(metric, value, value if like is None else like, is_signed=signed)
    is_count = name.endswith("parameters") or ("epoch" in name and value == int(value))
    digits = 0 if is_count else 1 if "epoch" in name else 4
    return f"{value:{'+' if signed else ''},.{digits}f}"
