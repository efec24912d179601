"""The part of a report on how it was made: commands, versions, changes; and all trials."""

from pipeline.escaping import for_code, for_markdown
from pipeline.report import figures
from pipeline.report.document import Block, Heading, Items, Paragraph, Table
from pipeline.report.sections.best import describe
from pipeline.report.summary import StudySummary
from pipeline.study.trial import count_ends
from pipeline.wording import count_noun

HEADING = "How this was made"
ALL = "All trials"


def provenance(facts: StudySummary) -> list[Block]:
    """Tables what one needs to make it again."""
    spec, about = facts.spec, facts.about
    n_epochs = sum(trial.n_epochs for trial in facts.ended)
    versions = ", ".join(f"{k[8:]} {v}" for k, v in about.items() if k.startswith("version."))
    earlier = [for_markdown(each.started_from) for each in facts.ended if each.started_from]
    all_tried = "; all that the space has was tried" * facts.is_exhausted
    target = f", target {for_markdown(spec.target)}" if spec.target else ""
    rows = [
        ["command", f"`make search STUDY={spec.name}`"],
        ["trials", count_ends(facts.ended) + all_tried],
        ["interrupted and queued again", str(facts.n_interrupted)],
        ["epochs trained", f"{n_epochs:,}"],
        ["time", f"{facts.minutes:.1f} minutes{_finals(facts)}"],
        ["data", f"{for_markdown(spec.dataset)}{target}, validation on {facts.validated_on}"],
        ["metric", f"`{spec.metric}`, at each trial's best epoch"],
        ["sampler", for_code(str(spec.sampler))],
        *([["started from", "; ".join(earlier)]] if earlier else []),
        ["pruner", for_code(str(spec.own_pruner))],
        ["study file", f"fingerprint `{spec.fingerprint[:12]}`"],
        ["machine", about["machine"]],
        ["versions", versions],
        ["commit", f"`{about.get('git_commit', 'unknown')}`"],
    ]
    changed = [
        f"On {each['when']}, after {count_noun(each['n_trials'], 'trial')}, the study file was "
        f"changed: {'; '.join(map(for_markdown, each['what']))}."
        for each in facts.changes
    ]
    listed = [Items(changed)] if changed else []
    return [Heading(HEADING), Table(["", "value"], rows), *listed]


def _finals(facts: StudySummary) -> str:
    minutes = facts.finals_minutes
    return f", and {minutes:.1f} of finals" if minutes else ""


def trials(facts: StudySummary) -> list[Block]:
    """Tables all trials, or as many as a browser sorts at once; in HTML alone."""
    objective = facts.spec.objective
    shown = figures.thin_out(facts.ended, facts.ranked)
    rows = [
        [
            _linked(trial.number, trial.run_id, facts),
            trial.how,
            "" if trial.value is None else objective.show(trial.value),
            str(trial.best_epoch or ""),
            str(trial.n_epochs),
            f"{trial.seconds:.1f}",
            f"{trial.n_parameters:,}" if trial.n_parameters else "",
            describe(trial),
        ]
        for trial in shown
    ]
    columns = ["trial", "ended", objective.name, "best epoch", "epochs", "seconds",
               "parameters", "hyperparameters"]  # fmt: skip
    n = f"{len(shown):,} of {len(facts.ended):,}" if len(shown) < len(facts.ended) else "All"
    return [
        Heading(ALL),
        Paragraph(f"{n}, with all that was measured, are in `trials.csv`." if n == "All" else (
            f"In `report.html` are {n}: the best, and a sample of the others; all are in "
            "`trials.csv`."
        )),
        Table(columns, rows, is_in_markdown=False),
    ]  # fmt: skip


def _linked(number: int, run: str, facts: StudySummary) -> str:
    address = facts.runs_address
    return f"[{number}]({address}{run})" if run and address.startswith("http") else str(number)
