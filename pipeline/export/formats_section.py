"""The section "Formats" of a model card: how they were tried, and what was left out."""

from collections.abc import Mapping

from pipeline.escaping import for_markdown
from pipeline.formats.numpy_script import SCRIPT_FILE
from pipeline.formats.parity import TOLERANCE, Format
from pipeline.formats.writing import LITERT_FILE, ONNX_FILE, SAVED_MODEL
from pipeline.task.task import Task
from pipeline.wording import inflect

_SAVED_MODEL = """\
import tensorflow as tf

saved_model = tf.saved_model.load("{file}")
{answers} = saved_model.serve({tensors}).numpy()
"""
_LITERT = """\
from ai_edge_litert.interpreter import Interpreter  # pip install ai-edge-litert

interpreter = Interpreter("{file}")
(given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()
interpreter.resize_tensor_input(given["index"], {examples}.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(given["index"], {examples}.astype("{dtype}"))
interpreter.invoke()
{answers} = interpreter.get_tensor(told["index"])
"""
_ONNX = """\
import onnxruntime  # pip install onnxruntime

session = onnxruntime.InferenceSession("{file}")
({answers},) = session.run(None, {arrays})
"""
_NUMPY = """\
import {module}  # the file beside this one, which needs NumPy alone

{answers} = {module}.answer({examples})
"""
_HOW = {
    "saved_model": (SAVED_MODEL, _SAVED_MODEL),
    "litert": (LITERT_FILE, _LITERT),
    "onnx": (ONNX_FILE, _ONNX),
    "numpy": (SCRIPT_FILE, _NUMPY),
}


def formats_section(task: Task, formats: Mapping[str, Format]) -> str:
    """Writes the section in Markdown, with its heading; "" if nothing is known of formats.

    Args:
        task: what the model has learned.
        formats: by `writing.write_formats`.
    """
    if not formats:
        return ""
    there = {name: each for name, each in formats.items() if not each.why_not}
    rows = "\n".join(_row(each) for each in there.values())
    n, examples = formats["keras"].n_examples or 0, inflect(task.example, 2)
    same, quantity = "the same class", "a probability"
    if task.is_regression:
        quantity = "an answer"
        same = f"the same number within {TOLERANCE:g} of itself or of the target's spread"
    left_out = "".join(
        f"- Without {' and '.join(f'`{file}`' for file in each.files)}: "
        f"{for_markdown(each.why_not)}.\n"
        for each in formats.values()
        if each.why_not
    )
    left_out += left_out and "\n"
    blocks = "\n".join(f"```python\n{_block(task, name)}```\n" for name in _HOW if name in there)
    return f"""## Formats

Each was loaded in a fresh process by its own runtime and asked about all {n:,} {examples} of the
test set: to every one it gave {same} as
`model.keras`.

| files | runtime | size | difference | one call | cold start |
|---|---|---|---|---|---|
{rows}

The difference is the largest of {quantity}. A call is with one {task.example}, the median of
many; a cold start is from the start of a process to its first answer. Both are of one machine.

{left_out}{blocks}
"""


def _row(known: Format) -> str:
    files = ", ".join(f"`{file}`" for file in known.files)
    note = f" ({known.note})" if known.note else ""
    assert known.n_bytes is not None
    assert known.latency_seconds is not None
    return (
        f"| {files}{note} | {known.runtime} | {_size(known.n_bytes)} "
        f"| {known.largest_difference:.1g} | {_two_digits(1000 * known.latency_seconds)} ms "
        f"| {_two_digits(known.cold_start_seconds or 0)} s |"
    )


def _two_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def _size(n_bytes: int) -> str:
    for unit, least in (("MB", 1_000_000), ("kB", 1000)):
        if n_bytes >= least:
            return f"{n_bytes / least:.3g} {unit}"
    return f"{n_bytes} bytes"


def _block(task: Task, name: str) -> str:
    """Writes the code that loads and asks a format; of tables with the card's own `columns`."""
    file, code = _HOW[name]
    is_table = bool(task.features and task.features.inputs)
    examples = f"{task.example}s"
    dtype = "float64" if task.features else "float32"
    tensors, arrays = (
        f"tf.constant({examples}, tf.{dtype})",
        f'{{"inputs": {examples}.astype("{dtype}")}}',
    )
    if is_table:
        tensors, arrays = (
            "columns",
            "{f'column_{i}': each.numpy() for i, each in enumerate(columns.values())}",
        )
    return code.format(
        file=file,
        module=file.removesuffix(".py"),
        answers="numbers" if task.is_regression else "probabilities",
        examples=examples,
        dtype=dtype,
        tensors=tensors,
        arrays=arrays,
    )
