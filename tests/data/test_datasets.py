"""Fashion-MNIST as it is, its split, and where it comes from when the cache has none.

The first tests read the real files: fetched once into the user's cache, if they are not there.
"""

import gzip
import hashlib
import http.client
import io
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from killing import killed_at_every_step
from PIL import Image

from pipeline.data import __main__ as data_command
from pipeline.data import datasets, fashion_mnist, show
from pipeline.errors import PipelineError, UsageError
from pipeline.task.dataset import Dataset

Source = Callable[[Path], Path]


# The real files


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return datasets.load("fashion_mnist")


def test_shapes_and_types(dataset: Dataset) -> None:
    assert dataset.train_inputs.shape == (48_000, 28, 28)
    assert dataset.validation_inputs.shape == (12_000, 28, 28)
    assert dataset.train_targets.shape == (48_000,)
    assert dataset.validation_targets.shape == (12_000,)
    assert dataset.input_shape == fashion_mnist.INPUT_SHAPE == (28, 28)
    for array in (
        dataset.train_inputs,
        dataset.train_targets,
        dataset.validation_inputs,
        dataset.validation_targets,
    ):
        assert array.dtype == np.uint8


def test_the_split_is_the_chapters(dataset: Dataset) -> None:
    assert dataset.train_targets[:10].tolist() == [7, 3, 5, 8, 6, 9, 3, 3, 9, 9]


@pytest.mark.parametrize("n_images", [60_000, 101, 7])
def test_the_split_is_scikit_learns(n_images: int) -> None:
    from sklearn.model_selection import train_test_split

    train, validation = train_test_split(np.arange(n_images), test_size=0.2, random_state=42)
    ours = datasets.split_indices(n_images)
    np.testing.assert_array_equal(ours[0], train)
    np.testing.assert_array_equal(ours[1], validation)


def test_every_class_has_6000_images(dataset: Dataset) -> None:
    labels = np.concatenate([dataset.train_targets, dataset.validation_targets])
    assert np.bincount(labels).tolist() == [6_000] * 10
    assert len(dataset.class_names) == 10


def test_the_mean_pixel_is_the_published_one(dataset: Dataset) -> None:
    images = np.concatenate([dataset.train_inputs, dataset.validation_inputs])
    assert images.mean() / 255 == pytest.approx(0.28604, abs=5e-6)
    assert (images.min(), images.max()) == (0, 255)


def test_the_first_training_image_is_where_the_split_puts_it(dataset: Dataset) -> None:
    raw = (datasets.fetch("fashion_mnist") / "train-images-idx3-ubyte").read_bytes()
    first = datasets.split_indices(60_000)[0][0]
    start = 16 + 784 * int(first)
    assert dataset.train_inputs[0].tobytes() == raw[start : start + 784]


def test_the_test_set_has_1000_images_of_each_class() -> None:
    images, labels, *_ = datasets.open_test_set("fashion_mnist")
    assert isinstance(images, np.ndarray)
    assert images.shape == (10_000, 28, 28)
    assert np.bincount(labels).tolist() == [1_000] * 10


def test_a_data_set_is_loaded_once(dataset: Dataset) -> None:
    assert datasets.load("fashion_mnist") is dataset


