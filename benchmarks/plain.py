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
    units: Sequence[int],
    activation: str = "relu",
    dropout: float = 0.0,
    optimizer: Any = "adam",
    filters: Sequence[int] = (),
) -> keras.Model:
    """A compiled network for 28 by 28 images of ten classes: convolutional layers, then dense."""
    layers = [keras.Input((28, 28))]
    if filters:
        layers.append(keras.layers.Reshape((28, 28, 1)))
    for n in filters:
        layers.append(keras.layers.Conv2D(n, 3, padding="same", activation=activation))
        layers.append(keras.layers.MaxPooling2D(2, padding="same"))
    layers.append(keras.layers.Flatten())
    for n in units:
        layers.append(keras.layers.Dense(n, activation=activation))
        if dropout:
            layers.append(keras.layers.Dropout(dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(N_CLASSES, activation="softmax")])
    model.compile(
        optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model
