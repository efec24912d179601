"""What is done to a batch before a network trains on it, in the graph of the epoch.

Random numbers are drawn without state: from the job's seed and the number of the step, so that the
same job sees the same pictures.
"""

from collections.abc import Callable

import tensorflow as tf

from pipeline.study.hyperparameters import Hyperparameters

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
_FLIP, _ROWS, _COLUMNS, _CUT_ROWS, _CUT_COLUMNS, _FIRST, _SECOND = range(7)


def seed_of_step(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Makes the seed of all that is drawn in a step, int32 (2,), from that of the job."""
    return tf.stack([tf.constant(seed % 2**31, tf.int32), tf.cast(step, tf.int32)])


def augmentation(given: Hyperparameters) -> Augment | None:
    """Builds what moves, mirrors and cuts pictures at random; None if nothing is asked for.

    It takes pictures, (batch, height, width) or (batch, height, width, channels), and a seed, and
    returns pictures of the same shape and dtype. What is moved in or cut out is 0.
    """
    if not (given.random_shift or given.random_flip or given.cutout):
        return None

    def augment(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        n = tf.shape(pictures)[0]
        height, width = pictures.shape[1:3]
        margin = max(given.random_shift, 1)  # of zeros; what is cut out looks there, too
        whole = height + 2 * margin, width + 2 * margin

        def draw(which: int, low: int, high: int) -> tf.Tensor:
            """Draws an integer for each picture, (n, 1), from `low` to `high`."""
            return tf.random.stateless_uniform(
                (n, 1), _folded(seed, which), low, high + 1, tf.int32
            )

        rows, columns = tf.range(height)[tf.newaxis], tf.range(width)[tf.newaxis]
        from_rows, from_columns = rows, columns
        if given.random_flip:
            from_columns = tf.where(draw(_FLIP, 0, 1) == 1, width - 1 - columns, columns)
        if given.random_shift:
            from_rows += draw(_ROWS, -given.random_shift, given.random_shift)
            from_columns += draw(_COLUMNS, -given.random_shift, given.random_shift)
        places = ((from_rows + margin) * whole[1])[:, :, tf.newaxis] + (from_columns + margin)[
            :, tf.newaxis
        ]
        if given.cutout:
            in_rows = _is_near(rows, draw(_CUT_ROWS, 0, height - 1), given.cutout)
            in_columns = _is_near(columns, draw(_CUT_COLUMNS, 0, width - 1), given.cutout)
            is_cut = in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis]
            places = tf.where(is_cut, 0, places)
        edges = [[0, 0], [margin] * 2, [margin] * 2, *[[0, 0]] * (len(pictures.shape) - 3)]
        flat = tf.reshape(tf.pad(pictures, edges), (n, whole[0] * whole[1], *pictures.shape[3:]))
        places = tf.broadcast_to(places, (n, height, width))
        moved = tf.gather(flat, tf.reshape(places, (n, height * width)), axis=1, batch_dims=1)
        return tf.reshape(moved, (n, *pictures.shape[1:]))

    return augment


def mix(examples: tf.Tensor, alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Mixes each example with the one before it in the batch.

    Args:
        examples: (batch, ...); whole numbers, as pixels, are rounded.
        alpha: of the Beta distribution, from which each example's own share is drawn.
        seed: of the step.

    Returns:
        The mixed examples, of the same shape and dtype, and the share of each example in its own
        mixture, float32 (batch,); the rest is that of `tf.roll(examples, 1, axis=0)`.
    """
    n = tf.shape(examples)[0]
    first, second = (
        tf.random.stateless_gamma((n,), _folded(seed, which), alpha) for which in (_FIRST, _SECOND)
    )
    share = tf.math.divide_no_nan(first, first + second)
    own = tf.reshape(share, (n, *[1] * (len(examples.shape) - 1)))
    numbers = tf.cast(examples, tf.float32)
    mixed = own * numbers + (1 - own) * tf.roll(numbers, 1, axis=0)
    if examples.dtype.is_integer:
        mixed = tf.cast(tf.round(mixed), examples.dtype)
    return mixed, share


def _folded(seed: tf.Tensor, which: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, which)


def _is_near(places: tf.Tensor, centre: tf.Tensor, side: int) -> tf.Tensor:
    """Tells which places, (1, n), lie in a square of a side around each centre, (batch, 1)."""
    first = centre - side // 2
    return (places >= first) & (places < first + side)
