from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.rules import RULES
from pipeline.training.fused_optimizers import fused_update
from pipeline.training.model import build_optimizer

Arrays = list[NDArray[np.float32]]
Build = Callable[[], keras.Optimizer]

SHAPES = ((7, 5), (5,))
N_STEPS = 20

PLAIN = Hyperparameters(
    hidden_layers=0, units=(), optimizer="sgd", learning_rate=0.01, batch_size=32, epochs=1
)
SEARCHED = {
    **{name: replace(PLAIN, optimizer=name) for name in RULES["optimizer"].choices},
    "sgd momentum": replace(PLAIN, momentum=0.9),
    "sgd nesterov": replace(PLAIN, momentum=0.9, nesterov=True),
    "sgd decay": replace(PLAIN, weight_decay=0.3),
    "adam decay": replace(PLAIN, optimizer="adam", weight_decay=0.3),
    "adamw decay": replace(PLAIN, optimizer="adamw", weight_decay=0.3),
}
KERNELS = {
    "sgd": "ResourceApplyGradientDescent",
    "sgd momentum": "ResourceApplyKerasMomentum",
    "sgd nesterov": "ResourceApplyKerasMomentum",
    "adagrad": "ResourceApplyAdagradV2",
    "rmsprop": "ResourceApplyRMSProp",
    "adam": "ResourceApplyAdam",
    "adamw": "ResourceApplyAdam",
    "sgd decay": "ResourceApplyGradientDescent",
    "adam decay": "ResourceApplyAdam",
    "adamw decay": "ResourceApplyAdam",
}
optimizers = keras.optimizers
WITHOUT_KERNEL: dict[str, Build] = {
    "clipnorm": lambda: optimizers.Adam(0.01, clipnorm=0.5),
    "clipvalue": lambda: optimizers.SGD(0.01, clipvalue=0.5),
    "global_clipnorm": lambda: optimizers.RMSprop(0.01, global_clipnorm=0.5),
    "ema": lambda: optimizers.SGD(0.01, use_ema=True, ema_overwrite_frequency=7),
    "gradient_accumulation": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=4),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "centered": lambda: optimizers.RMSprop(0.01, centered=True),
    "rmsprop momentum": lambda: optimizers.RMSprop(0.01, momentum=0.9),
    "another optimizer": lambda: optimizers.Adamax(0.01),
}


def test_an_optimizer_that_keeps_other_state_takes_keras_s_own_way() -> None:
    """As one of another Keras might; nothing may fail, or be left where it was."""
    optimizer = optimizers.Adam(0.01)
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer.build([variable])
    moments = optimizer._momentums
    del optimizer._momentums
    with pytest.MonkeyPatch.context() as patch:
        applied: list[object] = []
        patch.setattr(optimizer, "apply", lambda *given: applied.append(given))
        fused_update(optimizer, [variable])([tf.ones(3)])
    assert len(applied) == 1
    assert moments


def searched(name: str) -> Build:
    return lambda: build_optimizer(SEARCHED[name])


def gradients(scale: float = 1.0) -> list[Arrays]:
    """For each step one array for each variable."""
    rng = np.random.default_rng(0)
    return [
        [(scale * rng.normal(size=shape)).astype(np.float32) for shape in SHAPES]
        for _ in range(N_STEPS)
    ]


def start(constraint: keras.constraints.Constraint | None = None) -> list[keras.Variable]:
    rng = np.random.default_rng(1)
    variables = [keras.Variable(rng.normal(size=shape), dtype="float32") for shape in SHAPES]
    for variable in variables:
        variable.constraint = constraint
    return variables


def run(
    optimizer: keras.Optimizer,
    update: Callable[[list[tf.Tensor]], None],
    steps: list[Arrays],
    learning_rates: dict[int, float],
) -> None:
    step = tf.function(update, autograph=False)
    for i, arrays in enumerate(steps):
        if i in learning_rates:
            optimizer.learning_rate = learning_rates[i]
        step([tf.constant(array) for array in arrays])


