"""The epochs of a network, one after the other, as `model.fit` runs them: each in one graph."""

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from pipeline.clock import WorkingClock
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.task.source import Inputs, Outputs, Targets, Weights
from pipeline.task.task import Task
from pipeline.training.averaging import MovingAverage
from pipeline.training.epoch import Evaluation, compile_epoch, compile_evaluation, tensors
from pipeline.training.precision import LossScale


def fit(
    model: keras.Model,
    dataset: Dataset,
    given: Hyperparameters,
    *,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Iterator[dict[str, float]]:
    """Trains a compiled model and yields the metrics of each epoch, as `model.fit` logs them.

    Args:
        model: compiled.
        dataset: as of `Fitting`, as all others.
        given: the hyperparameters of the training.
        seed: of the order of batches, and of what is random in them.
        callbacks: of Keras.
    """
    return Fitting(model, dataset, given, seed=seed).epochs(callbacks)


class Fitting:
    """The training of a compiled model.

    The order of batches is drawn anew for every epoch, from the seed. As with `model.fit`, loss
    and accuracy of the training set are means over the epoch, while the weights change. Who
    evaluates the model afterwards may give its `evaluation`, so that it is traced once.

    Args:
        model: compiled.
        dataset: whose training and validation parts are used.
        given: the hyperparameters of the training. The last batch of an epoch may be smaller.
        seed: of the order of batches, and of what is random in them.
        evaluation: of this model, by `evaluation_of`; made if not given.
        keep: takes the outputs of the validation set after each epoch, if `evaluation` keeps them.

    Attributes:
        order: draws the order of batches.
    """

    def __init__(
        self,
        model: keras.Model,
        dataset: Dataset,
        given: Hyperparameters,
        *,
        seed: int,
        evaluation: Evaluation | None = None,
        keep: Callable[[Outputs], None] | None = None,
    ) -> None:
        self._model, self._dataset, self._given, self._keep = model, dataset, given, keep
        if given.learning_rate_schedule == "cosine":
            model.optimizer.learning_rate = cosine(given, len(dataset.train_inputs))
        evaluation = evaluation or evaluation_of(model, dataset.task)
        average = None
        if given.ema_momentum:
            average = MovingAverage(model.trainable_variables, given.ema_momentum)
        scale = LossScale() if given.precision == "mixed_float16" else None
        self._run_epoch = compile_epoch(model, dataset, given, seed, evaluation, average, scale)
        self._others = [*(average.trained if average else ()), *(scale.variables if scale else ())]
        self.order = np.random.default_rng(seed)

    @property
    def variables(self) -> list[tf.Variable]:
        """Lists all that an epoch changes, in an order that follows from the network.

        These are the variables of the network, seeds of dropout included, those of the optimizer,
        the weights behind a moving average, and how a loss is scaled.
        """
        known = (*self._model.variables, *self._model.optimizer.variables)
        return [*(variable.value for variable in known), *self._others]

    def epochs(
        self, callbacks: Sequence[keras.callbacks.Callback] = (), *, n_before: int = 0
    ) -> Iterator[dict[str, float]]:
        """Trains, and yields the metrics of each epoch.

        When the iterator is exhausted the callbacks have seen the end of training.

        Args:
            callbacks: of Keras, called as `model.fit` calls them; one may stop before the last
                epoch.
            n_before: epochs after which the variables and `order` are as they are.
        """
        model, given, task = self._model, self._given, self._dataset.task
        callback_list = keras.callbacks.CallbackList(
            list(callbacks), add_history=False, model=model, epochs=given.epochs, verbose=0
        )
        names, n_examples = task.in_graph, len(self._dataset.train_inputs)
        model.stop_training = False
        callback_list.on_train_begin()
        metrics: dict[str, float] = {}
        with WorkingClock() as clock:
            for epoch in range(n_before, given.epochs):
                started = clock()
                callback_list.on_epoch_begin(epoch)
                learning_rate = float(model.optimizer.learning_rate)
                order = self.order.permutation(n_examples).astype(np.int32)
                both, outputs = self._run_epoch(tf.constant(order))
                means = both.numpy().tolist()
                training, validation = (
                    dict(zip(names, part, strict=True))
                    for part in (means[: len(names)], means[len(names) :])
                )
                if self._keep:
                    self._keep(outputs.numpy())
                metrics = task.epoch_metrics(training, validation)
                metrics["learning_rate"] = learning_rate
                callback_list.on_epoch_end(epoch, metrics)
                yield {**metrics, "seconds": clock() - started}
                if model.stop_training:
                    break
        callback_list.on_train_end(metrics)


def cosine(given: Hyperparameters, n_examples: int) -> keras.optimizers.schedules.CosineDecay:
    """Builds a learning rate that rises in the first epochs and falls to 0 in the others.

    Args:
        given: says how far and how long.
        n_examples: that are trained on.
    """
    n_steps = -(-n_examples // given.batch_size)
    n_warm = min(given.warmup_epochs, given.epochs - 1) * n_steps
    rate = given.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if n_warm else rate,
        decay_steps=given.epochs * n_steps - n_warm,
        warmup_target=rate if n_warm else None,
        warmup_steps=n_warm,
    )


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
