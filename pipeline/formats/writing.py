"""A model in every format: written, reloaded by its own runtime, and kept if it answers alike.

What is right is `model.keras`, reloaded in a fresh process as well. Of the test set this gets the
inputs alone.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError, first_line
from pipeline.formats import convert, numpy_script
from pipeline.formats.fresh import ask_fresh, shorten, write_examples
from pipeline.formats.parity import Expected, Format
from pipeline.formats.probes import Inputs, as_taken, with_probes
from pipeline.streams import hush_stderr
from pipeline.task.task import Task

if TYPE_CHECKING:
    import keras

KERAS_FILE, SAVED_MODEL, LITERT_FILE = "model.keras", "saved_model", "model.tflite"
QUANTIZED_FILE, ONNX_FILE = "model_quantized.tflite", "model.onnx"
FILES = (SAVED_MODEL, LITERT_FILE, QUANTIZED_FILE, ONNX_FILE, *numpy_script.FILES)
_TEXT = "it takes columns of text, which are looked up and read as dates in the model"


@dataclass(frozen=True)
class _Way:
    """A way to write a format.

    Attributes:
        name: of the format.
        files: that it has; the first is what the runtime loads.
        write: writes them into a folder.
        needs: packages, by their import names.
        runtime: one of `ask.RUNTIMES`.
        note: how its weights differ from those that were trained.
        smaller_than: name of a format that has to be larger, or this one is of no use.
    """

    name: str
    files: tuple[str, ...]
    write: Callable[[Path], None]
    runtime: str
    needs: tuple[str, ...] = ()
    note: str = ""
    smaller_than: str = ""


def write_formats(
    model: "keras.Model", task: Task, inputs: Inputs, folder: Path
) -> dict[str, Format]:
    """Writes a model in every format that answers as its `model.keras`.

    Args:
        model: as it is handed over.
        task: what it has learned.
        inputs: of the test set, by `test_looks.test_inputs`.
        folder: of the export; has the model's `model.keras`.

    Returns:
        By the format's name what came of it, `keras` first.

    Raises:
        PipelineError: `model.keras` does not answer in a fresh process.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        examples, new = scratch / "examples", scratch / "new"
        asked_for, n_probes = with_probes(as_taken(model, inputs), task)
        write_examples(asked_for, examples)
        try:
            asked = ask_fresh("keras", folder / KERAS_FILE, examples)
        except PipelineError as error:
            raise PipelineError(
                f"{KERAS_FILE} gives no answer in a fresh process: {error}"
            ) from None
        expected = Expected(task, asked.answers, n_probes)
        files = (KERAS_FILE,)
        found = {"keras": expected.measure(asked, files, _size(folder, files), "")}
        for way in _ways(model, task, scratch / "source"):
            earlier = found.get(way.name)
            if earlier and not earlier.why_not:
                continue
            new.mkdir()
            tried = _try(way, expected, examples, new, found)
            if not tried.why_not:
                for each in way.files:
                    shutil.move(new / each, folder / each)
            elif earlier and earlier.runtime:  # neither way will do
                why_not = f"with {earlier.note} {earlier.why_not}; with {way.note} {tried.why_not}"
                tried = replace(tried, why_not=why_not)
            found[way.name] = tried
            shutil.rmtree(new)
    return found


def _ways(model: "keras.Model", task: Task, source: Path) -> Iterator[_Way]:
    """Lists the ways to write formats; of one with several the best first, as long as it fails.

    Args:
        model: as it is handed over.
        task: what it has learned.
        source: the SavedModel of which others are made, for the first way to write.
    """
    is_table = bool(task.features and task.features.inputs)

    def saved_model(folder: Path) -> None:
        convert.write_saved_model(model, source, is_table=is_table)
        shutil.copytree(source, folder / SAVED_MODEL)

    def litert(file: str, quantization: str = "") -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            if task.features:
                raise PipelineError("it computes with float64, for which LiteRT has no operations")
            if not source.exists():
                raise PipelineError("it is made of a SavedModel, which could not be written")
            convert.write_litert(source, folder / file, quantization)

        return write

    def onnx(folder: Path) -> None:
        if task.features and any(each.kind != "number" for each in task.features.inputs):
            raise PipelineError(f"{_TEXT}: ONNX has no operations for that")
        convert.write_onnx(model, folder / ONNX_FILE, is_table=is_table)

    def arrays(folder: Path) -> None:
        if is_table:
            raise PipelineError("it takes columns by name: predict.py answers rows of a table")
        numpy_script.write_numpy(model, task, folder)

    runtime = ("ai_edge_litert",)
    yield _Way("saved_model", (SAVED_MODEL,), saved_model, "saved_model")
    yield _Way("litert", (LITERT_FILE,), litert(LITERT_FILE), "litert", runtime)
    for kind in convert.QUANTIZATIONS:
        yield _Way(
            "litert_quantized",
            (QUANTIZED_FILE,),
            litert(QUANTIZED_FILE, kind),
            "litert",
            runtime,
            note=kind,
            smaller_than="litert",
        )
    yield _Way("onnx", (ONNX_FILE,), onnx, "onnx", ("onnx", "tf2onnx", "onnxruntime"))
    yield _Way("numpy", numpy_script.FILES, arrays, "numpy")


def _try(
    way: _Way, expected: Expected, examples: Path, folder: Path, found: dict[str, Format]
) -> Format:
    """Writes a format and has it answer; says why not, if that fails or it answers otherwise."""
    refused = Format(way.files, note=way.note)
    try:
        convert.refuse_unless_installed(*way.needs)
        with hush_stderr():
            way.write(folder)
        asked = ask_fresh(way.runtime, folder / way.files[0], examples)
    except PipelineError as error:
        return replace(refused, why_not=str(error))
    except OSError:  # of the disk
        raise
    except Exception as error:  # whatever a converter raises
        return replace(refused, why_not=f"it cannot be converted: {shorten(first_line(error))}")
    n_bytes = _size(folder, way.files)
    tried = expected.measure(asked, way.files, n_bytes, way.note)
    larger = found.get(way.smaller_than)
    if larger and larger.n_bytes and n_bytes >= larger.n_bytes and not tried.why_not:
        return replace(tried, why_not=f"it is not smaller than {larger.files[0]}")
    return tried


def _size(folder: Path, names: Sequence[str]) -> int:
    """Adds up the bytes of files, and of all that is in folders."""
    paths = [path for name in names for path in (folder / name, *(folder / name).rglob("*"))]
    return sum(path.stat().st_size for path in paths if path.is_file())
