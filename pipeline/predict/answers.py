"""Answers as they are printed: for people, in 80 columns, or as lines of JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from pipeline.errors import printable
from pipeline.evaluation.conformal import around
from pipeline.predict.given import Place
from pipeline.task.task import SCORED_REGRESSION, Task
from pipeline.wording import TERMINAL

_IN_OWN_UNITS = SCORED_REGRESSION[0]  # whose digits a value has
_GAP, _NARROWEST = "  ", 12  # columns between columns; of an input's name at least


def as_json(
    task: Task, places: Sequence[Place], answers: NDArray[Any], half_width: float | None
) -> Iterator[str]:
    """Spells each answer as a line of JSON.

    Args:
        task: what was asked.
        places: of the examples, n.
        answers: probabilities of each class (n, classes), or numbers (n, 1).
        half_width: of a regression's intervals (`conformal.half_width`); None if unknown.
    """
    for place, answer in zip(places, answers, strict=True):
        about: dict[str, Any] = {"input": place.source, "row": place.row}
        if task.is_regression:
            value = float(answer[0])
            interval = around(task.target, value, half_width)
            low, high = (interval.low, interval.high) if interval else (None, None)
            about |= {"value": _finite(value), "low": low, "high": high}
        else:
            best = int(answer.argmax())
            by_class = dict(zip(task.class_names, map(float, answer), strict=True))
            about |= {
                "class": task.class_names[best],
                "probability": float(answer[best]),
                "probabilities": by_class,
            }
        yield json.dumps(about, ensure_ascii=False)


def as_text(
    task: Task, places: Sequence[Place], answers: NDArray[Any], half_width: float | None
) -> Iterator[str]:
    """Spells answers as lines of a table, below its heading; takes what `as_json` takes."""
    name = task.target.name or "value"
    if task.is_regression:
        heading = ["input", name, "95 % interval"]
        cells = [_value(task, float(answer[0]), half_width) for answer in answers]
    else:
        heading = ["input", "class", "probability", "next"]
        cells = [_classes(task, answer) for answer in answers]
    yield from _table(
        [heading, *([str(place), *row] for place, row in zip(places, cells, strict=True))]
    )


def _classes(task: Task, answer: NDArray[Any]) -> list[str]:
    best, second = (int(i) for i in (-answer).argsort(kind="stable")[:2])
    following = f"{task.class_names[second]} {answer[second]:.4f}"
    return [task.class_names[best], f"{answer[best]:.4f}", following]


def _value(task: Task, value: float, half_width: float | None) -> list[str]:
    interval = around(task.target, value, half_width)
    between = interval.show(_IN_OWN_UNITS, value) if interval else "unknown"
    return [show(value), between]


def show(value: float) -> str:
    """Formats a number in units of the target."""
    return _IN_OWN_UNITS.show(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _table(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligns cells, as wide as a terminal shows them; shortens inputs to make room."""
    shown = [[printable(cell) for cell in line] for line in lines]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    others = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
    widths[0] = min(widths[0], max(_NARROWEST, TERMINAL - others))
    for first, *rest in shown:
        cells = [_shorten(first, widths[0]), *rest]
        padded = (
            cell + " " * (width - cell_len(cell))
            for cell, width in zip(cells, widths, strict=True)
        )
        yield _GAP.join(padded).rstrip()


def _shorten(text: str, width: int) -> str:
    """Cuts a text in front, for the end of a path tells most."""
    if cell_len(text) <= width:
        return text
    while cell_len(text) > width - 3:
        text = text[1:]
    return f"...{text}"


def spread(task: Task, answers: NDArray[Any]) -> NDArray[Any]:
    """Gives a column to each of two classes, where a network answers the second alone."""
    if task.is_regression or answers.shape[1] > 1:
        return answers
    return np.hstack([1 - answers, answers])
