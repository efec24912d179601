"""The part of a report on the budget: whether it was enough, and what it went into."""

import textwrap
from collections import Counter
from collections.abc import Sequence

from pipeline.escaping import for_markdown
from pipeline.evaluation import intervals
from pipeline.evaluation.budget import FEWEST, Budget
from pipeline.evaluation.ledger import (
    FAILED,
    LET_GO,
    PRUNED,
    REFERENCES,
    STOPPED,
    WINNER,
    Ledger,
)  # fmt: skip
from pipeline.report import search_figures
from pipeline.report.document import Block, Figure, Heading, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.study.trial import State, Trial
from pipeline.wording import count_noun, inflect

ENOUGH = "Was the budget enough?"
COST = "What it cost"
FAILURES = "Failed and stopped trials"
N_FAILED = 30
MOST_OF_REASON = 80  # characters of a failure's reason where it is told in passing


def budget(facts: StudySummary) -> list[Block]:
    """Says what half of the budget had found, and what twice of it might."""
    known, metric = facts.budget, facts.spec.objective
    if known is None or not facts.spec.space:
        return []
    drawn = [trial for trial in facts.ended if trial.is_drawn and trial.value is not None]
    drawn.sort(key=lambda trial: (trial.ended, trial.number))
    return [
        Heading(ENOUGH),
        Paragraph(said_of_budget(facts)),
        Figure(
            search_figures.budget(drawn, known, metric),
            "The best so far by the number of drawn trials; the point is what twice as many might "
            "bring, with its 95 % interval over draws of the trials. It goes on as the last two "
            "doublings did, of trials in a random order; a search that learns may bring more.",
            _said_of_doubling(known, facts),
        ),
    ]


def said_of_budget(facts: StudySummary) -> str:
    """Says in a sentence or two whether more of the budget would have brought more."""
    known, metric = facts.budget, facts.spec.objective
    if not facts.spec.space:
        return "Nothing was searched."
    if known is None:
        return "Not known: no trial that was drawn has a value yet."
    said = ""
    if known.half is not None:
        behind = abs(known.best - known.half)
        said = f"Half of the time had found {metric.show(known.half)}"
        said += (
            f", {intervals.show(metric, behind, known.best)} behind. "
            if behind
            else ", the same as all of it. "
        )
    if facts.is_exhausted:
        return f"{said}All that the space has was tried: more brings nothing."
    return said + _said_of_doubling(known, facts)


def _said_of_doubling(known: Budget, facts: StudySummary) -> str:
    metric = facts.spec.objective
    if known.gain is None or known.interval is None:
        n = count_noun(known.n_trials, "drawn trial")
        few = f"{n} {inflect('is', known.n_trials, 'are')} too few"
        return f"{few} to foresee what more would bring; {FEWEST} are needed."
    gain = intervals.show(metric, known.gain, known.best)
    low, high = (
        intervals.show(metric, end, known.best)
        for end in (known.interval.low, known.interval.high)
    )
    said = f"Twice of it might bring {gain} more ({low} to {high})"
    if facts.judged is None:
        return f"{said}."
    noise = intervals.show(metric, facts.judged.noise, known.best)
    if known.gain < facts.judged.noise:
        return (
            f"{said}, less than another seed alone moves a run ({noise}): it was enough for what "
            "can be told from luck."
        )
    return f"{said}, more than another seed alone moves a run ({noise})."


def cost(facts: StudySummary) -> list[Block]:
    """Accounts for the time of workers, and lists what failed."""
    known = Ledger.of(facts.ended, facts.champion)
    rows = [
        [
            entry.name,
            f"{len(entry.trials):,}",
            f"{entry.n_epochs:,}",
            f"{entry.seconds / 60:.1f}",
            f"{100 * entry.seconds / known.seconds:.0f} %" if known.seconds else "",
        ]
        for entry in known.entries
    ]
    return [
        Heading(COST),
        Paragraph(said_of_cost(facts)),
        Table(["trials", "how many", "epochs", "minutes of one worker", "share"], rows),
        Figure(
            search_figures.ledger(known),
            "The time of workers, which train side by side; what was saved is an upper bound.",
            _said_of_ledger(known),
        ),
        *_failures(facts),
    ]


