"""Writes a model in the formats of other runtimes, from a SavedModel of it."""

import functools
import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.wording import join_names

if TYPE_CHECKING:
    import keras

QUANTIZATIONS = ("int8 weights", "float16 weights")  # the smaller first


def write_saved_model(model: "keras.Model", path: Path, *, is_table: bool) -> None:
    """Writes a SavedModel: `serve` takes a tensor (n, ...), or of a table tensors by column."""
    import keras

    archive = keras.export.ExportArchive()
    archive.track(model)
    answer = functools.partial(model.__call__, training=False)
    archive.add_endpoint("serve", answer, [_specs(model, is_table)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.write_out(str(path), verbose=False)


def write_litert(saved_model: Path, path: Path, quantization: str = "") -> None:
    """Writes a LiteRT file, of operations that every LiteRT runtime has.

    Args:
        saved_model: that is converted.
        path: of the file.
        quantization: one of `QUANTIZATIONS`; "" for float32 as it is.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if quantization:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16 weights":
        converter.target_spec.supported_types = [tf.float16]
    path.write_bytes(converter.convert())


def write_onnx(model: "keras.Model", path: Path, *, is_table: bool) -> None:
    """Writes an ONNX file; its input is `inputs`, of a table there are `column_0` and so on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, that Keras looks for its old names
        _teach_erfc()
        specs = [_specs(model, is_table)]
        model.export(str(path), format="onnx", verbose=False, input_signature=specs)


@functools.cache
def _teach_erfc() -> None:
    """Has tf2onnx know the operation Erfc, of which Keras makes GELU."""
    import numpy as np
    from tf2onnx.handler import tf_op

    def handle(context: Any, node: Any, **_: Any) -> None:
        known = {"shapes": node.output_shapes, "dtypes": node.output_dtypes}
        (name,), outputs = node.input, node.output
        context.remove_node(node.name)
        erf = context.make_node("Erf", [name], **known)
        one = context.make_const(f"{node.name}/one", np.ones((), np.float32))
        context.make_node("Sub", [one.output[0], erf.output[0]], outputs=outputs, **known)

    tf_op("Erfc").register_compat_handler(handle, 9)  # from ONNX's version 9 on


def _specs(model: "keras.Model", is_table: bool) -> Any:
    """Describes what a model takes: a tensor, or those of a table by column."""
    import tensorflow as tf

    if not is_table:
        return tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, "inputs")
    named = model.input if isinstance(model.input, dict) else {x.name: x for x in model.inputs}
    return {
        name: tf.TensorSpec(each.shape, each.dtype, f"column_{i}")  # which is a name anywhere
        for i, (name, each) in enumerate(named.items())
    }


def refuse_unless_installed(*packages: str) -> None:
    """Refuses a format whose packages are not all there.

    Raises:
        PipelineError: the text names them.
    """
    missing = [each for each in packages if importlib.util.find_spec(each) is None]
    if missing:
        names = [each.replace("_", "-") for each in missing]
        raise PipelineError(f"not installed: {join_names(names)}")
