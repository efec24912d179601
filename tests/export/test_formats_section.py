"""What a model card says of formats; that its code runs is tested with real exports elsewhere."""

from dataclasses import replace

import pytest

from pipeline.data import fashion_mnist
from pipeline.export.formats_section import formats_section
from pipeline.formats.parity import Format
from pipeline.task.task import Kind, Target, Task

TASK = fashion_mnist.SOURCE.task
KERAS = Format(
    files=("model.keras",), runtime="keras 3.15.1", n_bytes=1_234_567, latency_seconds=0.1234,
    cold_start_seconds=5.04, n_examples=10_000, n_different=0, largest_difference=0.0,
)  # fmt: skip
LITERT = replace(
    KERAS, files=("model_quantized.tflite",), note="int8 weights", runtime="ai-edge-litert 2.3.0",
    n_bytes=4321, latency_seconds=1.06e-5, largest_difference=1.34e-6,
)  # fmt: skip
ONNX = Format(("model.onnx",), why_not="not installed: onnx <b> | *")
NUMPY = Format(("predict_numpy.py", "model.npz"), why_not="why")


def test_what_is_there_is_measured_and_what_is_not_is_explained() -> None:
    formats = {"keras": KERAS, "litert_quantized": LITERT, "onnx": ONNX, "numpy": NUMPY}
    text = formats_section(TASK, formats)
    assert "| `model.keras` | keras 3.15.1 | 1.23 MB | 0 | 123 ms | 5 s |\n" in text
    row = "| `model_quantized.tflite` (int8 weights) | ai-edge-litert 2.3.0 | 4.32 kB | 1e-06 "
    assert f"{row}| 0.011 ms | 5 s |\n" in text
    assert (
        "asked about all 10,000 images of the\ntest set: to every one it gave the same class"
        in text
    )
    assert "- Without `model.onnx`: not installed: onnx \\<b\\> | \\*.\n" in text
    assert "- Without `predict_numpy.py` and `model.npz`: why.\n" in text
    assert "onnxruntime" not in text


def test_of_numbers_the_tolerance_is_told() -> None:
    task = Task(Kind.REGRESSION, (3,), loss="squared", target=Target("y"), example="row")
    text = formats_section(task, {"keras": KERAS})
    assert "the same number within 0.0001 of itself or of the target's spread" in text
    assert "the largest of an answer" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [("saved_model", "saved_model.serve"), ("litert", 'Interpreter("model.tflite")'),
     ("onnx", 'InferenceSession("model.onnx")'), ("numpy", "predict_numpy.answer(images)")],
)  # fmt: skip
def test_each_format_has_its_code(name: str, words: str) -> None:
    assert words in formats_section(TASK, {"keras": KERAS, name: KERAS})
    assert words not in formats_section(TASK, {"keras": KERAS, name: ONNX})


def test_nothing_is_said_of_formats_of_which_nothing_is_known() -> None:
    assert formats_section(TASK, {}) == ""
