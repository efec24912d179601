"""A data set by name: fetched, verified, cached, split; its test set sealed.

    python -m pipeline.data [NAME] [--picture FILE]

Fashion-MNIST is 60,000 training and 10,000 test images of 28 by 28 grey pixels in ten classes
(Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747), in the four files of the IDX format.
"""

import argparse
import functools
import gzip
import hashlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipeline.errors import PipelineError, UsageError, run_command
from pipeline.paths import Project, data_dir, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Images: TypeAlias = "NDArray[np.uint8]"
Labels: TypeAlias = "NDArray[np.uint8]"

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# SHA-256 of the decompressed files: gzip headers differ between the sources.
CHECKSUMS = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
SYSTEM_DIR = Path("/usr/share/datasets/fashion-mnist")
KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
INPUT_SHAPE, N_TRAIN_FILE = (28, 28), 60_000
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
    return _images(folder, "train-images-idx3-ubyte"), _labels(folder, "train-labels-idx1-ubyte")


def open_test_set(name: str) -> tuple[Images, Labels]:
    """The sealed test set: uint8 (10000, 28, 28) and (10000,). Only `best` may ask for it.

    Whoever looks has to record it, since a test set that is looked at twice is a validation set.
    """
    folder = fetch(name)
    images, labels = (file for file in CHECKSUMS if file.startswith("t10k"))
    return _images(folder, images), _labels(folder, labels)


def split_indices(n_images: int) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
    """Indices for training and validation, as scikit-learn's `train_test_split` draws them.

    With `test_size=0.2, random_state=42`, as in the chapter; a test compares the two. Drawn here
    because importing scikit-learn takes seconds.
    """
    import numpy as np

    order = np.random.RandomState(SPLIT_SEED).permutation(n_images)
    n_validation = math.ceil(n_images * VALIDATION_SHARE)
    return order[n_validation:], order[:n_validation]


def n_validation_images(name: str) -> int:
    """Number of validation images, known without loading them."""
    _check_name(name)
    return math.ceil(N_TRAIN_FILE * VALIDATION_SHARE)


def fingerprint(name: str) -> str:
    """Identifies the content of a data set."""
    _check_name(name)
    return hashlib.sha256("".join(CHECKSUMS.values()).encode()).hexdigest()


def fetch(name: str) -> Path:
    """The folder with a data set's decompressed and verified files.

    Tried in this order: the cache, the system's package, Keras's download, Debian's package
    fetched and unpacked without root.
    """
    _check_name(name)
    folder = data_dir() / name
    if not _damage(folder):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            if damage := _damage(folder):  # else another process was faster
                _fill(folder, damage)
    except OSError as error:
        raise PipelineError(
            f"{shown(folder)}: cannot be written ({error.strerror or error}); "
            "choose another folder with PIPELINE_DATA_DIR"
        ) from None
    return folder


def _fill(folder: Path, damage: str) -> None:
    failures = []
    for source, get in SOURCES.items():
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            try:
                files = get(Path(scratch))
                for file, expected in CHECKSUMS.items():
                    content = _unpacked(files / f"{file}.gz")
                    found = hashlib.sha256(content).hexdigest()
                    if found != expected:
                        raise ValueError(f"{file} has SHA-256 {found}, not {expected}")
                    (Path(scratch) / file).write_bytes(content)
            except _source_errors() as error:
                failures.append(f"  - {source}: {_reason(error)}")
                continue
            for file in CHECKSUMS:
                (Path(scratch) / file).replace(folder / file)
        print(f"Fashion-MNIST: fetched from {source} to {shown(folder)}", file=sys.stderr)
        return
    raise PipelineError(
        "Fashion-MNIST could not be had; tried:\n"
        + "\n".join([f"  - the cache {shown(folder)}: {damage}", *failures])
        + f"\nWith root on Debian or Ubuntu: apt-get install {DEBIAN_PACKAGE}. Elsewhere: put the "
        f"four .gz files of Fashion-MNIST into {SYSTEM_DIR}, or their decompressed content into "
        f"{shown(folder)}."
    )


def _from_system(_: Path) -> Path:
    return SYSTEM_DIR


def _from_keras_cache(_: Path) -> Path:
    """What Keras downloaded earlier, if it ever did."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "datasets" / "fashion-mnist"


def _from_keras(scratch: Path) -> Path:
    """The files that `keras.datasets.fashion_mnist` downloads, without importing Keras."""
    from urllib.request import urlopen

    for file in CHECKSUMS:
        with (
            urlopen(f"{KERAS_URL}/{file}.gz", timeout=20) as answer,
            (scratch / f"{file}.gz").open("wb") as target,
        ):
            shutil.copyfileobj(answer, target)
    return scratch


def _from_debian(scratch: Path) -> Path:
    """Debian's package, with package lists of its own if the system has none; needs no root."""
    apt = ["apt-get", "--quiet=2", "-o", f"Dir::Cache={scratch / 'cache'}"]
    (scratch / "cache" / "archives" / "partial").mkdir(parents=True)
    try:
        _run([*apt, "download", DEBIAN_PACKAGE], scratch)
    except subprocess.CalledProcessError:
        (scratch / "state" / "lists" / "partial").mkdir(parents=True)
        apt += ["-o", f"Dir::State={scratch / 'state'}"]
        apt += ["-o", "Dir::State::status=/var/lib/dpkg/status"]
        _run([*apt, "update"], scratch)
        _run([*apt, "download", DEBIAN_PACKAGE], scratch)
    package = next(scratch.glob("*.deb"))
    _run(["dpkg-deb", "--extract", str(package), str(scratch / "unpacked")], scratch)
    return scratch / "unpacked" / SYSTEM_DIR.relative_to("/")


