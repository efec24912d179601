"""The first layers of a network for a table: encodings of numbers, one-hot codes, embeddings.

Made of Keras's own layers and operations, each for all columns at once. What they know of the
columns is constant and is saved with the network.
"""

import itertools
import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.network_input import chosen_knots, embedded, shown_codes
from pipeline.task.features import Category, Features, Number
from pipeline.task.task import Task


def is_table(task: Task) -> bool:
    """Tells whether an example is a row of numbers and codes, and no picture."""
    return task.features is not None and len(task.input_shape) == 1


def encoding_layers(
    hyperparameters: Hyperparameters, features: Features, rows: keras.KerasTensor
) -> keras.KerasTensor:
    """Puts the encoding of numbers and categories behind the input of a network.

    Args:
        hyperparameters: with the encodings.
        features: of the table.
        rows: encoded, float32 (batch, features.width).

    Returns:
        What the first layer sees, float32 (batch, n).
    """
    n = len(features.numbers)
    n_plain = n + features.n_indicators
    parts = []
    if hyperparameters.numeric_encoding == "standard" or not n:
        parts.append(rows[:, :n_plain] if features.categories else rows)
    else:
        numbers = _within(features.numbers, rows[:, :n])
        bins = _bins(features.numbers, hyperparameters.numeric_bins, numbers)
        if hyperparameters.numeric_encoding == "quantile":
            parts.append(_rank(bins))
        else:
            parts += [numbers, _flat(bins)]
        if features.n_indicators:
            parts.append(rows[:, n:n_plain])
    if features.categories:
        parts += _categories(hyperparameters, features.categories, rows[:, n_plain:])
    parts = [part for part in parts if part.shape[1]]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)


def _within(numbers: Sequence[Number], values: keras.KerasTensor) -> keras.KerasTensor:
    """Limits each number to what the training part has, so that none is greater than any known."""
    low, high = np.array([(each.knots[0], each.knots[-1]) for each in numbers], np.float32).T
    return ops.minimum(ops.maximum(values, low), high)


def _bins(
    numbers: Sequence[Number], n_bins: int, values: keras.KerasTensor
) -> tuple[keras.KerasTensor, NDArray[np.bool_]]:
    """Computes how far each bin of each number is filled, 0 to 1; bins that it has not, 0.

    Also beyond the first and the last knot, where the paper goes on linearly: so no value can be
    greater than any that was trained on.

    Returns:
        float32 (batch, numbers, most bins), and which bins each number has.
    """
    knots = [np.array(chosen_knots(number, n_bins), np.float32) for number in numbers]
    most = max(map(len, knots)) - 1
    left = np.zeros((len(numbers), most), np.float32)
    per_width = np.zeros_like(left)
    for i, each in enumerate(knots):
        left[i, : len(each) - 1] = each[:-1]
        per_width[i, : len(each) - 1] = 1 / np.diff(each)
    filled = (ops.expand_dims(values, 2) - left) * per_width
    return ops.clip(filled, 0.0, 1.0), per_width > 0


def _rank(bins: tuple[keras.KerasTensor, NDArray[np.bool_]]) -> keras.KerasTensor:
    """Computes the rank of each number, spread evenly with a mean of 0 and a variance of 1."""
    filled, exists = bins
    per_bin = (2 * math.sqrt(3) / exists.sum(axis=1)).astype(np.float32)
    return ops.sum(filled, axis=2) * per_bin - math.sqrt(3)


def _flat(bins: tuple[keras.KerasTensor, NDArray[np.bool_]]) -> keras.KerasTensor:
    """Puts the bins that there are side by side, number by number.

    Each is centred as if its number fell into all of its bins alike, and they weigh together what
    one number does: in the paper's form, from 0 to 1, an optimizer's step moves all bins below a
    value at once, and training is the less steady the more there are.
    """
    filled, exists = bins
    n_bins = exists.sum(axis=1, keepdims=True)
    means = 1 - (np.arange(exists.shape[1]) + 0.5) / n_bins
    scaled = (filled - means.astype(np.float32)) * (2 / np.sqrt(n_bins)).astype(np.float32)
    flat = ops.reshape(scaled, (-1, exists.size))
    return flat if exists.all() else ops.take(flat, np.flatnonzero(exists), axis=1)


def _categories(
    hyperparameters: Hyperparameters, categories: Sequence[Category], codes: keras.KerasTensor
) -> list[keras.KerasTensor]:
    """Encodes codes, float32 (batch, categories): one-hot, and by embeddings in one table."""
    size = hyperparameters.embedding_size
    with_embedding = embedded(categories, size)
    shown = [
        (i, code)
        for i, category in enumerate(categories)
        if i not in with_embedding
        for code in shown_codes(category)
    ]
    parts = []
    if shown:
        columns, wanted = np.array(shown, np.int32).T
        is_it = ops.equal(ops.take(codes, columns, axis=1), wanted.astype(np.float32))
        parts.append(ops.cast(is_it, "float32"))
    if with_embedding:
        *starts, n_codes = itertools.accumulate(
            (categories[i].n_codes for i in with_embedding), initial=0
        )
        chosen = ops.take(codes, np.array(with_embedding, np.int32), axis=1)
        rows = ops.cast(chosen + np.array(starts, np.float32), "int32")
        vectors = keras.layers.Embedding(n_codes, size, name="embeddings")(rows)
        parts.append(ops.reshape(vectors, (-1, len(with_embedding) * size)))
    return parts
