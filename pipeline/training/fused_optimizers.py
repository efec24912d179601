"""Keras's optimizers, each update of a variable in one TensorFlow kernel instead of about ten.

The formulas are those of `keras.optimizers` up to float32 rounding, and the state is the Keras
optimizer's own, so that its learning rate can be changed and its state saved as ever. Optimizers
and options without such a kernel take Keras's own way.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

Update = Callable[[Sequence[tf.Tensor]], None]


def fused_update(optimizer: keras.Optimizer, variables: Sequence[keras.Variable]) -> Update:
    """Returns a function that applies gradients (one for each variable) in a `tf.function`.

    The optimizer is built for `variables` if it is not yet.
    """
    optimizer.build(variables)
    step = _step(optimizer, variables)
    is_constrained = any(variable.constraint for variable in variables)
    if step is None or is_constrained or _has_options(optimizer):
        return lambda gradients: optimizer.apply(list(gradients), variables)

    def update(gradients: Sequence[tf.Tensor]) -> None:
        step(list(gradients), tf.cast(optimizer.learning_rate, tf.float32))
        optimizer.iterations.assign_add(1)

    return update


def _has_options(optimizer: keras.Optimizer) -> bool:
    """Whether something is asked for that the kernels do not do."""
    return bool(
        optimizer.weight_decay
        or optimizer.clipnorm
        or optimizer.clipvalue
        or optimizer.global_clipnorm
        or optimizer.use_ema
        or optimizer.loss_scale_factor
        or optimizer.gradient_accumulation_steps
    )


def _step(
    optimizer: keras.Optimizer, variables: Sequence[keras.Variable]
) -> Callable[[list[tf.Tensor], tf.Tensor], None] | None:
    """The kernel calls of an optimizer for given gradients and a learning rate, or None."""
    raw, handles = tf.raw_ops, [_handle(variable) for variable in variables]
    kind = type(optimizer)
    if kind is keras.optimizers.SGD and optimizer.momentum:
        accumulators = [_handle(momentum) for momentum in optimizer.momentums]

        def sgd_momentum(gradients: list[tf.Tensor], rate: tf.Tensor) -> None:
            for handle, accumulator, gradient in zip(
                handles, accumulators, gradients, strict=True
            ):
                raw.ResourceApplyKerasMomentum(
                    var=handle,
                    accum=accumulator,
                    lr=rate,
                    grad=gradient,
                    momentum=optimizer.momentum,
                    use_nesterov=optimizer.nesterov,
                )

        return sgd_momentum
    if kind is keras.optimizers.SGD:

        def sgd(gradients: list[tf.Tensor], rate: tf.Tensor) -> None:
            for handle, gradient in zip(handles, gradients, strict=True):
                raw.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=gradient)

        return sgd
    if kind is keras.optimizers.Adagrad:
        squares = [_handle(accumulator) for accumulator in optimizer._accumulators]

        def adagrad(gradients: list[tf.Tensor], rate: tf.Tensor) -> None:
            for handle, square, gradient in zip(handles, squares, gradients, strict=True):
                raw.ResourceApplyAdagradV2(
                    var=handle, accum=square, lr=rate, epsilon=optimizer.epsilon, grad=gradient
                )

        return adagrad
    if kind is keras.optimizers.RMSprop and not optimizer.momentum and not optimizer.centered:
        means = [_handle(velocity) for velocity in optimizer._velocities]
        unused = [tf.Variable(tf.zeros(variable.shape)) for variable in variables]

        def rmsprop(gradients: list[tf.Tensor], rate: tf.Tensor) -> None:
            for handle, mean, momentum, gradient in zip(
                handles, means, unused, gradients, strict=True
            ):
                raw.ResourceApplyRMSProp(
                    var=handle,
                    ms=mean,
                    mom=momentum.handle,
                    lr=rate,
                    rho=optimizer.rho,
                    momentum=0.0,
                    epsilon=optimizer.epsilon,
                    grad=gradient,
                )

        return rmsprop
    if kind is keras.optimizers.Adam and not optimizer.amsgrad:
        firsts = [_handle(momentum) for momentum in optimizer._momentums]
        seconds = [_handle(velocity) for velocity in optimizer._velocities]

        def adam(gradients: list[tf.Tensor], rate: tf.Tensor) -> None:
            t = tf.cast(optimizer.iterations.value + 1, tf.float32)
            power_1, power_2 = tf.pow(optimizer.beta_1, t), tf.pow(optimizer.beta_2, t)
            for handle, first, second, gradient in zip(
                handles, firsts, seconds, gradients, strict=True
            ):
                raw.ResourceApplyAdam(
                    var=handle,
                    m=first,
                    v=second,
                    beta1_power=power_1,
                    beta2_power=power_2,
                    lr=rate,
                    beta1=optimizer.beta_1,
                    beta2=optimizer.beta_2,
                    epsilon=optimizer.epsilon,
                    grad=gradient,
                )

        return adam
    return None


def _handle(variable: keras.Variable) -> tf.Tensor:
    return variable.value.handle
