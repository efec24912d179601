"""Pictures are read as those of a training folder; of an odd border it is said, never guessed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.predict.given import Place, places_in
from pipeline.predict.pictures import list_folder, negative_of, read_files, say_doubts
from pipeline.reading.image_folder import read_image_folder
from pipeline.task.task import Kind, Task

NAMES = ("a", "b", "c")
GREY, COLOUR = Task(Kind.MULTICLASS, (8, 6), NAMES), Task(Kind.MULTICLASS, (8, 6, 3), NAMES)
DARK = np.zeros((10, 8, 6), np.uint8)
DARK[:, 2:6, 2:4] = 200


@pytest.mark.parametrize("task", [GREY, COLOUR])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
def test_a_picture_is_read_as_in_the_training(task: Task, suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    kind = suffix if suffix != "tiff" else "png"  # which the training leaves out
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(noise).save(tmp_path / "train" / name / f"x.{kind}")
    own = tmp_path / f"x.{suffix}"
    Image.fromarray(noise).save(own)
    is_colour = task is COLOUR
    known = read_image_folder(tmp_path / "train", size=(8, 6), colour=is_colour)
    pictures, done = read_files([own], task)
    np.testing.assert_array_equal(pictures, known.inputs[:1])
    of = "colour" if is_colour else "grey"
    said = f"1 picture: {of}, resized to 8 by 6 pixels (height by width) from 40 by 30"
    assert done == said


def test_of_a_picture_that_is_right_already_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(DARK[0]).save(path)
    pictures, done = read_files([path, path], GREY)
    np.testing.assert_array_equal(pictures, DARK[:2])
    assert done == ""
    one_channel = Task(Kind.MULTICLASS, (8, 6, 1), NAMES)
    assert read_files([path], one_channel)[0].shape == (1, 8, 6, 1)


def test_what_is_no_picture_is_refused(project_folder: Path) -> None:
    Path("x.txt").write_text("words")
    with pytest.raises(UsageError, match=r"^x.txt: cannot be read as a picture \(none .*\.npz$"):
        read_files([Path("x.txt")], GREY)
    four = Task(Kind.MULTICLASS, (8, 6, 4), NAMES)
    with pytest.raises(UsageError, match=r"^x.txt: found a picture, .* have 4 channels$"):
        read_files([Path("x.txt")], four)


def test_a_folder_is_listed_with_what_lies_deeper(project_folder: Path) -> None:
    for name in ("b.png", "a/c.JPG", "notes.txt", ".hidden/d.png", ".e.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    found, n_others = list_folder(Path())
    assert [*map(str, found)] == ["a/c.JPG", "b.png"]
    assert n_others == 1
    Path("empty").mkdir()
    with pytest.raises(UsageError, match=r"^empty: found no pictures, allowed are \.png, "):
        list_folder(Path("empty"))


def doubts(pixels: np.ndarray, known: np.ndarray = DARK) -> list[str]:
    return [*say_doubts(pixels, places_in("x", len(pixels)), known)]


def test_a_light_border_is_told_where_the_training_had_dark_ones() -> None:
    assert doubts(DARK[:2]) == []
    both = np.concatenate([DARK[:1], 255 - DARK[:1]])
    for pixels in (both, both / 255):
        assert doubts(pixels) == [
            "x:2: has a light border, while the images of the training are light on dark: its "
            "answer may be wrong; --invert answers negatives"
        ]
    assert doubts(both, 255 - DARK) == [
        "x:1: has a dark border, while the images of the training are dark on light: its "
        "answer may be wrong; --invert answers negatives"
    ]
    assert doubts(255 - DARK[:4])[0].startswith("4 images, such as x:1: have a light border")
    mixed = np.concatenate([DARK[:5], 255 - DARK[:5]])
    assert doubts(both, mixed) == []  # of photos there is no usual ground
    colours = np.repeat(both[..., None], 3, axis=3)
    (said,) = say_doubts(colours, [Place("a"), Place("b")], np.repeat(DARK[..., None], 3, axis=3))
    assert said.startswith("b: has a light border")


def test_pixels_of_zeros_and_ones_are_told() -> None:
    ones = (DARK[:1] > 0).astype(np.uint8)
    (said,) = doubts(ones)
    assert said.startswith("x:1: all pixels are 0 or 1, taken as such of 0 to 255")
    assert doubts(ones.astype(np.float32)) == [said]
    assert doubts(DARK[:1] * 0) == []  # blank, on any scale


def test_a_negative_keeps_the_scale() -> None:
    np.testing.assert_array_equal(negative_of(DARK), 255 - DARK)
    divided = (DARK / 255).astype(np.float32)
    np.testing.assert_allclose(negative_of(divided), 1 - divided)
    floats = np.concatenate([DARK[:1].astype(np.float32), divided[:1]])
    expected = [255 - floats[0], 1 - floats[1]]
    np.testing.assert_allclose(negative_of(floats), expected)