def test_the_fingerprint_covers_every_checksum(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert datasets.fingerprint("fashion_mnist") == dataset.fingerprint
    monkeypatch.setitem(fashion_mnist.CHECKSUMS, "t10k-labels-idx1-ubyte", "0" * 64)
    assert datasets.fingerprint("fashion_mnist") != dataset.fingerprint


@pytest.mark.parametrize(
    "get", [datasets.load, datasets.fetch, datasets.open_test_set, datasets.fingerprint]
)
def test_another_data_set_is_refused(get: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match=r'found "mnist", allowed is "fashion_mnist"'):
        get("mnist")


def test_a_real_file_that_is_damaged_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = datasets.fetch("fashion_mnist")

    def copies(scratch: Path) -> Path:
        for file in fashion_mnist.CHECKSUMS:
            packed = gzip.compress((real / file).read_bytes(), compresslevel=0)
            (scratch / f"{file}.gz").write_bytes(packed)
        return scratch

    monkeypatch.setenv("PIPELINE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"copies": copies})
    folder = datasets.fetch("fashion_mnist")
    content = bytearray((folder / "train-images-idx3-ubyte").read_bytes())
    content[1_000_000] ^= 1
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    assert datasets.fetch("fashion_mnist") == folder == tmp_path / "fashion_mnist"
    for file, checksum in fashion_mnist.CHECKSUMS.items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == checksum


# Sources, with four small files in place of the real ones


@pytest.fixture
def contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files' contents; the cache is empty, and they are what the checksums ask for."""
    monkeypatch.setenv("PIPELINE_DATA_DIR", str(tmp_path / "cache"))
    contents = {file: f"content of {file}".encode() * 1000 for file in fashion_mnist.CHECKSUMS}
    checksums = {file: hashlib.sha256(each).hexdigest() for file, each in contents.items()}
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", checksums)
    return contents


@pytest.fixture
def cache(tmp_path: Path, contents: dict[str, bytes]) -> Path:
    return tmp_path / "cache" / "fashion_mnist"


def fetch_again(file: str, cache: Path) -> None:
    """Fetches what verifies a file: those of the test set are verified when that is opened."""
    if file.startswith("t10k"):
        fashion_mnist.fetch_test(cache)
    else:
        datasets.fetch("fashion_mnist")


def good(contents: dict[str, bytes]) -> Source:
    """A source that has the files."""
    return packed({file: gzip.compress(content) for file, content in contents.items()})


def packed(archives: dict[str, bytes]) -> Source:
    """A source with archives as they are."""

    def get(scratch: Path) -> Path:
        for file, archive in archives.items():
            (scratch / f"{file}.gz").write_bytes(archive)
        return scratch

    return get


def failing(error: BaseException) -> Source:
    def get(_: Path) -> Path:
        raise error

    return get


def unasked(_: Path) -> Path:
    raise AssertionError("no need to ask this source")


def in_cache(cache: Path) -> dict[str, bytes]:
    """What lies in the cache, but for the lock."""
    return {path.name: path.read_bytes() for path in cache.iterdir() if path.name != ".lock"}


def test_an_empty_cache_is_filled_from_the_first_source_that_works(
    contents: dict[str, bytes],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources = {"first": failing(OSError("away")), "second": good(contents), "third": unasked}
    monkeypatch.setattr(fashion_mnist, "ORIGINS", sources)
    assert datasets.fetch("fashion_mnist") == cache
    assert in_cache(cache) == contents
    assert capsys.readouterr().err == f"Fashion-MNIST: fetched from second to {cache}\n"


def test_a_full_cache_asks_no_source(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"good": good(contents)})
    datasets.fetch("fashion_mnist")
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"unasked": unasked})
    assert datasets.fetch("fashion_mnist") == cache


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_file_is_fetched_again(
    damage: str,
    name: str,
    contents: dict[str, bytes],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"good": good(contents)})
    datasets.fetch("fashion_mnist")
    file = cache / name
    if damage == "changed":
        file.write_bytes(b"x" + file.read_bytes()[1:])
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    fetch_again(name, cache)
    assert in_cache(cache) == contents


def test_a_file_of_the_test_set_is_not_verified_before_it_is_opened(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"good": good(contents)})
    datasets.fetch("fashion_mnist")
    (cache / LAST).write_bytes(b"something else")
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"unasked": unasked})
    datasets.fetch("fashion_mnist")
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {})
    with pytest.raises(PipelineError, match=f"{LAST} is damaged"):
        fashion_mnist.SOURCE.read_test(cache)


DAMAGED = {"changed": "is damaged: it has SHA-256 ", "cut": "is damaged: it has SHA-256 ",
           "empty": "is damaged: it has SHA-256 ", "gone": "is not there",
           "a folder": "cannot be read (Is a directory)"}  # fmt: skip


