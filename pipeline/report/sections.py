"""What a report tells of a study, from top to bottom: the answer first, then what it rests on."""

from collections.abc import Sequence

from pipeline.escaping import for_code, for_markdown
from pipeline.report import figures, reference_sections
from pipeline.report.document import Block, Figure, Heading, Items, Paragraph, Table
from pipeline.report.finals_section import finals
from pipeline.report.gain_section import gain
from pipeline.report.looks_section import looks
from pipeline.report.pruning_section import pruning
from pipeline.report.simple_section import simple_models
from pipeline.report.summary import N_FOR_IMPORTANCE, StudySummary
from pipeline.report.verdict_sections import verdict
from pipeline.study.trial import State, Trial, count_ends, is_better
from pipeline.task.task import LOSS, Metric
from pipeline.wording import capitalize, count_noun, inflect, join_names

N_TOP = 10
N_FAILED = 30


def blocks(facts: StudySummary) -> list[Block]:
    """Builds the whole report, the answer first."""
    return [
        Paragraph(for_markdown(facts.spec.goal)),
        *verdict(facts),
        *finals(facts),
        *gain(facts),
        *simple_models(facts),
        *_champion(facts),
        *looks(facts),
        *_top(facts),
        *_history(facts),
        *reference_sections.blocks(facts),
        *_importance(facts),
        *_failures(facts),
        *_how(facts),
    ]


def _champion(facts: StudySummary) -> list[Block]:
    champion = facts.champion
    assert champion.hyperparameters is not None
    best = champion.best_epoch - 1
    rows = [
        ["trial", str(champion.number)],
        ["MLflow run", f"`{champion.run_id}`"],
        ["parameters", f"{champion.n_parameters:,}"],
        ["seed", str(champion.seed)],
        ["best epoch", f"{champion.best_epoch} of {champion.n_epochs}"],
        *([["ended", champion.ending]] if champion.ending else []),
        *(
            [
                metric.words + _unit(metric, facts),
                metric.show(champion.history[metric.name][best]),
            ]
            for metric in facts.spec.task.metrics
            if metric.name in champion.history  # a metric may be younger than the trial
        ),
        *([f"`{k}`", str(v)] for k, v in champion.hyperparameters.shown(facts.spec.named).items()),
    ]
    best_line = "The dotted line is the epoch whose weights were kept."
    return [
        Heading("Champion"),
        Table(["", "value"], rows),
        *(
            Figure(
                figures.curves(champion, quantity),
                f"{capitalize(facts.spec.task.metric(f'val_{quantity}').noun)} of the champion. "
                f"{best_line}",
            )
            for quantity in facts.spec.task.quantities
            if f"val_{quantity}" in champion.history
        ),
    ]


def _unit(metric: Metric, facts: StudySummary) -> str:
    """Says in what the loss of a regression is, which is not in the target's own units."""
    is_other = facts.spec.task.is_regression and metric.quantity == LOSS
    return f" ({facts.spec.task.loss}, of the standardised target)" if is_other else ""


def _top(facts: StudySummary) -> list[Block]:
    columns = ["", "trial", facts.spec.metric, "epoch", "ended", "parameters", "seconds",
               "hyperparameters"]  # fmt: skip
    lost = facts.ranked[: facts.ranked.index(facts.champion)]  # of older stores, if there are any
    rows = [
        [
            str(rank),
            str(trial.number),
            facts.spec.objective.show(trial.value or 0.0),
            str(trial.best_epoch),
            trial.ending + ("; weights not kept" if trial in lost else ""),
            f"{trial.n_parameters:,}" if trial.n_parameters else "",
            f"{trial.seconds:.1f}",
            f"{trial.hyperparameters}"
            + (f" ({for_markdown(trial.reference)})" if trial.reference else "")
            + (f" (trial {trial.final_of} again)" if trial.is_final else "")
            + (f" (from {for_markdown(trial.started_from)})" if trial.started_from else ""),
        ]
        for rank, trial in enumerate(facts.ranked[:N_TOP], start=1)
    ]
    return [Heading(f"The best {len(rows)}"), Table(columns, rows)]


