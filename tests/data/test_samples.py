from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.data import show
from pipeline.task.dataset import Dataset
from pipeline.task.task import Kind, Target, Task

LABEL_WIDTH, SIZE = 130, 56


def samples(tmp_path: Path, inputs: Any, task: Task, targets: Any = (0, 1)) -> Any:
    """Saves a picture of samples and returns the tiles, (rows, 2, height, width[, 3])."""
    data = Dataset("tiny", inputs, np.array(targets), inputs, np.array(targets), task, "")
    show.save_picture(data, tmp_path / "samples.png", n_per_class=2)
    with Image.open(tmp_path / "samples.png") as picture:
        pixels = np.asarray(picture)[:, LABEL_WIDTH:]
    rows = pixels.reshape(-1, SIZE, 2, SIZE, *pixels.shape[2:])
    return rows.swapaxes(1, 2)


def classes(shape: tuple[int, ...]) -> Task:
    return Task(Kind.BINARY, shape, ("cat", "dog"))


@pytest.mark.parametrize("n_channels", [3, 4])
def test_colours_are_shown_as_they_are(tmp_path: Path, n_channels: int) -> None:
    inputs = np.zeros((2, 9, 7, n_channels), np.uint8)
    inputs[0, ..., 0] = 255
    inputs[1, ..., 2] = 100
    tiles = samples(tmp_path, inputs, classes((9, 7, n_channels)))
    assert (tiles[0, 0] == (255, 0, 0)).all()
    assert (tiles[1, 0] == (0, 0, 100)).all()
    assert (tiles[:, 1] == 255).all()  # there is no second of any class


def test_bright_grey_is_no_negative(tmp_path: Path) -> None:
    inputs = np.full((2, 9, 7, 1), 200, np.uint8)
    inputs[1] = 90
    tiles = samples(tmp_path, inputs, classes((9, 7, 1)))
    assert (tiles[0, 0] == 200).all()
    assert (tiles[1, 0] == 90).all()


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 1)])
def test_numbers_are_scaled_to_be_seen(tmp_path: Path, shape: tuple[int, ...]) -> None:
    inputs = np.full(shape, -1.5, np.float32)  # a black ground, as of digits
    inputs[1, 4:] = 2.5
    tiles = samples(tmp_path, inputs, classes(shape[1:]))
    assert (tiles[0, 0] == 255).all()
    assert (tiles[1, 0, :20] == 255).all()
    assert (tiles[1, 0, -20:] == 0).all()


def test_equal_numbers_are_shown(tmp_path: Path) -> None:
    inputs = np.full((2, 8, 8, 3), 0.5, np.float32)
    assert (samples(tmp_path, inputs, classes((8, 8, 3)))[:, 0] == 0).all()


def test_a_regression_has_one_row(tmp_path: Path) -> None:
    inputs = np.stack([np.full((8, 8), value, np.uint8) for value in (200, 100, 50)])
    task = Task(Kind.REGRESSION, (8, 8), (), target=Target("age"))
    tiles = samples(tmp_path, inputs, task, (1.5, 2.5, 3.5))
    assert tiles.shape[:2] == (1, 2)
    assert (tiles[0, 0] == 200).all()
    assert (tiles[0, 1] == 100).all()