def assert_like_keras(
    build: Build,
    steps: list[Arrays],
    learning_rates: dict[int, float] | None = None,
    constraint: keras.constraints.Constraint | None = None,
) -> None:
    """Variables and the optimizer's state are the same whoever made the steps."""
    stock, fused = build(), build()
    stock_variables, fused_variables = start(constraint), start(constraint)
    stock.build(stock_variables)
    update = fused_update(fused, fused_variables)
    run(stock, lambda each: stock.apply(each, stock_variables), steps, learning_rates or {})
    run(fused, update, steps, learning_rates or {})
    for expected, found in zip(
        [*stock_variables, *stock.variables], [*fused_variables, *fused.variables], strict=True
    ):
        assert_same(found, expected)


def assert_same(found: keras.Variable, expected: keras.Variable) -> None:
    """Up to 2e-5 of the largest: Adam's 1 - 0.999 is 1.3e-5 less in float32 than in Keras."""
    largest = np.abs(expected.numpy()).max()
    np.testing.assert_allclose(
        found.numpy(), expected.numpy(), rtol=2e-5, atol=2e-5 * largest, err_msg=expected.path
    )


def kernels(build: Build) -> set[str]:
    """Kernels that update a variable as a whole, in the graph of a step."""
    variables = start()
    step = tf.function(fused_update(build(), variables), autograph=False)
    graph = step.get_concrete_function([tf.constant(array) for array in gradients()[0]]).graph
    return {
        operation.type
        for operation in graph.get_operations()
        if operation.type.startswith("ResourceApply")
    }


# Where gradients are tiny it matters on which side of a root epsilon is added.
@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("name", SEARCHED)
def test_steps_are_those_of_keras(name: str, scale: float) -> None:
    assert_like_keras(searched(name), gradients(scale))


@pytest.mark.parametrize("name", SEARCHED)
def test_a_changed_learning_rate_takes_effect(name: str) -> None:
    assert_like_keras(searched(name), gradients(), learning_rates={5: 0.1, 12: 0.001})


@pytest.mark.parametrize("name", SEARCHED)
def test_a_learning_rate_of_zero_stands_still(name: str) -> None:
    optimizer, variables = build_optimizer(SEARCHED[name]), start()
    before = [variable.numpy() for variable in variables]
    run(optimizer, fused_update(optimizer, variables), gradients(), {0: 0.0})
    for old, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


@pytest.mark.parametrize("name", SEARCHED)
def test_one_kernel_does_it_where_there_is_one(name: str) -> None:
    assert kernels(searched(name)) == ({KERNELS[name]} if name in KERNELS else set())


@pytest.mark.parametrize("option", WITHOUT_KERNEL)
def test_what_no_kernel_does_goes_the_way_of_keras(option: str) -> None:
    assert kernels(WITHOUT_KERNEL[option]) == set()
    assert_like_keras(WITHOUT_KERNEL[option], gradients())


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_constraints_hold(name: str) -> None:
    assert_like_keras(searched(name), gradients(), constraint=keras.constraints.NonNeg())


@pytest.mark.parametrize("kind", [optimizers.SGD, optimizers.Adam])
def test_a_learning_rate_schedule_is_followed(kind: type[keras.Optimizer]) -> None:
    def build() -> keras.Optimizer:
        return kind(optimizers.schedules.ExponentialDecay(0.1, decay_steps=5, decay_rate=0.5))

    assert_like_keras(build, gradients())


def test_an_optimizer_with_a_history_goes_on_from_it() -> None:
    """Half of the steps by Keras, half by the kernels: the state is the same thing."""
    whole, mixed = (build_optimizer(SEARCHED["adam"]) for _ in range(2))
    whole_variables, mixed_variables = start(), start()
    steps, half = gradients(), N_STEPS // 2
    run(whole, fused_update(whole, whole_variables), steps, {})
    mixed.build(mixed_variables)
    run(mixed, lambda each: mixed.apply(each, mixed_variables), steps[:half], {})
    run(mixed, fused_update(mixed, mixed_variables), steps[half:], {})
    for expected, found in zip(whole_variables, mixed_variables, strict=True):
        assert_same(found, expected)
