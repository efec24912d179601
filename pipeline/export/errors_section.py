"""The section "How it errs" of a model card: classes, confusions, confidence, residuals."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.escaping import for_markdown
from pipeline.evaluation.intervals import Interval
from pipeline.export.folder import PICTURES_FILE, RELIABILITY_FILE, ROWS_FILE
from pipeline.task.task import Kind, Task
from pipeline.wording import count_noun, inflect

MOST_CLASSES = 20  # of which a table shows all
N_WORST = 10  # classes that are shown of more, by F1
N_IN_CARD = 5  # mistakes in a table of their own, where there are no pictures


def write(task: Task, test: Mapping[str, Any], found: Mapping[str, Any], files: Path) -> str:
    """Writes the section in Markdown, with its heading.

    Args:
        task: what was asked.
        test: scores, as in `metrics.json`.
        found: `test_details`, by `test_details.describe`.
        files: folder with the pictures, of which those that are there are shown.
    """
    parts = [f"## How it errs\n\n{_interval(task, test, found['score'])}"]
    if task.is_regression:
        parts += [_residuals(task, found), _tenths(task, found["tenths"])]
    else:
        parts += [_classes(task, found["classes"]), _confusions(task, found)]
        parts.append(_calibration(task, found["calibration"], files))
    parts.append(_mistakes(task, found["mistakes"], files))
    return "\n".join(f"{part.rstrip()}\n" for part in parts if part)


def _interval(task: Task, test: Mapping[str, Any], score: Mapping[str, Any]) -> str:
    examples, metric = inflect(task.example, 2), task.score
    if score["bootstrap_95"] is None:
        return f"These {examples} are too few, or too alike, for a bootstrap interval."
    ends = Interval(*score["bootstrap_95"]).show(metric, test[metric.quantity])
    by = f"groups of {examples}" if test.get("n_groups") else examples
    return (
        f"On the test {examples}. Drawn from anew {score['n_draws']:,} times (percentile "
        f"bootstrap, by {by}),\nthe {metric.noun} lies between {ends.replace(' to ', ' and ')} "
        "in 95 % of draws."
    )


def _classes(task: Task, classes: Sequence[Mapping[str, Any]]) -> str:
    shown, note = list(enumerate(classes)), ""
    if len(classes) > MOST_CLASSES:
        there = [each for each in shown if each[1]["support"]]
        shown = sorted(there, key=lambda each: each[1]["f1"] or 0.0)[:N_WORST]
        note = f"\n\nThese are the {len(shown)} worst of {len(classes):,} classes."
    rows = [
        [
            str(i),
            _cell(each["class"]),
            *(_share(each[key]) for key in ("precision", "recall", "f1")),
            f"{each['support']:,}",
        ]
        for i, each in shown
    ]
    columns = ["", "class", "precision", "recall", "F1", inflect(task.example, 2)]
    return _table(columns, rows, n_texts=2) + note


def _confusions(task: Task, found: Mapping[str, Any]) -> str:
    matrix, examples = found["confusion_matrix"], inflect(task.example, 2)
    if matrix is not None and len(matrix) <= MOST_CLASSES:
        names = [each["class"] for each in found["classes"]]
        rows = [
            [f"{i} {_cell(name)}", *(_count(n, is_right=i == j) for j, n in enumerate(row))]
            for i, (name, row) in enumerate(zip(names, matrix, strict=True))
        ]
        table = _table(["is, and was answered", *map(str, range(len(names)))], rows, n_texts=1)
        return f"{examples.capitalize()} by what they are (rows) and what was answered:\n\n{table}"
    if not found["confusions"]:
        return ""
    rows = [
        [_cell(each["class"]), _cell(each["answered"]), f"{each['n']:,}"]
        for each in found["confusions"]
    ]
    table = _table(["is", "was answered", examples], rows, n_texts=2)
    return f"The most frequent confusions:\n\n{table}"


def _calibration(task: Task, found: Mapping[str, Any], files: Path) -> str:
    if found["ece"] is None:
        return ""
    points = found["reliability"]
    n = sum(each["n"] for each in points)
    gap = sum(each["n"] * (each["confidence"] - each["accuracy"]) for each in points) / n
    leaning = "more" if gap > 0 else "less"
    picture = ""
    if (files / RELIABILITY_FILE).exists():
        picture = f"\n\n![Accuracy by confidence]({RELIABILITY_FILE})"
    whom = "of the second class " if task.kind is Kind.BINARY else ""
    return (
        f"Its confidence is off by {found['ece']:.4f} on average (expected calibration error, "
        f"{found['n_bins']} bins);\nit is {leaning} sure than right by {abs(gap):.4f} on the "
        f"whole. The Brier score {whom}is {found['brier']:.4f}.{picture}"
    )


def _residuals(task: Task, found: Mapping[str, Any]) -> str:
    numbers, coverage = found["residuals"], found["coverage"]
    said = ", ".join(
        f"{name.replace('_', ' ')} {_number(numbers[name])}"
        for name in ("mean", "median", "standard_deviation")
    )
    text = f"Residuals, the answer less the target: {said}."
    if coverage:
        text += (
            f"\nWithin ± {_number(coverage['half_width'])}, as {coverage['promised']:.0%} of the "
            f"validation {inflect(task.example, 2)} are,\nlie "
            f"{_share(coverage['found'])} of the test {inflect(task.example, 2)}."
        )
    return text.replace("95%", "95 %")


def _tenths(task: Task, tenths: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"{_number(each['low'])} to {_number(each['high'])}",
            f"{each['n']:,}",
            *(_number(each[key]) for key in ("answer", "target", "bias", "mae", "rmse")),
        ]
        for each in tenths
    ]
    columns = ["answers", inflect(task.example, 2), "mean answer", "mean target"]
    table = _table([*columns, "bias", "MAE", "RMSE"], rows, n_texts=1)
    return f"By tenths of what it answers:\n\n{table}"


def _mistakes(task: Task, found: Sequence[Mapping[str, Any]], files: Path) -> str:
    if not found:
        return "None of these answers is wrong."
    kind = "largest errors" if task.is_regression else "most confident mistakes"
    if (files / PICTURES_FILE).exists():
        how = "" if task.is_regression else ", and how sure it was"
        return (
            f"The {count_noun(len(found), kind[:-1])}, the worst first: what it is, what was "
            f"answered{how}.\n\n![The {kind}]({PICTURES_FILE})"
        )
    rows = [_mistake(task, each) for each in found[:N_IN_CARD]]
    last = "error" if task.is_regression else "confidence"
    table = _table(["is", "was answered", last], rows, n_texts=0 if task.is_regression else 2)
    more = f"\n\n{count_noun(len(found), 'such row')} with all columns: `{ROWS_FILE}`."
    return f"The {kind}:\n\n{table}{more * (files / ROWS_FILE).exists()}"


def _mistake(task: Task, each: Mapping[str, Any]) -> list[str]:
    if task.is_regression:
        return [_number(each[key]) for key in ("target", "answer", "error")]
    return [_cell(each["target"]), _cell(each["answer"]), _share(each["confidence"])]


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]], n_texts: int) -> str:
    """Writes a table whose columns but for the first few are numbers, and so right-aligned."""
    names = list(columns)
    rule = ["---" if i < n_texts else "---:" for i in range(len(names))]
    head = f"| {' | '.join(names)} |\n|{'|'.join(rule)}|"
    return "\n".join([head, *(f"| {' | '.join(row)} |" for row in rows)])


def _cell(text: str) -> str:
    return for_markdown(text).replace("|", "\\|")


def _count(n: int, *, is_right: bool) -> str:
    if is_right:
        return f"**{n:,}**"
    return f"{n:,}" if n else "·"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.5g}"  # noqa: RUF001
