"""The part of a report on references: their numbers, claims about them, their curves."""

from collections.abc import Sequence

from pipeline.escaping import for_markdown
from pipeline.evaluation import claims
from pipeline.report import figures
from pipeline.report.document import Block, Figure, Heading, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.study.measures import MEASURES, has_measure, measure
from pipeline.study.spec import Comparison
from pipeline.study.trial import Trial
from pipeline.training.job import N_FOLDS


def blocks(facts: StudySummary) -> list[Block]:
    """Tells each reference's numbers, each claim with its verdict, and the curves."""
    if not facts.spec.reference:
        return []
    score = facts.spec.task.score
    measures = (f"last_{score.quantity}", f"last_{score.name}", "lowest_val_loss",
                "lowest_val_loss_epoch")  # fmt: skip
    rows = []
    for reference in facts.spec.reference:
        network, name = reference.network, for_markdown(reference.name)
        about = f"{name}: {network}" if network else name
        runs = _runs(facts, reference.name)
        if not runs:
            rows.append([about, "0", *[""] * (len(measures) + 1)])
            continue
        size = f"{runs[0].n_parameters:,}" if runs[0].n_parameters else ""
        cells = [_measured(name, _values(name, runs, facts)) for name in measures]
        rows.append([about, str(len(runs)), size, *cells])
    columns = ["reference", "runs", "parameters", f"training {score.quantity}", score.words,
               "lowest validation loss", "at epoch"]  # fmt: skip
    return [
        Heading("References"),
        Paragraph(
            "Known models, trained first, and never pruned. Accuracies are those of "
            "the last epoch; with more than one run, means with their 95 % interval over seeds."
        ),
        Table(columns, rows),
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
        Paragraph(f"{score.words.capitalize()} of each fold, of what is cross-validated:"),
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
            quantities = [name for name in task.quantities if name in known]
            stopped = len({run.n_epochs for run in runs}) > 1
            caption = (
                f"**{for_markdown(reference.name)}**: mean of {len(runs)} seeds; the band is from "
                f"the lowest to the highest"
                f"{', at each epoch of those that came so far' * stopped}."
            )
            blocks.append(Figure(figures.bands(runs, quantities), caption))
    if not blocks:
        return []
    drawn = " and ".join(task.quantities).capitalize()
    said = f"{drawn} of every reference, training and validation: in `report.html`."
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
    low = _number(name, known.interval.low, signed=signed)
    return f"{text} ({low} to {_number(name, known.interval.high, signed=signed)})"


def _number(name: str, value: float, *, signed: bool = False) -> str:
    is_count = name.endswith("parameters") or ("epoch" in name and value == int(value))
    digits = 0 if is_count else 1 if "epoch" in name else 4
    return f"{value:{'+' if signed else ''},.{digits}f}"
