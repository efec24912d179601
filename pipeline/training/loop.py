"""One job in, a stream of events out: the training of one network in one process.

Knows neither Optuna nor MLflow. The images stay in memory as uint8; an epoch, validation
included, is one execution of one TensorFlow graph, so that Python is entered once an epoch and
not once a batch. Callbacks of Keras work as ever, but for those that watch single batches.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.clock import WorkingClock
from pipeline.data import datasets
from pipeline.data.source import Images, Labels
from pipeline.data.task import IN_GRAPH, LOSS
from pipeline.study.trial import Cause, is_better
from pipeline.training.fused_optimizers import fused_update
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job
from pipeline.training.model import build_model

EVALUATION_BATCH = 1000  # images; large enough for matrix products, small enough for the cache

Epoch = Callable[[tf.Tensor], tf.Tensor]
Evaluation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def train(job: Job) -> Iterator[Event]:
    """Trains one network with early stopping and yields an event after each epoch.

    The model goes along with each epoch that sets a record, so that its weights are kept whatever
    ends the job: records are rare, and it takes some hundredths of a second.
    Ends with one `Finished` or `Failed`. Everything random follows from the job's seed.
    """
    dataset, hyperparameters = datasets.load(job.dataset), job.hyperparameters
    assert hyperparameters is not None
    keras.utils.set_random_seed(job.seed)
    model = build_model(hyperparameters, dataset.input_shape, len(dataset.class_names))
    early_stopping = keras.callbacks.EarlyStopping(
        job.metric,
        mode="max" if job.direction == "maximize" else "min",
        patience=job.patience,
        restore_best_weights=True,
    )
    best, n_parameters = job.incumbent, model.count_params()
    evaluation = compile_evaluation(model)
    epochs = fit(
        model,
        dataset,
        batch_size=hyperparameters.batch_size,
        epochs=hyperparameters.epochs,
        seed=job.seed,
        callbacks=[early_stopping],
        evaluation=evaluation,
    )
    for epoch, metrics in enumerate(epochs, start=1):
        for name in (LOSS, f"val_{LOSS}", job.metric):
            if not math.isfinite(metrics[name]):
                reason = f"{name} became {metrics[name]} in epoch {epoch}"
                yield Failed(job.trial, reason, cause=Cause.DIVERGED)
                return
        content = None
        if is_better(metrics[job.metric], best, job.direction):
            best, content = metrics[job.metric], to_bytes(model)
        yield EpochEnd(job.trial, epoch, metrics, n_parameters, content)
    means = evaluation(*_tensors(dataset.train_inputs, dataset.train_targets)).numpy().tolist()
    scores = dataset.task.quantities_of(dict(zip(IN_GRAPH, means, strict=True)))
    yield Finished(job.trial, {f"train_{name}": value for name, value in scores.items()})


def fit(
    model: keras.Model,
    dataset: datasets.Dataset,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    evaluation: Evaluation | None = None,
) -> Iterator[dict[str, float]]:
    """Trains a compiled model and yields the metrics of each epoch, as `model.fit` logs them.

    The order of batches is drawn anew for every epoch, from the seed. As with `model.fit`, loss
    and accuracy of the training set are means over the epoch, while the weights change. When the
    iterator is exhausted the callbacks have seen the end of training. Who evaluates the model
    afterwards may give its `evaluation`, so that it is traced once.

    Args:
        model: compiled.
        dataset: whose training and validation images are used.
        batch_size: images in a batch; the last of an epoch may have fewer.
        epochs: at most; a callback may stop earlier.
        seed: of the order of batches.
        callbacks: of Keras, called as `model.fit` calls them.
        evaluation: of this model, by `compile_evaluation`; made if not given.
    """
    run_epoch = compile_epoch(model, dataset, batch_size, evaluation or compile_evaluation(model))
    callback_list = keras.callbacks.CallbackList(
        list(callbacks), add_history=False, model=model, epochs=epochs, verbose=0
    )
    rng = np.random.default_rng(seed)
    n_images, n = len(dataset.train_inputs), len(IN_GRAPH)
    model.stop_training = False
    callback_list.on_train_begin()
    metrics: dict[str, float] = {}
    with WorkingClock() as clock:
        for epoch in range(epochs):
            started = clock()
            callback_list.on_epoch_begin(epoch)
            learning_rate = float(model.optimizer.learning_rate)
            order = rng.permutation(n_images).astype(np.int32)
            means = run_epoch(tf.constant(order)).numpy().tolist()
            training, validation = (
                dict(zip(IN_GRAPH, part, strict=True)) for part in (means[:n], means[n:])
            )
            metrics = dataset.task.epoch_metrics(training, validation)
            metrics["learning_rate"] = learning_rate
            callback_list.on_epoch_end(epoch, metrics)
            yield {**metrics, "seconds": clock() - started}
            if model.stop_training:
                break
    callback_list.on_train_end(metrics)


def compile_epoch(
    model: keras.Model, dataset: datasets.Dataset, batch_size: int, evaluation: Evaluation
) -> Epoch:
    """Builds a function that trains for one epoch and evaluates, in one graph.

    It takes the order of the training images, int32 (n,), and returns float32 (4,): the quantities
    `IN_GRAPH`, loss and accuracy, on the training set and then on the validation set.

    Args:
        model: compiled.
        dataset: whose training and validation images are used.
        batch_size: images in a batch.
        evaluation: of this model, by `compile_evaluation`.
    """
    images, labels = _tensors(dataset.train_inputs, dataset.train_targets)
    validation_set = _tensors(dataset.validation_inputs, dataset.validation_targets)
    n_images = len(dataset.train_inputs)
    variables = model.trainable_variables
    update = fused_update(model.optimizer, variables)
    loss_of = keras.losses.get(model.loss)

    def train_step(start: tf.Tensor, order: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
        batch = order[start : start + batch_size]  # (batch,), the last one may be smaller
        if n_images % batch_size == 0:
            batch = tf.ensure_shape(batch, (batch_size,))
        targets = tf.gather(labels, batch)
        with tf.GradientTape() as tape:
            outputs = model(tf.gather(images, batch), training=True)
            losses = loss_of(targets[:, tf.newaxis], outputs)  # binary or not
            loss = tf.reduce_mean(losses)
        update(tape.gradient(loss, [variable.value for variable in variables]))
        return start + batch_size, order, total + _sums(losses, targets, outputs)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def run_epoch(order: tf.Tensor) -> tf.Tensor:
        *_, total = tf.while_loop(
            lambda start, *_: start < n_images,
            train_step,
            (tf.constant(0), order, tf.zeros(len(IN_GRAPH))),
            parallel_iterations=1,
        )
        return tf.concat([total / n_images, evaluation(*validation_set)], axis=0)

    return run_epoch  # type: ignore[no-any-return]


def compile_evaluation(model: keras.Model) -> Evaluation:
    """Builds a function that evaluates in one graph, as `model.evaluate` does in many.

    It takes images, uint8 (n, ...), and labels, int32 (n,), and returns float32 (2,): the
    quantities `IN_GRAPH`, mean loss and accuracy.
    """
    loss_of = keras.losses.get(model.loss)

    @tf.function(  # type: ignore[untyped-decorator]
        autograph=False,
        input_signature=(
            tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8),
            tf.TensorSpec((None,), tf.int32),
        ),
    )
    def evaluation(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        n_images = tf.shape(labels)[0]

        def step(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
            part = slice(start, start + EVALUATION_BATCH)
            targets, outputs = labels[part], model(images[part], training=False)
            losses = loss_of(targets[:, tf.newaxis], outputs)
            return start + EVALUATION_BATCH, total + _sums(losses, targets, outputs)

        _, total = tf.while_loop(
            lambda start, _: start < n_images,
            step,
            (tf.constant(0), tf.zeros(len(IN_GRAPH))),
            parallel_iterations=1,
        )
        return total / tf.cast(n_images, tf.float32)

    return evaluation  # type: ignore[no-any-return]


def to_bytes(model: keras.Model) -> bytes:
    """Saves a model as the content of a `.keras` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def from_bytes(content: bytes) -> keras.Model:
    """Loads the model that `to_bytes` saved; Keras's safe mode refuses code in the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        return keras.saving.load_model(path, safe_mode=True)


def evaluate(model: keras.Model, images: Images, labels: Labels) -> dict[str, float]:
    """Evaluates a compiled model on raw images; returns the quantities `IN_GRAPH` by name.

    Args:
        model: compiled.
        images: as `Dataset` holds them: raw pixels.
        labels: integers, one for each image.
    """
    means = compile_evaluation(model)(*_tensors(images, labels)).numpy().tolist()
    return dict(zip(IN_GRAPH, means, strict=True))


def use_threads(n_threads: int) -> None:
    """Limits TensorFlow to so many threads; must come before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(n_threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _is_correct(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Tells of each answer whether it is the label: the largest probability, or one above a half.

    Args:
        targets: integers, (batch,).
        outputs: probabilities, (batch, n_classes) or (batch, 1).
    """
    if outputs.shape[-1] == 1:
        answers = tf.cast(outputs[:, 0] > 0.5, targets.dtype)
    else:
        answers = tf.argmax(outputs, axis=-1, output_type=tf.int32)
    return tf.equal(tf.cast(targets, answers.dtype), answers)


def _sums(losses: tf.Tensor, targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Sums the quantities `IN_GRAPH` over a batch: losses and correct answers, (2,)."""
    n_correct = tf.reduce_sum(tf.cast(_is_correct(targets, outputs), tf.float32))
    return tf.stack([tf.reduce_sum(losses), n_correct])


def _tensors(images: Images, labels: Labels) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes tensors of images and labels: uint8 (n, ...) and int32 (n,).

    Images that `datasets` has aligned are not copied. They stay where the forkserver has loaded
    them, and all workers share them.
    """
    is_shared = images.ctypes.data % datasets.ALIGNMENT_BYTES == 0 and images.flags.c_contiguous
    if is_shared and images.flags.writeable:  # NumPy exports nothing that is read-only
        tensor = tf.experimental.dlpack.from_dlpack(images.__dlpack__())
    else:
        tensor = tf.constant(images)
    return tensor, tf.constant(labels.astype(np.int32))
