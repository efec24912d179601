"""How a model errs on the test set, worked out at a look, as files that an export hands over."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.evaluation import bootstrap, details
from pipeline.export import mistakes, reliability, scores
from pipeline.export.folder import RELIABILITY_FILE
from pipeline.files import write_atomically
from pipeline.names import DETAILS_FILE
from pipeline.task.source import Examples
from pipeline.task.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write(
    task: Task,
    answers: "NDArray[Any]",
    examples: Examples,
    known_errors: "NDArray[Any] | None",
    folder: Path,
) -> None:
    """Works out how a model errs, and writes it, with what shows it, into a new folder.

    Args:
        task: what was asked.
        answers: by `scores.answer`.
        examples: of the test set.
        known_errors: of a regression, its residuals on rows that it was not trained on.
        folder: gets `DETAILS_FILE`, `RELIABILITY_FILE` of classes, and what `mistakes.save` saves.
    """
    described = describe(task, answers, examples, known_errors)
    folder.mkdir()
    mistakes.save(task, described["mistakes"], examples, folder)
    if "calibration" in described:
        picture = reliability.draw(described["calibration"]["reliability"], task.example)
        write_atomically(folder / RELIABILITY_FILE, picture)
    text = json.dumps(described, indent=2, allow_nan=False) + "\n"
    write_atomically(folder / DETAILS_FILE, text)


def describe(
    task: Task,
    answers: "NDArray[Any]",
    examples: Examples,
    known_errors: "NDArray[Any] | None" = None,
) -> dict[str, Any]:
    """Describes how a model errs, as plain values; arguments as in `write`.

    Returns:
        What `details.of_classes` or `details.of_numbers` returns; `score`, with the bootstrap's
        95 % interval of the task's score; and `mistakes`, by `mistakes.find`.
    """

    def value_of(weights: "NDArray[Any]") -> float:
        return scores.value_of(task.score, task, answers, (examples,), weights)

    n = len(examples.targets)
    found = bootstrap.interval(value_of, n, examples.weights, examples.groups)
    score = {
        "metric": task.score.quantity,
        "bootstrap_95": [found.low, found.high] if found else None,
        "n_draws": bootstrap.N_DRAWS,
    }
    if task.is_regression:
        described = details.of_numbers(examples.targets, answers, examples.weights, known_errors)
    else:
        described = details.of_classes(task, examples.targets, answers, examples.weights)
    return {
        "score": score,
        **described,
        "mistakes": mistakes.find(task, answers, examples.targets),
    }
