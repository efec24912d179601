"""Hyperparameters in, a Keras network and its optimizer out."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import keras

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.task import Kind, Task
from pipeline.training.encoding import encoding_layers
from pipeline.training.layers import hidden_layers

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
    network += hidden_layers(hyperparameters, shape)
    network.append(layers.Dense(task.n_outputs, activation=_OUTPUTS[task.kind]))
    inputs = keras.Input(shape, dtype=task.input_dtype)
    if task.features and task.is_table:
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
    if hyperparameters.weight_decay:
        arguments["weight_decay"] = hyperparameters.weight_decay
    if hyperparameters.optimizer == "sgd":
        arguments |= {"momentum": hyperparameters.momentum, "nesterov": hyperparameters.nesterov}
    return _OPTIMIZERS[hyperparameters.optimizer](**arguments)
