"""Whether a model in another format answers as it did: every class, or number within a tolerance.

What is asked are the inputs of the test set, all of them, and odd ones (see `probes`).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.formats.fresh import Asked
from pipeline.task.task import Task
from pipeline.wording import count_noun

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-4  # of a regression: relative to the number, or to the target's spread


@dataclass(frozen=True)
class Format:
    """What came of one format.

    Attributes:
        files: of it, in the folder of the export, if it is there.
        why_not: why it was left out; "" if it is there.
        note: how its weights differ from those that were trained; "" if they do not.
        runtime: packages that answered, with their versions; "" if none did.
        n_bytes: of its files together.
        latency_seconds: of a call with one example, the median of many.
        cold_start_seconds: from a process's start to its first answer.
        n_examples: of the test set, whose inputs were answered.
        n_different: of them, whose class is not that of `model.keras`; of numbers, those that
            differ by more than the tolerance.
        largest_difference: of a probability, or of a number in units of its own.
    """

    files: tuple[str, ...]
    why_not: str = ""
    note: str = ""
    runtime: str = ""
    n_bytes: int | None = None
    latency_seconds: float | None = None
    cold_start_seconds: float | None = None
    n_examples: int | None = None
    n_different: int | None = None
    largest_difference: float | None = None


@dataclass(frozen=True)
class Expected:
    """What is right.

    Attributes:
        task: what was asked.
        answers: of `model.keras`, (n, ...): the test set's, and then those of probes.
        n_probes: how many these are.
    """

    task: Task
    answers: "NDArray[Any]"
    n_probes: int

    def measure(self, asked: Asked, files: tuple[str, ...], n_bytes: int, note: str) -> Format:
        """Holds what a format has answered against what is right; says why not, if it is not."""
        end = len(self.answers) - self.n_probes
        n_different, largest, n_odd = end, None, 0
        if asked.answers.shape == self.answers.shape:
            n_different, largest = compare(self.task, self.answers[:end], asked.answers[:end])
            n_odd, _ = compare(self.task, self.answers[end:], asked.answers[end:])
        why_not = ""
        if n_different:
            of_all = count_noun(end, self.task.example)
            why_not = f"it answers otherwise to {n_different:,} of {of_all} of the test set"
        elif n_odd:
            odd = "missing values" if self.task.features else "odd pixels"
            why_not = f"it answers otherwise to examples with {odd}"
        return Format(
            files=files,
            why_not=why_not,
            note=note,
            runtime=asked.runtime,
            n_bytes=n_bytes,
            latency_seconds=asked.latency_seconds,
            cold_start_seconds=asked.cold_start_seconds,
            n_examples=end,
            n_different=n_different,
            largest_difference=largest,
        )


def compare(task: Task, expected: "NDArray[Any]", answers: "NDArray[Any]") -> tuple[int, float]:
    """Holds answers against those that are right.

    Args:
        task: what was asked.
        expected: probabilities, (n, classes), or (n, 1) of two classes; or numbers, (n, 1).
        answers: of the same shape.

    Returns:
        How many differ: in the class, of numbers by more than `TOLERANCE`, or in being none; and
        the largest difference of a probability, or of a number.
    """
    is_none = np.isnan(expected)
    differs = (is_none != np.isnan(answers)).any(axis=1)
    if task.is_regression:
        target = task.target
        unit = target.scale * (math.exp(target.mean) if target.transform == "log" else 1)
        is_close = np.isclose(answers, expected, TOLERANCE, TOLERANCE * unit, equal_nan=True)
        differs |= ~is_close[:, 0]
    elif expected.shape[1] == 1:
        differs |= ((expected > 0.5) != (answers > 0.5))[:, 0]
    else:
        differs |= expected.argmax(axis=1) != answers.argmax(axis=1)
    both = np.abs(expected - answers)[~is_none & ~np.isnan(answers)]
    return int(differs.sum()), float(both.max(initial=0))
