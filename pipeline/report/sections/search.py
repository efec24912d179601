"""The part of a report on how the search went: its records, in the order and in the time."""

from collections.abc import Mapping, Sequence

from pipeline.evaluation import intervals
from pipeline.report import figures, search_figures
from pipeline.report.document import Block, Figure, Heading, Paragraph, Table
from pipeline.report.incumbents import Incumbent, incumbents
from pipeline.report.sections.pruning import pruning
from pipeline.report.summary import StudySummary
from pipeline.study.trial import Trial, is_better
from pipeline.task.task import Metric
from pipeline.wording import count_noun, inflect

HEADING = "How the search went"


def search(facts: StudySummary) -> list[Block]:
    """Tells of the records, and draws all trials in their order and in time."""
    metric = facts.spec.objective
    line, records = best_so_far(facts)
    drawn = figures.thin_out(
        facts.searched, [trial for trial in facts.ranked if not trial.is_final]
    )
    rows = [
        [str(trial.number), metric.show(trial.value or 0.0), str(trial.hyperparameters)]
        for trial in records
    ]
    of_drawn = [line[trial.number] for trial in drawn]
    blocks: list[Block] = [
        Heading(HEADING),
        Paragraph("Trials that set a record, in their order:"),
        Table(["trial", metric.name, "hyperparameters"], rows),
        Figure(
            figures.history(drawn, of_drawn, metric),
            "Trials but for finals, each with its best epoch, whatever ended it. The frame "
            f"leaves out the worst quarter.{left_out(drawn, facts.searched)}",
            _said_of_records(records, facts),
        ),
    ]
    used = facts.minutes_used
    timed = [trial for trial in drawn if trial.number in used]
    if len(timed) > 1:
        in_time = incumbents(facts)
        blocks.append(
            Figure(
                search_figures.over_time(timed, in_time, metric, used),
                "The same trials, by the time that the search had used when each ended.",
                _said_of_time(in_time, used, metric),
            )
        )
    return [*blocks, *pruning(facts)]


def best_so_far(facts: StudySummary) -> tuple[dict[int, float], list[Trial]]:
    """Computes the best after each trial, by its number, and which trials were the best so far."""
    ranked = {trial.number for trial in facts.ranked}
    best: float | None = None
    line, records = {}, []
    for trial in facts.searched:
        if trial.number in ranked and is_better(
            trial.value or 0.0, best, facts.spec.objective.direction
        ):
            best = trial.value or 0.0
            records.append(trial)
        line[trial.number] = best if best is not None else float("nan")
    return line, records


def left_out(drawn: Sequence[Trial], trials: Sequence[Trial]) -> str:
    """Says how many trials of a long search a figure shows, and which."""
    if len(drawn) == len(trials):
        return ""
    return (
        f" Shown are {len(drawn):,} of {len(trials):,} trials: the best, and a sample of the "
        "others; all are in `trials.csv`."
    )


def _said_of_records(records: Sequence[Trial], facts: StudySummary) -> str:
    """Says when the last record was set, and by how much."""
    if not records:
        return ""
    last, metric = records[-1], facts.spec.objective
    said = f"The best value, {metric.show(last.value or 0.0)}, is that of trial {last.number}"
    since = sum(trial.number > last.number for trial in facts.searched)
    after = (
        f", and {count_noun(since, 'trial')} after it {inflect('was', since, 'were')} no better"
    )
    said += after if since else ""
    if len(records) > 1:
        by = abs((last.value or 0.0) - (records[-2].value or 0.0))
        shown = intervals.show(metric, by, last.value or 0.0)
        said += f"; the record before, of trial {records[-2].number}, was {shown} behind"
    return f"{said}."


def _said_of_time(records: Sequence[Incumbent], used: Mapping[int, float], metric: Metric) -> str:
    """Says how much of the time the last record took."""
    if not records or records[-1].minutes is None:
        return ""
    last, minutes = records[-1], records[-1].minutes
    latest = max(used.values())
    share = f", {100 * minutes / latest:.0f} % of the time that it used" if latest else ""
    shown = metric.show(last.value)
    return f"The search had its best value, {shown}, after {minutes:.1f} minutes{share}."
