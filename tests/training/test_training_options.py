"""Each hyperparameter of the training does what plain Keras does, to float32 rounding."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from few_images import few_images
from numpy.typing import NDArray

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.task.task import Kind, Target, Task
from pipeline.training import fitting
from pipeline.training.augmentation import augmentation, mix, seed_of_step
from pipeline.training.model import build_model

SEED, N_TRAIN, N_VALIDATION = 7, 500, 200
GIVEN = Hyperparameters(1, (16,), "adam", 0.003, 64, 4)
CONVOLUTIONAL = replace(GIVEN, layer_kind="convolutional", hidden_layers=2, units=(4, 6))
NUMBERS = Task(
    kind=Kind.REGRESSION,
    input_shape=(28, 28),
    input_dtype="uint8",
    target=Target(),
    loss="squared",
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return few_images(N_TRAIN, N_VALIDATION)


def weighted(dataset: Dataset) -> Dataset:
    weights = np.random.default_rng(1).uniform(0.2, 3, N_TRAIN).astype(np.float32)
    return replace(dataset, train_weights=weights)


def of_two_classes(dataset: Dataset) -> Dataset:
    return replace(
        dataset,
        train_targets=(dataset.train_targets > 4).astype(np.uint8),
        validation_targets=(dataset.validation_targets > 4).astype(np.uint8),
        task=replace(dataset.task, kind=Kind.BINARY, class_names=("low", "high")),
    )


def of_numbers(dataset: Dataset) -> Dataset:
    return replace(
        dataset,
        train_targets=dataset.train_targets.astype(np.float32) / 4.5 - 1,
        validation_targets=dataset.validation_targets.astype(np.float32) / 4.5 - 1,
        task=NUMBERS,
    )


def ours(given: Hyperparameters, dataset: Dataset) -> tuple[keras.Model, list[dict[str, float]]]:
    keras.utils.set_random_seed(SEED)
    model = build_model(given, dataset.task)
    return model, list(fitting.fit(model, dataset, given, seed=SEED))


def orders(dataset: Dataset, given: Hyperparameters) -> Iterator[list[NDArray[Any]]]:
    """The batches of each epoch: indices of examples."""
    rng = np.random.default_rng(SEED)
    for _ in range(given.epochs):
        yield np.split(
            rng.permutation(N_TRAIN), np.arange(given.batch_size, N_TRAIN, given.batch_size)
        )


def step_losses(
    outputs: tf.Tensor,
    wanted: NDArray[Any],
    given: Hyperparameters,
    task: Task,
) -> tf.Tensor:
    """What a textbook says of labels: a share is spread over all classes."""
    if task.is_regression:
        return keras.losses.mean_squared_error(wanted[:, None], outputs)
    if task.n_outputs == 1:
        labels = wanted * (1 - given.label_smoothing) + given.label_smoothing / 2
        return keras.losses.binary_crossentropy(labels[:, None].astype(np.float32), outputs)
    labels = np.eye(10, dtype=np.float32)[wanted] * (1 - given.label_smoothing)
    return keras.losses.categorical_crossentropy(labels + given.label_smoothing / 10, outputs)


def plain(given: Hyperparameters, dataset: Dataset) -> tuple[keras.Model, list[dict[str, float]]]:
    """The same training, step by step, with Keras's own optimizer, schedule and averages."""
    keras.utils.set_random_seed(SEED)
    model, task = build_model(given, dataset.task), dataset.task
    n_steps, optimizer = -(-N_TRAIN // given.batch_size), model.optimizer
    config = optimizer.get_config()
    config["learning_rate"] = rate_of(given, n_steps)
    if given.ema_momentum:
        config |= {"use_ema": True, "ema_momentum": given.ema_momentum}
    optimizer = type(optimizer).from_config(config)
    model.compile(optimizer, loss=model.loss)
    optimizer.build(model.trainable_variables)
    augment, step, epochs = augmentation(given), 0, []
    for batches in orders(dataset, given):
        for batch in batches:
            images, wanted = dataset.train_inputs[batch], dataset.train_targets[batch]
            seed = seed_of_step(SEED, tf.constant(step))
            if augment:
                images = augment(tf.constant(images), seed)
            weights = np.ones(len(batch), np.float32)
            if dataset.train_weights is not None:
                weights = dataset.train_weights[batch]
            with tf.GradientTape() as tape:
                if given.mixup:
                    images, share = mix(tf.constant(images), given.mixup, seed)
                    other = np.roll(wanted, 1)
                    outputs = model(images, training=True)
                    losses = share * weights * step_losses(outputs, wanted, given, task)
                    losses += (
                        (1 - share)
                        * np.roll(weights, 1)
                        * step_losses(outputs, other, given, task)
                    )
                else:
                    outputs = model(images, training=True)
                    losses = weights * step_losses(outputs, wanted, given, task)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, [each.value for each in model.trainable_variables])
            optimizer.apply(gradients, model.trainable_variables)
            step += 1
        kept = [each.numpy() for each in model.trainable_variables]
        if given.ema_momentum:
            for variable, average in zip(
                model.trainable_variables, optimizer._model_variables_moving_average, strict=True
            ):
                variable.assign(average)
        found = model.evaluate(
            dataset.validation_inputs,
            dataset.validation_targets,
            verbose=0,
            batch_size=N_VALIDATION,
        )
        averaged = model.get_weights()
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)
        epochs.append({"val_loss": np.ravel(found)[0]})
    model.set_weights(averaged)
    return model, epochs