@pytest.mark.parametrize("file", fashion_mnist.CHECKSUMS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_that_no_source_has_is_named(
    damage: str,
    file: str,
    contents: dict[str, bytes],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"good": good(contents)})
    datasets.fetch("fashion_mnist")
    path = cache / file
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        spoilt = {"changed": b"x" + contents[file][1:], "cut": contents[file][:-1], "empty": b""}
        path.write_bytes(spoilt[damage])
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {})
    with pytest.raises(PipelineError) as caught:
        fetch_again(file, cache)
    line = str(caught.value).splitlines()[1]
    assert line.startswith(f"  - the cache {cache}: {file} {DAMAGED[damage]}")


def archives(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {file: gzip.compress(content, mtime=0) for file, content in contents.items()}


LAST = "t10k-labels-idx1-ubyte"


def spoiled(contents: dict[str, bytes], how: str, file: str = LAST) -> dict[str, bytes]:
    """Archives of which one is spoiled."""
    good_ones = archives(contents)
    archive = good_ones.pop(file)
    content = contents[file]
    if how == "another content":
        return {**good_ones, file: gzip.compress(b"something else")}
    if how == "another magic":
        return {**good_ones, file: gzip.compress(b"\x00\x00\x08\x02" + content[4:])}
    if how == "another shape":
        return {**good_ones, file: gzip.compress(content[:7] + b"\x01" + content[8:])}
    if how == "short":
        return {**good_ones, file: gzip.compress(content[:-784])}
    if how == "wrong sum":
        return {**good_ones, file: archive[:-8] + b"\0\0\0\0" + archive[-4:]}
    if how == "truncated":
        return {**good_ones, file: archive[:-20]}
    if how == "broken inside":
        return {**good_ones, file: archive[:12] + b"\xff" * 20 + archive[32:]}
    if how == "not gzip":
        return {**good_ones, file: b"<html>Sign in to the network</html>"}
    if how == "empty":
        return {**good_ones, file: b""}
    return good_ones


SPOILED = {  # what is said of the file
    "another content": " has SHA-256 ",
    "another magic": " has SHA-256 ",
    "another shape": " has SHA-256 ",
    "short": " has SHA-256 ",
    "truncated": ".gz: Compressed file ended before the end-of-stream marker was reached",
    "broken inside": ".gz: Error -3 while decompressing data: ",
    "wrong sum": ".gz: CRC check failed",
    "not gzip": ".gz: Not a gzipped file (b'<h')",
    "empty": " has SHA-256 ",
    "missing": ".gz",
}


@pytest.mark.parametrize("file", fashion_mnist.CHECKSUMS)
@pytest.mark.parametrize("how", SPOILED)
def test_what_is_not_the_data_is_named_and_never_lands_in_the_cache(
    how: str, file: str, contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"mirror": packed(spoiled(contents, how, file))})
    with pytest.raises(PipelineError) as caught:
        datasets.fetch("fashion_mnist")
    (line,) = [each for each in str(caught.value).splitlines() if each.startswith("  - mirror: ")]
    assert f"{file}{SPOILED[how]}" in line
    assert in_cache(cache) == {}