def said_of_cost(facts: StudySummary) -> str:
    """Says how long it took, and how much was trained."""
    n_epochs = sum(trial.n_epochs for trial in facts.ended)
    of_finals = f", and {facts.finals_minutes:.1f} of finals" if facts.finals_minutes else ""
    n = facts.n_interrupted
    again = f"; {n:,} more {inflect('was', n, 'were')} interrupted and run again" if n else ""
    return (
        f"{facts.minutes:.1f} minutes of search{of_finals}: "
        f"{count_noun(len(facts.ended), 'trial')}, {count_noun(n_epochs, 'epoch')}"
        f"{again}."
    )


def said_of_ends(facts: StudySummary) -> str:
    """Says how many trials were paused, pruned or failed, and why."""
    known = Ledger.of(facts.ended, facts.champion)
    trials = {entry.name: entry.trials for entry in known.entries}
    said = [
        f"{len(trials[name]):,} {inflect('was', len(trials[name]), 'were')} {name}{why}"
        for name, why in {
            LET_GO: f": {facts.spec.sampler.type} put others first until the budget was used",
            PRUNED: f" by {facts.spec.own_pruner.type}",
            STOPPED: "",
        }.items()
        if name in trials
    ]
    failed = trials.get(FAILED, ())
    said.append(f"{len(failed):,} failed{_reasons(failed)}" if failed else "none failed")
    n = count_noun(len(facts.ended), "trial")
    saved = ""
    if known.seconds_saved:
        share = 100 * known.seconds_saved / (known.seconds_saved + known.seconds)
        saved = f" Ending trials early saved at most {share:.0f} % of the time of workers."
    if len(said) == 1 and not failed:
        return f"Nothing: of {n} each was trained to its own end.{saved}"
    return f"Of {n} {'; '.join(said)}.{saved}"


def _reasons(failed: Sequence[Trial]) -> str:
    """Shows the most frequent reason of failures in brackets; "" if none is known."""
    reasons = Counter(trial.reason for trial in failed if trial.reason).most_common(1)
    if not reasons:
        return ""
    (reason, n), *_ = reasons
    often = f"{n:,} of them: " if n < len(failed) else ""
    return f" ({often}{for_markdown(textwrap.shorten(reason, MOST_OF_REASON))})"


def _said_of_ledger(known: Ledger) -> str:
    """Says what most of the time went into."""
    most = max(known.entries, key=lambda entry: entry.seconds)
    if not known.seconds:
        return ""
    share, n = 100 * most.seconds / known.seconds, len(most.trials)
    whose = f"{count_noun(n, 'trial')} that {inflect('was', n, 'were')} {most.name}"
    if most.name in (WINNER, REFERENCES):
        whose = most.name
    return f"{share:.0f} % of the time of workers went into {whose}."


def _failures(facts: StudySummary) -> list[Block]:
    failed = [trial for trial in facts.ended if trial.state == State.FAIL or trial.reason]
    if not failed:
        return []
    objective = facts.spec.objective
    rows = [
        [
            str(trial.number),
            trial.how,
            for_markdown(trial.reason),
            "" if trial.value is None else objective.show(trial.value),
            str(trial.hyperparameters or for_markdown(trial.reference)),
        ]
        for trial in failed[-N_FAILED:]
    ]
    blocks: list[Block] = [
        Heading(FAILURES),
        Table(["trial", "ended", "reason", objective.name, "hyperparameters"], rows),
    ]
    if len(failed) > len(rows):
        said = f"The last {len(rows)} of {len(failed):,}; all are in `trials.csv`."
        blocks.insert(1, Paragraph(said))
    return blocks
