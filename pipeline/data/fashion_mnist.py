"""Fashion-MNIST: where it is found or fetched, and its checksums.

60,000 training and 10,000 test images of 28 by 28 grey pixels in ten classes (Xiao, Rasul and
Vollgraf 2017, arXiv:1708.07747), in the four files of the IDX format.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import remove_leftovers, scratch_folder
from pipeline.paths import display_path
from pipeline.task.source import Images, Labels, Source
from pipeline.task.task import Kind, Task

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
INPUT_SHAPE, N_TRAIN_FILE, N_TEST_FILE = (28, 28), 60_000, 10_000


def fetch(folder: Path) -> None:
    """Fills a folder with the decompressed and verified files, unless they are there.

    Tried in this order: the cache, the system's package, Keras's download, Debian's package
    fetched and unpacked without root. In the cache the files of the test set are not opened:
    `read_test` verifies them.
    """
    _fetch(folder, "train")


def fetch_test(folder: Path) -> None:
    """Fetches the files of the test set so, unless they are there: these are verified here."""
    _fetch(folder, "t10k")


def _fetch(folder: Path, part: str) -> None:
    remove_leftovers(folder)
    if not _damage(folder, part):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            if damage := _damage(folder, part):  # else another process was faster
                _fill(folder, damage)
    except OSError as error:
        raise PipelineError(
            f"{display_path(folder)}: cannot be written ({error.strerror or error}); "
            "choose another folder with PIPELINE_DATA_DIR"
        ) from None


def _fill(folder: Path, damage: str) -> None:
    failures = []
    for source, get in ORIGINS.items():
        with scratch_folder(folder / "fetch") as scratch:
            try:
                files = get(scratch)
                for file, expected in CHECKSUMS.items():
                    content = _unpacked(files / f"{file}.gz")
                    found = hashlib.sha256(content).hexdigest()
                    if found != expected:
                        raise ValueError(f"{file} has SHA-256 {found}, not {expected}")
                    (scratch / file).write_bytes(content)
            except _source_errors() as error:
                failures.append(f"  - {source}: {_reason(error)}")
                continue
            for file in CHECKSUMS:
                (scratch / file).replace(folder / file)
        print(f"Fashion-MNIST: fetched from {source} to {display_path(folder)}", file=sys.stderr)
        return
    raise PipelineError(
        "Fashion-MNIST could not be had; tried:\n"
        + "\n".join([f"  - the cache {display_path(folder)}: {damage}", *failures])
        + f"\nWith root on Debian or Ubuntu: apt-get install {DEBIAN_PACKAGE}. Elsewhere: put the "
        f"four .gz files of Fashion-MNIST into {SYSTEM_DIR}, or their decompressed content into "
        f"{display_path(folder)}."
    )


def _from_system(_: Path) -> Path:
    return SYSTEM_DIR


def _from_keras_cache(_: Path) -> Path:
    """Names the folder of what Keras downloaded earlier, if Keras ever did."""
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return home / "datasets" / "fashion-mnist"


def _from_keras(scratch: Path) -> Path:
    """Downloads the files of `keras.datasets.fashion_mnist`, without importing Keras."""
    from urllib.request import urlopen

    for file in CHECKSUMS:
        with (
            urlopen(f"{KERAS_URL}/{file}.gz", timeout=20) as answer,
            (scratch / f"{file}.gz").open("wb") as target,
        ):
            shutil.copyfileobj(answer, target)
    return scratch


def _from_debian(scratch: Path) -> Path:
    """Fetches Debian's package without root, by package lists of its own if there are none."""
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


ORIGINS: dict[str, Callable[[Path], Path]] = {
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
    """Lists what a source may raise: of disk, network, a broken archive, a failed command.

    And a RuntimeError of a path with a `~` where there is no home.
    """
    from http.client import HTTPException

    broken = EOFError, zlib.error, ValueError
    return OSError, HTTPException, *broken, subprocess.SubprocessError, RuntimeError


def _reason(error: BaseException) -> str:
    """Says in a line why a source did not work."""
    from urllib.error import URLError

    if isinstance(error, subprocess.CalledProcessError):
        lines = str(error.stderr or error.stdout or "no message").strip().splitlines()
        return f"{error.cmd[0]}: {lines[-1]}"
    if isinstance(error, FileNotFoundError):
        return f"no {error.filename}"
    if isinstance(error, URLError):
        return str(error.reason)
    return " ".join(str(error).split()) or type(error).__name__


def _damage(folder: Path, part: str) -> str:
    """Says what is wrong with the cache, or ""; takes 0.1 s, so a bad disk is seen at once.

    Args:
        folder: of the cache.
        part: "train" or "t10k": only files whose names begin so are opened.
    """
    for file, expected in CHECKSUMS.items():
        if not file.startswith(part) and (folder / file).is_file():
            continue
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


def read_images(folder: Path, file: str) -> Images:
    """Reads the images of an IDX file: uint8 (n, 28, 28)."""
    import numpy as np

    return np.frombuffer((folder / file).read_bytes(), np.uint8, offset=16).reshape(-1, 28, 28)


def read_labels(folder: Path, file: str) -> Labels:
    """Reads the labels of an IDX file: uint8 (n,)."""
    import numpy as np

    return np.frombuffer((folder / file).read_bytes(), np.uint8, offset=8)


def read_training(folder: Path) -> tuple[Images, Labels]:
    """Reads all training images as they come: uint8 (60000, 28, 28) and (60000,)."""
    return (
        read_images(folder, "train-images-idx3-ubyte"),
        read_labels(folder, "train-labels-idx1-ubyte"),
    )


def read_test(folder: Path) -> tuple[Images, Labels]:
    """Reads the test images: uint8 (10000, 28, 28) and (10000,); fetches damaged files again."""
    fetch_test(folder)
    return (
        read_images(folder, "t10k-images-idx3-ubyte"),
        read_labels(folder, "t10k-labels-idx1-ubyte"),
    )


SOURCE = Source(
    task=Task(
        kind=Kind.MULTICLASS,
        input_shape=INPUT_SHAPE,
        class_names=CLASS_NAMES,
        n_examples=N_TRAIN_FILE,
        n_test=N_TEST_FILE,
    ),
    checksums=CHECKSUMS,
    fetch=fetch,
    read_training=read_training,
    read_test=read_test,
)
