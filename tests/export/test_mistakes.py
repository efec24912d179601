"""What a model got most wrong: which it is, and how it is shown."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.export import mistakes
from pipeline.export.folder import PICTURES_FILE, ROWS_FILE
from pipeline.task.source import Examples
from pipeline.task.task import Kind, Target, Task

THREE = Task(Kind.MULTICLASS, (6, 4), ("a", "b", "c"))
NUMBERS = Task(Kind.REGRESSION, (2,), target=Target("price"), example="row")
COLUMNS = {
    "size": np.array([1.5, np.nan, 3.0]),
    "=town": np.array(["=1+1", "", "x"], object),
}


def sure(n: int) -> Any:
    """Answers "a" to all, with a confidence that rises."""
    first = np.linspace(0.5, 0.9, n)
    return np.stack([first, (1 - first) / 2, (1 - first) / 2], axis=1)


def test_of_classes_the_surest_come_first_and_right_answers_never() -> None:
    found = mistakes.find(THREE, sure(3), np.array([1, 2, 0]))
    assert found == [
        {"example": 1, "target": "c", "answer": "a", "confidence": pytest.approx(0.7)},
        {"example": 0, "target": "b", "answer": "a", "confidence": 0.5},
    ]
    assert mistakes.find(THREE, sure(3), np.zeros(3, int)) == []
    assert len(mistakes.find(THREE, sure(100), np.ones(100, int))) == mistakes.N_SHOWN


def test_of_numbers_the_largest_errors_come_first() -> None:
    found = mistakes.find(NUMBERS, np.array([[1.0], [5], [np.nan], [3]]), np.array([1, 2, 0, 4.0]))
    assert found == [
        {"example": 1, "target": 2.0, "answer": 5.0, "error": 3.0},
        {"example": 3, "target": 4.0, "answer": 3.0, "error": -1.0},
    ]


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1), (6, 4, 3), (200, 300), (1, 1)])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_pictures_of_any_kind_are_a_sheet(shape: Any, kind: str, tmp_path: Path) -> None:
    task = Task(Kind.MULTICLASS, shape, ("a", "b" * 200, "<&>"))
    pictures = np.random.default_rng(0).integers(256, size=(7, *shape)).astype(kind)
    if kind == "float32":
        pictures[0] = np.nan
    found = mistakes.find(task, sure(7), np.array([1, 1, 1, 2, 2, 2, 0]))
    mistakes.save(task, found, Examples(pictures, np.zeros(7)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [PICTURES_FILE]
    with Image.open(tmp_path / PICTURES_FILE) as sheet:
        assert sheet.size == (848, 328)  # five in a row, and a second row


def test_the_worst_picture_stands_first(tmp_path: Path) -> None:
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    pictures[1] = [250, 0, 0]
    found = mistakes.find(THREE, sure(2), np.array([1, 2]))
    task = Task(Kind.MULTICLASS, (8, 8, 3), THREE.class_names)
    mistakes.save(task, found, Examples(pictures, np.array([1, 2])), tmp_path)
    with Image.open(tmp_path / PICTURES_FILE) as sheet:
        assert sheet.getpixel((60, 60)) == (250, 0, 0)
        assert sheet.getpixel((230, 60)) == (0, 0, 0)


def test_rows_keep_their_columns(tmp_path: Path) -> None:
    found = mistakes.find(NUMBERS, np.array([1.0, 5, 0]), np.array([1.5, 2, 0]))
    mistakes.save(NUMBERS, found, Examples(COLUMNS, np.zeros(3)), tmp_path)
    rows = list(csv.reader(io.StringIO((tmp_path / ROWS_FILE).read_text())))
    assert rows == [
        ["example", "target", "answer", "error", "size", "'=town"],
        ["1", "2.0", "5.0", "3.0", "", ""],
        ["0", "1.5", "1.0", "-0.5", "1.5", "'=1+1"],
    ]


def test_rows_of_an_array_are_numbered(tmp_path: Path) -> None:
    found = mistakes.find(NUMBERS, np.array([1.0]), np.array([2.0]))
    examples = Examples(np.array([[0.5, 7.0]], np.float32), np.array([2.0]))
    mistakes.save(NUMBERS, found, examples, tmp_path)
    assert (tmp_path / ROWS_FILE).read_text() == (
        "example,target,answer,error,input_0,input_1\n0,2.0,1.0,-1.0,0.5,7.0\n"
    )


def test_without_mistakes_there_is_no_file(tmp_path: Path) -> None:
    mistakes.save(NUMBERS, [], Examples(COLUMNS, np.zeros(3)), tmp_path)
    assert list(tmp_path.iterdir()) == []
