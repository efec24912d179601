"""The part of a comparison on champions: what either study would hand over, and who is better."""

from pipeline.evaluation import intervals
from pipeline.report.comparing import leads
from pipeline.report.document import Table
from pipeline.report.summary import StudySummary
from pipeline.wording import inflect


def say_champions(first: StudySummary, second: StudySummary) -> str:
    """Says whose champion is better, by how much, and what that rests on."""
    if first.judged and second.judged:
        return _say_expected(first, second)
    gap = leads.of_trials(first.champion, second.champion, first)
    ahead, behind = _order(first, second, gap.is_first_ahead)
    said = f"The champions are level: {gap.metric.words} {gap.metric.show(gap.first)}."
    if not gap.is_level:
        said = (
            f"The champion of {ahead} is better than that of {behind} by {gap.lead} "
            f"({gap.values}); {leads.say_chance(gap, first)}."
        )
    n_trials = " and of ".join(f"{len(facts.searched):,}" for facts in (first, second))
    examples = inflect(first.spec.task.example, 2)
    without = [_name(facts) for facts in (first, second) if not facts.judged]
    return (
        f"{said} That rests on one run of each, the best of {n_trials} trials: it tells of the "
        f"{examples}, neither of seeds nor of having been selected, since {' and '.join(without)} "
        f"{inflect('has', len(without), 'have')} had no finals."
    )


def _say_expected(first: StudySummary, second: StudySummary) -> str:
    """Says whose winner of finals is expected to be better."""
    assert first.judged
    assert second.judged
    one, other = first.judged.winner.value, second.judged.winner.value
    gap = leads.of_estimates(one, other, first.spec.objective)
    ahead, behind = _order(first, second, gap.is_first_ahead)
    examples = inflect(first.spec.task.example, 2)
    shown = gap.metric.show(gap.first)
    said = f"The winners of finals are level: expected {gap.metric.words} {shown}"
    if not gap.is_level:
        chance = "which may be chance" if gap.may_be_chance else "which is more than chance"
        said = (
            f"With any seed, and on {examples} to come, the winner of the finals of {ahead} is "
            f"expected to be better than that of {behind} by {gap.lead} ({gap.values}), {chance} "
            f"(95 % interval {gap.lead_interval})"
        )
    return (
        f"{said}. That rests on the finals of both, and is adjusted for having been selected; "
        "both estimates are taken as independent, though they are of the same validation "
        f"{examples}, which makes the interval too wide rather than too narrow."
    )


def champions(first: StudySummary, second: StudySummary) -> Table:
    """Tables what either study would hand over, with intervals; what neither has is left out."""
    rows = [_cells(first), _cells(second)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    return Table([*shown], [list(row) for row in zip(*shown.values(), strict=True)])


def _cells(facts: StudySummary) -> dict[str, str]:
    """Shows a champion, a cell for each column."""
    metric, champion, judged = facts.spec.objective, facts.champion, facts.judged
    value = champion.value
    assert value is not None
    error = champion.kept(metric.error_name)
    interval = intervals.interval_of(metric, value, facts.n_independent, error)
    expected = ""
    if judged:
        worth = judged.winner.value
        ends = worth.interval.show(metric, worth.mean)
        expected = f"{metric.show(worth.mean)} ({ends})"
    return {
        "study": _name(facts),
        "champion": f"trial {champion.number}",
        metric.name: metric.show(value),
        "95 % interval": interval.show(metric, value) if interval else "",
        "expected of its network": expected,
        "runs": f"{len(facts.with_seeds):,}",
        "parameters": f"{champion.n_parameters:,}" if champion.n_parameters else "",
        "best epoch": f"{champion.best_epoch} of {champion.n_epochs}",
        "hyperparameters": str(champion.hyperparameters),
    }


def _name(facts: StudySummary) -> str:
    return f"`{facts.spec.name}`"


def _order(first: StudySummary, second: StudySummary, is_first_ahead: bool) -> tuple[str, str]:
    """Names both studies, the one that is ahead first."""
    names = _name(first), _name(second)
    return names if is_first_ahead else (names[1], names[0])
