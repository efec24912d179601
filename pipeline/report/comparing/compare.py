"""Two studies side by side: which has found the better network, at equal budget and in the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.report.comparing import figure, leads
from pipeline.report.comparing.champions import champions, say_champions
from pipeline.report.comparing.comparable import check_comparable
from pipeline.report.comparing.leads import say_chance
from pipeline.report.comparing.side_by_side import side_by_side
from pipeline.report.document import Block, Figure, Heading, Items, Paragraph, Table
from pipeline.report.incumbents import Incumbent, at_minutes, at_trials, incumbents
from pipeline.report.summary import StudySummary
from pipeline.wording import capitalize, inflect, join_names

SHARES = (0.25, 0.5, 0.75, 1.0)  # of the smaller one of what both have used


def compare(first: StudySummary, second: StudySummary) -> list[Block]:
    """Sets two studies side by side, the conclusion first.

    Raises:
        UsageError: they measure not the same on the same examples; the text says what each has.
    """
    check_comparable(first, second)
    one, other = _Search.of(first), _Search.of(second)
    return [
        Paragraph(_conclude(one, other)),
        Paragraph(say_champions(first, second)),
        Items(_limits(one, other)),
        Heading("Best so far at equal budget"),
        *_at_equal_budget(one, other),
        *_drawn(one, other),
        Heading("Champions"),
        champions(first, second),
        *side_by_side(first, second),
    ]


@dataclass(frozen=True)
class _Search:
    """A study's search.

    Attributes:
        facts: of the study.
        incumbents: networks that were the best so far, in their order.
        ends: numbers of its trials, in the order in which they ended.
        minutes: that it had used when each of them ended, by number; empty if that is not known.
    """

    facts: StudySummary
    incumbents: Sequence[Incumbent]
    ends: Sequence[int]
    minutes: Mapping[int, float]

    @classmethod
    def of(cls, facts: StudySummary) -> "_Search":
        """Collects what is known of it."""
        ends = [trial.number for trial in facts.searched_by_end]
        return cls(facts, incumbents(facts), ends, facts.minutes_used)

    @property
    def name(self) -> str:
        """The study's, as Markdown."""
        return f"`{self.facts.spec.name}`"


def _is_timed(one: _Search, other: _Search) -> bool:
    """Tells whether it is known when the trials of both ended."""
    return bool(one.minutes and other.minutes)


def _conclude(one: _Search, other: _Search) -> str:
    """Says in a sentence who is ahead at equal time, or else after equally many trials."""
    if _is_timed(one, other):
        minutes = min(one.facts.minutes, other.facts.minutes)
        found = [at_minutes(each.incumbents, minutes) for each in (one, other)]
        where = f"at equal time, after {minutes:,.1f} minutes"
    else:
        n_trials = min(len(one.ends), len(other.ends))
        found = [at_trials(each.incumbents, n_trials) for each in (one, other)]
        where = f"after equally many trials, {n_trials:,} each"
    has_one, has_other = found
    if has_one is None or has_other is None:
        if has_one is has_other:
            return f"{capitalize(where)}, neither study had a trial with a value."
        ahead, behind = (one, other) if has_one else (other, one)
        said = f"Study {ahead.name} is ahead of {behind.name} {where}"
        return f"{said}: by then {behind.name} had no trial with a value."
    gap = leads.of_trials(has_one.trial, has_other.trial, one.facts)
    if gap.is_level:
        shown = one.facts.spec.objective.show(has_one.value)
        words = one.facts.spec.objective.words
        return f"Studies {one.name} and {other.name} are level {where}: {words} {shown}."
    ahead, behind = (one, other) if gap.is_first_ahead else (other, one)
    return (
        f"Study {ahead.name} is ahead of {behind.name} by {gap.lead} {where} ({gap.values}); "
        f"{say_chance(gap, one.facts)}."
    )


