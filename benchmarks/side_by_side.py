"""Networks of one shape that learn in one graph, side by side: one gather, one step for all.

What `benchmarks.cheaper_looks` holds against the pipeline's training loop. As cheap as can be: all
networks see the same batches, have ReLU layers, and take one learning rate in Adam.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from pipeline.task.dataset import Dataset
from pipeline.training.epoch import tensors

Epoch = Callable[[tf.Tensor], tf.Tensor]


class SideBySide:
    """Networks whose weights are stacked; those of the first layer lie side by side.

    The first layer is one product, (batch, n_in) by (n_in, n_networks * units); the others are
    batched ones, of (n_networks, batch, n_in) by (n_networks, n_in, n_out).

    Args:
        models: dense, of one shape, with one or more hidden layers, not trained yet.
        dataset: whose training part is used.
        batch_size: examples in a step; divides the number of examples.
        learning_rate: of all.

    Attributes:
        run_epoch: takes the order of the examples, int32 (n,), trains all networks for an epoch,
            and returns mean loss and accuracy of each over it, float32 (n_networks, 2).
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        dataset: Dataset,
        *,
        batch_size: int,
        learning_rate: float,
    ) -> None:
        self._n_networks, self._batch_size, self._rate = len(models), batch_size, learning_rate
        kernels, biases = (
            list(zip(*(model.get_weights()[part::2] for model in models), strict=True))
            for part in (0, 1)
        )
        wide = np.concatenate(kernels[0], axis=1)  # (n_in, n_networks * units)
        self._kernels = [tf.Variable(wide), *(tf.Variable(np.stack(k)) for k in kernels[1:])]
        flat = np.concatenate(biases[0])  # (n_networks * units,)
        stacked = [np.stack(each)[:, np.newaxis] for each in biases[1:]]
        self._biases = [tf.Variable(flat), *map(tf.Variable, stacked)]
        self._variables = [*self._kernels, *self._biases]
        self._slots = [
            (tf.Variable(tf.zeros_like(each)), tf.Variable(tf.zeros_like(each)))
            for each in self._variables
        ]
        self._step = tf.Variable(0.0)
        inputs, targets, _ = tensors(dataset.train_inputs, dataset.train_targets, None)
        self.run_epoch = self._compile(inputs, targets)

    def weights(self, network: int) -> list[np.ndarray]:
        """Returns the weights of one network, as its Keras model's `get_weights` does."""
        kernels, biases = (
            [each.numpy() for each in part] for part in (self._kernels, self._biases)
        )
        first = np.split(kernels[0], self._n_networks, axis=1)[network]
        found = [first, np.split(biases[0], self._n_networks)[network]]
        for kernel, bias in zip(kernels[1:], biases[1:], strict=True):
            found += [kernel[network], bias[network, 0]]
        return found

    def _compile(self, inputs: tf.Tensor, targets: tf.Tensor) -> Epoch:
        n_examples, size = len(targets), self._batch_size

        def train_step(
            start: tf.Tensor, order: tf.Tensor, total: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            batch = tf.ensure_shape(order[start : start + size], (size,))
            examples = tf.cast(tf.gather(inputs, batch), tf.float32) / 255
            wanted = tf.tile(tf.gather(targets, batch)[tf.newaxis], (self._n_networks, 1))
            with tf.GradientTape() as tape:
                logits = self._outputs(tf.reshape(examples, (size, -1)))
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits)
                loss = tf.reduce_sum(tf.reduce_mean(losses, axis=1))
            self._update(tape.gradient(loss, self._variables))
            correct = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), wanted)
            sums = [tf.reduce_sum(each, axis=1) for each in (losses, tf.cast(correct, tf.float32))]
            return start + size, order, total + tf.stack(sums, axis=1)

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def run_epoch(order: tf.Tensor) -> tf.Tensor:
            *_, total = tf.while_loop(
                lambda start, *_: start < n_examples,
                train_step,
                (tf.constant(0), order, tf.zeros((self._n_networks, 2))),
                parallel_iterations=1,
            )
            return total / n_examples

        return run_epoch  # type: ignore[no-any-return]

    def _outputs(self, examples: tf.Tensor) -> tf.Tensor:
        """Computes logits, (n_networks, batch, n_classes), of examples, (batch, n_in)."""
        wide = tf.nn.relu(tf.nn.bias_add(examples @ self._kernels[0], self._biases[0]))
        apart = tf.reshape(wide, (self._batch_size, self._n_networks, -1))
        found = tf.transpose(apart, (1, 0, 2))  # (n_networks, batch, units)
        *hidden, last = zip(self._kernels[1:], self._biases[1:], strict=True)
        for kernel, bias in hidden:
            found = tf.nn.relu(found @ kernel + bias)
        return found @ last[0] + last[1]

    def _update(self, gradients: Sequence[tf.Tensor]) -> None:
        """Takes a step of Adam with Keras's defaults, in one kernel for each variable."""
        self._step.assign_add(1.0)
        for variable, gradient, (m, v) in zip(
            self._variables, gradients, self._slots, strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=m.handle, v=v.handle, grad=gradient,
                beta1_power=tf.pow(0.9, self._step), beta2_power=tf.pow(0.999, self._step),
                lr=self._rate, beta1=0.9, beta2=0.999, epsilon=1e-7,
            )  # fmt: skip
