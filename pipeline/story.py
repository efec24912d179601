"""What a report tells of a study, from top to bottom: the answer first, then what it rests on."""

from collections.abc import Mapping, Sequence

from pipeline import figures, references, statistics
from pipeline.document import Block, Figure, Heading, Items, Paragraph, Table
from pipeline.facts import N_FOR_IMPORTANCE, Facts
from pipeline.jobs import is_better
from pipeline.trials import Trial

N_TOP = 10
N_FAILED = 30


def blocks(facts: Facts) -> list[Block]:
    """The whole of it."""
    return [
        Paragraph(facts.spec.goal),
        *_verdict(facts),
        *_bought(facts),
        *_champion(facts),
        *_top(facts),
        *_history(facts),
        *references.blocks(facts),
        *_importance(facts),
        *_failures(facts),
        *_how(facts),
    ]


def _verdict(facts: Facts) -> list[Block]:
    champion = facts.champion
    accuracy, n_images = _accuracy(champion), facts.n_validation_images
    interval = statistics.wilson(accuracy, n_images)
    items = [
        f"The best of {_n(len(facts.ended), 'trial')} is **trial {champion.number}: "
        f"{champion.hyperparameters}**.",
        f"Its validation accuracy is **{accuracy:.4f}** (95 % interval {interval} from "
        f"{n_images:,} images). It is the best of many, measured once, and so rather too good.",
        _compared(facts),
    ]
    if len(facts.ranked) > 1:
        second = facts.ranked[1]
        gap = statistics.difference(accuracy, _accuracy(second), n_images)
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


def _compared(facts: Facts) -> str:
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
    gain = _accuracy(champion) - _accuracy(reference)
    interval = statistics.difference(
        _accuracy(champion), _accuracy(reference), facts.n_validation_images
    )
    said = "which may be chance: the interval includes zero"
    if interval.low > 0:
        said = "more than chance in these images would give"
    elif interval.high < 0:
        said = f"less accurate: it is the best by its {facts.spec.metric}"
    return (
        f"Against the best reference, {reference.reference!r} with {_accuracy(reference):.4f}, "
        f"that is {gain:+.4f} (95 % interval {interval.low:+.4f} to {interval.high:+.4f}), "
        f"{said}. Each was trained with one seed; another seed moves either by some thousandths."
    )


def _test_line(facts: Facts) -> str:
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


def _champion(facts: Facts) -> list[Block]:
    champion = facts.champion
    assert champion.hyperparameters is not None
    best = champion.best_epoch - 1
    rows = [
        ["trial", str(champion.number)],
        ["MLflow run", f"`{champion.run_id}`"],
        ["parameters", f"{champion.n_parameters:,}"],
        ["seed", str(champion.seed)],
        ["best epoch", f"{champion.best_epoch} of {champion.n_epochs}"],
        *(
            [name.replace("val_", "validation "), f"{champion.history[name][best]:.4f}"]
            for name in ("val_accuracy", "val_loss", "accuracy", "loss")
        ),
        *([f"`{k}`", str(v)] for k, v in champion.hyperparameters.as_dict().items()),
    ]
    best_line = "The dotted line is the epoch whose weights were kept."
    return [
        Heading("Champion"),
        Table(["", "value"], rows),
        Figure(figures.curves(champion, "loss"), f"Loss of the champion. {best_line}"),
        Figure(figures.curves(champion, "accuracy"), f"Accuracy of the champion. {best_line}"),
    ]


def _top(facts: Facts) -> list[Block]:
    columns = ["", "trial", facts.spec.metric, "epoch", "parameters", "seconds", "hyperparameters"]
    rows = [
        [
            str(rank),
            str(trial.number),
            f"{trial.value:.4f}",
            str(trial.best_epoch),
            f"{trial.n_parameters:,}",
            f"{trial.seconds:.0f}",
            f"{trial.hyperparameters}" + (f" ({trial.reference})" if trial.reference else ""),
        ]
        for rank, trial in enumerate(facts.ranked[:N_TOP], start=1)
    ]
    return [Heading(f"The best {len(rows)}"), Table(columns, rows)]


def _history(facts: Facts) -> list[Block]:
    direction, metric = facts.spec.direction, facts.spec.metric
    best: float | None = None
    line: dict[int, float] = {}
    records = []
    complete = {trial.number for trial in facts.ranked}
    for trial in facts.ended:
        if trial.number in complete and is_better(trial.value or 0.0, best, direction):
            best = trial.value
            records.append([str(trial.number), f"{best:.4f}", str(trial.hyperparameters)])
        line[trial.number] = best if best is not None else float("nan")
    drawn = figures.thinned(facts.ended, facts.ranked)
    return [
        Heading("How the search went"),
        Paragraph("Trials that set a record, in their order:"),
        Table(["trial", metric, "hyperparameters"], records),
        Figure(
            figures.history(drawn, [line[trial.number] for trial in drawn], metric),
            "Trials in their order; a pruned one with its value where it was stopped. The frame "
            f"leaves out the worst quarter.{_left_out(facts, drawn)}",
        ),
        *_slices(facts, drawn),
    ]


