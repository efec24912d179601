"""Asks a model in one format, with nothing but the runtime that its users have.

    python -I ask.py FORMAT FILE EXAMPLES ANSWERS STARTED

A process of its own runs this file by its path, and so without this package. EXAMPLES is an
`.npz` of inputs, (n, ...), or of columns, (n, 1), with their names.
The answers go to ANSWERS, a `.npy`; what was measured is printed as JSON. STARTED is
`time.monotonic()`, which is the same clock in every process, when this one was started.
"""

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

AT_ONCE = 1000  # examples
INPUTS, COLUMN, NAMES = "inputs", "column_", "names"  # in the file of examples
# What Keras imports wherever it is installed, and no model needs.
NOT_OF_A_RUNTIME = ("matplotlib", "pandas", "sklearn")
N_WARM, N_TIMED = 3, 100  # calls with one example
MOST_SECONDS = 2.0  # of those that are timed; there are at least as many as are not

Answer = Callable[[Any], Any]  # inputs of n examples in, their answers (n, ...) out


def open_keras(path: Path) -> Answer:
    """Loads a `.keras` file; Keras's safe mode refuses code in it."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(path, safe_mode=True)
    return lambda inputs: model(tf.nest.map_structure(tf.constant, inputs), training=False).numpy()


def open_saved_model(path: Path) -> Answer:
    """Loads a SavedModel, by TensorFlow alone."""
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda inputs: model.serve(tf.nest.map_structure(tf.constant, inputs)).numpy()


def open_litert(path: Path) -> Answer:
    """Loads a `.tflite` file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape: Any = None

    def answer(inputs: Any) -> Any:
        nonlocal shape
        if inputs.shape != shape:
            shape = inputs.shape
            interpreter.resize_tensor_input(given["index"], shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], inputs)
        interpreter.invoke()
        return interpreter.get_tensor(told["index"])

    return answer


def open_onnx(path: Path) -> Answer:
    """Loads an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answer(inputs: Any) -> Any:
        given = {"inputs": inputs}
        if isinstance(inputs, dict):
            given = {f"column_{i}": values for i, values in enumerate(inputs.values())}
        return session.run(None, given)[0]

    return answer


def open_numpy(path: Path) -> Answer:
    """Imports the script that answers from a `.npz` file with NumPy alone."""
    sys.path.insert(0, str(path.parent))
    answer: Answer = importlib.import_module("predict_numpy").answer
    return answer


# How a file is loaded, and by which packages.
RUNTIMES: dict[str, tuple[Callable[[Path], Answer], tuple[str, ...]]] = {
    "keras": (open_keras, ("keras", "tensorflow")),
    "saved_model": (open_saved_model, ("tensorflow",)),
    "litert": (open_litert, ("ai-edge-litert",)),
    "onnx": (open_onnx, ("onnxruntime",)),
    "numpy": (open_numpy, ("numpy",)),
}


def main() -> None:
    """Loads the model and answers all examples."""
    name, path, examples, answers, started = sys.argv[1:]
    opened, packages = RUNTIMES[name]
    sys.modules.update(dict.fromkeys(NOT_OF_A_RUNTIME))  # type: ignore[arg-type]  # None: not found
    answer = opened(Path(path))
    before = time.monotonic()
    everything = _read(Path(examples))
    one = next(_blocks(everything, 1))
    reading = time.monotonic() - before
    answer(one)
    cold_start_seconds = time.monotonic() - float(started) - reading
    for _ in range(N_WARM):
        answer(one)
    latency_seconds = statistics.median(_durations(answer, one))

    import numpy as np

    np.save(answers, np.concatenate([answer(block) for block in _blocks(everything)]))
    found = {
        "runtime": ", ".join(f"{each} {version(each)}" for each in packages),
        "cold_start_seconds": cold_start_seconds,
        "latency_seconds": latency_seconds,
    }
    print(json.dumps(found))


def _durations(answer: Answer, one: Any) -> Iterator[float]:
    start = time.perf_counter()
    for i in range(N_TIMED):
        before = time.perf_counter()
        if i >= N_WARM and before - start > MOST_SECONDS:
            return
        answer(one)
        yield time.perf_counter() - before


def _read(path: Path) -> Any:
    """Reads inputs, (n, ...), or columns, (n, 1), by name."""
    import numpy as np

    with np.load(path) as file:
        found = {key: file[key] for key in file.files}
    if INPUTS in found:
        return found[INPUTS]
    return {str(name): found[f"{COLUMN}{i}"] for i, name in enumerate(found[NAMES])}


def _blocks(inputs: Any, size: int = AT_ONCE) -> Iterator[Any]:
    """Cuts inputs into blocks of so many examples."""
    is_table = isinstance(inputs, dict)
    n = len(next(iter(inputs.values())) if is_table else inputs)
    for start in range(0, n, size):
        block = slice(start, start + size)
        yield {name: each[block] for name, each in inputs.items()} if is_table else inputs[block]


if __name__ == "__main__":
    main()
