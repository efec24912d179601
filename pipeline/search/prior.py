"""What is known of networks before any is trained: a prior over those that are likely good.

Rules of thumb (most of them in Bengio 2012, arXiv:1206.5533), in the place of what somebody who
has trained many networks would try first. As in PriorBand (Mallik et al. 2023, arXiv:2306.12370)
only a part of all networks is drawn by it, so that a search finds, too, what contradicts it.
"""

import math
from collections.abc import Mapping

import numpy as np

from pipeline.search.neighbours import at_random
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.space import Space

N_DRAWS = 12  # at random, of which one is chosen
# Learning rates at a batch size of 64; of "sgd" by how far its momentum multiplies each step.
RATES: Mapping[str, float] = {
    "sgd": 0.1, "adagrad": 0.03, "rmsprop": 0.0005, "adam": 0.001, "nadam": 0.001, "adamw": 0.001
}  # fmt: skip
BATCH_SIZE, RATE_SPREAD = 64, 0.5  # of the logarithm to base 10 of a rate
# How much less likely each is than the most likely one, as a natural logarithm.
OPTIMIZERS: Mapping[str, float] = {"rmsprop": 0.3, "sgd": 0.5, "adagrad": 0.7}
ACTIVATIONS: Mapping[str, float] = {"relu": 0.0, "tanh": 0.5, "sigmoid": 1.5}
OTHER_ACTIVATION, NO_HIDDEN_LAYER, HALF_THE_UNITS = 0.2, 1.0, 0.5
DROPOUT, WEIGHT_DECAY = 0.25, 1e-3  # a dropout by which it falls to 1 / e; decay from which on


def draw_likely(searched: Space, widest: int, rng: np.random.Generator) -> Hyperparameters:
    """Draws a network by the prior, restricted to a space; `widest` as in `log_prior`."""
    drawn = [at_random(searched, rng) for _ in range(N_DRAWS)]
    scores = [log_prior(each, widest) + rng.gumbel() for each in drawn]
    return drawn[int(np.argmax(scores))]


def log_prior(given: Hyperparameters, widest: int) -> float:
    """Returns the logarithm of a network's prior density, up to a constant.

    Args:
        given: the network.
        widest: units of a layer that is as wide as any in the space.
    """
    rate = given.learning_rate
    if given.optimizer == "sgd":
        rate /= 1 - given.momentum
    usual = RATES[given.optimizer] * math.sqrt(given.batch_size / BATCH_SIZE)
    against = 0.5 * (math.log10(rate / usual) / RATE_SPREAD) ** 2
    against += OPTIMIZERS.get(given.optimizer, 0.0)
    against += given.dropout / DROPOUT
    against += math.log10(max(given.weight_decay / WEIGHT_DECAY, 1.0))
    if not given.hidden_layers:
        return -against - NO_HIDDEN_LAYER
    against += ACTIVATIONS.get(given.activation, OTHER_ACTIVATION)
    mean = sum(given.units) / given.hidden_layers
    return -against - HALF_THE_UNITS * max(math.log2(widest / mean), 0.0)
