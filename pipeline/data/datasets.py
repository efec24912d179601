"""A data set by name or path: fetched, verified and split; its test set sealed.

To add one by name: a module beside this one with a `SOURCE`; its name is the name of the data set
(`docs/extending.md` has an example). Files and folders are made ready by `pipeline/preparation`.
"""

import functools
import hashlib
import importlib
import math
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import pipeline.data
from pipeline.errors import UsageError
from pipeline.paths import data_dir, display_path
from pipeline.preparation import cache
from pipeline.reading.bundled import BUNDLED
from pipeline.reading.column import Dialect
from pipeline.task.dataset import Dataset
from pipeline.task.source import DataSpec, Examples, Images, Labels, Source
from pipeline.task.task import Task, n_validation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALIGNMENT_BYTES = 64  # of memory that TensorFlow shares with NumPy
SPLIT_SEED = 42  # the chapter's train_test_split
_NO_SOURCES = ("datasets", "predict", "show", "show_table", "__main__")  # looked into by none

Data: TypeAlias = DataSpec | str  # a data set by name needs no more


def load(data: Data) -> Dataset:
    """Loads a data set with one split, and fetches the data first if they are not in the cache.

    Raises:
        UsageError: there is no such data set, or it cannot be learned from; the text says why.
        PipelineError: it could not be had; the text lists what was tried and what to do.
    """
    (dataset,) = load_members(data)
    return dataset


def load_members(data: Data) -> tuple[Dataset, ...]:
    """Loads a data set: once for one split, or with folds once for each of them.

    Raises:
        UsageError: as `load`.
        PipelineError: as `load`.
    """
    return _load(_spec(data))


@functools.cache
def _load(data: DataSpec) -> tuple[Dataset, ...]:
    if (source := _source(data)) is None:
        return cache.load(data)
    images, labels = load_training_file(data)
    train, validation = split_indices(len(images))
    dataset = Dataset(
        name=data.dataset,
        train_inputs=_aligned(images, train),
        train_targets=labels[train],
        validation_inputs=_aligned(images, validation),
        validation_targets=labels[validation],
        task=source.task,
        fingerprint=fingerprint(data),
    )
    return (dataset,)


def task_of(data: Data) -> Task:
    """Returns the task of a data set: what is learned.

    Of a data set by name it is known without loading the data; a file is read, once.

    Raises:
        UsageError: as `load`.
    """
    spec = _spec(data)
    source = _source(spec)
    return source.task if source else cache.prepare(spec).task


def load_training_file(data: Data) -> tuple[Images, Labels]:
    """Loads all training images of a named data set as they come, before the split, and labels."""
    source = _source(spec := _spec(data))
    assert source is not None
    return source.read_training(fetch(spec))


def open_test_set(data: Data) -> Examples:
    """Loads the sealed test set as a model that is handed over takes it.

    Only `export.test_looks` may ask for that. Whoever looks has to record it, since a test set
    that is looked at twice is a validation set.
    """
    spec = _spec(data)
    if source := _source(spec):
        return Examples(*source.read_test(fetch(spec)))
    return cache.raw_test(spec)


def validation_sets(data: Data) -> tuple[Examples, ...]:
    """Loads the validation set, or that of each fold, as a model that is handed over takes it."""
    spec = _spec(data)
    if _source(spec):
        dataset = load(spec)
        return (Examples(dataset.validation_inputs, dataset.validation_targets),)
    return cache.raw_validation(spec)


def fetch(data: Data) -> Path:
    """Fetches a data set unless its verified files are there; returns their folder.

    Raises:
        UsageError: as `load`.
        PipelineError: as `load`.
    """
    spec = _spec(data)
    if (source := _source(spec)) is None:
        return cache.prepare(spec).folder
    folder = data_dir() / spec.dataset
    source.fetch(folder)
    return folder


def about(data: Data) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Says what was found out of data of one's own, and what a reader of results has to know.

    Returns:
        Remarks and warnings, a sentence each; none of a data set that has a module.
    """
    spec = _spec(data)
    if _source(spec):
        return (), ()
    known = cache.prepare(spec).about
    return known.remarks, known.warnings


def dialect(data: Data) -> Dialect:
    """Says how the file of a table is written; of what is none, how one is by default."""
    spec = _spec(data)
    if _source(spec):
        return Dialect()
    return replace(cache.prepare(spec).about.dialect, target=spec.target)


def n_validation_examples(data: Data) -> int:
    """Counts the validation examples; loads them only if the task does not know how many."""
    known = task_of(data).n_validation
    return len(load(data).validation_targets) if known is None else known


def fingerprint(data: Data) -> str:
    """Identifies the content of a data set."""
    spec = _spec(data)
    source = _source(spec)
    if source is None:
        return cache.fingerprint(spec)
    return hashlib.sha256("".join(source.checksums.values()).encode()).hexdigest()


@functools.cache
def sources() -> Mapping[str, Source]:
    """Collects every data set by name: each module of this room with a `SOURCE`, alphabetically.

    None of them imports anything heavy, since a study file is held against their names.
    """
    found = {}
    for module in pkgutil.iter_modules(pipeline.data.__path__):
        if module.name not in _NO_SOURCES and not module.name.startswith("_"):
            inside = importlib.import_module(f"{pipeline.data.__name__}.{module.name}")
            if isinstance(source := getattr(inside, "SOURCE", None), Source):
                found[module.name] = source
    return MappingProxyType(found)


def names() -> tuple[str, ...]:
    """Lists the data sets that are known by name."""
    return (*sources(), *BUNDLED)


def _source(data: DataSpec) -> Source | None:
    """Finds the module of a data set by name; None if it is read from a file or folder.

    Raises:
        UsageError: there is neither.
    """
    is_there = data.dataset in names() or Path(data.dataset).exists()
    if not is_there and not cache.is_elsewhere(data):
        found = display_path(Path(data.dataset))
        known = ", ".join(f'"{name}"' for name in names())
        raise UsageError(
            f'dataset: found "{found}", allowed is {known}, or the path of a file or folder that '
            "is there, from the study file's folder"
        )
    return sources().get(data.dataset)


def _spec(data: Data) -> DataSpec:
    return DataSpec(data) if isinstance(data, str) else data


def split_indices(n_images: int) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
    """Draws indices for training and validation, as scikit-learn's `train_test_split` does.

    With `test_size=0.2, random_state=42`, as in the chapter; a test compares the two. Drawn here
    because importing scikit-learn takes seconds.
    """
    import numpy as np

    order = np.random.RandomState(SPLIT_SEED).permutation(n_images)
    n = n_validation(n_images)
    return order[n:], order[:n]


def _aligned(images: Images, indices: "NDArray[np.intp]") -> Images:
    """Selects images so that TensorFlow can use the selection as it is, without a copy."""
    import numpy as np

    shape = (len(indices), *images.shape[1:])
    memory = np.empty(math.prod(shape) + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    selected = memory[start : start + math.prod(shape)].reshape(shape)
    return np.take(images, indices, axis=0, out=selected)
