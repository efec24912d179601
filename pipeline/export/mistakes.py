"""What a model got most wrong: named, and shown as pictures or as rows of a table."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.show import as_pixels
from pipeline.escaping import for_csv
from pipeline.evaluation import details
from pipeline.export.folder import PICTURES_FILE, ROWS_FILE
from pipeline.files import write_atomically
from pipeline.task.source import Examples
from pipeline.task.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_SHOWN = 25
_COLUMNS, _TILE, _LINE = 5, 112, 16  # of the sheet: pictures in a row, and pixels
_WIDTH, _MARGIN = 168, 8
_MOST_NUMBERS = 1_000  # of an example that is an array, in a row


def find(task: Task, answers: "NDArray[Any]", targets: "NDArray[Any]") -> list[dict[str, Any]]:
    """Finds what a model got most wrong, the worst first, `N_SHOWN` at most.

    Returns:
        Of classes the wrong answers that it was most sure of: `example`, its number in the test
        set from 0; `target`, the class that it is; `answer`, and with which `confidence`. Of a
        regression the largest errors: `example`, `target`, `answer`, and the latter less the
        former as `error`.
    """
    if task.is_regression:
        numbers = np.asarray(answers, np.float64).reshape(-1)
        rows = details.largest_errors(targets, numbers, N_SHOWN)
        return [
            {
                "example": int(i),
                "target": float(targets[i]),
                "answer": float(numbers[i]),
                "error": float(numbers[i] - targets[i]),
            }
            for i in rows
            if np.isfinite(numbers[i]) and numbers[i] != targets[i]
        ]
    chosen = details.chosen_classes(answers)
    known = details.of_all_classes(answers)
    return [
        {
            "example": int(i),
            "target": task.class_names[targets[i]],
            "answer": task.class_names[chosen[i]],
            "confidence": float(known[i, chosen[i]]),
        }
        for i in details.most_confident_mistakes(targets, answers, N_SHOWN)
    ]


def save(
    task: Task, mistakes: Sequence[Mapping[str, Any]], examples: Examples, folder: Path
) -> None:
    """Saves mistakes as a sheet of pictures, or as the rows of a CSV file; nothing without any.

    Args:
        task: whose examples they are.
        mistakes: by `find`.
        examples: of the test set.
        folder: gets the file.
    """
    if not mistakes:
        return
    rows = [each["example"] for each in mistakes]
    if task.is_picture and not isinstance(examples.inputs, Mapping):
        write_atomically(folder / PICTURES_FILE, _sheet(task, mistakes, examples.inputs[rows]))
    else:
        write_atomically(folder / ROWS_FILE, _table(mistakes, examples.inputs, rows))


def _sheet(task: Task, mistakes: Sequence[Mapping[str, Any]], pictures: "NDArray[Any]") -> bytes:
    """Draws the pictures, below each what it is, what was answered, and how sure."""
    from PIL import Image, ImageDraw, ImageFont

    (tiles,) = as_pixels([np.nan_to_num(pictures)])
    font = ImageFont.load_default(size=12)
    height = _TILE + 2 * _LINE + 2 * _MARGIN
    n_rows = -(-len(mistakes) // _COLUMNS)
    size = (_COLUMNS * _WIDTH + _MARGIN, n_rows * height + _MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for i, (mistake, tile) in enumerate(zip(mistakes, tiles, strict=True)):
        x, y = _MARGIN + i % _COLUMNS * _WIDTH, _MARGIN + i // _COLUMNS * height
        scale = _TILE / max(tile.shape[:2])
        shown = tuple(max(1, round(scale * side)) for side in tile.shape[1::-1])
        sampling = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
        picture = Image.fromarray(tile).convert("RGB").resize((shown[0], shown[1]), sampling)
        sheet.paste(picture, (x, y))
        target, answer = _said(task, mistake)
        for line, (text, colour) in enumerate(((target, "black"), (answer, "firebrick"))):
            text = _shortened(text, font.getlength, _WIDTH - _MARGIN)
            draw.text((x, y + _TILE + 4 + line * _LINE), text, fill=colour, font=font)
    content = io.BytesIO()
    sheet.save(content, format="PNG")
    return content.getvalue()


def _said(task: Task, mistake: Mapping[str, Any]) -> tuple[str, str]:
    if task.is_regression:
        return f"is {mistake['target']:.5g}", f"answered {mistake['answer']:.5g}"
    sure = f"{100 * mistake['confidence']:.1f} %"
    return f"is {mistake['target']}", f"{sure} {mistake['answer']}"


def _shortened(text: str, length_of: Any, most: float) -> str:
    """Cuts a text to so many pixels, with dots for what is left out."""
    if length_of(text) <= most:
        return text
    while text and length_of(f"{text}...") > most:
        text = text[:-1]
    return f"{text}..."


def _table(mistakes: Sequence[Mapping[str, Any]], inputs: Any, rows: Sequence[int]) -> str:
    """Writes mistakes as CSV: what was answered first, then the columns as the file had them."""
    columns: Mapping[str, Any] = inputs if isinstance(inputs, Mapping) else _numbered(inputs)
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    names = [*mistakes[0], *map(for_csv, columns)]
    writer.writerow(names)
    for mistake, row in zip(mistakes, rows, strict=True):
        raw = (values[row] for values in columns.values())
        writer.writerow([*map(for_csv, mistake.values()), *map(_cell, raw)])
    return content.getvalue()


def _numbered(inputs: "NDArray[Any]") -> dict[str, Any]:
    flat = inputs.reshape(len(inputs), -1)[:, :_MOST_NUMBERS]
    return {f"input_{i}": flat[:, i] for i in range(flat.shape[1])}


def _cell(value: Any) -> Any:
    """Makes a value of a column plain: "" where it is missing."""
    plain = value.item() if hasattr(value, "item") else value
    return "" if plain is None or plain != plain else for_csv(plain)