def _limits(one: _Search, other: _Search) -> list[str]:
    """Says what a reader has to bear in mind."""
    task, metric = one.facts.spec.task, one.facts.spec.objective
    said = [
        "Each study is one search. What another seed of its sampler would have found is not "
        "known, and is in no interval here."
    ]
    if metric.interval:
        said.append(
            f"Intervals take values as measured on different {inflect(task.example, 2)}; they are "
            "the same, which makes intervals too wide rather than too narrow."
        )
    if _is_timed(one, other):
        said.append(
            "Time is what supervisors have searched, without finals. When each trial ended in it "
            "is estimated from the moments at which all trials ended."
        )
    else:
        said.append("When the trials of both ended is not known, so that times are left out.")
    machines = [each.facts.about.get("machine") for each in (one, other)]
    if _is_timed(one, other) and machines[0] != machines[1]:
        said.append("The machines differ, so that equal time is not equal work.")
    return said


def _at_equal_budget(one: _Search, other: _Search) -> list[Block]:
    """Tables the best so far of both at shares of the smaller budget that was used."""
    by_time: list[Sequence[str]] = []
    if _is_timed(one, other):
        minutes = min(one.facts.minutes, other.facts.minutes)
        by_time = [_after_minutes(share * minutes, one, other) for share in SHARES]
    better = "higher" if one.facts.spec.direction == "maximize" else "lower"
    metric = one.facts.spec.metric
    said = (
        f"The best `{metric}` so far, of which the {better} is the better. Differences are "
        f"{one.name} less {other.name}."
    )
    timed = Table(_columns("minutes", "trials", one, other), by_time)
    pausing = [s.name for s in (one, other) if any(trial.pauses for trial in s.facts.ended)]
    if by_time and pausing:
        said += (
            " They are not compared after equally many trials, since those that "
            f"{join_names(pausing)} paused end when it does."
        )
        return [Paragraph(said), timed]
    n_trials = min(len(one.ends), len(other.ends))
    counts = dict.fromkeys(max(1, round(share * n_trials)) for share in SHARES)
    by_count = [_after_trials(n, one, other) for n in counts]
    counted = Table(_columns("trials", "minutes", one, other), by_count)
    return [Paragraph(said), *([timed] if by_time else []), counted]


def _drawn(one: _Search, other: _Search) -> list[Block]:
    """Draws the best so far of both; nothing where one has none."""
    if not (one.incumbents and other.incumbents):
        return []
    is_timed = _is_timed(one, other)
    until = {
        each.facts.spec.name: each.facts.minutes if is_timed else float(len(each.ends))
        for each in (one, other)
    }
    found = {each.facts.spec.name: each.incumbents for each in (one, other)}
    if not is_timed:
        found = {name: [replace(i, minutes=None) for i in some] for name, some in found.items()}
    drawn = figure.best_so_far(found, until, one.facts.spec.objective)
    return [Figure(drawn, "The best so far of both, each until its search was over.")]


def _columns(after: str, used: str, one: _Search, other: _Search) -> list[str]:
    of_each = [head for each in (one, other) for head in (each.name, f"{used} of {each.name}")]
    return [f"after {after}", *of_each, "difference", "95 % interval"]


def _after_minutes(minutes: float, one: _Search, other: _Search) -> Sequence[str]:
    found = [at_minutes(each.incumbents, minutes) for each in (one, other)]
    n_trials = [
        f"{sum(each.minutes[number] <= minutes for number in each.ends):,}"
        for each in (one, other)
    ]
    return [f"{minutes:,.2f}", *_cells(found, n_trials, one.facts)]


def _after_trials(n_trials: int, one: _Search, other: _Search) -> Sequence[str]:
    found = [at_trials(each.incumbents, n_trials) for each in (one, other)]
    minutes = [
        f"{each.minutes[each.ends[n_trials - 1]]:,.2f}" if each.minutes else ""
        for each in (one, other)
    ]
    return [f"{n_trials:,}", *_cells(found, minutes, one.facts)]


def _cells(
    found: Sequence[Incumbent | None], used: Sequence[str], facts: StudySummary
) -> list[str]:
    """Shows both incumbents, each before what its study had used, and their difference."""
    cells: list[str] = []
    for each, shown in zip(found, used, strict=True):
        cells += [facts.spec.objective.show(each.value) if each else "", shown]
    one, other = found
    gap = leads.of_trials(one.trial, other.trial, facts) if one and other else None
    return [*cells, gap.size if gap else "", gap.shown_interval if gap else ""]
