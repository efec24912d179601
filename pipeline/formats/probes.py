"""What every format is asked: the test set's inputs, and odd ones that the test set may lack."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pipeline.task.task import Task

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

Inputs: TypeAlias = "NDArray[Any] | Mapping[str, NDArray[Any]]"  # as a model takes them
_MOST_PROBES = 100
_UNSEEN = "\0never seen"  # which no column has


def as_taken(model: "keras.Model", inputs: Inputs) -> Inputs:
    """Gives inputs the type that a model takes, and columns of a table their shape, (n, 1).

    Args:
        model: as it is handed over.
        inputs: pictures or numbers, (n, ...), or columns of a table, (n,) each.
    """
    if isinstance(inputs, Mapping):
        named = model.input if isinstance(model.input, dict) else [x.name for x in model.inputs]
        return {name: inputs[name][:, None] for name in named}
    return np.asarray(inputs, model.inputs[0].dtype)


def with_probes(inputs: Inputs, task: Task) -> tuple[Inputs, int]:
    """Puts odd examples behind those of a test set.

    Images are divided by 255 there, or have a pixel that is none; numbers and texts are missing,
    one by one and all, or were never seen.

    Args:
        inputs: by `as_taken`.
        task: what the model has learned.

    Returns:
        All of them, and how many are odd.
    """
    if isinstance(inputs, Mapping):
        return _with_missing_columns(inputs)
    few = inputs[:_MOST_PROBES]
    if task.features:
        odd = np.concatenate([few, few[:2]])
        rows = odd.reshape(len(odd), -1)
        for i, row in enumerate(rows):
            row[i % len(row)] = np.nan
        rows[-2:] = [[np.nan], [np.inf]]
    else:
        odd = np.concatenate([few / 255, few[:2]]).astype(inputs.dtype)
        odd.reshape(len(odd), -1)[-2:, 0] = np.nan, 256
    return np.concatenate([inputs, odd]), len(odd)


def _with_missing_columns(inputs: "Mapping[str, NDArray[Any]]") -> tuple[Inputs, int]:
    n = len(inputs) + 2
    found = {}
    for i, (name, values) in enumerate(inputs.items()):
        is_text = values.dtype == object
        odd = np.repeat(values[:1], n, axis=0)
        odd[[i, n - 2]] = "" if is_text else np.nan
        if is_text:
            odd[n - 1] = _UNSEEN
        found[name] = np.concatenate([values, odd])
    return found, n
