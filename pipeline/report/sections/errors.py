"""The part of a report on how the champion errs on the test set, once somebody has looked."""

from collections.abc import Mapping
from typing import Any

from pipeline.escaping import for_markdown
from pipeline.report import run_figures
from pipeline.report.document import Block, Figure, Heading, Paragraph, Table
from pipeline.report.summary import StudySummary
from pipeline.wording import inflect

HEADING = "How the champion errs"
MOST_CLASSES = 30  # of a matrix that can be read


def errors(facts: StudySummary) -> list[Block]:
    """Draws the confusion matrix and the reliability; empty as long as the test set is sealed."""
    found = facts.test_details
    if not found or "confusion_matrix" not in found:
        return []
    names, matrix = facts.spec.task.class_names, found["confusion_matrix"]
    examples = inflect(facts.spec.task.example, 2)
    blocks: list[Block] = [
        Heading(HEADING),
        Paragraph(
            f"Of the exported model on the test {examples}: a row is what an example is, a column "
            "what the model answers."
        ),
    ]
    if len(names) <= MOST_CLASSES:
        blocks.append(_matrix(names, matrix))
    if "calibration" in found:
        blocks.append(
            Figure(
                run_figures.reliability(found["calibration"]["reliability"]),
                f"How often the model is right where it is so sure; bins with few {examples} are "
                "left out.",
                _said_of(found["calibration"]),
            )
        )
    return blocks


def _matrix(names: Any, matrix: Any) -> Table:
    most = max((n for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j), default=1)
    rows, shades = [], []
    for i, row in enumerate(matrix):
        rows.append([for_markdown(names[i]), *(f"{n:,}" for n in row)])
        others = [0.0 if i == j else 0.7 * n / (most or 1) for j, n in enumerate(row)]
        shades.append([0.0, *others])
    return Table(["", *map(for_markdown, names)], rows, shades)


def _said_of(calibration: Mapping[str, Any]) -> str:
    """Says whether the model is as often right as it says."""
    points = calibration["reliability"]
    n = sum(each["n"] for each in points) or 1
    gaps = [(each["n"] / n, each["confidence"] - each["accuracy"]) for each in points]
    gap = sum(share * each for share, each in gaps)
    off = sum(share * abs(each) for share, each in gaps)
    if off < 0.02:
        return f"It is as often right as it is sure, within {100 * off:.1f} points on average."
    how = "surer than it is right" if gap > 0 else "more often right than it is sure"
    return f"It is {how}: by {100 * off:.1f} points on average."
