import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.export.use_section import use
from pipeline.reading.bundled import fingerprint_of_bundled
from pipeline.reading.column import ColumnKind
from pipeline.reading.content import fingerprint_of, fingerprint_of_file, fingerprint_of_folder
from pipeline.reading.image_folder import read_image_folder
from pipeline.task.task import Kind, Task

RED, WHITE = (255, 0, 0), (255, 255, 255)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def grey(path: Path, value: int = 100, size: tuple[int, int] = (8, 6)) -> Path:
    """Saves a picture of one grey; its size is (width, height), as Pillow has it."""
    return save(Image.new("L", size, value), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, three pictures."""
    root = tmp_path / "pictures"
    grey(root / "dog" / "b.png", 20)
    grey(root / "dog" / "a.PNG", 10)
    grey(root / "cat" / "z.bmp", 30)
    return root


def test_pictures_are_sorted_by_class_and_name(folder: Path) -> None:
    raw = read_image_folder(folder)
    assert raw.inputs.dtype == np.uint8
    assert raw.inputs.shape == (3, 6, 8)
    assert raw.inputs[:, 0, 0].tolist() == [30, 10, 20]
    assert (raw.targets.name, raw.targets.kind) == ("class", ColumnKind.CATEGORY)
    assert raw.targets.vocabulary == ("cat", "dog")
    assert raw.targets.values.tolist() == [0, 1, 1]
    assert raw.test_inputs is None
    assert raw.remarks == ("3 pictures of 2 classes", "grey, 6 by 8 pixels (height by width)")


def ramp(mode: str, high: int) -> Image.Image:
    """A picture that grows from left to right, from black to white."""
    values = np.linspace(0, high, 8).round()
    return Image.fromarray(np.tile(values, (6, 1)).astype("u2" if mode == "I;16" else "u1"))


def test_grey_of_one_eight_and_sixteen_bits_has_one_scale(tmp_path: Path) -> None:
    save(ramp("I;16", 65535), tmp_path / "a" / "1.png")
    save(ramp("L", 255), tmp_path / "a" / "2.png")
    save(Image.new("1", (8, 6), 1), tmp_path / "a" / "3.png")
    with Image.open(tmp_path / "a" / "1.png") as image:
        assert image.mode.startswith("I")  # else nothing is tried
    raw = read_image_folder(tmp_path)
    assert raw.inputs.shape == (3, 6, 8)
    assert raw.inputs[0].tolist() == raw.inputs[1].tolist()
    assert raw.inputs[0][0, [0, -1]].tolist() == [0, 255]
    assert (raw.inputs[2] == 255).all()


@pytest.mark.parametrize(
    ("name", "make", "pixel"),
    [
        ("rgb.png", lambda: Image.new("RGB", (8, 6), RED), RED),
        ("palette.png", lambda: Image.new("RGB", (8, 6), RED).quantize(), RED),
        ("palette.gif", lambda: Image.new("RGB", (8, 6), RED).quantize(), RED),
        ("half.png", lambda: Image.new("RGBA", (8, 6), (*RED, 128)), (255, 127, 127)),
        ("clear.png", lambda: Image.new("RGBA", (8, 6), (*RED, 0)), WHITE),
        ("clear.webp", lambda: Image.new("RGBA", (8, 6), (*RED, 0)), WHITE),
        ("cmyk.jpg", lambda: Image.new("CMYK", (8, 6), (0, 255, 255, 0)), RED),
        ("grey.png", lambda: Image.new("L", (8, 6), 255), WHITE),
    ],
)
def test_every_mode_becomes_red_green_and_blue(
    tmp_path: Path, name: str, make: Callable[[], Image.Image], pixel: tuple[int, int, int]
) -> None:
    save(make(), tmp_path / "a" / name)
    raw = read_image_folder(tmp_path, colour=True)
    assert raw.inputs.shape == (1, 6, 8, 3)
    np.testing.assert_allclose(
        raw.inputs.astype(int), np.broadcast_to(pixel, (1, 6, 8, 3)), atol=4
    )


def test_one_colour_among_grey_makes_all_colour_unless_it_is_said(folder: Path) -> None:
    save(Image.new("RGB", (8, 6), RED), folder / "cat" / "a.png")
    raw = read_image_folder(folder)
    assert raw.inputs[:, 0, 0].tolist() == [[*RED], [30] * 3, [10] * 3, [20] * 3]
    assert raw.remarks[1].startswith("colour")
    assert read_image_folder(folder, colour=False).inputs[:, 0, 0].tolist() == [76, 30, 10, 20]


def test_transparent_grey_is_grey_on_white(tmp_path: Path) -> None:
    save(Image.new("LA", (8, 6), (0, 0)), tmp_path / "a" / "1.png")
    save(Image.new("LA", (8, 6), (40, 255)), tmp_path / "a" / "2.png")
    raw = read_image_folder(tmp_path)
    assert raw.inputs.shape == (2, 6, 8)
    assert raw.inputs[:, 0, 0].tolist() == [255, 40]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_are_turned_upright(tmp_path: Path, suffix: str) -> None:
    image = Image.new("L", (64, 32), 0)
    image.paste(255, (0, 0, 16, 32))  # white at the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right: what is left comes to the top
    save(image, tmp_path / "a" / f"1.{suffix}", exif=exif)
    inputs = read_image_folder(tmp_path, size=(64, 32)).inputs
    assert (inputs[0, :12] > 240).all()
    assert (inputs[0, 20:] < 15).all()
    if suffix == "jpg":  # of which the size upright is known before it is decoded
        assert np.array_equal(read_image_folder(tmp_path).inputs, inputs)


def test_the_size_is_the_median_and_at_most_64(tmp_path: Path) -> None:
    for i, size in enumerate([(10, 200), (30, 300), (20, 400)]):
        grey(tmp_path / "a" / f"{i}.png", 70, size)
    raw = read_image_folder(tmp_path)
    assert raw.inputs.shape == (3, 64, 20)
    assert (raw.inputs == 70).all()
    words = "resized to 64 by 20 pixels (height by width) from 200 by 10 to 300 by 30"  # by area
    assert raw.remarks[1] == f"grey, {words}"


def test_pictures_get_the_size_that_is_asked_for_without_aliasing(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))  # every other column
    save(Image.fromarray(stripes), tmp_path / "a" / "1.png")
    inputs = read_image_folder(tmp_path, size=(4, 8)).inputs
    assert inputs.shape == (1, 4, 8)
    assert (abs(inputs.astype(int) - 127) < 10).all()


def test_a_large_jpeg_is_the_same_as_a_resized_one(tmp_path: Path) -> None:
    y, x = np.mgrid[:1200, :1600] / 1600
    waves = (np.stack([np.sin(9 * x), np.cos(7 * y), np.sin(5 * x * y)], -1) + 1) * 127
    path = save(Image.fromarray(waves.astype(np.uint8)), tmp_path / "a" / "1.jpg", quality=95)
    with Image.open(path) as image:
        expected = np.asarray(image.resize((40, 30), Image.Resampling.BILINEAR))
    found = read_image_folder(tmp_path, size=(30, 40)).inputs[0]
    assert np.abs(found.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("colour", [False, True])
def test_a_card_reads_pictures_as_they_were_read(tmp_path: Path, colour: bool) -> None:
    """Whoever is handed a model has files: of any size, upright or not, see-through or not."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (300, 200, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    save(noise, tmp_path / "f" / "a" / "1.jpg", exif=exif)
    save(noise.convert("L"), tmp_path / "f" / "a" / "2.png")
    see_through = Image.fromarray(rng.integers(0, 255, (30, 20, 4), dtype=np.uint8))
    save(see_through, tmp_path / "f" / "b" / "3.png")
    save(noise.convert("P"), tmp_path / "f" / "b" / "4.png")
    expected = read_image_folder(tmp_path / "f", size=(20, 30), colour=colour).inputs
    task = Task(Kind.BINARY, expected.shape[1:], ("a", "b"))
    (block,) = re.findall("```python\n(.*?)```", use(task, is_folder=True), re.DOTALL)
    code = block[block.index("import numpy") : block.index("images = ")]
    given: dict[str, Any] = {}
    exec(code, given)
    for path, each in zip(sorted((tmp_path / "f").rglob("*.*g")), expected, strict=True):
        np.testing.assert_array_equal(given["read"](path), each)


def test_what_is_no_picture_of_a_class_is_left_out_and_counted(folder: Path) -> None:
    before = read_image_folder(folder).inputs
    (folder / "readme.txt").write_text("by hand")
    (folder / "cat" / "Thumbs.db").write_text("")
    (folder / "cat" / "._z.png").write_text("a Mac's")
    (folder / ".git").mkdir()
    (folder / "__MACOSX").mkdir()
    grey(folder / "cat" / "more" / "1.png")
    raw = read_image_folder(folder)
    assert np.array_equal(raw.inputs, before)
    assert raw.remarks[2:] == (
        "2 files are not read: no pictures by class",
        "1 folder is not read: inside those of classes",
    )


def test_parts_in_folders_of_their_own(tmp_path: Path) -> None:
    for i, name in enumerate(("train/a/1", "train/b/1", "Test/b/1", "Test/b/2", "val/a/1")):
        grey(tmp_path / f"{name}.png", i)
    grey(tmp_path / "raw" / "x.png")
    raw = read_image_folder(tmp_path)
    assert raw.targets.vocabulary == ("a", "b")
    assert raw.inputs[:, 0, 0].tolist() == [0, 4, 1]
    assert raw.targets.values.tolist() == [0, 0, 1]
    assert raw.test_inputs is not None
    assert raw.test_targets is not None
    assert raw.test_inputs[:, 0, 0].tolist() == [2, 3]
    assert raw.test_targets.values.tolist() == [1, 1]
    assert raw.test_targets.vocabulary == ("a", "b")
    remarks = "\n".join(raw.remarks)
    assert "3 pictures of 2 classes, and 2 of a test set" in remarks
    assert "pictures of val/ are added to those of training" in remarks
    assert "raw/ is not read" in remarks


def test_a_test_set_without_classes_is_not_read(tmp_path: Path) -> None:
    grey(tmp_path / "train" / "a" / "1.png")
    grey(tmp_path / "test" / "1.png")
    raw = read_image_folder(tmp_path)
    assert raw.test_inputs is None
    assert "test/ is not read: it has no folder for each class" in raw.remarks


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    grey(tmp_path / "train" / "1.png")
    grey(tmp_path / "bus" / "1.png")
    assert read_image_folder(tmp_path).targets.vocabulary == ("bus", "train")


def refusal(root: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_image_folder(root)
    return str(caught.value)


def test_a_folder_that_has_no_pictures_by_class_is_refused(tmp_path: Path) -> None:
    assert "none: cannot be read (No such file" in refusal(tmp_path / "none")
    file = grey(tmp_path / "flat" / "1.png")
    assert "1.png: cannot be read (Not a directory)" in refusal(file)
    assert "flat: found 1 picture and no folders, allowed is a folder for" in refusal(file.parent)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("")
    assert "words: found no pictures (.png, .jpg, " in refusal(tmp_path / "words")
    grey(tmp_path / "deep" / "data" / "a" / "1.png")
    assert "data: found no pictures (.png" in refusal(tmp_path / "deep")
    assert "but 1 folder, allowed is" in refusal(tmp_path / "deep")
    grey(tmp_path / "deep" / "data" / "b" / "1.png")
    assert refusal(tmp_path / "deep").endswith(
        "; if those are the classes, give this folder itself"
    )


def test_a_class_without_pictures_is_named(folder: Path) -> None:
    (folder / "emu").mkdir()
    assert f"{folder / 'emu'}: found no pictures" in refusal(folder)


def test_a_class_of_the_test_set_alone_is_named(tmp_path: Path) -> None:
    grey(tmp_path / "train" / "a" / "1.png")
    grey(tmp_path / "test" / "b" / "1.png")
    assert "the test set has the class b, allowed are those of training: a" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp"])
def test_damaged_pictures_are_named_and_counted(folder: Path, suffix: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (50, 50, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), folder / "dog" / f"a.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # its size is still there
    said = refusal(folder)
    assert said.startswith(f"{path}: cannot be read as a picture (")
    assert said.endswith(")")
    (folder / "cat" / "empty.png").write_bytes(b"")
    (folder / "cat" / "words.jpg").write_text("no picture")
    said = refusal(folder)
    assert said.startswith(f"{folder / 'cat' / 'empty.png'}: cannot be read as a picture (none of")
    assert said.endswith("; nor can 2 other pictures")


def test_a_folder_of_damaged_pictures_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"")
    assert "1.png: cannot be read as a picture" in refusal(tmp_path)


def test_a_picture_that_would_fill_the_memory_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    grey(folder / "dog" / "huge.png", size=(50, 50))
    assert "huge.png: cannot be read as a picture (more than 2,000 pixels)" in refusal(folder)


def test_a_size_without_pixels_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"image_size: found \[0, 8\]"):
        read_image_folder(folder, size=(0, 8))


def test_the_fingerprint_is_of_what_is_read(folder: Path) -> None:
    before = fingerprint_of_folder(folder)
    os.utime(folder / "dog" / "b.png", (0, 0))
    (folder / "cat" / "notes.txt").write_text("")
    moved = folder.rename(folder.with_name("moved"))
    assert fingerprint_of_folder(moved) == before
    found = {before}
    (moved / "dog" / "b.png").rename(moved / "cat" / "b.png")
    found.add(fingerprint_of_folder(moved))
    grey(moved / "cat" / "b.png", 21)
    found.add(fingerprint_of_folder(moved))
    (moved / "cat" / "b.png").unlink()
    (moved / "dog" / "a.PNG").rename(moved / "dog" / "c.png")
    found.add(fingerprint_of_folder(moved))
    assert len(found) == 4


def test_the_fingerprint_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    # FIPS 180-4's example
    assert fingerprint_of_file(path).startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
    with pytest.raises(UsageError, match="none: cannot be read"):
        fingerprint_of_file(tmp_path / "none")


def test_a_fingerprint_by_name_or_path(folder: Path) -> None:
    assert fingerprint_of(str(folder)) == fingerprint_of_folder(folder)
    file = folder / "dog" / "b.png"
    assert fingerprint_of(str(file)) == fingerprint_of_file(file)
    assert fingerprint_of("wine") == fingerprint_of_bundled("wine")
