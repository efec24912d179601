"""How good a model that is handed over is: on the validation set again, and on the test set."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.task.scoring import all_scores, losses, score_folds, transform
from pipeline.task.source import Examples
from pipeline.task.task import LOSS, Metric, Task

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

BATCH = 1000  # examples, for which a model is asked at a time
TOLERANCE = 1e-4  # between a recorded metric and one measured again: one example in 10,000


def answers_to(model: "keras.Model", examples: Sequence[Examples]) -> "NDArray[Any]":
    """Asks a model about the validation set, as `answer` does, and joins the answers of all folds.

    With folds each row is answered by that network of the model that has not seen it.

    Args:
        model: takes raw inputs.
        examples: by `datasets.validation_sets`.
    """
    networks = [model]
    if len(examples) > 1:
        networks = [model.get_layer(f"fold_{i}") for i in range(1, len(examples) + 1)]
    found = [answer(network, each) for network, each in zip(networks, examples, strict=True)]
    return np.concatenate(found)


def validate(
    task: Task, answers: "NDArray[Any]", examples: Sequence[Examples]
) -> dict[str, float]:
    """Computes loss and every metric on the validation set, as the search did.

    Args:
        task: what was asked.
        answers: by `answers_to`.
        examples: by `datasets.validation_sets`.
    """
    found = measure(task, answers, joined(examples))
    return found | score_folds(task, _parts(answers, examples, None))


def joined(examples: Sequence[Examples]) -> Examples:
    """Joins the right answers of the validation sets of all folds, as `answers_to` does answers.

    Returns:
        Examples without inputs.
    """
    weights = [each.weights for each in examples if each.weights is not None]
    groups = [each.groups for each in examples if each.groups is not None]
    return Examples(
        {},
        np.concatenate([each.targets for each in examples]),
        np.concatenate(weights) if weights else None,
        np.concatenate(groups) if groups else None,
    )


def _parts(
    answers: "NDArray[Any]", examples: Sequence[Examples], weights: "NDArray[Any] | None"
) -> list[tuple[Any, ...]]:
    """Takes answers apart by folds, as `score_folds` takes them.

    Without weights these are the examples' own, and their groups go along, for standard errors.
    """
    ends = np.cumsum([len(each.targets) for each in examples])[:-1]
    own = [each.weights for each in examples]
    return [
        (each.targets, *part, each.groups if weights is None else None)
        for each, *part in zip(
            examples,
            np.split(answers, ends),
            own if weights is None else np.split(weights, ends),
            strict=True,
        )
    ]


def is_as_recorded(task: Task, value: float, recorded: float) -> bool:
    """Tells whether the task's `score`, measured again, is what was recorded.

    Of a metric in units of its own both may be far from 1: what counts is the target's spread.
    """
    unit, target = 1.0, task.target
    if task.score.digits is None:
        unit = target.scale * (math.exp(target.mean) if target.transform == "log" else 1.0)
    return math.isclose(value, recorded, rel_tol=TOLERANCE, abs_tol=TOLERANCE * unit)


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


def measure(task: Task, answers: "NDArray[Any]", examples: Examples) -> dict[str, float]:
    """Computes loss and every metric of a task from answers; derived metrics too.

    Args:
        task: what was asked.
        answers: as `answer` returns them.
        examples: with integers of classes, or numbers in units of their own, as targets.
    """
    _, targets, weights, groups = examples
    scored = all_scores(task, targets, answers, weights, groups)
    return task.quantities_of({LOSS: _loss(task, answers, targets, weights), **scored})


def value_of(
    metric: Metric,
    task: Task,
    answers: "NDArray[Any]",
    examples: Sequence[Examples],
    weights: "NDArray[Any] | None" = None,
) -> float:
    """Computes one metric alone, and so faster.

    Args:
        metric: which.
        task: what was asked.
        answers: by `answers_to`; or by `answer` to one set of examples.
        examples: of each fold; or the one set.
        weights: of all examples, (n,); None for their own.
    """
    if metric.is_scored:
        known = replace(task, scored=(metric,))
        return score_folds(known, _parts(answers, examples, weights))[metric.quantity]
    _, targets, own, _ = joined(examples)
    weights = own if weights is None else weights
    found = {LOSS: _loss(task, answers, targets, weights)} if metric.quantity != "accuracy" else {}
    if not task.is_regression:
        chosen = answers.argmax(axis=1) if answers.shape[1] > 1 else answers[:, 0] > 0.5
        found["accuracy"] = float(np.average(chosen == targets, weights=weights))
    return task.quantities_of(found)[metric.quantity]


def _loss(
    task: Task,
    answers: "NDArray[Any]",
    targets: "NDArray[Any]",
    weights: "NDArray[np.floating] | None",
) -> float:
    if task.is_regression:
        seen = transform(task.target, targets), transform(task.target, answers[:, 0])
    else:
        seen = targets, np.hstack([1 - answers, answers]) if answers.shape[1] == 1 else answers
    return float(np.average(losses(task, *seen).astype(np.float64), weights=weights))
