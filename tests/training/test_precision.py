"""Mixed precision: as Keras's own policies do it, with weights and answers of float32."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from few_images import few_images
from numpy.typing import NDArray

from pipeline.data import pixels
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.training import fitting, loop, precision
from pipeline.training.model import build_model
from pipeline.training.precision import LossScale, hidden_layers_in

SEED, N_TRAIN, N_VALIDATION = 7, 1_000, 500
GIVEN = Hyperparameters(1, (16,), "adam", 0.003, 50, 4)
MIXED = ("mixed_bfloat16", "mixed_float16")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return few_images(N_TRAIN, N_VALIDATION)


def trained(
    given: Hyperparameters, dataset: Dataset
) -> tuple[keras.Model, list[dict[str, float]], list[NDArray[Any]]]:
    """The model, its epochs, and by how much each of its weights has changed."""
    keras.utils.set_random_seed(SEED)
    model = build_model(given, dataset.task)
    before = model.get_weights()
    epochs = list(fitting.fit(model, dataset, given, seed=SEED))
    changes = [now - then for now, then in zip(model.get_weights(), before, strict=True)]
    return model, epochs, changes


def by_keras(given: Hyperparameters, dataset: Dataset) -> list[NDArray[Any]]:
    """The weights after the same training with Keras's own policies and scaling of the loss."""
    keras.utils.set_random_seed(SEED)
    model = build_model(given, dataset.task)
    for layer in model.layers[:-1]:
        layer.dtype_policy = given.precision
    optimizer = model.optimizer
    if given.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, model.loss)
    order = np.random.default_rng(SEED)
    for _ in range(given.epochs):
        for batch in order.permutation(N_TRAIN).reshape(-1, given.batch_size):
            images, labels = dataset.train_inputs[batch], dataset.train_targets[batch]
            model.train_on_batch(images, labels.astype(np.int32))
    weights: list[NDArray[Any]] = model.get_weights()
    return weights


@pytest.mark.parametrize("name", MIXED)
def test_trains_as_keras_does(name: str, dataset: Dataset) -> None:
    given = replace(GIVEN, precision=name, optimizer="sgd", learning_rate=0.1, epochs=1)
    model, _, changes = trained(given, dataset)
    _, _, plain_changes = trained(replace(given, precision="float32"), dataset)
    for ours, theirs in zip(model.get_weights(), by_keras(given, dataset), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert any(np.abs(a - b).max() > 1e-5 for a, b in zip(changes, plain_changes, strict=True))


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_learns_and_is_measured_and_handed_over_in_float32(
    kind: str, name: str, dataset: Dataset
) -> None:
    layers: dict[str, Any] = {"layer_kind": kind, "hidden_layers": 2, "units": (12, 12)}
    given = replace(GIVEN, **layers, precision=name, batch_normalization=True, learning_rate=0.01)
    model, epochs, _ = trained(given, dataset)
    assert epochs[-1]["accuracy"] > 0.75
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    handed_over = pixels.accept_any_scale(loop.from_bytes(loop.to_bytes(model)))
    answers = handed_over.predict(dataset.validation_inputs, verbose=0)
    assert answers.dtype == np.float32
    accuracy = np.mean(answers.argmax(axis=1) == dataset.validation_targets)
    assert accuracy == pytest.approx(epochs[-1]["val_accuracy"], abs=1e-6)


@pytest.mark.parametrize("name", ["float32", *MIXED])
def test_all_layers_but_the_last_compute_in_it(name: str, dataset: Dataset) -> None:
    model = build_model(replace(GIVEN, dropout=0.5), dataset.task)
    with hidden_layers_in(name, model):
        *hidden, last = [layer.compute_dtype for layer in model.layers]
        outputs = model(dataset.train_inputs[:2], training=True)
    assert set(hidden) == {name.removeprefix("mixed_")}
    assert (last, outputs.dtype) == ("float32", tf.float32)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (MIXED[0], {"activation": "gelu", "optimizer": "nadam"}),
        (MIXED[1], {"activation": "selu", "optimizer": "rmsprop", "ema_momentum": 0.9}),
        (MIXED[0], {"learning_rate_schedule": "cosine", "optimizer": "adamw"}),
        (MIXED[1], {"random_shift": 1, "cutout": 3, "mixup": 0.2, "dropout": 0.2}),
    ],
    ids=str,
)
def test_goes_with_every_option(name: str, changes: dict[str, Any], dataset: Dataset) -> None:
    given = replace(GIVEN, precision=name, learning_rate=0.01, epochs=2, **changes)
    _, (first, second), _ = trained(given, dataset)
    assert second["val_loss"] < first["val_loss"]


def test_gradients_that_float16_does_not_have_are_not_lost(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is below 6e-8 until it is scaled, since no example weighs anything to speak of."""
    light = replace(dataset, train_weights=np.full(N_TRAIN, 1e-7, np.float32))
    given = replace(
        GIVEN, optimizer="sgd", learning_rate=100.0, epochs=1, precision="mixed_float16"
    )
    kernels = [trained(each, light)[2][0] for each in (given, replace(given, precision="float32"))]
    norm = np.linalg.norm(kernels[1])
    assert norm > 0
    assert np.linalg.norm(kernels[0] - kernels[1]) < 0.02 * norm
    monkeypatch.setattr(precision, "FIRST_SCALE", 1.0)
    assert np.linalg.norm(trained(given, light)[2][0] - kernels[1]) > 0.5 * norm


def test_a_step_that_is_too_large_for_float16_is_left_out_and_the_scale_halved() -> None:
    scale, taken = LossScale(), tf.Variable(0.0)
    update = scale.unscaling(lambda gradients: taken.assign_add(gradients[0]))
    run = tf.function(lambda gradient: update([gradient, tf.constant([1.0])]))
    for gradient in (np.inf, np.nan, 4.0 * 2**13):
        run(tf.constant(gradient))
    assert scale.factor.numpy() == 2**13
    assert taken.numpy() == 4


def test_the_scale_is_doubled_after_many_steps_without_an_overflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "N_STEADY_STEPS", 3)
    scale = LossScale()
    update = tf.function(scale.unscaling(lambda _: None))
    found = []
    for gradient in (1, 1, np.inf, 1, 1, 1, 1, 1, 1):
        update([tf.constant(float(gradient))])
        found.append(scale.factor.numpy() / 2**15)
    assert found == [1, 1, 0.5, 0.5, 0.5, 1, 1, 1, 2]
