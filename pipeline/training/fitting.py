"""The epochs of a network, one after the other, as `model.fit` runs them: each in one graph."""

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from pipeline.clock import WorkingClock
from pipeline.task.dataset import Dataset
from pipeline.task.source import Inputs, Outputs, Targets, Weights
from pipeline.task.task import Task
from pipeline.training.epoch import Evaluation, compile_epoch, compile_evaluation, tensors


def fit(
    model: keras.Model,
    dataset: Dataset,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    evaluation: Evaluation | None = None,
    keep: Callable[[Outputs], None] | None = None,
) -> Iterator[dict[str, float]]:
    """Trains a compiled model and yields the metrics of each epoch, as `model.fit` logs them.

    The order of batches is drawn anew for every epoch, from the seed. As with `model.fit`, loss
    and accuracy of the training set are means over the epoch, while the weights change. When the
    iterator is exhausted the callbacks have seen the end of training. Who evaluates the model
    afterwards may give its `evaluation`, so that it is traced once.

    Args:
        model: compiled.
        dataset: whose training and validation parts are used.
        batch_size: examples in a batch; the last of an epoch may have fewer.
        epochs: at most; a callback may stop earlier.
        seed: of the order of batches.
        callbacks: of Keras, called as `model.fit` calls them.
        evaluation: of this model, by `evaluation_of`; made if not given.
        keep: takes the outputs of the validation set after each epoch, if `evaluation` keeps them.
    """
    task = dataset.task
    run_epoch = compile_epoch(model, dataset, batch_size, evaluation or evaluation_of(model, task))
    callback_list = keras.callbacks.CallbackList(
        list(callbacks), add_history=False, model=model, epochs=epochs, verbose=0
    )
    rng = np.random.default_rng(seed)
    names, n_examples = task.in_graph, len(dataset.train_inputs)
    model.stop_training = False
    callback_list.on_train_begin()
    metrics: dict[str, float] = {}
    with WorkingClock() as clock:
        for epoch in range(epochs):
            started = clock()
            callback_list.on_epoch_begin(epoch)
            learning_rate = float(model.optimizer.learning_rate)
            order = rng.permutation(n_examples).astype(np.int32)
            both, outputs = run_epoch(tf.constant(order))
            means = both.numpy().tolist()
            training, validation = (
                dict(zip(names, part, strict=True))
                for part in (means[: len(names)], means[len(names) :])
            )
            if keep:
                keep(outputs.numpy())
            metrics = task.epoch_metrics(training, validation)
            metrics["learning_rate"] = learning_rate
            callback_list.on_epoch_end(epoch, metrics)
            yield {**metrics, "seconds": clock() - started}
            if model.stop_training:
                break
    callback_list.on_train_end(metrics)


def evaluation_of(model: keras.Model, task: Task, *, keeps_outputs: bool = False) -> Evaluation:
    """Builds the evaluation of a compiled model on examples of a task."""
    return compile_evaluation(
        model,
        dtype=task.input_dtype,
        has_classes=not task.is_regression,
        keeps_outputs=keeps_outputs,
    )


def evaluate(
    model: keras.Model,
    task: Task,
    inputs: Inputs,
    targets: Targets,
    weights: "Weights | None" = None,
) -> dict[str, float]:
    """Evaluates a compiled model; returns the quantities that are computed in the graph, by name.

    Args:
        model: compiled.
        task: says what the targets are.
        inputs: as `Dataset` holds them.
        targets: as `Dataset` holds them.
        weights: of the examples; None if all are 1.
    """
    means, _ = evaluation_of(model, task)(*tensors(inputs, targets, weights))
    return dict(zip(task.in_graph, means.numpy().tolist(), strict=True))
