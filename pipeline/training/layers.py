"""The layers of a network between its input and its output, as hyperparameters describe them."""

from collections.abc import Sequence
from typing import Any

import keras

from pipeline.study.hyperparameters import Hyperparameters

_POOLINGS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}


def hidden_layers(given: Hyperparameters, shape: Sequence[int]) -> list[keras.Layer]:
    """Makes the layers between input and output.

    Args:
        given: says which.
        shape: of one example, such as height, width and channels.

    Raises:
        ValueError: the layers cannot take such an input.
    """
    if given.layer_kind == "convolutional" and given.hidden_layers:
        return _convolutional(given, shape)
    made = [keras.layers.Flatten()] if len(shape) > 1 else []
    for units in given.units:
        made += _dense(given, units)
    return made


def _convolutional(given: Hyperparameters, shape: Sequence[int]) -> list[keras.Layer]:
    """Makes layers of maps: some convolutional ones, then one that halves, and so on."""
    layers = keras.layers
    if len(shape) not in (2, 3):
        raise ValueError(
            'layer_kind: found "convolutional" for examples that are no pictures, '
            'allowed is "dense"'
        )
    made = [layers.Reshape((*shape, 1))] if len(shape) == 2 else []
    for i, filters in enumerate(given.units, start=1):
        conv, *rest = _activated(
            given, layers.Conv2D, filters, kernel_size=given.kernel_size, padding="same"
        )
        halving: list[keras.Layer] = []
        if given.pooling != "none" and i % given.pool_every == 0:
            halving = [_POOLINGS[given.pooling](2, padding="same")]
        # Behind a maximum there is a quarter left to normalise (Page 2019, "How to train your
        # ResNet 7"); a mean is taken of what is activated.
        is_maximum = given.pooling == "max"
        made += [conv, *halving, *rest] if is_maximum else [conv, *rest, *halving]
        made += _dropout(given)
    made.append(layers.GlobalAveragePooling2D() if given.global_pooling else layers.Flatten())
    return made + (_dense(given, given.dense_units) if given.dense_units else [])


def _dense(given: Hyperparameters, units: int) -> list[keras.Layer]:
    return [*_activated(given, keras.layers.Dense, units), *_dropout(given)]


def _activated(
    given: Hyperparameters, kind: type[keras.Layer], units: int, **arguments: Any
) -> list[keras.Layer]:
    """Makes a layer with its activation: in it, or behind a normalisation."""
    if not given.batch_normalization:
        return [kind(units, activation=given.activation, **arguments)]
    return [
        kind(units, use_bias=False, **arguments),
        keras.layers.BatchNormalization(),
        keras.layers.Activation(given.activation),
    ]


def _dropout(given: Hyperparameters) -> list[keras.Layer]:
    return [keras.layers.Dropout(given.dropout)] if given.dropout else []
