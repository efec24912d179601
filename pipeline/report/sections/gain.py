"""The part of a report on what searching bought: the champion beside what was known before."""

from collections.abc import Sequence

from pipeline.escaping import for_markdown
from pipeline.evaluation.verdict import Standing
from pipeline.report.document import Block, Heading, Paragraph, Table
from pipeline.report.sections.verdict import kept, score_interval
from pipeline.report.summary import StudySummary
from pipeline.study.trial import Trial
from pipeline.wording import count_noun, inflect

HEADING = "What searching bought"
_ONE_RUN = "; a baseline study's is one run, the best of several."


def gain(facts: StudySummary) -> list[Block]:
    """Tables the champion beside the known baselines: references and a baseline study."""
    reference, baseline = facts.best_reference, facts.baseline
    if not facts.spec.space or (reference is None and not facts.spec.baseline):
        return []
    rows, judged = [], facts.judged
    if judged and judged.reference:
        rows.append(_expected_row("best reference", judged.reference, facts.ended, facts))
    elif reference and not judged:
        rows.append(
            _bought_row(f"best reference: {for_markdown(reference.reference)}", reference, facts)
        )
    both_judged = judged and baseline and baseline.judged
    if baseline:
        n_trials = count_noun(baseline.n_searched, "trial")
        spent, name = f"{n_trials} in {baseline.minutes:.1f} minutes", facts.spec.baseline
        if both_judged:
            winner, name = both_judged.winner, f"study `{name}`: winner of finals, of {spent}"
            rows.append(_expected_row(name, winner, baseline.ended, facts))
        else:
            rows.append(_bought_row(f"study `{name}`: best of {spent}", baseline.best, facts))
    n_trials = count_noun(len(facts.searched), "trial")
    name = f"this study: best of {n_trials} in {facts.minutes:.1f} minutes"
    if judged:
        name = f"this study: winner of finals, of {n_trials} in {facts.minutes:.1f} minutes"
        rows.append(_expected_row(name, judged.winner, facts.ended, facts))
    else:
        rows.append(_bought_row(name, facts.champion, facts))
    columns = [
        "",
        (facts.spec.objective if judged else facts.spec.task.score).name,
        "95 % interval",
        "parameters",
        "hyperparameters",
    ]
    has_interval, told = any(row[2] for row in rows), ": a value tells nothing"
    if has_interval:
        told = f": intervals tell of the {inflect(facts.spec.task.example, 2)}, not"
    if not has_interval:
        columns, *rows = ([*row[:2], *row[3:]] for row in (columns, *rows))
    blocks: list[Block] = [
        Heading(HEADING),
        Paragraph(
            "This is the gain over the known baselines; the last row is this study's champion."
        ),
        Table(columns, rows),
        Paragraph(
            "What finals have judged is what is expected with any seed, adjusted for having been "
            "selected" + ("." if both_judged or not baseline else _ONE_RUN)
            if judged
            else f"Each is one run, and the best of several{told} of seeds, nor of having been "
            "picked."
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


def _expected_row(
    name: str, standing: Standing, ended: Sequence[Trial], facts: StudySummary
) -> list[str]:
    """Shows what a finalist is worth, one of trials that ended, by the study's metric."""
    metric, finalist, value = facts.spec.objective, standing.finalist, standing.value
    if finalist.reference:
        name = f"{name}: {for_markdown(finalist.reference)}"
    trial = next(each for each in ended if each.number == finalist.number)
    return [
        name, metric.show(value.mean), value.interval.show(metric, value.mean),
        f"{finalist.n_parameters:,}", str(trial.hyperparameters),
    ]  # fmt: skip


def _bought_row(name: str, trial: Trial, facts: StudySummary) -> list[str]:
    score = facts.spec.task.score
    value, interval = kept(score, trial), score_interval(trial, facts)
    shown = interval.show(score, value) if interval else ""
    return [name, score.show(value), shown, f"{trial.n_parameters:,}", str(trial.hyperparameters)]