def _left_out(facts: Facts, drawn: Sequence[Trial]) -> str:
    """What a figure does not show of a long search."""
    if len(drawn) == len(facts.ended):
        return ""
    return (
        f" Shown are {len(drawn):,} of {len(facts.ended):,} trials: the best, and a sample of the "
        "others; all are in `trials.csv`."
    )


def _slices(facts: Facts, drawn: Sequence[Trial]) -> list[Block]:
    space, metric = facts.spec.space, facts.spec.metric
    if not space:
        return []
    caption = (
        "The metric against each hyperparameter, of trials that have it; of `units`, the widest "
        "layer's. Blue: complete, grey: pruned."
    )
    return [Figure(figures.slices(drawn, space, metric), caption + _left_out(facts, drawn))]


def _bought(facts: Facts) -> list[Block]:
    """The champion beside what was known before and what chance would have found."""
    reference, baseline = facts.best_reference, facts.baseline
    if not facts.spec.space or (reference is None and not facts.spec.baseline):
        return []
    rows = []
    if reference:
        rows.append(_bought_row(f"best reference: {reference.reference}", reference, facts))
    if baseline:
        name = f"study `{facts.spec.baseline}`: best of {_n(len(baseline.ended), 'trial')}"
        rows.append(_bought_row(f"{name} in {baseline.minutes:.1f} minutes", baseline.best, facts))
    name = f"this study: best of {_n(len(facts.ended), 'trial')} in {facts.minutes:.1f} minutes"
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


def _bought_row(name: str, trial: Trial, facts: Facts) -> list[str]:
    accuracy = _accuracy(trial)
    interval = statistics.wilson(accuracy, facts.n_validation_images)
    size = f"{trial.n_parameters:,}"
    return [name, f"{accuracy:.4f}", str(interval), size, str(trial.hyperparameters)]


def _importance(facts: Facts) -> list[Block]:
    n, heading = len(facts.ranked), Heading("Which hyperparameters matter")
    if n < N_FOR_IMPORTANCE:
        said = f"{_n(n, 'complete trial')} {'is' if n == 1 else 'are'} too few to say"
        return [heading, Paragraph(f"{said}; {N_FOR_IMPORTANCE} are needed.")]
    if not facts.importance:
        return [heading, Paragraph("There is no hyperparameter that was searched.")]
    return [
        heading,
        Paragraph(
            f"Optuna's PED-ANOVA over {n} complete trials: how much each hyperparameter decides "
            "whether a trial is among the best quarter. With so few trials this is a hint, and "
            "less than that for what only some of them have, such as the units of a third layer."
        ),
        Table(
            ["hyperparameter", "importance"],
            [[f"`{name}`", f"{share:.2f}"] for name, share in facts.importance.items()],
        ),
        Figure(figures.importance(facts.importance), "Importances sum to one."),
    ]


def _failures(facts: Facts) -> list[Block]:
    failed = [trial for trial in facts.ended if trial.state == "FAIL"]
    if not failed:
        return []
    rows = [
        [str(t.number), t.reason, str(t.hyperparameters or t.reference)]
        for t in failed[-N_FAILED:]
    ]
    blocks: list[Block] = [
        Heading("Failed trials"),
        Table(["trial", "reason", "hyperparameters"], rows),
    ]
    if len(failed) > len(rows):
        said = f"The last {len(rows)} of {len(failed):,}; all are in `trials.csv`."
        blocks.insert(1, Paragraph(said))
    return blocks


def _how(facts: Facts) -> list[Block]:
    spec, about = facts.spec, facts.about
    n = {s: sum(t.state == s for t in facts.ended) for s in ("COMPLETE", "PRUNED", "FAIL")}
    n_epochs = sum(trial.n_epochs for trial in facts.ended)
    versions = ", ".join(f"{k[8:]} {v}" for k, v in about.items() if k.startswith("version."))
    rows = [
        ["command", f"`make search STUDY={spec.name}`"],
        ["trials", f"{n['COMPLETE']} complete, {n['PRUNED']} pruned, {n['FAIL']} failed"],
        ["interrupted and queued again", str(facts.n_interrupted)],
        ["epochs trained", f"{n_epochs:,}"],
        ["time", f"{facts.minutes:.1f} minutes"],
        ["data", f"{spec.dataset}, validation on {facts.n_validation_images:,} images"],
        ["metric", f"`{spec.metric}`, at each trial's best epoch"],
        ["sampler", _component(spec.sampler.type, spec.sampler.arguments)],
        ["pruner", _component(spec.pruner.type, spec.pruner.arguments)],
        ["study file", f"fingerprint `{spec.fingerprint[:12]}`"],
        ["machine", about["machine"]],
        ["versions", versions],
        ["commit", f"`{about.get('git_commit', 'unknown')}`"],
    ]
    return [Heading("How this was made"), Table(["", "value"], rows)]


def _accuracy(trial: Trial) -> float:
    """Validation accuracy at the best epoch, whatever the study's metric is."""
    return trial.history["val_accuracy"][trial.best_epoch - 1]


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _component(kind: str, arguments: Mapping[str, object]) -> str:
    listed = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return f"`{kind}({listed})`"
