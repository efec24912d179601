"""Rows of a table, read by the script that is handed over with a model, and so as the training."""

import csv
import functools
import importlib.util
import zlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.data import predict
from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.reading.column import Dialect
from pipeline.reading.tables import ALLOWED, is_table
from pipeline.task.features import Features
from pipeline.task.task import Task
from pipeline.tracking.rows_flavor import constants

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_rows(
    path: Path, task: Task, dialect: Dialect, shown: str = ""
) -> "dict[str, NDArray[Any]]":
    """Reads the columns that a model takes; others may be there, as may the target.

    Args:
        path: of a table.
        task: of which columns are expected.
        dialect: how the file was written that the model has learned from.
        shown: what the file is called in messages; its path, if not given.

    Returns:
        By name: numbers float64, NaN where they are missing, and texts, each (n,).

    Raises:
        UsageError: it is no table, a column is missing, or a value cannot be used.
    """
    shown = shown or display_path(path)
    if not path.is_file() or not is_table(path):
        what = "a folder" if path.is_dir() else path.suffix or "no suffix"
        raise UsageError(f"{shown}: found {what}, allowed is {ALLOWED}")
    assert task.features is not None
    script, named = _script(task, dialect), _named(task.features)
    try:
        rows = script.read(path, SimpleNamespace(input=named))
        if not len(rows):
            raise ValueError("found no rows, allowed is one at least")
        found: dict[str, NDArray[Any]] = script.read_columns(rows, named)
    except (OSError, EOFError, zlib.error, csv.Error, ValueError, ImportError) as error:
        said = getattr(error, "strerror", None) or error
        raise UsageError(f"{shown}: {said}") from None
    return found


def _named(features: Features) -> dict[str, Any]:
    """Names a model's inputs as the script finds them in it."""
    return {
        each.name: SimpleNamespace(dtype="float64" if each.kind == "number" else "string")
        for each in features.inputs
    }


@functools.cache
def _script(task: Task, dialect: Dialect) -> ModuleType:
    """Loads the script a second time, with the constants with which this model is handed over."""
    spec = importlib.util.spec_from_file_location("predict_rows", predict.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(constants(task, dialect))
    return module
