"""Dense networks taken apart: the arrays of which NumPy alone can make their answers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

_LOOKS = ("pixels", "answer")  # what `pixels.accept_any_scale` puts around a network


@dataclass
class DenseNetwork:
    """Dense layers, one after the other.

    Attributes:
        share: of its answer in that of the model, which is a mean.
        kernels: of each layer, (n, units).
        biases: of each layer, (units,).
        functions: names of the activation behind each layer.
    """

    share: float
    kernels: "list[NDArray[np.float32]]" = field(default_factory=list)
    biases: "list[NDArray[np.float32]]" = field(default_factory=list)
    functions: list[str] = field(default_factory=list)


def dense_networks(model: "keras.Model", share: float = 1.0) -> Iterator[DenseNetwork]:
    """Finds the networks whose mean a model gives, or the one that it is.

    A normalisation of batches is made part of the layer before it.

    Args:
        model: takes raw pixels, or numbers in an array.
        share: of its answer in that of a larger model.

    Raises:
        PipelineError: a layer is not of a dense network; the text says which.
    """
    import keras

    layers = {layer.name: layer for layer in model.layers}
    if any(isinstance(layer, keras.layers.Average) for layer in model.layers):
        (given,) = model.get_config()["layers"][-1]["inbound_nodes"][0]["args"]
        names = [each["config"]["keras_history"][0] for each in given]
        for name in dict.fromkeys(names):
            yield from dense_networks(layers[name], share * names.count(name) / len(names))
        return
    inner = layers.get("network", model)  # of numbers: what is behind their standardisation
    network = DenseNetwork(share)
    for operation in inner.operations:  # layers, and what is none
        _add(network, operation)
    yield network


def _add(network: DenseNetwork, layer: Any) -> None:
    from keras import layers

    match layer:
        case layers.Dense():
            bias = np.zeros(layer.units, np.float32)
            network.kernels.append(np.asarray(layer.kernel))
            network.biases.append(np.asarray(layer.bias) if layer.use_bias else bias)
            network.functions.append(layer.activation.__name__)
        case layers.BatchNormalization():
            known = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
            gamma, beta, mean, variance = (np.asarray(each, np.float64) for each in known)
            factor = gamma / np.sqrt(variance + layer.epsilon)
            kernel, bias = network.kernels[-1] * factor, (network.biases[-1] - mean) * factor
            network.kernels[-1] = kernel.astype(np.float32)
            network.biases[-1] = (bias + beta).astype(np.float32)
        case layers.Activation():
            network.functions[-1] = layer.activation.__name__
        case layers.Rescaling() if math.isclose(layer.scale, 1 / 255) and not layer.offset:
            pass  # which the script does
        case layers.InputLayer() | layers.Reshape() | layers.Flatten() | layers.Dropout():
            pass
        case _ if layer.name.rstrip("_") not in _LOOKS:
            kind = type(layer).__name__
            raise PipelineError(f"the network is not dense layers alone: it has {kind}")
