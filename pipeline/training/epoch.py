"""An epoch as one TensorFlow graph, validation included: Python is entered once an epoch.

The examples stay in memory as they are, of pictures as uint8; a batch is gathered in the graph.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from pipeline.data import datasets
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.task.source import Inputs, Targets, Weights
from pipeline.task.task import Task
from pipeline.training.augmentation import augmentation, gatherable, mix, seed_of_step
from pipeline.training.averaging import MovingAverage
from pipeline.training.fused_optimizers import fused_update
from pipeline.training.precision import LossScale, hidden_layers_in

EVALUATION_BATCH = 1000  # examples; large enough for matrix products, small enough for the cache

Part = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # inputs (n, ...), targets (n,), weights (n,) or ()
Answers = tuple[tf.Tensor, tf.Tensor | None]  # targets (batch,), and weights if they are not 1
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Epoch = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Evaluation = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def compile_epoch(
    model: keras.Model,
    dataset: Dataset,
    given: Hyperparameters,
    seed: int,
    evaluation: Evaluation,
    average: MovingAverage | None,
    scale: LossScale | None,
) -> Epoch:
    """Builds a function that trains for one epoch and evaluates, in one graph.

    It takes the order of the training examples, int32 (n,), and returns the task's quantities
    `in_graph` (loss, and of classes accuracy) on the training set and then on the validation set,
    float32 (2,) or (4,), and what `evaluation` returns of the validation set's outputs.

    Args:
        model: compiled.
        dataset: whose training and validation parts are used.
        given: the hyperparameters of the training.
        seed: of what is random in a batch.
        evaluation: of this model, by `compile_evaluation`.
        average: of this model's weights; None if they are measured themselves.
        scale: of the loss, where gradients are float16.
    """
    inputs, targets, weights = tensors(
        dataset.train_inputs, dataset.train_targets, dataset.train_weights
    )
    whole = gatherable(inputs)
    validation_set = tensors(
        dataset.validation_inputs, dataset.validation_targets, dataset.validation_weights
    )
    task, batch_size, n_examples = dataset.task, given.batch_size, len(dataset.train_inputs)
    is_weighted, has_classes = dataset.train_weights is not None, not dataset.task.is_regression
    counts = None if dataset.train_counts is None else tf.constant(dataset.train_counts)
    variables, steps = model.trainable_variables, model.optimizer.iterations
    update = fused_update(model.optimizer, variables)
    update = scale.unscaling(update) if scale else update
    augment, loss_of = augmentation(given), training_loss(model, task, given)

    def train_step(start: tf.Tensor, order: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
        batch = order[start : start + batch_size]  # (batch,), the last one may be smaller
        if n_examples % batch_size == 0:
            batch = tf.ensure_shape(batch, (batch_size,))
        examples, wanted = tf.gather(whole, batch), tf.gather(targets, batch)
        examples = tf.cast(examples, inputs.dtype)
        weight = tf.gather(weights, batch) if is_weighted else None
        counted = weight if counts is None else tf.gather(counts, batch)
        answers, right = [(wanted, weight)], [(wanted, counted)]
        step = tf.identity(steps.value)
        if augment:
            examples = augment(examples, seed_of_step(seed, step))
        if given.mixup:
            examples, share = mix(examples, given.mixup, seed_of_step(seed, step))
            answers, right = _of_pairs(wanted, weight, share), _of_pairs(wanted, counted, share)
        with tf.GradientTape() as tape:
            with hidden_layers_in(given.precision, model):
                outputs = model(examples, training=True)
            losses = tf.add_n([_weighted(loss_of(each, outputs), w) for each, w in answers])
            loss = tf.reduce_mean(losses)
            if scale:
                loss *= scale.factor
        update(tape.gradient(loss, [variable.value for variable in variables]))
        if average:
            average.add_step(step)
        sums = _sums(losses, outputs, right, has_classes)
        return start + batch_size, order, total + sums

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def run_epoch(order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if average:
            average.put_trained()
        *_, total = tf.while_loop(
            lambda start, *_: start < n_examples,
            train_step,
            (tf.constant(0), order, tf.zeros(1 + has_classes)),
            parallel_iterations=1,
        )
        if average:
            average.put_average()
        means, outputs = evaluation(*validation_set)
        return tf.concat([total / n_examples, means], axis=0), outputs

    return run_epoch  # type: ignore[no-any-return]


def training_loss(model: keras.Model, task: Task, given: Hyperparameters) -> Loss:
    """Builds the loss that is trained on: the model's own, of labels that may be smoothed.

    It takes targets, (batch,), and outputs, (batch, n_outputs), and returns losses, (batch,).
    """
    smoothing, own = given.label_smoothing, keras.losses.get(model.loss)
    if not smoothing:
        return lambda targets, outputs: own(targets[:, tf.newaxis], outputs)
    if task.n_outputs == 1:
        return lambda targets, outputs: keras.losses.binary_crossentropy(
            targets[:, tf.newaxis], outputs, label_smoothing=smoothing
        )
    return lambda targets, outputs: keras.losses.categorical_crossentropy(
        tf.one_hot(targets, task.n_outputs), outputs, label_smoothing=smoothing
    )


def compile_evaluation(
    model: keras.Model,
    *,
    dtype: str = "uint8",
    has_classes: bool = True,
    keeps_outputs: bool = False,
) -> Evaluation:
    """Builds a function that evaluates in one graph, as `model.evaluate` does in many.

    It takes inputs (n, ...), targets (n,) and weights, (n,) or one that is 1 for all, and returns
    two tensors: the mean loss and, of classes, the accuracy, both weighted, float32 (1,) or
    (2,); and the outputs (n, n_outputs) if they are kept, else none (0, n_outputs).

    Args:
        model: compiled.
        dtype: of the inputs.
        has_classes: whether the targets are integers of classes, int32, and not numbers, float32.
        keeps_outputs: whether the outputs are wanted.
    """
    loss_of, n_outputs = keras.losses.get(model.loss), model.output_shape[-1]

    @tf.function(  # type: ignore[untyped-decorator]
        autograph=False,
        input_signature=(
            tf.TensorSpec((None, *model.input_shape[1:]), dtype),
            tf.TensorSpec((None,), tf.int32 if has_classes else tf.float32),
            tf.TensorSpec(None, tf.float32),
        ),
    )
    def evaluation(
        inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        n_examples = tf.shape(targets)[0]
        n_batches = -(-n_examples // EVALUATION_BATCH)
        weights = tf.broadcast_to(weights, (n_examples,))

        def step(
            i: tf.Tensor, total: tf.Tensor, kept: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
            part = slice(i * EVALUATION_BATCH, (i + 1) * EVALUATION_BATCH)
            wanted, outputs = targets[part], model(inputs[part], training=False)
            losses = loss_of(wanted[:, tf.newaxis], outputs) * weights[part]
            sums = _sums(losses, outputs, [(wanted, weights[part])], has_classes)
            return i + 1, total + sums, kept.write(i, outputs) if keeps_outputs else kept

        _, total, kept = tf.while_loop(
            lambda i, *_: i < n_batches,
            step,
            (
                tf.constant(0),
                tf.zeros(1 + has_classes),
                tf.TensorArray(
                    tf.float32,
                    n_batches if keeps_outputs else 0,
                    infer_shape=False,
                    element_shape=(None, n_outputs),
                ),
            ),
            parallel_iterations=1,
        )
        outputs = kept.concat() if keeps_outputs else tf.zeros((0, n_outputs))
        return total / tf.reduce_sum(weights), outputs

    return evaluation  # type: ignore[no-any-return]


def tensors(inputs: Inputs, targets: Targets, weights: "Weights | None") -> Part:
    """Makes tensors of inputs, targets (int32 or float32) and weights (1 if there are none).

    Inputs that lie as TensorFlow wants them are not copied: they stay where the forkserver has
    loaded them, and all workers share them. Where there is a GPU they are copied to it, once.
    """
    kind = np.int32 if targets.dtype.kind in "iu" else np.float32
    is_shared = inputs.ctypes.data % datasets.ALIGNMENT_BYTES == 0 and inputs.flags.c_contiguous
    is_shared = is_shared and not tf.config.list_logical_devices("GPU")
    if is_shared and inputs.flags.writeable:  # NumPy exports nothing that is read-only
        tensor = tf.experimental.dlpack.from_dlpack(np.asarray(inputs).__dlpack__())  # type: ignore[misc]
    else:
        tensor = tf.constant(inputs)
    weight = tf.constant(1.0 if weights is None else weights, tf.float32)
    return tensor, tf.constant(targets.astype(kind)), weight


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


def _of_pairs(wanted: tf.Tensor, weight: tf.Tensor | None, share: tf.Tensor) -> list[Answers]:
    """Lists the two targets of each mixed example, and how much each weighs."""
    weight = 1.0 if weight is None else weight
    own, other = share * weight, (1 - share) * tf.roll(weight * tf.ones_like(share), 1, axis=0)
    return [(wanted, own), (tf.roll(wanted, 1, axis=0), other)]


def _weighted(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    return values if weight is None else values * weight


def _sums(
    losses: tf.Tensor, outputs: tf.Tensor, answers: Sequence[Answers], has_classes: bool
) -> tf.Tensor:
    """Sums weighted losses over a batch and, of classes, weights of correct answers."""
    if not has_classes:
        return tf.reduce_sum(losses)[tf.newaxis]
    correct = [
        tf.reduce_sum(_weighted(tf.cast(_is_correct(targets, outputs), tf.float32), weight))
        for targets, weight in answers
    ]
    return tf.stack([tf.reduce_sum(losses), tf.add_n(correct)])
