"""Keras as the chapter uses it: images scaled to float32 beforehand, layers one after another."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

N_CLASSES = 10


def scaled(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Images as float32 between 0 and 1, of the same shape."""
    return images.astype(np.float32) / np.float32(255)


def network(
    units: Sequence[int], activation: str = "relu", dropout: float = 0.0, optimizer: Any = "adam"
) -> keras.Model:
    """A compiled network of dense layers for 28 by 28 images of ten classes."""
    layers = [keras.Input((28, 28)), keras.layers.Flatten()]
    for n in units:
        layers.append(keras.layers.Dense(n, activation=activation))
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(N_CLASSES, activation="softmax")])
    model.compile(
        optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model