SOURCES: dict[str, Callable[[Path], Path]] = {
    f"the system's package in {SYSTEM_DIR}": _from_system,
    "Keras's cache": _from_keras_cache,
    "Keras's download": _from_keras,
    f"Debian's package {DEBIAN_PACKAGE}": _from_debian,
}


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, timeout=300,
        stdin=subprocess.DEVNULL, text=True,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip


def _source_errors() -> tuple[type[Exception], ...]:
    """What a source can do wrong: disk or network, a broken archive, a command that fails."""
    from http.client import HTTPException

    return OSError, HTTPException, EOFError, zlib.error, ValueError, subprocess.SubprocessError


def _reason(error: BaseException) -> str:
    """Why a source did not work, in a line."""
    from urllib.error import URLError

    if isinstance(error, subprocess.CalledProcessError):
        lines = str(error.stderr or error.stdout or "no message").strip().splitlines()
        return f"{error.cmd[0]}: {lines[-1]}"
    if isinstance(error, FileNotFoundError):
        return f"no {error.filename}"
    if isinstance(error, URLError):
        return str(error.reason)
    return " ".join(str(error).split()) or type(error).__name__


def _damage(folder: Path) -> str:
    """What is wrong with the cache, or "". It takes 0.1 s, so that a bad disk is seen at once."""
    for file, expected in CHECKSUMS.items():
        try:
            found = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        except FileNotFoundError:
            return f"{file} is not there"
        except OSError as error:
            return f"{file} cannot be read ({error.strerror})"
        if found != expected:
            return f"{file} is damaged: it has SHA-256 {found}, not {expected}"
    return ""


def _unpacked(archive: Path) -> bytes:
    try:
        return gzip.decompress(archive.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:  # which do not say where
        raise ValueError(f"{archive.name}: {error}") from None


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(folder / ".lock"):
        yield


def _images(folder: Path, file: str) -> Images:
    import numpy as np

    return np.frombuffer((folder / file).read_bytes(), np.uint8, offset=16).reshape(-1, 28, 28)


def _labels(folder: Path, file: str) -> Labels:
    import numpy as np

    return np.frombuffer((folder / file).read_bytes(), np.uint8, offset=8)


def _aligned(images: Images, indices: "NDArray[np.intp]") -> Images:
    """A selection of images where TensorFlow can use them as they are, without a copy."""
    import numpy as np

    shape = (len(indices), *images.shape[1:])
    memory = np.empty(math.prod(shape) + ALIGNMENT_BYTES, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    selected = memory[start : start + math.prod(shape)].reshape(shape)
    return np.take(images, indices, axis=0, out=selected)


def _check_name(name: str) -> None:
    if name != "fashion_mnist":
        raise UsageError(f'dataset: found "{name}", allowed is "fashion_mnist"')


def save_picture(dataset: Dataset, path: Path, n_per_class: int = 12) -> None:
    """Saves samples as a PNG: a row for each class, its name in front.

    Raises:
        PipelineError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    size, label_width = 56, 130
    picture = Image.new(
        "L", (label_width + n_per_class * size, len(dataset.class_names) * size), color=255
    )
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=18)
    for row, class_name in enumerate(dataset.class_names):
        draw.text((8, row * size + size // 3), class_name, fill=0, font=font)
        samples = dataset.train_images[dataset.train_labels == row][:n_per_class]
        for column, sample in enumerate(samples):
            tile = Image.fromarray(255 - sample).resize((size, size))
            picture.paste(tile, (label_width + column * size, row * size))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
    except (OSError, ValueError) as error:  # the latter of a name with a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise PipelineError(f"{shown(path)}: cannot be written ({reason})") from None


def main() -> int:
    """Shows what a data set holds."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.data", description="Fetches, verifies and shows a data set."
    )
    parser.add_argument("name", nargs="?", default="fashion_mnist")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where to save samples (PNG)")
    arguments = parser.parse_args()
    name = arguments.name
    dataset = load(name)
    picture = arguments.picture or Project.here().root / "exports" / f"{name}-samples.png"
    save_picture(dataset, picture)
    print(f"{dataset.name}: {len(dataset.class_names)} classes, all files verified")
    print(f"  folder       {fetch(name)}")
    print(f"  fingerprint  {dataset.fingerprint}")
    for part, images, labels in (
        ("training", dataset.train_images, dataset.train_labels),
        ("validation", dataset.validation_images, dataset.validation_labels),
    ):
        print(f"  {part:<12} images {images.shape} {images.dtype}, labels {labels.shape}")
    print("  test         10,000 images, sealed: only `best --export` opens them")
    mean = dataset.train_images.mean() / 255
    print(f"  mean pixel   {mean:.5f} of 1, in training\n")
    print(f"  {'label':>5}  {'class':<12} {'training':>9} {'validation':>11}")
    for label, class_name in enumerate(dataset.class_names):
        n_train = int((dataset.train_labels == label).sum())
        n_validation = int((dataset.validation_labels == label).sum())
        print(f"  {label:>5}  {class_name:<12} {n_train:>9,} {n_validation:>11,}")
    print(f"\nsamples of each class: {shown(picture)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