@pytest.mark.parametrize("how", SPOILED)
def test_after_a_spoiled_source_the_next_is_tried(
    how: str, contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {"mirror": packed(spoiled(contents, how)), "good": good(contents)}
    monkeypatch.setattr(fashion_mnist, "ORIGINS", sources)
    datasets.fetch("fashion_mnist")
    assert in_cache(cache) == contents


def test_when_nothing_works_every_source_is_listed_with_its_reason(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt, headers = ["apt-get", "download"], http.client.HTTPMessage()
    errors: dict[str, BaseException] = {
        "system": FileNotFoundError(2, "No such file or directory", "/usr/share/datasets/x.gz"),
        "no net": urllib.error.URLError(OSError("Name or service not known")),
        "server": urllib.error.HTTPError("http://x", 404, "Not Found", headers, None),
        "cut off": http.client.IncompleteRead(b"half", 100),
        "no reply": TimeoutError(),
        "apt": subprocess.CalledProcessError(100, apt, stderr="W: old\nE: Unable to locate\n"),
        "dumb apt": subprocess.CalledProcessError(100, apt, stderr=""),
        "slow apt": subprocess.TimeoutExpired("apt-get", 300),
        "wordy": ValueError("two\nlines"),
    }
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {name: failing(errors[name]) for name in errors})
    with pytest.raises(PipelineError) as caught:
        datasets.fetch("fashion_mnist")
    assert caught.value.exit_code == 1
    assert str(caught.value).splitlines() == [
        "Fashion-MNIST could not be had; tried:",
        f"  - the cache {cache}: train-images-idx3-ubyte is not there",
        "  - system: no /usr/share/datasets/x.gz",
        "  - no net: Name or service not known",
        "  - server: Not Found",
        "  - cut off: IncompleteRead(4 bytes read, 100 more expected)",
        "  - no reply: TimeoutError",
        "  - apt: apt-get: E: Unable to locate",
        "  - dumb apt: apt-get: no message",
        "  - slow apt: Command 'apt-get' timed out after 300 seconds",
        "  - wordy: two lines",
        "With root on Debian or Ubuntu: apt-get install dataset-fashion-mnist. Elsewhere: put the "
        "four .gz files of Fashion-MNIST into /usr/share/datasets/fashion-mnist, or their "
        f"decompressed content into {cache}.",
    ]
    assert in_cache(cache) == {}


def test_the_sources_are_asked_in_this_order() -> None:
    assert list(fashion_mnist.ORIGINS) == [
        "the system's package in /usr/share/datasets/fashion-mnist",
        "Keras's cache",
        "Keras's download",
        "Debian's package dataset-fashion-mnist",
    ]


@pytest.mark.parametrize("home", ["{}/keras", "~/keras"])
def test_what_keras_has_downloaded_is_found(
    home: str,
    contents: dict[str, bytes],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "keras" / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    good(contents)(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", home.format(tmp_path))
    monkeypatch.setattr(
        fashion_mnist, "ORIGINS", {"Keras's cache": fashion_mnist.ORIGINS["Keras's cache"]}
    )
    datasets.fetch("fashion_mnist")
    assert in_cache(cache) == contents


def test_a_keras_home_of_nobody_is_one_source_that_did_not_work(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", "~nobody-has-this-name")
    origins = {"Keras's cache": fashion_mnist.ORIGINS["Keras's cache"], "good": good(contents)}
    monkeypatch.setattr(fashion_mnist, "ORIGINS", origins)
    datasets.fetch("fashion_mnist")
    assert in_cache(cache) == contents


def test_the_system_files_are_found_and_left_there(
    contents: dict[str, bytes], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "system"
    folder.mkdir()
    good(contents)(folder)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_DIR", folder)
    monkeypatch.setattr(
        fashion_mnist, "ORIGINS", {"system": next(iter(fashion_mnist.ORIGINS.values()))}
    )
    datasets.fetch("fashion_mnist")
    assert in_cache(cache) == contents
    assert len(list(folder.iterdir())) == 4


def test_keras_files_are_downloaded_from_where_keras_does(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        assert timeout > 0
        asked.append(url)
        return io.BytesIO(gzip.compress(contents[url.rsplit("/", 1)[1].removesuffix(".gz")]))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(
        fashion_mnist, "ORIGINS", {"Keras": fashion_mnist.ORIGINS["Keras's download"]}
    )
    datasets.fetch("fashion_mnist")
    assert in_cache(cache) == contents
    base = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
    assert asked == [f"{base}/{file}.gz" for file in contents]


@pytest.mark.parametrize("has_lists", [True, False])
def test_debians_package_is_fetched_and_unpacked_without_root(
    has_lists: bool, contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = []

    def pretend(command: list[str], folder: Path) -> None:
        step = next(each for each in ("download", "update", "--extract") if each in command)
        run.append(step)
        if step == "download" and not has_lists and "update" not in run:
            raise subprocess.CalledProcessError(100, command, stderr="E: Unable to locate package")
        if step == "download":
            (folder / "dataset-fashion-mnist_1_all.deb").write_bytes(b"")
        if step == "--extract":
            unpacked = Path(command[-1]) / fashion_mnist.SYSTEM_DIR.relative_to("/")
            unpacked.mkdir(parents=True)
            good(contents)(unpacked)

    debian = "Debian's package dataset-fashion-mnist"
    monkeypatch.setattr(fashion_mnist, "_run", pretend)
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {debian: fashion_mnist.ORIGINS[debian]})
    datasets.fetch("fashion_mnist")
    assert in_cache(cache) == contents
    retried = [] if has_lists else ["update", "download"]
    assert run == ["download", *retried, "--extract"]


@pytest.mark.parametrize("in_the_way", ["cache", "cache/fashion_mnist"])
def test_a_cache_that_cannot_be_written_is_said_in_a_sentence(
    in_the_way: str, tmp_path: Path, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / in_the_way  # in place of a folder, which even root cannot write into
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"unasked": unasked})
    with pytest.raises(
        PipelineError, match=r"cannot be written \(.+\); choose another folder wit"
    ):
        datasets.fetch("fashion_mnist")
    assert file.read_text() == ""


def test_a_folder_in_place_of_a_file_is_said_in_a_sentence(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "train-images-idx3-ubyte").mkdir(parents=True)
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"good": good(contents)})
    with pytest.raises(PipelineError, match=r"cannot be written \(Is a directory\)"):
        datasets.fetch("fashion_mnist")


# Samples and the command


def tiny() -> Dataset:
    """Ten black images, one of each class, and a white one."""
    images = np.zeros((11, 28, 28), np.uint8)
    images[10] = 255
    labels = np.array([*range(10), 0], np.uint8)
    return Dataset("tiny", images, labels, images, labels, fashion_mnist.SOURCE.task, "")


def test_the_picture_has_a_row_for_each_class(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "new" / "samples"  # whatever the name ends in
    show.save_picture(dataset, path)
    with Image.open(path) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (130 + 12 * 56, 560))


def test_the_picture_shows_samples_in_negative(tmp_path: Path) -> None:
    show.save_picture(tiny(), tmp_path / "samples.png", n_per_class=3)
    with Image.open(tmp_path / "samples.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (560, 130 + 3 * 56)
    assert (pixels[:56, 130 + 56 : 130 + 112] == 0).all()  # the white one
    assert (pixels[:, 130 + 112 :] == 255).all()  # there is no third of any class
    names = pixels[:, :130].reshape(10, -1)
    assert (names.min(axis=1) < 128).all()


def test_a_picture_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "samples.png", tmp_path):
        with pytest.raises(PipelineError, match=r"cannot be written \(.+\)$"):
            show.save_picture(tiny(), path)


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    arguments = ["data"]
    monkeypatch.setattr(sys, "argv", arguments)
    return arguments


def test_the_command_shows_the_data(
    dataset: Dataset, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments += ["--picture", str(tmp_path / "samples.png")]
    assert data_command.main() == 0
    shown = capsys.readouterr().out
    assert "training     images (48000, 28, 28) uint8, labels (48000,)" in shown
    assert "validation   images (12000, 28, 28) uint8, labels (12000,)" in shown
    assert dataset.fingerprint in shown
    for label, name in enumerate(fashion_mnist.CLASS_NAMES):
        assert f"{label:>5}  {name:<12}" in shown
    assert (tmp_path / "samples.png").is_file()


def test_a_kill_at_any_step_of_fetching_leaves_nothing_in_the_cache(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {"first": failing(OSError("away")), "second": good(contents)}
    monkeypatch.setattr(fashion_mnist, "ORIGINS", sources)
    n_left = 0
    for _ in killed_at_every_step(lambda: datasets.fetch("fashion_mnist")):
        n_left += cache.exists() and bool({*in_folder(cache)} - {*contents, ".lock"})
        datasets.fetch("fashion_mnist")
        assert in_cache(cache) == contents
        shutil.rmtree(cache)
    assert n_left > 10


def test_what_a_kill_left_in_a_full_cache_is_removed(
    contents: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"good": good(contents)})
    for _ in killed_at_every_step(lambda: datasets.fetch("fashion_mnist")):
        if {*contents, ".lock"} < {*in_folder(cache)}:  # all is there, and a scratch folder too
            break
    monkeypatch.setattr(fashion_mnist, "ORIGINS", {"unasked": unasked})
    datasets.fetch("fashion_mnist")
    assert in_cache(cache) == contents


def in_folder(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.exists() else []
