"""Reads all inputs before the first is answered: which file is what follows from the study."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data import datasets
from pipeline.errors import UsageError
from pipeline.paths import display_path
from pipeline.predict import arrays, pictures, rows
from pipeline.predict.given import STDIN, Given, Place, places_in
from pipeline.study.spec import StudySpec
from pipeline.task.task import Task
from pipeline.wording import count_noun, inflect


def read_inputs(spec: StudySpec, inputs: Sequence[str], say: Callable[[str], None]) -> Given:
    """Reads inputs as the study's champion takes them.

    Args:
        spec: of the study.
        inputs: paths that are there, or `STDIN`.
        say: told what was done to pictures, and which files were left out.

    Raises:
        UsageError: one cannot be read, or is nothing that this study has learned from.
    """
    task = spec.task
    if task.features and task.features.inputs:
        return _read_tables(spec, task, inputs)
    if STDIN in inputs:
        raise UsageError("-: found with a study of no table, allowed are files")
    return _read_arrays(task, [Path(each) for each in inputs], say)


def _read_tables(spec: StudySpec, task: Task, inputs: Sequence[str]) -> Given:
    dialect = datasets.dialect(spec.data_spec)
    places: list[Place] = []
    parts = []
    for each in inputs:
        if each == STDIN:
            shown = "stdin"
            with _spooled() as path:
                parts.append(rows.read_rows(path, task, dialect, shown))
        else:
            shown = display_path(Path(each))
            parts.append(rows.read_rows(Path(each), task, dialect))
        places += places_in(shown, len(next(iter(parts[-1].values()))))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Given(tuple(places), columns)


@contextlib.contextmanager
def _spooled() -> Iterator[Path]:
    """Keeps stdin in a file for a moment, since a table's reader looks at it twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdin.csv"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def _read_arrays(task: Task, paths: Sequence[Path], say: Callable[[str], None]) -> Given:
    """Reads pictures all at once, and puts them where they were given among the arrays."""
    found: list[Path | tuple[tuple[Place, ...], NDArray[Any]]] = []
    for path in paths:
        if path.suffix.lower() in arrays.SUFFIXES and path.is_file():
            found.append(arrays.read_array(path, task))
        elif task.features is not None:
            what = "a folder" if path.is_dir() else path.suffix or "no suffix"
            raise UsageError(
                f"{display_path(path)}: found {what}, allowed is .npy or .npz of shape "
                f"{arrays.shape_of(task)}, or several such"
            )
        elif path.is_dir():
            files, n_others = pictures.list_folder(path)
            found += files
            if n_others:
                left = f"{inflect('is', n_others, 'are')} no {inflect('picture', n_others)}"
                said = f"{display_path(path)}: {count_noun(n_others, 'file')} {left}"
                say(f"{said}, and left out")
        else:
            found.append(path)
    files = [each for each in found if isinstance(each, Path)]
    read: Iterator[NDArray[Any]] = iter(())
    if files:
        images, done = pictures.read_files(files, task)
        read = iter(images[:, None])
        if done:
            say(done)
    places: list[Place] = []
    parts: list[NDArray[Any]] = []
    for each in found:
        if isinstance(each, Path):
            places.append(Place(display_path(each)))
            parts.append(next(read))
        else:
            places += each[0]
            parts.append(each[1])
    return Given(tuple(places), np.concatenate(parts))
