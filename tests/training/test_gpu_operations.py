"""The graph of an epoch on a GPU: what TensorFlow has for it, without one being there."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from few_images import few_images
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.python.framework import kernels

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.training import fitting
from pipeline.training.augmentation import augmentation, seed_of_step
from pipeline.training.model import build_model

GIVEN = Hyperparameters(1, (8,), "adam", 0.003, 64, 2)
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "adagrad": {"optimizer": "adagrad", "activation": "gelu"},
    "rmsprop": {"optimizer": "rmsprop", "activation": "selu", "precision": "mixed_bfloat16"},
    "nadam": {"optimizer": "nadam", "activation": "silu", "learning_rate_schedule": "cosine"},
    "augmentation": {
        "optimizer": "adamw", "random_shift": 2, "random_flip": True, "cutout": 4, "mixup": 0.2,
        "label_smoothing": 0.1, "ema_momentum": 0.9, "dropout": 0.2,
    },
    "convolutional": {
        "layer_kind": "convolutional", "hidden_layers": 2, "units": (4, 6), "dense_units": 4,
        "batch_normalization": True, "precision": "mixed_float16",
    },
}  # fmt: skip
# What becomes of these is decided by what they call, or they are no operations.
WITHOUT = {"Placeholder", "Const", "NoOp"}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return few_images(500, 100)


@pytest.fixture
def _with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])


def nodes(graph: tf.Graph) -> Iterator[NodeDef]:
    definition = graph.as_graph_def()
    called = {each.signature.name for each in definition.library.function}
    for node in (*definition.node, *(n for f in definition.library.function for n in f.node_def)):
        if node.op not in WITHOUT | called:
            yield node


def is_on_gpu(node: NodeDef) -> bool:
    """Tells whether a kernel for GPUs is there, of the types of the operation."""
    return any(
        all(
            node.attr[each.name].type in each.allowed_values.list.type
            for each in kernel.constraint
            if node.attr[each.name].type
        )
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
    )


@pytest.mark.skipif(not tf.test.is_built_with_cuda(), reason="of this system there are no GPUs")
@pytest.mark.usefixtures("_with_gpu")
@pytest.mark.parametrize("option", OPTIONS)
def test_every_operation_of_an_epoch_is_there_for_gpus(option: str, dataset: Dataset) -> None:
    """One alone that is not would move pictures back and forth in every step."""
    given = replace(GIVEN, **OPTIONS[option])
    model = build_model(given, dataset.task)
    run = fitting.Fitting(model, dataset, given, seed=1)._run_epoch
    traced = run.get_concrete_function(tf.zeros(500, tf.int32))  # type: ignore[attr-defined]
    found = [*nodes(traced.graph)]
    assert len(found) > 100
    assert {(node.op, str(node.attr)) for node in found if not is_on_gpu(node)} == set()


def test_bytes_are_the_same_there(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    given = replace(GIVEN, **OPTIONS["augmentation"])
    augment, pictures = augmentation(given), tf.constant(dataset.train_inputs[:50])
    assert augment
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        model = build_model(given, dataset.task)
        epochs = [{**e, "seconds": 0} for e in fitting.fit(model, dataset, given, seed=1)]
        results.append((epochs, augment(pictures, seed_of_step(1, tf.constant(0))).numpy()))
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    (here, shown), (there, shown_there) = results
    assert here == there
    np.testing.assert_array_equal(shown, shown_there)
