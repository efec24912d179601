"""The part of a report on trials that were not trained to their end, and on what that saved."""

from pipeline.evaluation.pruning import TOP, Audit, Pruning
from pipeline.report.document import Block, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.study.spec import PAUSES
from pipeline.study.trial import count_ends
from pipeline.wording import count_noun, inflect, join_names


def pruning(facts: StudySummary) -> list[Block]:
    """Tells which trials were paused, went on and were dropped, by rung, and what that saved."""
    known, audit = Pruning.of(facts.ended), Audit.of(facts.ended, facts.spec.direction)
    if not known:
        return []
    rungs = known.rungs
    columns = {
        "after epoch": [rung.epoch for rung in rungs],
        "came to it": [rung.n_came for rung in rungs],
        "paused there": [rung.n_paused for rung in rungs] if known.n_paused else [],
        "pruned there": [rung.n_pruned for rung in rungs] if known.n_pruned else [],
        "audited there": [rung.n_audited for rung in rungs] if audit else [],
        "went on": [rung.n_went_on for rung in rungs],
    }
    columns = {name: values for name, values in columns.items() if values}
    rows = [[f"{value:,}" for value in row] for row in zip(*columns.values(), strict=True)]
    n = known.n_rungs
    some = f" These are {len(rows)} of {n} epochs at which that happened." * (len(rows) < n)
    return [
        Paragraph(f"{_became(known)}{some}"),
        Table([*columns], rows),
        Paragraph(_saved(known)),
        *([Paragraph(_audited(audit, facts))] if audit else []),
    ]


def _became(known: Pruning) -> str:
    n_other = known.n_trials - known.n_own_end - known.n_let_go - known.n_pruned
    ends = [
        (known.n_own_end, f"came to {inflect('its', known.n_own_end, 'their')} own end"),
        (known.n_pruned, f"{_were(known.n_pruned)} pruned"),
        (known.n_let_go, f"{_were(known.n_let_go)} let go while paused"),
        (n_other, f"failed or {_were(n_other)} stopped"),
    ]
    ended = join_names([f"{n:,} {how}" for n, how in ends if n])
    said = f"Of {count_noun(known.n_trials, 'drawn trial')} "
    if known.n_paused:
        said += f"{known.n_paused:,} {_were(known.n_paused)} paused, of which "
        said += f"{known.n_went_on:,} went on; "
    return f"{said}{ended}. What is not trained to its end counts with its best epoch."


def _were(n: int) -> str:
    return inflect("was", n, "were")


def _saved(known: Pruning) -> str:
    epochs = known.epochs + known.epochs_saved
    seconds = known.seconds + known.seconds_saved
    share = f" ({100 * known.seconds_saved / seconds:.0f} % of that)" if seconds else ""
    dropped = " or ".join(["let go"] * bool(known.n_let_go) + ["pruned"] * bool(known.n_pruned))
    trained = count_noun(known.epochs, "epoch")
    said = f"They were trained for {trained} in {known.seconds:,.1f} seconds."
    if not dropped:
        return said
    return (
        f"{said} Had those that were {dropped} been trained to their last epochs too, each as "
        f"fast as in its own median epoch after the first, it would have been {epochs:,} in "
        f"{seconds:,.1f} seconds. So {count_noun(known.epochs_saved, 'epoch')} and "
        f"{known.seconds_saved:,.1f} seconds{share} were saved; that is an upper bound, since "
        "early stopping would have ended some sooner."
    )


def _audited(audit: Audit, facts: StudySummary) -> str:
    n, n_lost = len(audit.trials), len(audit.lost)
    low, high = 100 * audit.interval.low, 100 * audit.interval.high
    which = f" ({join_names([f'trial {trial.number}' for trial in audit.lost])})" if n_lost else ""
    pauses = facts.spec.sampler.type == PAUSES
    dropped = "paused for the first time" if pauses else "pruned"
    later = " That is an upper bound, for some of them might have gone on later." * pauses
    return (
        f"Audit: {count_noun(n, 'trial')} that would have been {dropped} {_were(n)} trained to "
        f"{inflect('its', n, 'their')} own end, with a chance of {100 * facts.spec.audit:.4g} % "
        f"each: {count_ends(audit.trials)}. A top trial is one of the best {100 * TOP:.0f} %, "
        f"here {audit.n_top:,} of {audit.n_ranked:,} drawn trials; it would have been lost if it "
        f"came to its value only after it would have been {dropped}. That is so of {n_lost:,} of "
        f"{n:,}{which}: {100 * n_lost / n:.0f} %, 95 % interval {low:.0f} % to {high:.0f} %."
        f"{later} To train them on took {count_noun(audit.epochs, 'epoch')} and "
        f"{audit.seconds:,.1f} seconds."
    )
