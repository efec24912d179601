"""The report of a study: what was asked, what came out, and how far it can be trusted.

    python -m pipeline.report [STUDY]

Writes `studies/<name>/report.md`, `report.html` and `trials.csv` from what the search recorded.
Every figure in it is computed from the store; a rerun writes the same again.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import document, figures, statistics, trials
from pipeline.document import Block, Figure, Heading, Items, Paragraph, Table
from pipeline.errors import DONE, PipelineError, run_command
from pipeline.jobs import is_better
from pipeline.paths import DEFAULT_STUDY, Project, named, shown, write_atomically
from pipeline.study import StudySpec
from pipeline.trials import Trial

if TYPE_CHECKING:
    import optuna

N_TOP = 10
N_FOR_IMPORTANCE = 8  # complete trials; of fewer, importance says nothing


@dataclass(frozen=True)
class Facts:
    """All that a report is made of.

    Attributes:
        spec: the study file.
        ended: trials that ended of their own, by number.
        n_interrupted: how many more were interrupted and queued again.
        ranked: complete trials, the best first; at least one.
        importance: share of each hyperparameter, largest first; empty if there are too few trials.
        minutes: how long supervisors ran.
        n_validation_images: on which the metric was measured.
        test_looks: every look at the test set.
        about: machine and versions.
    """

    spec: StudySpec
    ended: Sequence[Trial]
    n_interrupted: int
    ranked: Sequence[Trial]
    importance: Mapping[str, float]
    minutes: float
    n_validation_images: int
    test_looks: Sequence[Mapping[str, Any]]
    about: Mapping[str, str]

    @property
    def champion(self) -> Trial:
        """The best trial."""
        return self.ranked[0]

    @property
    def best_reference(self) -> Trial | None:
        """The best of the references, if there are any."""
        return next((trial for trial in self.ranked if trial.reference), None)


def main() -> int:
    """Writes the three files."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.report", description="Writes the report of a study."
    )
    parser.add_argument("study", nargs="?", default=DEFAULT_STUDY, help="name of a study")
    project = Project.here()
    study, spec = trials.stored_study(project, named(parser.parse_args().study))
    facts = collect(study, spec)
    folder = project.report_dir(spec.name)
    blocks = write(facts)
    title = f"Study {spec.name}"
    write_atomically(folder / "report.md", document.as_markdown(title, blocks))
    write_atomically(folder / "report.html", document.as_html(title, blocks))
    write_atomically(folder / "trials.csv", as_csv(facts))
    for file in ("report.html", "report.md", "trials.csv"):
        print(shown(folder / file))
    return DONE


def collect(study: "optuna.Study", spec: StudySpec) -> Facts:
    """Reads what the search recorded.

    Raises:
        PipelineError: no trial is complete yet.
    """
    from pipeline import data

    known = trials.finished(study)
    ended = trials.counted(known)
    ranked = trials.ranking(ended, spec.direction)
    if not ranked:
        raise PipelineError(f"study {spec.name!r} has no complete trial yet: nothing to report")
    return Facts(
        spec=spec,
        ended=ended,
        n_interrupted=len(known) - len(ended),
        ranked=ranked,
        importance=trials.importance(study) if len(ranked) >= N_FOR_IMPORTANCE else {},
        minutes=float(study.user_attrs.get(trials.SECONDS, 0.0)) / 60,
        n_validation_images=data.n_validation_images(spec.dataset),
        test_looks=trials.test_looks(study),
        about=study.user_attrs[trials.VERSIONS],
    )


