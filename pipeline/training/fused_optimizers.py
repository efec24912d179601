"""Keras's optimizers, each update of a variable in one TensorFlow kernel instead of about ten.

The formulas are those of `keras.optimizers` up to float32 rounding, and the state is the Keras
optimizer's own, so that its learning rate can be changed and its state saved as ever. Optimizers
and options without such a kernel take Keras's own way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

Update = Callable[[Sequence[tf.Tensor]], None]


def fused_update(optimizer: keras.Optimizer, variables: Sequence[keras.Variable]) -> Update:
    """Builds a function that applies gradients (one for each variable) in a `tf.function`.

    The optimizer is built for `variables` if it is not yet.
    """
    optimizer.build(variables)
    step = _step(optimizer, variables)
    is_constrained = any(variable.constraint for variable in variables)
    if step is None or is_constrained or _has_options(optimizer):
        return lambda gradients: optimizer.apply(list(gradients), variables)

    def update(gradients: Sequence[tf.Tensor]) -> None:
        rate = tf.cast(optimizer.learning_rate, tf.float32)
        for variable in variables if optimizer.weight_decay else ():
            variable.value.assign(variable.value * (1 - rate * optimizer.weight_decay))
        step(list(gradients), rate)
        optimizer.iterations.assign_add(1)

    return update


def _has_options(optimizer: keras.Optimizer) -> bool:
    """Tells whether an optimizer is asked for something that the kernels do not do."""
    return bool(
        optimizer.clipnorm
        or optimizer.clipvalue
        or optimizer.global_clipnorm
        or optimizer.use_ema
        or optimizer.loss_scale_factor
        or optimizer.gradient_accumulation_steps
    )


@dataclass(frozen=True)
class _Kernel:
    """A kernel that updates one variable, and where its arguments are found.

    Attributes:
        optimizer: class of Keras; the kernel is not for classes derived from it.
        operation: the kernel.
        rate: what the kernel calls the learning rate.
        gradient: what it calls the gradient.
        slots: by argument, the optimizer's attribute with one variable of state for each trained
            one; "" for state that the kernel demands and leaves alone.
        arguments: what is the same for all variables; called once for each step.
        condition: whether the optimizer's settings are those that the kernel knows.
    """

    optimizer: type[keras.Optimizer]
    operation: Callable[..., object]
    rate: str
    gradient: str
    slots: Mapping[str, str]
    arguments: Callable[[Any], dict[str, Any]]
    condition: Callable[[Any], bool] = lambda optimizer: True

    def fits(self, optimizer: keras.Optimizer, n_variables: int) -> bool:
        """Tells whether the kernel does what an optimizer does, with the state it expects."""
        slots = [getattr(optimizer, name, None) for name in self.slots.values() if name]
        return all(slot and len(slot) == n_variables for slot in slots) and self.condition(
            optimizer
        )


def _adam_arguments(optimizer: keras.optimizers.Adam) -> dict[str, Any]:
    t = tf.cast(optimizer.iterations.value + 1, tf.float32)
    return {
        "beta1_power": tf.pow(optimizer.beta_1, t),
        "beta2_power": tf.pow(optimizer.beta_2, t),
        "beta1": optimizer.beta_1,
        "beta2": optimizer.beta_2,
        "epsilon": optimizer.epsilon,
    }


_KERNELS = (
    _Kernel(
        keras.optimizers.SGD,
        tf.raw_ops.ResourceApplyGradientDescent,
        rate="alpha",
        gradient="delta",
        slots={},
        arguments=lambda sgd: {},
        condition=lambda sgd: not sgd.momentum,
    ),
    _Kernel(
        keras.optimizers.SGD,
        tf.raw_ops.ResourceApplyKerasMomentum,
        rate="lr",
        gradient="grad",
        slots={"accum": "momentums"},
        arguments=lambda sgd: {"momentum": sgd.momentum, "use_nesterov": sgd.nesterov},
        condition=lambda sgd: bool(sgd.momentum),
    ),
    _Kernel(
        keras.optimizers.Adagrad,
        tf.raw_ops.ResourceApplyAdagradV2,
        rate="lr",
        gradient="grad",
        slots={"accum": "_accumulators"},
        arguments=lambda adagrad: {"epsilon": adagrad.epsilon},
    ),
    _Kernel(
        keras.optimizers.RMSprop,
        tf.raw_ops.ResourceApplyRMSProp,
        rate="lr",
        gradient="grad",
        slots={"ms": "_velocities", "mom": ""},
        arguments=lambda rmsprop: {
            "rho": rmsprop.rho,
            "momentum": 0.0,
            "epsilon": rmsprop.epsilon,
        },
        condition=lambda rmsprop: not rmsprop.momentum and not rmsprop.centered,
    ),
    *(
        _Kernel(
            kind,
            tf.raw_ops.ResourceApplyAdam,
            rate="lr",
            gradient="grad",
            slots={"m": "_momentums", "v": "_velocities"},
            arguments=_adam_arguments,
            condition=lambda adam: not adam.amsgrad,
        )
        for kind in (keras.optimizers.Adam, keras.optimizers.AdamW)
    ),
)


def _step(
    optimizer: keras.Optimizer, variables: Sequence[keras.Variable]
) -> Callable[[list[tf.Tensor], tf.Tensor], None] | None:
    """Returns what calls an optimizer's kernel with gradients and a learning rate, or None."""
    fitting = (
        k for k in _KERNELS if type(optimizer) is k.optimizer and k.fits(optimizer, len(variables))
    )
    kernel = next(fitting, None)
    if kernel is None:
        return None
    states = [{"var": variable.value} for variable in variables]
    for argument, attribute in kernel.slots.items():
        for i, variable in enumerate(variables):
            states[i][argument] = (
                getattr(optimizer, attribute)[i].value
                if attribute
                else tf.Variable(tf.zeros(variable.shape))
            )

    def step(gradients: list[tf.Tensor], rate: tf.Tensor) -> None:
        arguments = {kernel.rate: rate, **kernel.arguments(optimizer)}
        for state, gradient in zip(states, gradients, strict=True):
            handles = {argument: variable.handle for argument, variable in state.items()}
            kernel.operation(**handles, **{kernel.gradient: gradient}, **arguments)

    return step
