"""Examples in `.npy` and `.npz` files, held against the shape that a model takes."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError, first_line
from pipeline.paths import display_path
from pipeline.predict.given import Place, places_in
from pipeline.task.task import Task
from pipeline.wording import join_names

SUFFIXES = (".npy", ".npz")


def shape_of(task: Task) -> tuple[int, ...]:
    """Returns the shape of one example as a model that is handed over takes it."""
    if task.features is not None and task.is_table:
        return (len(task.features.numbers),)  # without what says which are missing
    return task.input_shape


def read_array(path: Path, task: Task) -> tuple[tuple[Place, ...], NDArray[Any]]:
    """Reads one example, or several, of any dtype of numbers; nothing is unpickled.

    Args:
        path: of an `.npy`, or an `.npz` with an array `x`, or with one array alone.
        task: of which examples are expected.

    Returns:
        The places of the examples, and the examples, (n, *shape_of(task)): pixels uint8, or
        float32 if they are of another dtype, truth values as 0 and 255; other numbers float64.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    shown = display_path(path)
    array = _loaded(path)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{shown}: found dtype {array.dtype}, allowed are numbers")
    shape = shape_of(task)
    fitting, is_one = _fitted(array, shape)
    if fitting is None:
        several = f"(n, {', '.join(map(str, shape))})"
        raise UsageError(
            f"{shown}: found shape {array.shape}, allowed is {shape} of one example, or {several}"
        )
    if not len(fitting):
        raise UsageError(f"{shown}: found no examples, allowed is one at least")
    places = (Place(shown),) if is_one else places_in(shown, len(fitting))
    if task.features is None:
        if array.dtype.kind == "b":
            fitting = fitting * np.uint8(255)
        pixels = fitting if fitting.dtype == np.uint8 else fitting.astype(np.float32)
        _refuse(pixels, places, (pixels >= 0) & (pixels <= 255), "pixels from 0 to 255, or to 1")
        return places, pixels
    with np.errstate(over="ignore"):
        numbers = fitting.astype(np.float64)
    may_miss = task.is_table
    is_allowed = ~np.isinf(numbers) if may_miss else np.isfinite(numbers)
    _refuse(numbers, places, is_allowed, f"finite numbers{', and NaN' * may_miss}")
    return places, numbers


def _fitted(array: NDArray[Any], shape: tuple[int, ...]) -> tuple[NDArray[Any] | None, bool]:
    """Makes an array (n, *shape), also where only an axis of one channel is too many or wanting.

    Returns:
        None if it has another shape; and whether it is one example without an axis of examples.
    """
    tries = [array, array[..., None]]
    if array.shape[-1:] == (1,):
        tries.append(array[..., 0])
    for each in tries:
        if each.shape == shape:
            return each[None], True
        if each.shape[1:] == shape and each.ndim == len(shape) + 1:
            return each, False
    return None, False


def _refuse(
    values: NDArray[Any], places: tuple[Place, ...], is_allowed: NDArray[Any], allowed: str
) -> None:
    if is_allowed.all():
        return
    row = int((~is_allowed.reshape(len(values), -1).all(axis=1)).argmax())
    found = values[row][~is_allowed[row]].flat[0]
    raise UsageError(f"{places[row]}: found {found:g}, allowed are {allowed}")


def _loaded(path: Path) -> NDArray[Any]:
    """Reads the one array that is meant.

    Raises:
        UsageError: the file cannot be read, or holds none or several.
    """
    shown = display_path(path)
    try:
        with path.open("rb") as file:  # NumPy leaves it open if it is no archive
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                names = [*loaded.files]
                chosen = [name for name in names if name.lower() == "x"] or names
                if len(chosen) != 1:
                    found = join_names(names) if names else "no array"
                    raise UsageError(f"{shown}: found {found}, allowed is x, or one array alone")
                loaded = loaded[chosen[0]]
            if isinstance(loaded, np.ndarray):
                return loaded
    except MemoryError:
        raise UsageError(f"{shown}: needs more memory than there is") from None
    except (OSError, ValueError, KeyError, EOFError, SyntaxError, RuntimeError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or first_line(error)
        if "allow_pickle" in str(error):
            reason = "found Python objects, which may hold code, or what is no array"
        raise UsageError(f"{shown}: cannot be read ({reason}); allowed are arrays") from None
    raise UsageError(f"{shown}: found bytes that are no array")
