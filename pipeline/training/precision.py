"""Mixed precision: hidden layers compute in 16 bits while a network is trained, and only then.

The weights, the output layer and the loss stay float32, and so is the network when it is measured,
kept and handed over: the same weights, computed with in float32. Micikevicius et al. 2018, "Mixed
Precision Training", arXiv:1710.03740.
"""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from pipeline.training.fused_optimizers import Update

FIRST_SCALE, N_STEADY_STEPS = 2.0**15, 2_000  # Keras's own, of LossScaleOptimizer


@contextlib.contextmanager
def hidden_layers_in(precision: str, model: keras.Model) -> Iterator[None]:
    """Has all layers but the last compute in a precision, for what is traced or run meanwhile.

    Args:
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        model: of float32, and is so again afterwards.
    """
    policies = [(layer, layer.dtype_policy) for layer in model.layers[:-1]]
    for layer, own in policies:
        layer.dtype_policy = own if precision == own.name else precision
    try:
        yield
    finally:
        for layer, own in policies:
            layer.dtype_policy = own


class LossScale:
    """A factor that keeps gradients from becoming 0 where numbers below 6e-8 do: in float16.

    The loss is multiplied by it, and the gradients are divided by it again when they are float32.
    Where one is too large for float16 the step is left out, and the factor halved; after many
    steps without such it is doubled. So does `keras.optimizers.LossScaleOptimizer`.

    Attributes:
        factor: float32 ().
        variables: all that a step changes.
    """

    def __init__(self) -> None:
        self.factor = tf.Variable(FIRST_SCALE, trainable=False)
        self._n_steps = tf.Variable(0, trainable=False)  # since the factor was changed
        self.variables = [self.factor, self._n_steps]

    def unscaling(self, update: Update) -> Update:
        """Builds an update that takes gradients of the scaled loss, and may leave out a step."""

        def unscaled_update(gradients: Sequence[tf.Tensor]) -> None:
            dense = [tf.convert_to_tensor(each) for each in gradients]
            are_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in dense])

            def take_step() -> tf.Tensor:
                update([each / self.factor for each in dense])
                self._n_steps.assign_add(1)
                is_steady = self._n_steps >= N_STEADY_STEPS
                self._change(tf.where(is_steady, 2.0, 1.0), is_steady)
                return tf.constant(0)

            def leave_out() -> tf.Tensor:
                self._change(0.5, True)
                return tf.constant(0)

            tf.cond(are_finite, take_step, leave_out)

        return unscaled_update

    def _change(self, by: tf.Tensor | float, is_changed: tf.Tensor | bool) -> None:
        self.factor.assign(self.factor * by)
        self._n_steps.assign(tf.where(is_changed, 0, self._n_steps))
