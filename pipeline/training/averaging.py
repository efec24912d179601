"""A moving average of a network's weights, which stands in their place whenever no epoch runs.

As `use_ema` of Keras's optimizers with its callback `SwapEMAWeights`, but that all happens in the
graph of the epoch: what is measured, kept and handed over after it is the average.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf


class MovingAverage:
    """The average over the steps, and the weights that are trained on.

    Args:
        variables: that are trained.
        momentum: share of the average that a step keeps.

    Attributes:
        trained: the weights that are trained on, while the average stands in their place.
    """

    def __init__(self, variables: Sequence[keras.Variable], momentum: float) -> None:
        self._variables = [variable.value for variable in variables]
        self.trained = [tf.Variable(each, trainable=False) for each in self._variables]
        self._averages = [tf.Variable(each, trainable=False) for each in self._variables]
        self._momentum = momentum

    def put_trained(self) -> None:
        """Puts the weights in their place, which the average has kept: an epoch begins."""
        for variable, trained, average in zip(
            self._variables, self.trained, self._averages, strict=True
        ):
            average.assign(variable)
            variable.assign(trained)

    def add_step(self, step: tf.Tensor) -> None:
        """Adds the weights after a step, counted from 0; the first alone makes the average."""
        share = tf.where(step == 0, 1.0, 1 - self._momentum)
        for variable, average in zip(self._variables, self._averages, strict=True):
            average.assign_sub(share * (average - variable))

    def put_average(self) -> None:
        """Puts the average in the place of the weights: an epoch has ended."""
        for variable, trained, average in zip(
            self._variables, self.trained, self._averages, strict=True
        ):
            trained.assign(variable)
            variable.assign(average)
