import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from few_images import few_images
from numpy.typing import NDArray

from pipeline.clock import WorkingClock
from pipeline.data import datasets
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import Cause
from pipeline.task.dataset import Dataset
from pipeline.task.source import DataSpec
from pipeline.task.task import Kind
from pipeline.training import epoch as one_epoch
from pipeline.training import fitting, loop
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job
from pipeline.training.model import build_model

# Keras's own: Variable.__array__ does not know NumPy 2's `copy`.
Metrics = dict[str, float]

N_TRAIN, N_VALIDATION = 640, 200
SEED = 7

HYPERPARAMETERS = Hyperparameters(
    hidden_layers=1, units=(16,), optimizer="adam", learning_rate=0.003, batch_size=32, epochs=3
)
# Overshoots: the validation loss falls until epoch 6, then rises twice.
RESTLESS = replace(
    HYPERPARAMETERS, optimizer="rmsprop", learning_rate=0.01, batch_size=64, epochs=10
)
DROPOUT = replace(HYPERPARAMETERS, units=(32,), dropout=0.5)
NAMES = ("loss", "accuracy", "val_loss", "val_accuracy")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return few_images(N_TRAIN, N_VALIDATION)


@pytest.fixture(scope="module")
def two_classes() -> Dataset:
    """T-shirts and dresses, 0 and 1."""
    whole = datasets.load("fashion_mnist")
    train = np.isin(whole.train_targets, (0, 3))
    validation = np.isin(whole.validation_targets, (0, 3))
    return replace(
        whole,
        train_inputs=whole.train_inputs[train][:N_TRAIN],
        train_targets=(whole.train_targets[train][:N_TRAIN] == 3).astype(np.uint8),
        validation_inputs=whole.validation_inputs[validation][:N_VALIDATION],
        validation_targets=(whole.validation_targets[validation][:N_VALIDATION] == 3).astype(
            np.uint8
        ),
        task=replace(whole.task, kind=Kind.BINARY, class_names=("T-shirt/top", "Dress")),
    )