def rate_of(given: Hyperparameters, n_steps: int) -> Any:
    if given.learning_rate_schedule != "cosine":
        return given.learning_rate
    n_warm = given.warmup_epochs * n_steps

    class Textbook(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            step = tf.cast(step, tf.float32)
            part = (step - n_warm) / (given.epochs * n_steps - n_warm)
            falling = given.learning_rate * 0.5 * (1 + tf.cos(np.pi * part))
            rising = given.learning_rate * step / max(n_warm, 1)
            return tf.where(step < n_warm, rising, falling)

    return Textbook()


def assert_same(given: Hyperparameters, dataset: Dataset) -> None:
    expected_model, expected = plain(given, dataset)
    model, found = ours(given, dataset)
    np.testing.assert_allclose(
        [each["val_loss"] for each in found], [each["val_loss"] for each in expected], rtol=5e-4
    )
    for one, other in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        off = np.abs(one - other)  # where a gradient is almost 0, Adam's step is one of rounding
        assert off.max() < 2 * given.learning_rate
        assert off.mean() < 1e-4


OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "batch normalisation": {"batch_normalization": True},
    "weight decay": {"weight_decay": 0.3},
    "weight decay of AdamW": {"optimizer": "adamw", "weight_decay": 0.3},
    "weight decay of SGD": {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.3},
    "cosine": {"learning_rate_schedule": "cosine"},
    "cosine after a warm-up": {"learning_rate_schedule": "cosine", "warmup_epochs": 2},
    "label smoothing": {"label_smoothing": 0.2},
    "average of the weights": {"ema_momentum": 0.9},
    "average and batch normalisation": {"ema_momentum": 0.8, "batch_normalization": True},
    "mixup": {"mixup": 0.4},
    "mixup with smoothing": {"mixup": 1.0, "label_smoothing": 0.1},
    "augmentation": {"random_shift": 2, "random_flip": True, "cutout": 8},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_that_of_keras(option: str, dataset: Dataset) -> None:
    assert_same(replace(GIVEN, **OPTIONS[option]), dataset)


@pytest.mark.parametrize(
    "option", ["weight decay", "label smoothing", "mixup", "mixup with smoothing"]
)
def test_an_option_is_that_of_keras_with_weights_of_examples(
    option: str, dataset: Dataset
) -> None:
    assert_same(replace(GIVEN, **OPTIONS[option]), weighted(dataset))


@pytest.mark.parametrize("option", ["label smoothing", "mixup with smoothing"])
def test_an_option_is_that_of_keras_with_two_classes(option: str, dataset: Dataset) -> None:
    assert_same(replace(GIVEN, **OPTIONS[option]), of_two_classes(dataset))


def test_mixup_is_that_of_keras_in_a_regression(dataset: Dataset) -> None:
    assert_same(replace(GIVEN, mixup=0.4), of_numbers(dataset))


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel_size": 5, "pooling": "average"},
        {"pool_every": 2, "dense_units": 8, "batch_normalization": True},
        {"pooling": "none", "global_pooling": True, "dropout": 0.2},
        {"random_shift": 2, "random_flip": True, "cutout": 6, "weight_decay": 0.1},
    ],
)
def test_convolutional_networks_are_trained_as_by_keras(
    changes: dict[str, Any], dataset: Dataset
) -> None:
    assert_same(replace(CONVOLUTIONAL, epochs=2, **changes), dataset)


def test_everything_together_is_that_of_keras(dataset: Dataset) -> None:
    everything = {name: value for option in OPTIONS.values() for name, value in option.items()}
    assert_same(replace(CONVOLUTIONAL, pool_every=2, dense_units=8, **everything), dataset)


def test_training_loss_is_smoothed_and_validation_loss_is_not(dataset: Dataset) -> None:
    still = replace(GIVEN, learning_rate=1e-12, epochs=1, label_smoothing=0.5)
    same = replace(
        dataset, validation_inputs=dataset.train_inputs, validation_targets=dataset.train_targets
    )
    model, (metrics,) = ours(still, same)
    loss, _ = model.evaluate(same.train_inputs, same.train_targets, verbose=0)
    assert metrics["val_loss"] == pytest.approx(loss, rel=1e-5)
    labels = np.eye(10)[same.train_targets] * 0.5 + 0.05
    smoothed = -(labels * np.log(model.predict(same.train_inputs, verbose=0))).sum(axis=1).mean()
    assert metrics["loss"] == pytest.approx(smoothed, rel=1e-4)
    assert metrics["loss"] != pytest.approx(loss, rel=3e-4)


def test_the_rate_of_each_epoch_is_that_at_its_beginning(dataset: Dataset) -> None:
    given = replace(GIVEN, learning_rate_schedule="cosine", warmup_epochs=1)
    _, metrics = ours(given, dataset)
    rates = [each["learning_rate"] for each in metrics]
    assert rates[0] == 0
    assert rates[1] == pytest.approx(given.learning_rate)
    assert rates[2] == pytest.approx(given.learning_rate * 0.75)
    assert rates[3] == pytest.approx(given.learning_rate * 0.25)


def test_warming_up_for_all_epochs_leaves_one_to_cool_down(dataset: Dataset) -> None:
    given = replace(GIVEN, learning_rate_schedule="cosine", warmup_epochs=9)
    _, metrics = ours(given, dataset)
    assert metrics[-1]["learning_rate"] == pytest.approx(given.learning_rate)
    assert all(np.isfinite(each["loss"]) for each in metrics)
