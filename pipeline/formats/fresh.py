"""Has a model answer in a fresh process, by the runtime alone that its users have."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, printable
from pipeline.formats import ask
from pipeline.formats.probes import Inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 200  # characters of what a library says


@dataclass(frozen=True)
class Asked:
    """What a fresh process has answered, and how long that took.

    Attributes:
        answers: (n, ...).
        runtime: packages that answered, with their versions.
        cold_start_seconds: from the process's start to its first answer.
        latency_seconds: of a call with one example, the median of many.
    """

    answers: "NDArray[np.floating]"
    runtime: str
    cold_start_seconds: float
    latency_seconds: float


def write_examples(inputs: Inputs, path: Path) -> None:
    """Writes examples for `ask_fresh`, as `ask` reads them."""
    import numpy as np

    arrays: dict[str, NDArray[Any]] = {}
    if isinstance(inputs, Mapping):
        arrays = {f"{ask.COLUMN}{i}": each for i, each in enumerate(inputs.values())}
        arrays[ask.NAMES] = np.array([*inputs], dtype=str)
    else:
        arrays[ask.INPUTS] = inputs
    texts = {key: each.astype(str) for key, each in arrays.items() if each.dtype == object}
    with path.open("wb") as file:
        np.savez(file, **(arrays | texts))  # type: ignore[arg-type]


def ask_fresh(name: str, model: Path, examples: Path) -> Asked:
    """Has a model in one format answer examples, in a process that cannot import this package.

    Args:
        name: of the format, one of `ask.RUNTIMES`.
        model: the file, or the folder of a SavedModel.
        examples: as `write_examples` wrote them.

    Raises:
        PipelineError: it could not; the text has the last line that the process said.
    """
    import numpy as np

    answers = examples.with_name("answers.npy")
    command = [sys.executable, "-I", ask.__file__, name, str(model), str(examples), str(answers)]
    done = subprocess.run(
        [*command, repr(time.monotonic())],
        cwd=examples.parent,
        env={**os.environ, "KERAS_HOME": os.devnull, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        *_, last = done.stderr.split("\n")[:-1] or [f"it ended with {done.returncode}"]
        raise PipelineError(shorten(last))
    return Asked(answers=np.load(answers), **json.loads(done.stdout.splitlines()[-1]))


def shorten(said: str) -> str:
    """Makes one line, not too long, of what a library says."""
    line = printable(" ".join(said.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} ..."