@pytest.fixture
def job(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job on the small data set; training has to do without the test set."""

    def sealed(data: DataSpec) -> None:
        raise AssertionError(f"the test set of {data} was opened")

    members = {DataSpec(dataset.name): (dataset,)}
    monkeypatch.setattr(datasets, "load_members", members.__getitem__)
    monkeypatch.setattr(datasets, "open_test_set", sealed)
    return Job(
        trial=3,
        data=DataSpec(dataset.name),
        hyperparameters=HYPERPARAMETERS,
        seed=SEED,
        metric="val_accuracy",
        direction="maximize",
        patience=3,
    )


def new_model(hyperparameters: Hyperparameters, dataset: Dataset) -> keras.Model:
    keras.utils.set_random_seed(SEED)
    return build_model(hyperparameters, dataset.task)


def our_fit(
    hyperparameters: Hyperparameters,
    dataset: Dataset,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Sequential, list[Metrics]]:
    model = new_model(hyperparameters, dataset)
    epochs = fitting.fit(
        model,
        dataset,
        hyperparameters,
        seed=SEED,
        callbacks=callbacks,
    )
    return model, list(epochs)


def keras_fit(
    hyperparameters: Hyperparameters,
    dataset: Dataset,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Sequential, list[Metrics]]:
    """The same weights to start with and the same order of batches, by `model.fit`."""
    model = new_model(hyperparameters, dataset)
    batch_size = hyperparameters.batch_size
    history = model.fit(
        batches(dataset, batch_size),
        steps_per_epoch=-(-len(dataset.train_inputs) // batch_size),
        epochs=hyperparameters.epochs,
        validation_data=(dataset.validation_inputs, dataset.validation_targets),
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
    ).history
    epochs = zip(*history.values(), strict=True)
    return model, [dict(zip(history, epoch, strict=True)) for epoch in epochs]


def batches(dataset: Dataset, batch_size: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    rng = np.random.default_rng(SEED)
    while True:
        order = rng.permutation(len(dataset.train_inputs))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            yield dataset.train_inputs[batch], dataset.train_targets[batch]


def assert_same_course(found: list[Metrics], expected: list[Metrics]) -> None:
    for name in NAMES:
        np.testing.assert_allclose(
            [metrics[name] for metrics in found],
            [metrics[name] for metrics in expected],
            rtol=2e-4,
            err_msg=name,
        )


def assert_same_weights(found: keras.Model, expected: keras.Model) -> None:
    for ours, theirs in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def assert_same_as_keras(hyperparameters: Hyperparameters, dataset: Dataset) -> None:
    expected_model, expected = keras_fit(hyperparameters, dataset)
    model, found = our_fit(hyperparameters, dataset)
    assert len(found) == hyperparameters.epochs
    assert_same_course(found, expected)
    assert_same_weights(model, expected_model)


@pytest.mark.parametrize("batch_size", [32, 50, 1000])
def test_fit_is_that_of_keras(batch_size: int, dataset: Dataset) -> None:
    assert_same_as_keras(replace(HYPERPARAMETERS, batch_size=batch_size), dataset)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "nadam", "adamw"])
def test_fit_is_that_of_keras_with_every_other_optimizer(optimizer: str, dataset: Dataset) -> None:
    assert_same_as_keras(
        replace(HYPERPARAMETERS, optimizer=optimizer, epochs=2, batch_size=128), dataset
    )


def test_fit_is_that_of_keras_with_convolutional_layers(dataset: Dataset) -> None:
    assert_same_as_keras(
        replace(HYPERPARAMETERS, layer_kind="convolutional", units=(4,), batch_size=96), dataset
    )


def test_fit_is_that_of_keras_with_dropout_for_the_same_seed(dataset: Dataset) -> None:
    assert_same_as_keras(DROPOUT, dataset)


@pytest.mark.parametrize("batch_size", [32, 50])
def test_fit_is_that_of_keras_with_two_classes(batch_size: int, two_classes: Dataset) -> None:
    assert_same_as_keras(replace(HYPERPARAMETERS, batch_size=batch_size), two_classes)


@pytest.mark.parametrize("size", [64, 100])
def test_validation_is_the_same_in_parts_of_any_size(
    size: int, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_epoch, "EVALUATION_BATCH", size)
    model, epochs = our_fit(replace(HYPERPARAMETERS, epochs=1), dataset)
    loss, accuracy = evaluate(model, dataset)
    assert epochs[0]["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert epochs[0]["val_accuracy"] == pytest.approx(accuracy, rel=1e-6)


def evaluate(model: keras.Model, dataset: Dataset) -> tuple[float, float]:
    """Validation loss and accuracy, by Keras."""
    loss, accuracy = model.evaluate(
        dataset.validation_inputs, dataset.validation_targets, verbose=0
    )
    return loss, accuracy


def test_evaluate_is_that_of_keras(dataset: Dataset) -> None:
    model, _ = our_fit(replace(DROPOUT, epochs=1), dataset)
    found = fitting.evaluate(
        model, dataset.task, dataset.validation_inputs, dataset.validation_targets
    )
    assert tuple(found.values()) == pytest.approx(evaluate(model, dataset), rel=1e-5)
    assert list(found) == ["loss", "accuracy"]


def test_images_are_shared_with_tensorflow_and_not_copied() -> None:
    whole = datasets.load("fashion_mnist")
    for images in (whole.train_inputs, whole.validation_inputs):
        tensor, *_ = one_epoch.tensors(images, whole.train_targets, None)
        assert np.shares_memory(np.asarray(memoryview(tensor)), images)


def test_images_are_copied_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    images = datasets.load("fashion_mnist").validation_inputs
    tensor, *_ = one_epoch.tensors(images, np.zeros(len(images), np.uint8), None)
    assert not np.shares_memory(np.asarray(memoryview(tensor)), images)
    np.testing.assert_array_equal(tensor.numpy(), images)


def test_visible_gpus_take_memory_as_they_need_it_and_add_in_the_same_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:0"])
    experimental = tf.config.experimental
    monkeypatch.setattr(experimental, "set_memory_growth", lambda *given: said.append(given))
    monkeypatch.setattr(experimental, "enable_op_determinism", lambda: said.append("same order"))
    assert loop.use_gpus() == 1
    assert said == [("GPU:0", True), "same order"]


def test_training_accuracy_is_of_all_examples_alike_though_classes_weigh(
    job: Job, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    heavy = np.where(dataset.train_targets < 3, 3, 0.01).astype(np.float32)
    weighted = replace(dataset, train_weights=heavy, train_counts=np.ones(N_TRAIN, np.float32))
    monkeypatch.setattr(datasets, "load_members", lambda _: (weighted,))
    *epochs, last = loop.train(job)
    assert isinstance(last, Finished)
    found = [each.metrics["accuracy"] for each in epochs_of(epochs)]
    for accuracy in (*found, last.scores["train_accuracy"]):
        assert accuracy * N_TRAIN == pytest.approx(round(accuracy * N_TRAIN), abs=1e-2)
        assert accuracy < 0.5  # of classes that hardly weigh anything is nothing learned


def test_accuracy_has_the_error_of_groups(
    job: Job, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouped = replace(dataset, validation_groups=np.arange(N_VALIDATION) // 10)
    monkeypatch.setattr(datasets, "load_members", lambda _: (grouped,))
    plain, *_ = epochs_of(loop.train(job))
    assert 0 < plain.metrics["val_accuracy_se"] < 0.2


def test_train_scores_the_kept_weights_on_the_training_set(job: Job, tmp_path: Path) -> None:
    *epochs, last = loop.train(job)
    assert isinstance(last, Finished)
    *_, kept = (event.model for event in epochs_of(epochs) if event.model)
    images, labels = (
        datasets.load_members(job.data)[0].train_inputs,
        datasets.load_members(job.data)[0].train_targets,
    )
    loss, accuracy = load(kept, tmp_path).evaluate(images, labels, verbose=0)
    assert last.scores["train_loss"] == pytest.approx(loss, rel=1e-5)
    assert last.scores["train_accuracy"] == pytest.approx(accuracy, rel=1e-6)


def test_dropout_is_on_in_training_and_off_in_validation(dataset: Dataset) -> None:
    still = replace(DROPOUT, dropout=0.9, learning_rate=1e-12, epochs=1)
    same = replace(
        dataset,
        validation_inputs=dataset.train_inputs,
        validation_targets=dataset.train_targets,
    )
    model, (metrics,) = our_fit(still, same)
    assert metrics["val_loss"] == pytest.approx(evaluate(model, same)[0], rel=1e-5)
    assert metrics["loss"] > 1.05 * metrics["val_loss"]


def test_early_stopping_stops_and_restores_as_in_keras(dataset: Dataset) -> None:
    def build() -> keras.callbacks.EarlyStopping:
        return keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)

    expected_callback, callback = build(), build()
    expected_model, expected = keras_fit(RESTLESS, dataset, [expected_callback])
    model, found = our_fit(RESTLESS, dataset, [callback])
    assert callback.stopped_epoch == expected_callback.stopped_epoch > 2
    assert callback.best_epoch == expected_callback.best_epoch
    assert len(found) == len(expected) == callback.stopped_epoch + 1 < RESTLESS.epochs
    assert_same_weights(model, expected_model)
    assert evaluate(model, dataset)[0] == pytest.approx(
        min(metrics["val_loss"] for metrics in found), rel=1e-5
    )


def test_model_checkpoint_saves_what_it_saves_in_keras(dataset: Dataset, tmp_path: Path) -> None:
    def build(folder: str) -> keras.callbacks.ModelCheckpoint:
        return keras.callbacks.ModelCheckpoint(
            tmp_path / folder / "{epoch:02d}-{val_accuracy:.3f}.keras",
            monitor="val_loss",
            save_best_only=True,
        )

    keras_fit(RESTLESS, dataset, [build("keras")])
    our_fit(RESTLESS, dataset, [build("ours")])
    expected, found = sorted(tmp_path.glob("keras/*")), sorted(tmp_path.glob("ours/*"))
    assert [path.name for path in found] == [path.name for path in expected]
    assert 1 < len(found) < RESTLESS.epochs
    assert_same_weights(keras.models.load_model(found[-1]), keras.models.load_model(expected[-1]))


def halve_every_second(epoch: int, learning_rate: float) -> float:
    return learning_rate / 2 if epoch % 2 else learning_rate


@pytest.mark.parametrize(
    "build",
    [
        lambda: keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, factor=0.3),
        lambda: keras.callbacks.LearningRateScheduler(halve_every_second),
    ],
    ids=["ReduceLROnPlateau", "LearningRateScheduler"],
)
def test_callbacks_change_the_learning_rate_as_in_keras(
    build: Callable[[], keras.callbacks.Callback], dataset: Dataset
) -> None:
    expected_model, expected = keras_fit(RESTLESS, dataset, [build()])
    model, found = our_fit(RESTLESS, dataset, [build()])
    rates = [metrics["learning_rate"] for metrics in found]
    assert rates == [metrics["learning_rate"] for metrics in expected]
    assert len(set(rates)) > 1
    assert_same_course(found, expected)
    assert_same_weights(model, expected_model)


def epochs_of(events: Iterable[Event]) -> list[EpochEnd]:
    return [event for event in events if isinstance(event, EpochEnd)]


def measured(events: Sequence[Event]) -> list[Metrics]:
    """The metrics of each epoch, but for the time it took."""
    return [
        {name: value for name, value in event.metrics.items() if name != "seconds"}
        for event in epochs_of(events)
    ]


def test_train_counts_epochs_from_one_and_finishes_once(job: Job) -> None:
    *epochs, last = loop.train(job)
    assert [type(event) for event in epochs] == [EpochEnd] * 3
    assert [event.epoch for event in epochs_of(epochs)] == [1, 2, 3]
    assert {event.trial for event in (*epochs, last)} == {job.trial}
    assert isinstance(last, Finished)
    for event in epochs_of(epochs):
        assert event.n_parameters == 16 * 785 + 10 * 17
        assert event.metrics.keys() == {*NAMES, "learning_rate", "seconds"}
        assert event.metrics["learning_rate"] == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("metric", "direction"), [("val_accuracy", "maximize"), ("val_loss", "minimize")]
)
def test_train_halves_the_rate_after_two_epochs_that_are_no_better(
    metric: str, direction: str, job: Job
) -> None:
    given = replace(RESTLESS, learning_rate_schedule="plateau", epochs=25, learning_rate=0.03)
    job = replace(job, hyperparameters=given, metric=metric, direction=direction, patience=25)
    epochs = [event.metrics for event in epochs_of(loop.train(job))]
    sign = 1 if direction == "maximize" else -1
    rate, best, n_waited, expected = 0.03, -np.inf, 0, []
    for metrics in epochs:
        expected.append(rate)
        is_better = sign * metrics[metric] > best
        best, n_waited = max(best, sign * metrics[metric]), 0 if is_better else n_waited + 1
        if n_waited == 2:
            rate, n_waited = rate / 2, 0
    assert [each["learning_rate"] for each in epochs] == pytest.approx(expected, rel=1e-6)
    assert len(set(expected)) > 2


def test_train_keeps_the_average_that_it_has_measured(job: Job, tmp_path: Path) -> None:
    given = replace(HYPERPARAMETERS, ema_momentum=0.8, batch_normalization=True, dropout=0.3)
    *epochs, last = loop.train(replace(job, hyperparameters=given))
    assert isinstance(last, Finished)
    dataset = datasets.load_members(job.data)[0]
    for event in epochs_of(epochs):
        if event.model:
            loss, accuracy = evaluate(load(event.model, tmp_path), dataset)
            assert loss == pytest.approx(event.metrics["val_loss"], rel=1e-5)
            assert accuracy == pytest.approx(event.metrics["val_accuracy"], rel=1e-6)


def test_train_counts_what_is_trained_alone(job: Job) -> None:
    given = replace(HYPERPARAMETERS, batch_normalization=True, epochs=1)
    (epoch,) = epochs_of(loop.train(replace(job, hyperparameters=given)))
    assert epoch.n_parameters == 16 * 784 + 2 * 16 + 10 * 17


def test_train_counts_no_parameters_in_dropout(job: Job) -> None:
    (epoch,) = epochs_of(loop.train(replace(job, hyperparameters=replace(DROPOUT, epochs=1))))
    assert epoch.n_parameters == 32 * 785 + 10 * 33


@pytest.mark.parametrize(
    ("metric", "direction", "best_of"),
    [("val_accuracy", "maximize", max), ("val_loss", "minimize", min)],
)
def test_train_stops_after_patience_and_sends_each_epoch_that_is_the_best_so_far(
    metric: str, direction: str, best_of: Callable[[list[float]], float], job: Job, tmp_path: Path
) -> None:
    hyperparameters = replace(RESTLESS, epochs=40)
    job = replace(
        job, hyperparameters=hyperparameters, metric=metric, direction=direction, patience=2
    )
    *epochs, last = loop.train(job)
    values = [event.metrics[metric] for event in epochs_of(epochs)]
    best_epoch = values.index(best_of(values)) + 1
    assert len(values) == best_epoch + job.patience < hyperparameters.epochs
    assert isinstance(last, Finished)
    dataset = datasets.load_members(job.data)[0]
    for i, event in enumerate(epochs_of(epochs)):
        is_record = values[i] == best_of(values[: i + 1]) and values[i] not in values[:i]
        assert (event.model is not None) is is_record
        if is_record:  # whatever ends the job afterwards, these are the weights of this epoch
            loss, accuracy = evaluate(load(event.model, tmp_path), dataset)
            known = event.metrics
            assert accuracy == pytest.approx(known["val_accuracy"], rel=1e-6)  # to the image
            assert loss == pytest.approx(known["val_loss"], rel=1e-5)


def load(model: bytes | None, folder: Path) -> keras.Model:
    assert model is not None
    (folder / "model.keras").write_bytes(model)
    return keras.models.load_model(folder / "model.keras")


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_train_sends_a_model_only_if_it_is_better_than_the_record(metric: str, job: Job) -> None:
    direction, sign = ("maximize", 1) if metric == "val_accuracy" else ("minimize", -1)
    job = replace(job, metric=metric, direction=direction)
    events = list(loop.train(job))
    best = max(sign * event.metrics[metric] for event in epochs_of(events)) * sign
    for record, is_sent in ((best - sign * 0.01, True), (best, False)):
        again = epochs_of(loop.train(replace(job, to_beat=record)))
        assert any(event.model for event in again) is is_sent
        assert not any(
            event.model for event in again if sign * event.metrics[metric] <= sign * record
        )


def test_train_fails_when_the_loss_is_not_finite(job: Job) -> None:
    diverging = replace(
        HYPERPARAMETERS, hidden_layers=4, units=(64,) * 4, optimizer="sgd", learning_rate=100.0
    )
    *epochs, last = loop.train(replace(job, hyperparameters=diverging))
    assert isinstance(last, Failed)
    reason = f"loss became nan in epoch {len(epochs) + 1}"
    assert last == Failed(job.trial, reason, cause=Cause.DIVERGED)


@pytest.mark.parametrize("hyperparameters", [HYPERPARAMETERS, DROPOUT])
def test_same_seed_same_numbers_bit_for_bit(hyperparameters: Hyperparameters, job: Job) -> None:
    job = replace(job, hyperparameters=hyperparameters)
    first = measured(list(loop.train(job)))
    assert measured(list(loop.train(job))) == first
    assert measured(list(loop.train(replace(job, seed=SEED + 1)))) != first


def test_an_epoch_does_not_count_the_time_in_which_it_was_stopped(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = [0.0]
    monkeypatch.setattr(
        fitting, "WorkingClock", lambda: WorkingClock(lambda: time.monotonic() + paused[0])
    )

    class Stopped(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            if epoch == 1:
                paused[0] += 1_000.0

    _, epochs = our_fit(replace(HYPERPARAMETERS, epochs=3), dataset, [Stopped()])
    assert [0 <= metrics["seconds"] < 1_000.0 for metrics in epochs] == [True] * 3
