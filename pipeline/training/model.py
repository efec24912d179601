"""Hyperparameters in, a Keras network and its optimizer out."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import keras

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.task import Kind, Task
from pipeline.training.encoding import encoding_layers, is_table

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
_OUTPUTS = {Kind.BINARY: "sigmoid", Kind.MULTICLASS: "softmax", Kind.REGRESSION: "linear"}
_CROSS_ENTROPIES = {
    Kind.BINARY: "binary_crossentropy",
    Kind.MULTICLASS: "sparse_categorical_crossentropy",
}
_LOSSES = {
    "squared": "mean_squared_error",
    "absolute": "mean_absolute_error",
    "huber": "huber",
}


def build_model(hyperparameters: Hyperparameters, task: Task) -> keras.Model:
    """Builds and compiles a network that takes what a data set trains on.

    Args:
        hyperparameters: its layers and its optimizer.
        task: what is learned, and from what: pictures, numbers in any shape, or a table.

    Returns:
        A compiled model: task.input_dtype (batch, *task.input_shape) in, such as raw pixels or an
        encoded matrix; float32 (batch, task.n_outputs) out: probabilities, of two classes that of
        the second, or a regression's number as `task.target` transforms it. Labels are integers.

    Raises:
        ValueError: the layers cannot take such an input.
    """
    layers, shape = keras.layers, task.input_shape
    network = [layers.Rescaling(1 / 255)] if task.input_dtype == "uint8" else []
    if hyperparameters.layer_kind == "convolutional" and hyperparameters.hidden_layers:
        if len(shape) not in (2, 3):
            raise ValueError(
                'layer_kind: found "convolutional" for examples that are no pictures, '
                'allowed is "dense"'
            )
        if len(shape) == 2:
            network.append(layers.Reshape((*shape, 1)))
        for units in hyperparameters.units:
            network.append(
                layers.Conv2D(units, 3, padding="same", activation=hyperparameters.activation)
            )
            network.append(layers.MaxPooling2D(2, padding="same"))
            network += _dropout(hyperparameters)
        network.append(layers.Flatten())
    else:
        network += [layers.Flatten()] if len(shape) > 1 else []
        for units in hyperparameters.units:
            network.append(layers.Dense(units, activation=hyperparameters.activation))
            network += _dropout(hyperparameters)
    network.append(layers.Dense(task.n_outputs, activation=_OUTPUTS[task.kind]))
    inputs = keras.Input(shape, dtype=task.input_dtype)
    if task.features and is_table(task):
        outputs = encoding_layers(hyperparameters, task.features, inputs)
        for layer in network:
            outputs = layer(outputs)
        model = keras.Model(inputs, outputs)
    else:
        model = keras.Sequential([inputs, *network])
    model.compile(
        optimizer=build_optimizer(hyperparameters),
        loss=_LOSSES.get(task.loss) or _CROSS_ENTROPIES[task.kind],
        metrics=[] if task.is_regression else ["accuracy"],
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
