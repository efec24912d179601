"""Hyperparameters in, a Keras network and its optimizer out."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import keras

from pipeline.study.hyperparameters import Hyperparameters

_OPTIMIZERS: Mapping[str, Callable[..., keras.Optimizer]] = MappingProxyType(
    {
        "sgd": keras.optimizers.SGD,
        "adagrad": keras.optimizers.Adagrad,
        "rmsprop": keras.optimizers.RMSprop,
        "adam": keras.optimizers.Adam,
        "nadam": keras.optimizers.Nadam,
        "adamw": keras.optimizers.AdamW,
    }
)


def build_model(
    hyperparameters: Hyperparameters, input_shape: tuple[int, ...], n_classes: int
) -> keras.Sequential:
    """Builds and compiles a network that takes raw pixels.

    Args:
        hyperparameters: its layers and its optimizer.
        input_shape: shape of one image, such as (28, 28).
        n_classes: two classes give one sigmoid output, more a softmax over all.

    Returns:
        A compiled model: uint8 (batch, *input_shape), 0 to 255, in; float32 probabilities
        (batch, n_classes), or (batch, 1) for two classes, out. Labels are integers.
    """
    layers = keras.layers
    network = [keras.Input(input_shape, dtype="uint8"), layers.Rescaling(1 / 255)]
    if hyperparameters.layer_kind == "convolutional":
        if len(input_shape) == 2:
            network.append(layers.Reshape((*input_shape, 1)))
        for units in hyperparameters.units:
            network.append(
                layers.Conv2D(units, 3, padding="same", activation=hyperparameters.activation)
            )
            network.append(layers.MaxPooling2D(2, padding="same"))
            network += _dropout(hyperparameters)
        network.append(layers.Flatten())
    else:
        network.append(layers.Flatten())
        for units in hyperparameters.units:
            network.append(layers.Dense(units, activation=hyperparameters.activation))
            network += _dropout(hyperparameters)
    if n_classes == 2:
        network.append(layers.Dense(1, activation="sigmoid"))
    else:
        network.append(layers.Dense(n_classes, activation="softmax"))
    model = keras.Sequential(network)
    model.compile(
        optimizer=build_optimizer(hyperparameters),
        loss="binary_crossentropy" if n_classes == 2 else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def build_optimizer(hyperparameters: Hyperparameters) -> keras.Optimizer:
    """Builds the optimizer, with Keras's defaults for all that is no hyperparameter."""
    arguments: dict[str, object] = {"learning_rate": hyperparameters.learning_rate}
    if hyperparameters.optimizer == "sgd":
        arguments |= {"momentum": hyperparameters.momentum, "nesterov": hyperparameters.nesterov}
    return _OPTIMIZERS[hyperparameters.optimizer](**arguments)


def _dropout(hyperparameters: Hyperparameters) -> list[keras.Layer]:
    return [keras.layers.Dropout(hyperparameters.dropout)] if hyperparameters.dropout else []
