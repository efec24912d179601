"""The script that answers from a dense network's arrays with NumPy alone: written for a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import PipelineError
from pipeline.formats.dense import DenseNetwork, dense_networks
from pipeline.task.features import Features
from pipeline.task.task import Kind, Task

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

SCRIPT_FILE = "predict_numpy.py"
ARRAYS_FILE = "model.npz"
FILES = (SCRIPT_FILE, ARRAYS_FILE)
# As Keras defines them; tanh instead of exp, which overflows.
_FUNCTIONS = {
    "linear": "x",
    "relu": "np.maximum(x, 0)",
    "leaky_relu": "np.where(x > 0, x, np.float32(0.2) * x)",
    "sigmoid": "0.5 + 0.5 * np.tanh(0.5 * x)",
    "tanh": "np.tanh(x)",
    "elu": "np.where(x > 0, x, np.expm1(np.minimum(x, 0)))",
    "selu": "1.050700987 * np.where(x > 0, x, 1.673263242 * np.expm1(np.minimum(x, 0)))",
    "silu": "x * (0.5 + 0.5 * np.tanh(0.5 * x))",
    "gelu": "x * (0.5 + 0.5 * np.vectorize(math.erf, [np.float32])(x / math.sqrt(2)))",
    "softmax": "(e := np.exp(x - x.max(axis=1, keepdims=True))) / e.sum(axis=1, keepdims=True)",
}
_OF_IMAGES = '''\
def prepare(images):
    """Scales images, of 0 to 255 or divided by 255 already; what is no image becomes NaN."""
    x = np.asarray(images, np.float32).reshape(len(images), -1)
    has_fractions = (x != np.floor(x)).any(axis=1, keepdims=True)
    is_divided = has_fractions & (x.max(axis=1, keepdims=True) <= 1)
    is_image = ((x >= 0) & (x <= 255)).all(axis=1, keepdims=True)
    x = np.where(is_divided, x * 255, x) * np.float32(1 / 255)
    return np.where(is_image, x, np.float32("nan"))
'''
_OF_NUMBERS = '''\
def prepare(numbers):
    """Standardises numbers; one that is missing, NaN, counts as the median of the training."""
    x = np.asarray(numbers, np.float64)
    is_missing = ~np.isfinite(x)
    x = (np.where(is_missing, ARRAYS["median"], x) - ARRAYS["mean"]) / ARRAYS["scale"]
    return {}.astype(np.float32)
'''
_OF_ROWS = 'np.hstack([x, is_missing[:, ARRAYS["may_miss"]]])'
_OF_OTHERS = "x.reshape(len(x), -1)"
_SCRIPT = '''\
"""Answers {examples} by {arrays} beside this file, with NumPy alone.

    python {script} {examples}.npy  # an array ({shape}){of_pixels}
"""

{imports}import sys
from pathlib import Path

import numpy as np

CLASSES = {classes}
NETWORKS = {networks}  # of each: layers, what lies between them, share of the answer
FUNCTIONS = {{
{functions}
}}
with np.load(Path(__file__).with_name("{arrays}")) as file:
    ARRAYS = dict(file)


{prepare}

def answer({examples}):
    """Answers {examples} ({shape}): {gives}."""
    given, answers = prepare({examples}), 0
    for network, (n_layers, function, share) in enumerate(NETWORKS):
        x = given
        for layer in range(n_layers):
            x = x @ ARRAYS[f"{{network}}/{{layer}}/kernel"] + ARRAYS[f"{{network}}/{{layer}}/bias"]
            x = FUNCTIONS[function if layer < n_layers - 1 else "{output}"](x)
        answers = answers + {share}
    return answers


if __name__ == "__main__":
    for row in answer(np.load(sys.argv[1])):
        print({printed})
'''


def write_numpy(model: "keras.Model", task: Task, folder: Path) -> None:
    """Takes a model apart into arrays, and writes them and the script that answers from them.

    Args:
        model: takes raw pixels, or numbers in an array.
        task: what it has learned.
        folder: gets `FILES`.

    Raises:
        PipelineError: it is no dense network on plain arrays; the text says why.
    """
    if task.features and task.n_folds > 1:
        raise PipelineError("the network of each fold standardises numbers in its own way")
    networks = [*dense_networks(model)]
    arrays = {
        f"{i}/{j}/{name}": values
        for i, network in enumerate(networks)
        for name, all_values in (("kernel", network.kernels), ("bias", network.biases))
        for j, values in enumerate(all_values)
    }
    if task.features:
        arrays |= _of_numbers(task.features)
    np.savez(folder / ARRAYS_FILE, **arrays)  # type: ignore[arg-type]
    (folder / SCRIPT_FILE).write_text(_script(task, networks), encoding="utf-8")


def _of_numbers(features: Features) -> "dict[str, NDArray[Any]]":
    found: dict[str, NDArray[Any]] = {
        name: np.array([getattr(each, name) for each in features.numbers], np.float64)
        for name in ("median", "mean", "scale")
    }
    found["may_miss"] = np.flatnonzero([each.may_miss for each in features.numbers])
    return found


def _script(task: Task, networks: Sequence[DenseNetwork]) -> str:
    used = {name for network in networks for name in network.functions}
    shape, prepare = task.input_shape, _OF_IMAGES
    if task.features:
        prepare = _OF_NUMBERS.format(_OF_ROWS if task.is_table else _OF_OTHERS)
        shape = (len(task.features.numbers),) if task.is_table else shape
    share, printed, gives = "share * x", 'f"{row[0]:.7g}"', "numbers, (n, 1)"
    if task.is_regression:
        share = f"x.astype(np.float64) * {task.target.scale!r} + {task.target.mean!r}"
        share = f"share * {'np.exp' * (task.target.transform == 'log')}({share})"
    elif task.kind is Kind.BINARY:
        printed, gives = 'f"{row[0]:.4f}", CLASSES[1]', "the second class's probability, (n, 1)"
    else:
        printed = 'f"{row.max():.4f}", CLASSES[row.argmax()]'
        gives = f"probabilities, (n, {task.n_outputs})"
    return _SCRIPT.format(
        examples=f"{task.example}s",
        arrays=ARRAYS_FILE,
        script=SCRIPT_FILE,
        shape=", ".join(["n", *map(str, shape)]),
        of_pixels="" if task.features else ", 0 to 255",
        imports="import math\n" * ("gelu" in used),
        classes=repr(task.class_names),
        networks=repr([(len(each.kernels), each.functions[0], each.share) for each in networks]),
        functions="\n".join(
            f'    "{name}": lambda x: {_FUNCTIONS[name]},' for name in sorted(used)
        ),
        prepare=prepare,
        output=networks[0].functions[-1],
        share=share,
        gives=gives,
        printed=printed,
    )
