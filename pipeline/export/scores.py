"""How good a model that is handed over is: on the validation set again, and on the test set."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.task.scoring import all_scores, losses, score_folds, transform
from pipeline.task.source import Examples
from pipeline.task.task import LOSS, Task

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

BATCH = 1000  # examples, for which a model is asked at a time
TOLERANCE = 1e-4  # between a recorded metric and one measured again: one example in 10,000


def validate(model: "keras.Model", task: Task, examples: Sequence[Examples]) -> float:
    """Scores a model on the validation set as the search did; returns the task's `score`.

    With folds each row is answered by that network of the model that has not seen it.

    Args:
        model: takes raw inputs.
        task: what was asked.
        examples: by `datasets.validation_sets`.
    """
    networks = [model]
    if len(examples) > 1:
        networks = [model.get_layer(f"fold_{i}") for i in range(1, len(examples) + 1)]
    answers = [answer(network, each) for network, each in zip(networks, examples, strict=True)]
    weights = [each.weights for each in examples if each.weights is not None]
    found = measure(
        task,
        np.concatenate([each.targets for each in examples]),
        np.concatenate(answers),
        np.concatenate(weights) if weights else None,
    )
    parts = [(x.targets, y, x.weights, None) for x, y in zip(examples, answers, strict=True)]
    found |= score_folds(task, parts)
    return found[task.score.quantity]


def is_as_recorded(task: Task, value: float, recorded: float) -> bool:
    """Tells whether the task's `score`, measured again, is what was recorded.

    Of a metric in units of its own both may be far from 1: what counts is the target's spread.
    """
    unit, target = 1.0, task.target
    if task.score.digits is None:
        unit = target.scale * (math.exp(target.mean) if target.transform == "log" else 1.0)
    return math.isclose(value, recorded, rel_tol=TOLERANCE, abs_tol=TOLERANCE * unit)


def score_test(model: "keras.Model", task: Task, examples: Examples) -> dict[str, float]:
    """Scores a model on test examples by all that can be said of it."""
    answers = answer(model, examples)
    return measure(task, examples.targets, answers, examples.weights, examples.groups)


def answer(model: "keras.Model", examples: Examples) -> "NDArray[Any]":
    """Asks a model: probabilities, (n, classes) or (n, 1), or numbers, (n, 1).

    By itself, not by Keras's `predict`, which makes float32 of what is float64.
    """
    import tensorflow as tf

    inputs: Any = examples.inputs
    if isinstance(inputs, Mapping):
        named = model.input if isinstance(model.input, dict) else [x.name for x in model.inputs]
        inputs = {name: inputs[name][:, None] for name in named}
    answers = []
    for start in range(0, len(examples.targets), BATCH):
        block = slice(start, start + BATCH)
        tensors = tf.nest.map_structure(lambda values, at=block: tf.constant(values[at]), inputs)
        answers.append(np.asarray(model(tensors, training=False)))
    return np.concatenate(answers)


def measure(
    task: Task,
    targets: "NDArray[Any]",
    answers: "NDArray[Any]",
    weights: "NDArray[np.float32] | None",
    groups: "NDArray[np.integer] | None" = None,
) -> dict[str, float]:
    """Computes loss and every metric of a task from answers; derived metrics too.

    Args:
        task: what was asked.
        targets: integers of classes, or numbers in units of their own, (n,).
        answers: as `answer` returns them.
        weights: of the examples; None if all are 1.
        groups: numbers of the examples'; None if they err independently.
    """
    if task.is_regression:
        seen = transform(task.target, targets), transform(task.target, answers[:, 0])
    else:
        seen = targets, np.hstack([1 - answers, answers]) if answers.shape[1] == 1 else answers
    scored = all_scores(task, targets, answers, weights, groups)
    loss = float(np.average(losses(task, *seen).astype(np.float64), weights=weights))
    return task.quantities_of({LOSS: loss, **scored})