def _history(facts: StudySummary) -> list[Block]:
    metric = facts.spec.objective
    best: float | None = None
    line: dict[int, float] = {}
    records = []
    ranked = {trial.number for trial in facts.ranked}
    for trial in facts.ended:
        if trial.number in ranked and is_better(trial.value or 0.0, best, metric.direction):
            best = trial.value or 0.0
            records.append([str(trial.number), metric.show(best), str(trial.hyperparameters)])
        line[trial.number] = best if best is not None else float("nan")
    drawn = figures.thin_out(facts.ended, facts.ranked)
    return [
        Heading("How the search went"),
        Paragraph("Trials that set a record, in their order:"),
        Table(["trial", metric.name, "hyperparameters"], records),
        Figure(
            figures.history(drawn, [line[trial.number] for trial in drawn], metric),
            "Trials in their order, each with its best epoch, whatever ended it. The frame "
            f"leaves out the worst quarter.{_left_out(facts, drawn)}",
        ),
        *pruning(facts),
        *_slices(facts, drawn),
    ]


def _left_out(facts: StudySummary, drawn: Sequence[Trial]) -> str:
    """Says how many trials of a long search a figure shows, and which."""
    if len(drawn) == len(facts.ended):
        return ""
    return (
        f" Shown are {len(drawn):,} of {len(facts.ended):,} trials: the best, and a sample of the "
        "others; all are in `trials.csv`."
    )


def _slices(facts: StudySummary, drawn: Sequence[Trial]) -> list[Block]:
    space, metric = facts.spec.space, facts.spec.objective
    if not space:
        return []
    caption = (
        "The metric against each hyperparameter, of trials that have it; of `units`, the widest "
        "layer's. Blue: complete, grey: pruned."
    )
    off_scale = [
        f"{count_noun(n, 'trial')} of `{name}`"
        for name, n in figures.off_scale(drawn, space).items()
    ]
    if off_scale:
        caption += f" Left out, for a logarithmic axis has no 0: {join_names(off_scale)}."
    return [Figure(figures.slices(drawn, space, metric), caption + _left_out(facts, drawn))]


def _importance(facts: StudySummary) -> list[Block]:
    n, heading = facts.n_complete, Heading("Which hyperparameters matter")
    if n < N_FOR_IMPORTANCE:
        said = f"{count_noun(n, 'complete trial')} {inflect('is', n, 'are')} too few to say"
        return [heading, Paragraph(f"{said}; {N_FOR_IMPORTANCE} are needed.")]
    left_out = _constant(facts)
    if not facts.importance:
        said = "None shows in what came of the trials."
        if not facts.spec.space:
            said = "There is no hyperparameter that was searched."
        return [heading, Paragraph(said + left_out)]
    return [
        heading,
        Paragraph(
            f"Optuna's PED-ANOVA over {n} complete trials: how much each hyperparameter decides "
            "whether a trial is among the best quarter. With so few trials this is a hint, and "
            "less than that for what only some of them have, such as the units of a third layer."
            + left_out
        ),
        Table(
            ["hyperparameter", "importance"],
            [[f"`{name}`", f"{share:.2f}"] for name, share in facts.importance.items()],
        ),
        Figure(figures.importance(facts.importance), "Importances sum to one."),
    ]


def _constant(facts: StudySummary) -> str:
    """Says which hyperparameters cannot matter."""
    names = [f"`{name}`" for name in facts.constant]
    if not names:
        return ""
    return f" Left out, for within [space] these trials have one value of it: {join_names(names)}."


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
        Heading("Failed and stopped trials"),
        Table(["trial", "ended", "reason", objective.name, "hyperparameters"], rows),
    ]
    if len(failed) > len(rows):
        said = f"The last {len(rows)} of {len(failed):,}; all are in `trials.csv`."
        blocks.insert(1, Paragraph(said))
    return blocks


def _finals(facts: StudySummary) -> str:
    minutes = facts.finals_minutes
    return f", and {minutes:.1f} of finals" if minutes else ""


def _how(facts: StudySummary) -> list[Block]:
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
        [
            "data",
            f"{for_markdown(spec.dataset)}{target}, validation on {facts.validated_on}",
        ],
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
    return [Heading("How this was made"), Table(["", "value"], rows), *listed]
