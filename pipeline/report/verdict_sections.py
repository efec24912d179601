"""The answer of a report: the verdict on the champion, and what searching bought."""

from pipeline.evaluation import intervals
from pipeline.report.document import Block, Heading, Items, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.study.trial import Trial


def verdict(facts: StudySummary) -> list[Block]:
    """The champion, how it compares with what was known, and the looks at the test set."""
    champion = facts.champion
    accuracy, n_images = best_accuracy(champion), facts.n_validation_images
    interval = intervals.wilson(accuracy, n_images)
    items = [
        f"The best of {count_noun(len(facts.ended), 'trial')} is **trial {champion.number}: "
        f"{champion.hyperparameters}**.",
        f"Its validation accuracy is **{accuracy:.4f}** (95 % interval {interval} from "
        f"{n_images:,} images). It is the best of many, measured once, and so rather too good.",
        _compared(facts),
    ]
    if len(facts.ranked) > 1:
        second = facts.ranked[1]
        gap = intervals.difference(accuracy, best_accuracy(second), n_images)
        said = "cannot be told from"
        if gap.low > 0:
            said = "is better than"
        elif gap.high < 0:  # better by its loss
            said = "is less accurate than"
        items.append(
            f"By these images alone the champion {said} the second, trial {second.number}."
        )
    items.append(_test_line(facts))
    return [Heading("Verdict"), Items([item for item in items if item])]


def _compared(facts: StudySummary) -> str:
    """What searching bought, against the best network that was known before."""
    reference, champion = facts.best_reference, facts.champion
    if reference is None and facts.spec.reference:
        return "So far no reference is complete, so there is nothing known to compare with."
    if reference is None:
        return "The study names no reference, so there is nothing known to compare with."
    if reference is champion and not facts.spec.space:
        return f"It is a run of the reference {reference.reference!r}: nothing was searched."
    if reference is champion:
        return (
            f"It is the reference {reference.reference!r} itself: searching found nothing better."
        )
    gain = best_accuracy(champion) - best_accuracy(reference)
    interval = intervals.difference(
        best_accuracy(champion), best_accuracy(reference), facts.n_validation_images
    )
    said = "which may be chance: the interval includes zero"
    if interval.low > 0:
        said = "more than chance in these images would give"
    elif interval.high < 0:
        said = f"less accurate: it is the best by its {facts.spec.metric}"
    return (
        f"Against the best reference, {reference.reference!r} with "
        f"{best_accuracy(reference):.4f}, that is {gain:+.4f} "
        f"(95 % interval {interval.low:+.4f} to {interval.high:+.4f}), "
        f"{said}. Each was trained with one seed; another seed moves either by some thousandths."
    )


def _test_line(facts: StudySummary) -> str:
    looks = facts.test_looks
    if not looks:
        return "The test set is sealed: nobody has looked at it for this study."
    scores = "; ".join(
        f"trial {look['trial']} scored {look['accuracy']:.4f} on {look['n_images']:,} images "
        f"({look['when']})"
        for look in looks
    )
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    return f"The test set was looked at {times}: {scores}."


def gain(facts: StudySummary) -> list[Block]:
    """The champion beside what was known before and what chance would have found."""
    reference, baseline = facts.best_reference, facts.baseline
    if not facts.spec.space or (reference is None and not facts.spec.baseline):
        return []
    rows = []
    if reference:
        rows.append(_bought_row(f"best reference: {reference.reference}", reference, facts))
    if baseline:
        name = f"study `{facts.spec.baseline}`: best of {count_noun(len(baseline.ended), 'trial')}"
        rows.append(_bought_row(f"{name} in {baseline.minutes:.1f} minutes", baseline.best, facts))
    n_trials = count_noun(len(facts.ended), "trial")
    name = f"this study: best of {n_trials} in {facts.minutes:.1f} minutes"
    rows.append(_bought_row(name, facts.champion, facts))
    blocks: list[Block] = [
        Heading("What searching bought"),
        Table(["", "val_accuracy", "95 % interval", "parameters", "hyperparameters"], rows),
        Paragraph(
            "Each is one run, and the best of several: intervals tell of the images, not of "
            "seeds, nor of having been picked."
        ),
    ]
    if facts.spec.baseline and not baseline:
        blocks.append(
            Paragraph(
                f"The study `{facts.spec.baseline}` belongs here too; it has not been run: "
                f"`make search STUDY={facts.spec.baseline}`"
            )
        )
    return blocks


def _bought_row(name: str, trial: Trial, facts: StudySummary) -> list[str]:
    accuracy = best_accuracy(trial)
    interval = intervals.wilson(accuracy, facts.n_validation_images)
    size = f"{trial.n_parameters:,}"
    return [name, f"{accuracy:.4f}", str(interval), size, str(trial.hyperparameters)]


def best_accuracy(trial: Trial) -> float:
    """Validation accuracy at the best epoch, whatever the study's metric is."""
    return trial.history["val_accuracy"][trial.best_epoch - 1]


def count_noun(count: int, noun: str) -> str:
    """`1 trial`, `1,000 trials`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
