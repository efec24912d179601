"""Arrays of any dtype and of either scale are taken; what is no example is refused by place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.predict.arrays import read_array
from pipeline.task.features import Features, Number
from pipeline.task.task import Kind, Task

NAMES = ("a", "b", "c")
PIXELS = Task(Kind.MULTICLASS, (4, 5), NAMES)
COLOURS = Task(Kind.MULTICLASS, (4, 5, 3), NAMES)
ONE_CHANNEL = Task(Kind.MULTICLASS, (4, 5, 1), NAMES)
NUMBER = Number("x", 0.0, 1.0, 0.0, True, (0.0, 1.0))
TABLE = Task(  # encoded with an indicator for each number, which no example has
    Kind.MULTICLASS, (4,), NAMES, "float32", features=Features((), (NUMBER, NUMBER))
)
GRID = Task(Kind.MULTICLASS, (2, 2), NAMES, "float32", features=Features((), (NUMBER,) * 4))
IMAGES = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


def saved(folder: Path, array: Any) -> Path:
    path = folder / "x.npy"
    np.save(path, array, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("task", "array", "places", "expected"),
    [
        (PIXELS, IMAGES[0], ["x.npy"], IMAGES[:1]),
        (PIXELS, IMAGES, ["x.npy:1", "x.npy:2", "x.npy:3"], IMAGES),
        (PIXELS, IMAGES[:1], ["x.npy:1"], IMAGES[:1]),
        (PIXELS, IMAGES[..., None], ["x.npy:1", "x.npy:2", "x.npy:3"], IMAGES),
        (PIXELS, IMAGES[0][..., None], ["x.npy"], IMAGES[:1]),
        (PIXELS, IMAGES[:1].astype(np.int64), ["x.npy:1"], IMAGES[:1].astype(np.float32)),
        (PIXELS, IMAGES[:1] / 255, ["x.npy:1"], (IMAGES[:1] / 255).astype(np.float32)),
        (PIXELS, IMAGES[0].astype(np.float16), ["x.npy"], IMAGES[:1].astype(np.float32)),
        (PIXELS, IMAGES[0] > 7, ["x.npy"], np.where(IMAGES[:1] > 7, 255, 0).astype(np.uint8)),
        (ONE_CHANNEL, IMAGES[0], ["x.npy"], IMAGES[:1, ..., None]),
        (ONE_CHANNEL, IMAGES[:2], ["x.npy:1", "x.npy:2"], IMAGES[:2, ..., None]),
        (COLOURS, np.ones((4, 5, 3), np.uint8), ["x.npy"], np.ones((1, 4, 5, 3), np.uint8)),
        (TABLE, [1, 2], ["x.npy"], np.array([[1.0, 2.0]])),
        (TABLE, [[1.0, np.nan]], ["x.npy:1"], np.array([[1.0, np.nan]])),
        (GRID, np.eye(2), ["x.npy"], np.eye(2)[None]),
    ],
)
def test_one_example_or_several_are_taken(
    task: Task, array: Any, places: list[str], expected: Any, project_folder: Path
) -> None:
    saved(project_folder, array)
    found, examples = read_array(Path("x.npy"), task)
    assert [*map(str, found)] == places
    assert examples.dtype == expected.dtype
    np.testing.assert_array_equal(examples, expected)


@pytest.mark.parametrize(
    ("task", "array", "said"),
    [
        (PIXELS, IMAGES[0].T, "x.npy: found shape (5, 4), allowed is (4, 5) of one example, or "
                              "(n, 4, 5)"),
        (PIXELS, IMAGES[None], "x.npy: found shape (1, 3, 4, 5), allowed is"),
        (PIXELS, np.uint8(3), "x.npy: found shape (), allowed is"),
        (PIXELS, IMAGES[:0], "x.npy: found no examples"),
        (PIXELS, IMAGES[:2].astype(int) * 10, "x.npy:2: found 260, allowed are pixels from 0"),
        (PIXELS, IMAGES[0] - 1.0, "x.npy: found -1, allowed are pixels from 0 to 255, or to 1"),
        (PIXELS, IMAGES[0] + np.nan, "x.npy: found nan, allowed are pixels"),
        (PIXELS, IMAGES[0] + 1j, "x.npy: found dtype complex128, allowed are numbers"),
        (PIXELS, IMAGES[0].astype(str), "x.npy: found dtype <U3, allowed are numbers"),
        (PIXELS, np.array([{}], object), "x.npy: cannot be read (found Python objects, which may"),
        (TABLE, [1, 2, 3, 4], "x.npy: found shape (4,), allowed is (2,) of one example, or (n, 2"),
        (TABLE, [[1, 2], [3, np.inf]], "x.npy:2: found inf, allowed are finite numbers, and NaN"),
        (GRID, [[1, 2], [3, np.nan]], "x.npy: found nan, allowed are finite numbers"),
    ],
)  # fmt: skip
def test_what_is_no_example_is_refused_in_a_sentence(
    task: Task, array: Any, said: str, project_folder: Path
) -> None:
    path = saved(project_folder, array)
    with pytest.raises(UsageError) as caught:
        read_array(path, task)
    assert str(caught.value).startswith(said)


def test_of_an_archive_x_is_read_or_the_one_array(project_folder: Path) -> None:
    path = Path("x.npz")
    np.savez(path, X=IMAGES[:1], y=np.zeros(1))
    places, examples = read_array(path, PIXELS)
    assert [*map(str, places)] == ["x.npz:1"]
    np.testing.assert_array_equal(examples, IMAGES[:1])
    np.savez(path, pictures=IMAGES)
    assert len(read_array(path, PIXELS)[1]) == 3
    np.savez(path, a=IMAGES, b=IMAGES)
    with pytest.raises(
        UsageError, match=r"^x.npz: found a and b, allowed is x, or one array alone"
    ):
        read_array(path, PIXELS)
    np.savez(path)
    with pytest.raises(UsageError, match=r"^x.npz: found no array, allowed"):
        read_array(path, PIXELS)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00", b"PK\x03\x04junk"])
def test_a_damaged_file_is_refused(content: bytes, project_folder: Path) -> None:
    Path("x.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"^x.npy: cannot be read \(.*\); allowed are arrays$"):
        read_array(Path("x.npy"), PIXELS)
