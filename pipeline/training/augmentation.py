"""What is done to a batch before a network trains on it, in the graph of the epoch.

Random numbers are drawn without state: from the job's seed and the number of the step, so that the
same job sees the same pictures.
"""

from collections.abc import Callable

import tensorflow as tf

from pipeline.study.hyperparameters import Hyperparameters

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
_FLIP, _ROWS, _COLUMNS, _CUT_ROWS, _CUT_COLUMNS = range(5)  # what is drawn for each picture


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
        drawn = tf.unstack(tf.random.stateless_uniform((5, n, 1), seed))

        def draw(which: int, low: int, high: int) -> tf.Tensor:
            """Draws an integer for each picture, (n, 1), from `low` to `high`."""
            return low + tf.cast(drawn[which] * (high + 1 - low), tf.int32)

        rows, columns = tf.range(height)[tf.newaxis], tf.range(width)[tf.newaxis]
        from_rows, from_columns = rows, columns
        if given.random_flip:
            from_columns = tf.where(draw(_FLIP, 0, 1) == 1, width - 1 - columns, columns)
        if shift := given.random_shift:
            from_rows += draw(_ROWS, -shift, shift) + shift
            from_columns += draw(_COLUMNS, -shift, shift) + shift
            others = [[0, 0]] * (len(pictures.shape) - 3)
            pictures = tf.pad(pictures, [[0, 0], [shift] * 2, [shift] * 2, *others])
            pictures = tf.gather(pictures, from_rows, axis=1, batch_dims=1)
        if given.random_flip or given.random_shift:  # whole columns are gathered faster as rows
            pictures = tf.gather(_turned(pictures), from_columns, axis=1, batch_dims=1)
            pictures = _turned(pictures)
        if given.cutout:
            in_rows = _is_near(rows, draw(_CUT_ROWS, 0, height - 1), given.cutout)
            in_columns = _is_near(columns, draw(_CUT_COLUMNS, 0, width - 1), given.cutout)
            is_cut = in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis]
            is_cut = tf.reshape(is_cut, (n, height, width, *[1] * (len(pictures.shape) - 3)))
            pictures = tf.where(is_cut, tf.zeros((), pictures.dtype), pictures)
        return pictures

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
    seed = tf.random.experimental.stateless_fold_in(seed, 1)  # the other is that of `augment`
    first, second = tf.unstack(tf.random.stateless_gamma((2, n), seed, alpha))
    share = tf.math.divide_no_nan(first, first + second)
    own = tf.reshape(share, (n, *[1] * (len(examples.shape) - 1)))
    numbers = tf.cast(examples, tf.float32)
    mixed = own * numbers + (1 - own) * tf.roll(numbers, 1, axis=0)
    if examples.dtype.is_integer:
        mixed = tf.cast(tf.round(mixed), examples.dtype)
    return mixed, share


def _turned(pictures: tf.Tensor) -> tf.Tensor:
    """Makes columns of rows."""
    return tf.transpose(pictures, (0, 2, 1, *range(3, len(pictures.shape))))


def _is_near(places: tf.Tensor, centre: tf.Tensor, side: int) -> tf.Tensor:
    """Tells which places, (1, n), lie in a square of a side around each centre, (batch, 1)."""
    first = centre - side // 2
    return (places >= first) & (places < first + side)
