"""What a model that is handed over does with pixels: of any dtype, and on whatever scale.

A network of a search takes uint8 alone, to which Keras would cast anything else: an image divided
by 255, as many a book does, would become black without a word.
"""

import math
from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

RANGE = "raw pixels, 0 to 255, of any dtype"
CARE = (
    "An image divided by 255 is noticed (fractions, none above 1) and gives the same answer; an\n"
    "image with a pixel below 0, above 255 or NaN gives NaN, for nothing can be said of it."
)


def accept_any_scale(model: "keras.Model") -> "keras.Model":
    """Puts a network behind a look at each image: made of Keras's own operations alone.

    So whoever loads the model needs nothing of this package, nor to trust code in it. Each image
    is looked at by itself: its answer does not depend on the others of its batch. Images of
    integers, whatever the dtype, get the very answers of the network.

    Args:
        model: takes uint8 (batch, *shape), 0 to 255; one that takes anything else is returned.

    Returns:
        A compiled model with the same layers: float32 (batch, *shape) in, to which Keras casts
        other dtypes.
    """
    import keras

    if model.inputs[0].dtype != "uint8":
        return model
    shape, taken = model.input_shape[1:], {layer.name for layer in model.layers}
    images = keras.Input(shape, dtype="float32", name=free_name("images", taken))
    # models of their own, for an operation has a name that no layer beside it may have
    pixels, is_image = _look(shape, free_name("pixels", taken))(images)
    answer = pixels
    for layer in model.layers:
        answer = layer(answer)
    tell = _answer_of_images(model.output_shape[1:], free_name("answer", taken))
    accepting = keras.Model(images, tell([answer, is_image]), name=model.name)
    accepting.compile_from_config(model.get_compile_config())
    return accepting


def _look(shape: tuple[int, ...], name: str) -> "keras.Model":
    """Builds what gives pixels of 0 to 255, and whether that is an image, (batch, 1)."""
    import keras
    from keras import ops

    images = keras.Input(shape, dtype="float32")
    pixels = ops.reshape(images, (-1, math.prod(shape)))
    highest = ops.max(pixels, axis=1, keepdims=True)
    has_fractions = ops.any(ops.not_equal(pixels, ops.floor(pixels)), axis=1, keepdims=True)
    is_divided = ops.logical_and(has_fractions, ops.less_equal(highest, 1.0))
    one_for_each = ops.reshape(is_divided, (-1, *(1 for _ in shape)))
    is_inside = ops.logical_and(  # each of them: no order is asked of a pixel that is NaN
        ops.greater_equal(pixels, 0.0), ops.less_equal(pixels, 255.0)
    )
    scaled = ops.where(one_for_each, images * 255.0, images)
    is_image = ops.all(is_inside, axis=1, keepdims=True)
    return keras.Model(images, [scaled, is_image], name=name)


def _answer_of_images(shape: tuple[int, ...], name: str) -> "keras.Model":
    """Builds what gives NaN instead of an answer to what is no image."""
    import keras
    from keras import ops

    answer, is_image = keras.Input(shape), keras.Input((1,), dtype="bool")
    told = ops.where(is_image, answer, float("nan"))
    return keras.Model([answer, is_image], told, name=name)


def free_name(name: str, taken: Container[str]) -> str:
    """Finds a name that no layer beside it has: this one, with as many `_` as it takes."""
    while name in taken:
        name += "_"
    return name
