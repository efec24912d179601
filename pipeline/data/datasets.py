"""A data set by name: fetched, verified and split; its test set sealed."""

import functools
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipeline.data import fashion_mnist
from pipeline.data.fashion_mnist import (
    CHECKSUMS,
    CLASS_NAMES,
    N_TRAIN_FILE,
    read_images,
    read_labels,
)
from pipeline.errors import UsageError
from pipeline.paths import data_dir

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Images: TypeAlias = "NDArray[np.uint8]"
Labels: TypeAlias = "NDArray[np.uint8]"
ALIGNMENT_BYTES = 64  # of memory that TensorFlow shares with NumPy
VALIDATION_SHARE, SPLIT_SEED = 0.2, 42  # the chapter's train_test_split


@dataclass(frozen=True)
class Dataset:
    """Training and validation images. The test set is not in here: see `open_test_set`.

    Attributes:
        name: as in a study file.
        train_images: uint8, (48000, 28, 28), 0 to 255.
        train_labels: uint8, (48000,), 0 to 9.
        validation_images: uint8, (12000, 28, 28).
        validation_labels: uint8, (12000,).
        class_names: what the labels mean.
        fingerprint: SHA-256 over the checksums of all files.
    """

    name: str
    train_images: Images
    train_labels: Labels
    validation_images: Images
    validation_labels: Labels
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.train_images.shape[1:]


@functools.cache
def load(name: str) -> Dataset:
    """Loads a data set, and fetches it first if it is not in the cache.

    Raises:
        UsageError: there is no data set of that name.
        PipelineError: it could not be had; the text lists what was tried and what to do.
    """
    images, labels = load_training_file(name)
    train, validation = split_indices(len(images))
    return Dataset(
        name=name,
        train_images=_aligned(images, train),
        train_labels=labels[train],
        validation_images=_aligned(images, validation),
        validation_labels=labels[validation],
        class_names=CLASS_NAMES,
        fingerprint=fingerprint(name),
    )


def load_training_file(name: str) -> tuple[Images, Labels]:
    """All 60,000 training images as they come, before the split: uint8 (n, 28, 28) and (n,)."""
    folder = fetch(name)
    return read_images(folder, "train-images-idx3-ubyte"), read_labels(
        folder, "train-labels-idx1-ubyte"
    )


def open_test_set(name: str) -> tuple[Images, Labels]:
    """The sealed test set: uint8 (10000, 28, 28) and (10000,). Only `best` may ask for it.

    Whoever looks has to record it, since a test set that is looked at twice is a validation set.
    """
    folder = fetch(name)
    images, labels = (file for file in CHECKSUMS if file.startswith("t10k"))
    return read_images(folder, images), read_labels(folder, labels)


def split_indices(n_images: int) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
    """Indices for training and validation, as scikit-learn's `train_test_split` draws them.

    With `test_size=0.2, random_state=42`, as in the chapter; a test compares the two. Drawn here
    because importing scikit-learn takes seconds.
    """
    import numpy as np

    order = np.random.RandomState(SPLIT_SEED).permutation(n_images)
    n_validation = math.ceil(n_images * VALIDATION_SHARE)
    return order[n_validation:], order[:n_validation]


def fetch(name: str) -> Path:
    """The folder with a data set's verified files, which are fetched first if need be.

    Raises:
        UsageError: there is no data set of that name.
        PipelineError: it could not be had; the text lists what was tried and what to do.
    """
    check_name(name)
    folder = data_dir() / name
    fashion_mnist.fetch(folder)
    return folder


def n_validation_images(name: str) -> int:
    """Number of validation images, known without loading them."""
    check_name(name)
    return math.ceil(N_TRAIN_FILE * VALIDATION_SHARE)


def fingerprint(name: str) -> str:
    """Identifies the content of a data set."""
    check_name(name)
    return hashlib.sha256("".join(CHECKSUMS.values()).encode()).hexdigest()


def _aligned(images: Images, indices: "NDArray[np.intp]") -> Images:
    """A selection of images where TensorFlow can use them as they are, without a copy."""
    import numpy as np

    shape = (len(indices), *images.shape[1:])
    memory = np.empty(math.prod(shape) + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    selected = memory[start : start + math.prod(shape)].reshape(shape)
    return np.take(images, indices, axis=0, out=selected)


def check_name(name: str) -> None:
    """Refuses a name that no data set has.

    Raises:
        UsageError: the text says which there are.
    """
    if name != "fashion_mnist":
        raise UsageError(f'dataset: found "{name}", allowed is "fashion_mnist"')
