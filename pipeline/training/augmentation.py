"""What is done to a batch before a network trains on it, in the graph of the epoch.

Random numbers are drawn without state: from the job's seed and the number of the step, so that the
same job sees the same pictures.
"""

from collections.abc import Callable

import tensorflow as tf

from pipeline.study.hyperparameters import Hyperparameters

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def seed_of_step(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Makes the seed of all that is drawn in a step, int32 (2,), from that of the job."""
    return tf.stack([tf.constant(seed % 2**31, tf.int32), tf.cast(step, tf.int32)])


def gatherable(values: tf.Tensor) -> tf.Tensor:
    """Gives pixels a dtype of which a GPU can gather: it has no such operation for bytes."""
    if values.dtype == tf.uint8 and tf.config.list_logical_devices("GPU"):
        return tf.cast(values, tf.float16)  # which has all numbers of a byte
    return values


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
        others = [1] * (len(pictures.shape) - 3)  # channels, if there are any
        shift = given.random_shift
        low = tf.reshape((0, -shift, -shift, 0, 0), (5, 1, 1))
        high = tf.reshape((1, shift, shift, height - 1, width - 1), (5, 1, 1))
        drawn = tf.random.stateless_uniform((5, n, 1), seed) * tf.cast(high + 1 - low, tf.float32)
        flip, up, left, cut_row, cut_column = tf.unstack(low + tf.cast(drawn, tf.int32))

        rows, columns = tf.range(height)[tf.newaxis], tf.range(width)[tf.newaxis]
        from_columns = columns
        if given.random_flip:
            from_columns = tf.where(flip == 1, width - 1 - columns, columns)
        if shift:
            margin = [shift, shift]
            pictures = tf.pad(pictures, [[0, 0], margin, margin, *[[0, 0] for _ in others]])
            pictures = _gather(pictures, rows + up + shift)
            from_columns += left + shift
        if given.random_flip or shift:  # whole columns are gathered faster as rows
            pictures = _turned(_gather(_turned(pictures), from_columns))
        if given.cutout:
            in_rows = _is_near(rows, cut_row, given.cutout)
            in_columns = _is_near(columns, cut_column, given.cutout)
            is_kept = ~(in_rows[:, :, tf.newaxis] & in_columns[:, tf.newaxis])
            is_kept = tf.reshape(is_kept, (n, height, width, *others))
            pictures *= tf.cast(is_kept, pictures.dtype)  # faster than tf.where
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


def _gather(pictures: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Gathers rows of each picture, (batch, n)."""
    found = tf.gather(gatherable(pictures), rows, axis=1, batch_dims=1)
    return tf.cast(found, pictures.dtype)


def _turned(pictures: tf.Tensor) -> tf.Tensor:
    """Makes columns of rows."""
    return tf.transpose(pictures, (0, 2, 1, *range(3, len(pictures.shape))))


def _is_near(places: tf.Tensor, centre: tf.Tensor, side: int) -> tf.Tensor:
    """Tells which places, (1, n), lie in a square of a side around each centre, (batch, 1)."""
    first = centre - side // 2
    return (places >= first) & (places < first + side)