def write(facts: Facts) -> list[Block]:
    """The report, top to bottom: the answer first, then what it rests on."""
    return [
        Paragraph(facts.spec.goal),
        *_verdict(facts),
        *_champion(facts),
        *_top(facts),
        *_history(facts),
        *_references(facts),
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
    line, records = [], []
    complete = {trial.number for trial in facts.ranked}
    for trial in facts.ended:
        if trial.number in complete and is_better(trial.value or 0.0, best, direction):
            best = trial.value
            records.append([str(trial.number), f"{best:.4f}", str(trial.hyperparameters)])
        line.append(best if best is not None else float("nan"))
    return [
        Heading("How the search went"),
        Paragraph("Trials that set a record, in their order:"),
        Table(["trial", metric, "hyperparameters"], records),
        Figure(
            figures.history(facts.ended, line, metric),
            "Trials in their order; a pruned one with its value where it was stopped. The frame "
            "leaves out the worst quarter.",
        ),
        *_slices(facts),
    ]


def _slices(facts: Facts) -> list[Block]:
    space, metric = facts.spec.space, facts.spec.metric
    if not space:
        return []
    caption = (
        "The metric against each hyperparameter, of trials that have it; of `units`, the widest "
        "layer's. Blue: complete, grey: pruned."
    )
    return [Figure(figures.slices(facts.ended, space, metric), caption)]


def _references(facts: Facts) -> list[Block]:
    if not facts.spec.reference:
        return []
    rows = []
    for reference in facts.spec.reference:
        claims = {k: v for k, v in reference.claim.items() if k != "source"}
        claimed = ", ".join(f"{name} {value:.4f}" for name, value in claims.items())
        source = str(reference.claim.get("source", ""))
        repeats = [trial for trial in facts.ranked if trial.reference == reference.name]
        for trial in repeats:
            best = trial.best_epoch - 1
            known = [name for name in claims if name in trial.history] or [facts.spec.metric]
            measured = ", ".join(f"{name} {trial.history[name][best]:.4f}" for name in known)
            rows.append([reference.name, claimed, measured, str(trial.number), source])
        if not repeats:
            rows.append([reference.name, claimed, "not complete", "", source])
    return [
        Heading("References"),
        Paragraph(
            "Known networks, trained to their end and never pruned. Measured is the epoch with "
            f"the best `{facts.spec.metric}`."
        ),
        Table(["reference", "claimed", "measured here", "trial", "source of the claim"], rows),
    ]


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
    rows = [[str(t.number), t.reason, str(t.hyperparameters)] for t in failed]
    return [Heading("Failed trials"), Table(["trial", "reason", "hyperparameters"], rows)]


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


def as_csv(facts: Facts) -> str:
    """All trials that ended, a row each; hyperparameters by their own names."""
    import pandas as pd

    rows = []
    for trial in facts.ended:
        best = trial.best_epoch - 1
        at_best = {k: v[best] for k, v in trial.history.items() if trial.best_epoch}
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                facts.spec.metric: trial.value,
                "best_epoch": trial.best_epoch,
                "epochs_trained": trial.n_epochs,
                **{k: v for k, v in at_best.items() if k in ("loss", "accuracy")},
                **{k: v for k, v in at_best.items() if k in ("val_loss", "val_accuracy")},
                "n_parameters": trial.n_parameters or None,
                "train_seconds": round(sum(trial.history.get("seconds", ())), 3),
                "seed": trial.seed,
                "reference": trial.reference,
                "reason": trial.reason,
                "run_id": trial.run_id,
                **(trial.hyperparameters.flat() if trial.hyperparameters else {}),
            }
        )
    table = pd.DataFrame(rows, dtype=object)  # else an integer column with gaps becomes floats
    known = [trial.hyperparameters for trial in facts.ended if trial.hyperparameters]
    names = list(max(known, key=lambda each: each.hidden_layers).flat())
    others = [name for name in table.columns if name not in names]
    return table[[*others, *names]].to_csv(index=False)


def _accuracy(trial: Trial) -> float:
    """Validation accuracy at the best epoch, whatever the study's metric is."""
    return trial.history["val_accuracy"][trial.best_epoch - 1]


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _component(kind: str, arguments: Mapping[str, object]) -> str:
    listed = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return f"`{kind}({listed})`"


if __name__ == "__main__":
    sys.exit(run_command(main))
