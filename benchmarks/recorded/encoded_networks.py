"""Hyperparameters as numbers, for models of how a network learns and of how large it is."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.rules import RULES
from pipeline.study.space import MOST_LAYERS

CATEGORIES = ("optimizer", "activation", "numeric_encoding", "pooling")
LAYERED = ("activation", "pooling")  # that mean nothing without a hidden layer
# Rates at which these optimizers do about the same; those of all others are near that of Adam.
TYPICAL_RATE = {"sgd": 0.2, "adagrad": 0.02}
RATE_OF_OTHERS = 0.003


class Encoder:
    """Encodes networks as rows of standardised numbers.

    Rates and sizes are logarithms, categories one-hot codes. Units of so many layers as there are
    become those of the first, the last, the narrowest and of all together. A number without a
    meaning, such as the dropout of no layer, is the mean of the others. What does not differ
    among the recorded networks is left out.

    Args:
        networks: those that are recorded.
    """

    def __init__(self, networks: Sequence[Hyperparameters]) -> None:
        table = np.array([_numbers(given) for given in networks])
        known = ~np.isnan(table)
        n_known = np.maximum(known.sum(axis=0), 1)
        self._means = np.where(known, table, 0.0).sum(axis=0) / n_known
        filled = np.where(known, table, self._means)
        scales = filled.std(axis=0)
        self._used = scales > 1e-9
        self._scales = scales[self._used]

    def __call__(self, given: Hyperparameters) -> np.ndarray:
        """Encodes a network: shape (numbers,)."""
        row = np.array(_numbers(given))
        row = np.where(np.isnan(row), self._means, row) - self._means
        return np.asarray(row[self._used] / self._scales)


def _numbers(given: Hyperparameters) -> list[float]:
    units = given.units
    bits = [math.log2(n) for n in units]
    is_deep = bool(units)
    rate = given.learning_rate / (1 - given.momentum)  # what a step comes to in the long run
    rate /= TYPICAL_RATE.get(given.optimizer, RATE_OF_OTHERS)
    numbers = [
        float(given.hidden_layers),
        float(is_deep),
        bits[0] if is_deep else math.nan,
        bits[-1] if is_deep else math.nan,
        min(bits) if is_deep else math.nan,
        math.log2(sum(units)) if is_deep else math.nan,
        math.log(rate),
        math.log(rate / given.batch_size),
        math.log(given.batch_size),
        math.log(1 - given.momentum),
        float(given.nesterov),
        given.dropout if is_deep else math.nan,
        float(given.batch_normalization),
        float(given.kernel_size),
        math.log2(1 + given.dense_units / 16),
    ]
    for name in CATEGORIES:
        value = None if name in LAYERED and not is_deep else getattr(given, name)
        numbers += [float(value == choice) for choice in RULES[name].choices]
    return numbers


class ParameterCount:
    """Counts the weights of a network, by what was counted of recorded ones.

    They are a sum of products of the widths of layers, whose coefficients, such as the number of
    inputs, follow from a few networks.

    Args:
        networks: those that are recorded.
        counts: trainable weights of each.
    """

    def __init__(self, networks: Sequence[Hyperparameters], counts: Sequence[int]) -> None:
        terms = np.array([_terms(given) for given in networks])
        self._scales = np.maximum(abs(terms).max(axis=0), 1.0)
        self._coefficients = np.linalg.lstsq(
            terms / self._scales, np.array(counts, float), rcond=1e-12
        )[0]

    def __call__(self, given: Hyperparameters) -> int:
        """Counts the trainable weights of a network."""
        count = np.array(_terms(given)) / self._scales @ self._coefficients
        return max(round(float(count)), 1)


def _terms(given: Hyperparameters) -> list[float]:
    first, last = (given.units[0], given.units[-1]) if given.units else (1, 1)
    area = given.kernel_size**2 if given.layer_kind == "convolutional" else 1
    between = sum(a * b for a, b in pairwise(given.units))
    normalised = given.batch_normalization * float(sum(given.units))
    terms = [1.0, float(sum(given.units)), float(area * between), normalised]
    # a map behind so many layers has so many pixels; without a layer, the inputs are classified
    for n_layers in range(MOST_LAYERS + 1):
        is_so_deep = float(given.hidden_layers == n_layers)
        has_dense = float(given.dense_units > 0)
        terms += [
            is_so_deep * last * (1 - has_dense),
            is_so_deep * last * given.dense_units,
        ]
    terms += [float(given.dense_units), float(given.dense_units > 0)]
    for encoding in RULES["numeric_encoding"].choices:
        terms.append(float(given.numeric_encoding == encoding) * first * area)
        terms.append(float(given.numeric_encoding == encoding and not given.units))
    terms.append(given.batch_normalization * float(given.dense_units))
    return terms
