"""How large the layers of a network are, and what the first one sees of an encoded row.

That is bins, one-hot codes and embeddings: `training.encoding` makes these layers.
"""

import math
from collections.abc import Sequence

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.features import FIRST_CODE, MISSING_CODE, OTHER_CODE, Category, Features, Number


def layer_parameters(
    hyperparameters: Hyperparameters,
    input_shape: tuple[int, ...],
    n_outputs: int,
    features: Features | None = None,
) -> list[int]:
    """Counts the trainable weights of each layer, the output layer last.

    Embeddings count with the first layer, whose input they are.

    Args:
        hyperparameters: of the network.
        input_shape: of one example, such as height and width of a grey image.
        n_outputs: of the output layer: one, or one for each of more than two classes.
        features: of a table; None of pictures, and of examples of more dimensions than one.
    """
    n_inputs, n_embeddings, counts = math.prod(input_shape), 0, []
    if features and len(input_shape) == 1:
        n_inputs, n_embeddings = count_inputs(
            features,
            hyperparameters.numeric_encoding,
            hyperparameters.numeric_bins,
            hyperparameters.embedding_size,
        )
    if hyperparameters.layer_kind == "convolutional":
        height, width, channels = (*input_shape, 1)[:3]
        for filters in hyperparameters.units:
            counts.append((9 * channels + 1) * filters)  # 3 by 3, and a bias
            height, width, channels = -(-height // 2), -(-width // 2), filters  # pooled by 2
        n_inputs = height * width * channels
    else:
        for units in hyperparameters.units:
            counts.append((n_inputs + 1) * units)
            n_inputs = units
    counts.append((n_inputs + 1) * n_outputs)
    counts[0] += n_embeddings
    return counts


def chosen_knots(number: Number, n_bins: int) -> tuple[float, ...]:
    """Chooses the edges of bins among a number's quantiles, evenly: fewer if it has not as many.

    Args:
        number: of which the knots are known.
        n_bins: at most.
    """
    last = len(number.knots) - 1
    n = min(n_bins, last)
    return tuple(number.knots[(2 * i * last + n) // (2 * n)] for i in range(n + 1))


def shown_codes(category: Category) -> tuple[int, ...]:
    """Lists the codes that have an input of their own in a one-hot encoding.

    A rare or unseen value has none: it is all zeros, and so never meets an untrained weight.
    """
    missing = (MISSING_CODE,) if category.may_miss else ()
    return (*missing, *range(FIRST_CODE, category.n_codes)) or (OTHER_CODE,)


def embedded(categories: Sequence[Category], size: int) -> tuple[int, ...]:
    """Lists which categories have an embedding: those with more codes than it has dimensions.

    For the others it could say no more than a one-hot encoding does, which they keep.

    Args:
        categories: of a table.
        size: dimensions of an embedding; 0 if there are none.
    """
    return tuple(i for i, each in enumerate(categories) if each.n_codes > size > 0)


def count_inputs(
    features: Features, numeric_encoding: str, n_bins: int, size: int
) -> tuple[int, int]:
    """Counts the inputs of the first layer, and the weights of all embeddings.

    Args:
        features: of a table.
        numeric_encoding: of its numbers.
        n_bins: of each number, at most.
        size: dimensions of an embedding; 0 if there are none.
    """
    with_embedding = embedded(features.categories, size)
    n, n_weights = len(features.numbers) + features.n_indicators, 0
    if numeric_encoding == "piecewise_linear":
        n += sum(len(chosen_knots(number, n_bins)) - 1 for number in features.numbers)
    for i, category in enumerate(features.categories):
        if i in with_embedding:
            n += size
            n_weights += category.n_codes * size
        else:
            n += len(shown_codes(category))
    return n, n_weights
