"""A data set by name: fetched, verified and split; its test set sealed.

To add one: a module beside this one with a `SOURCE`; its name is the name of the data set
(`docs/extending.md` has an example).
"""

import functools
import hashlib
import importlib
import math
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pipeline.data
from pipeline.data.source import Images, Inputs, Labels, Source, Targets, Weights
from pipeline.data.task import Task, n_validation
from pipeline.errors import UsageError
from pipeline.paths import data_dir

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALIGNMENT_BYTES = 64  # of memory that TensorFlow shares with NumPy
SPLIT_SEED = 42  # the chapter's train_test_split


@dataclass(frozen=True)
class Dataset:
    """Holds the training and validation parts; the test set is not in here: see `open_test_set`.

    Attributes:
        name: as in a study file.
        train_inputs: what is trained on, (n, *task.input_shape) of task.input_dtype: pictures of
            raw pixels, uint8 0 to 255, of Fashion-MNIST (48000, 28, 28); or float32, encoded.
        train_targets: of classes integers from 0, (n,); of a regression float32, (n,), as
            `task.target` transforms them.
        validation_inputs: of the same dtype.
        validation_targets: of the same dtype.
        task: what is learned.
        fingerprint: SHA-256 over the checksums of all files, and of what decides how they are read.
        train_weights: of each training example in the loss, float32 (n,); None if all are 1.
        validation_weights: of each validation example in loss and metrics; None if all are 1.
    """

    name: str
    train_inputs: Inputs
    train_targets: Targets
    validation_inputs: Inputs
    validation_targets: Targets
    task: Task
    fingerprint: str
    train_weights: "Weights | None" = None
    validation_weights: "Weights | None" = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.task.input_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the labels mean."""
        return self.task.class_names


@functools.cache
def sources() -> Mapping[str, Source]:
    """Collects every data set by name: each module of this room with a `SOURCE`, alphabetically.

    None of them imports anything heavy, since a study file is held against their names.
    """
    found = {}
    for module in pkgutil.iter_modules(pipeline.data.__path__):
        if module.name not in ("datasets", "show") and not module.name.startswith("_"):
            inside = importlib.import_module(f"{pipeline.data.__name__}.{module.name}")
            if isinstance(source := getattr(inside, "SOURCE", None), Source):
                found[module.name] = source
    return MappingProxyType(found)


def source_of(name: str) -> Source:
    """Finds the source of a data set.

    Raises:
        UsageError: there is no data set of that name; the text says which there are.
    """
    if name not in sources():
        allowed = " or ".join(f'"{each}"' for each in sources())
        raise UsageError(f'dataset: found "{name}", allowed is {allowed}')
    return sources()[name]


def task_of(name: str) -> Task:
    """Returns the task of a data set: what is learned, known without loading the data."""
    return source_of(name).task


@functools.cache
def load(name: str) -> Dataset:
    """Loads a data set, and fetches the data first if they are not in the cache.

    Raises:
        UsageError: there is no data set of that name.
        PipelineError: it could not be had; the text lists what was tried and what to do.
    """
    images, labels = load_training_file(name)
    train, validation = split_indices(len(images))
    return Dataset(
        name=name,
        train_inputs=_aligned(images, train),
        train_targets=labels[train],
        validation_inputs=_aligned(images, validation),
        validation_targets=labels[validation],
        task=task_of(name),
        fingerprint=fingerprint(name),
    )


def load_training_file(name: str) -> tuple[Images, Labels]:
    """Loads all training images as they come, before the split, and their labels."""
    return source_of(name).read_training(fetch(name))


def open_test_set(name: str) -> tuple[Images, Labels]:
    """Loads the sealed test set, images and labels; only `export.bundle` may ask for that.

    Whoever looks has to record it, since a test set that is looked at twice is a validation set.
    """
    return source_of(name).read_test(fetch(name))


def split_indices(n_images: int) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
    """Draws indices for training and validation, as scikit-learn's `train_test_split` does.

    With `test_size=0.2, random_state=42`, as in the chapter; a test compares the two. Drawn here
    because importing scikit-learn takes seconds.
    """
    import numpy as np

    order = np.random.RandomState(SPLIT_SEED).permutation(n_images)
    n = n_validation(n_images)
    return order[n:], order[:n]


def fetch(name: str) -> Path:
    """Fetches a data set unless its verified files are there; returns their folder.

    Raises:
        UsageError: there is no data set of that name.
        PipelineError: it could not be had; the text lists what was tried and what to do.
    """
    source, folder = source_of(name), data_dir() / name
    source.fetch(folder)
    return folder


def n_validation_images(name: str) -> int:
    """Counts the validation images; loads them only if the task does not know how many."""
    known = task_of(name).n_validation
    return len(load(name).validation_targets) if known is None else known


def fingerprint(name: str) -> str:
    """Identifies the content of a data set."""
    return hashlib.sha256("".join(source_of(name).checksums.values()).encode()).hexdigest()


def _aligned(images: Images, indices: "NDArray[np.intp]") -> Images:
    """Selects images so that TensorFlow can use the selection as it is, without a copy."""
    import numpy as np

    shape = (len(indices), *images.shape[1:])
    memory = np.empty(math.prod(shape) + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    selected = memory[start : start + math.prod(shape)].reshape(shape)
    return np.take(images, indices, axis=0, out=selected)
