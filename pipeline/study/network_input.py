"""What the first layer of a network sees of an encoded row: bins, one-hot codes, embeddings.

These are the sizes; `training.encoding` makes the layers.
"""

from collections.abc import Sequence

from pipeline.data.features import FIRST_CODE, MISSING_CODE, OTHER_CODE, Category, Features, Number


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


def n_inputs(features: Features, numeric_encoding: str, n_bins: int, size: int) -> tuple[int, int]:
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
