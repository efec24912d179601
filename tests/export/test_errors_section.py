"""The section "How it errs", of real descriptions; and the figure that it shows."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.export import errors_section, reliability, test_details
from pipeline.export.folder import RELIABILITY_FILE, ROWS_FILE
from pipeline.task.source import Examples
from pipeline.task.task import Kind, Target, Task


def described(task: Task, folder: Path, answers: Any, targets: Any, **more: Any) -> str:
    """The section, of files as they are written at a look."""
    known_errors = more.pop("known_errors", None)
    examples = Examples({"x|y": np.arange(len(targets))}, targets, **more)
    test_details.write(task, answers, examples, known_errors, folder / "details")
    found = test_details.describe(task, answers, examples, known_errors)
    test = {task.score.quantity: 0.5, **({"n_groups": 3} if "groups" in more else {})}
    text = errors_section.write(task, test, found, folder / "details")
    assert "nan" not in text
    assert "None" not in text.replace("None of these", "")
    return text


def some(k: int, n: int = 300) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    targets = random.integers(k, size=n)
    answers = random.dirichlet(np.ones(k), n) + 1.2 / k * np.eye(k)[targets]
    return answers / answers.sum(axis=1, keepdims=True), targets


def test_of_few_classes_all_are_shown(tmp_path: Path) -> None:
    names = ("a", "b|c", "*d*")
    task = Task(Kind.MULTICLASS, (4,), names, example="row")
    text = described(task, tmp_path, *some(3))
    assert text.startswith("## How it errs\n\nOn the test rows. Drawn from anew 1,000 times")
    assert re.search(r"^\| 1 \| b\\\|c \| 0\.\d{3} \| 0\.\d{3} \| 0\.\d{3} \| \d+ \|$", text, re.M)
    assert "| is, and was answered | 0 | 1 | 2 |\n|---|---:|---:|---:|\n| 0 a | **" in text
    assert r"| 2 \*d\* | " in text
    assert "(expected calibration error, 15 bins)" in text
    assert f"![Accuracy by confidence]({RELIABILITY_FILE})" in text
    assert f"such rows with all columns: `{ROWS_FILE}`." in text


def test_of_many_classes_the_worst_are(tmp_path: Path) -> None:
    task = Task(Kind.MULTICLASS, (4,), tuple(f"class {i}" for i in range(120)), example="row")
    text = described(task, tmp_path, *some(120))
    assert "These are the 10 worst of 120 classes." in text
    assert len(re.findall(r"^\| \d+ \| class", text, re.M)) == 10
    assert "The most frequent confusions:" in text
    assert "is, and was answered" not in text


def test_of_two_classes_with_groups(tmp_path: Path) -> None:
    answers, targets = some(2)
    task = Task(Kind.BINARY, (4,), ("no", "yes"), example="row")
    text = described(task, tmp_path, answers[:, 1:], targets, groups=np.arange(300) % 3)
    assert "(percentile bootstrap, by groups of rows)" in text
    assert "The Brier score of the second class is 0." in text


def test_of_numbers_residuals_and_tenths_are(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    task = Task(Kind.REGRESSION, (4,), target=Target("price"), example="row")
    task = task.scored_by("val_rmse")
    targets = random.normal(1000, 100, 200)
    answers = targets + random.normal(0, 5, 200)
    text = described(task, tmp_path, answers[:, None], targets, known_errors=np.arange(99.0))
    assert "Residuals, the answer less the target: mean " in text
    assert "Within ± 94, as 95 % of the validation rows are,\nlie 1.000 of the test rows." in text
    assert len(re.findall(r"^\| [\d,.]+ to [\d,.]+ \| 20 \|", text, re.M)) == 10
    assert "The largest errors:" in text
    assert not (tmp_path / "details" / RELIABILITY_FILE).exists()


@pytest.mark.parametrize("is_right", [True, False])
def test_of_one_row(is_right: bool, tmp_path: Path) -> None:
    task = Task(Kind.MULTICLASS, (4,), ("a", "b", "c"), example="row")
    text = described(task, tmp_path, np.eye(3)[[0]], np.array([0 if is_right else 1]))
    assert "These rows are too few, or too alike, for a bootstrap interval." in text
    assert ("None of these answers is wrong." in text) == is_right


# The figure


def test_the_curve_goes_through_the_points() -> None:
    points = [
        {"low": 0.0, "high": 1 / 15, "n": 3, "confidence": 0.05, "accuracy": 1.0},
        {"low": 7 / 15, "high": 8 / 15, "n": 40, "confidence": 0.5, "accuracy": 0.25},
        {"low": 14 / 15, "high": 1.0, "n": 10, "confidence": 1.0, "accuracy": 1.0},
    ]
    text = reliability.draw(points, "image")
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    circles = [(each.get("cx"), each.get("fill")) for each in root.iter(f"{space}circle")]
    assert circles == [("72.0", "white"), ("216.0", "#0b5cad"), ("376.0", "#0b5cad")]
    (curve,) = [each for each in root.iter(f"{space}path") if each.get("stroke") == "#0b5cad"]
    assert curve.get("d") == "M216.0 256.0L376.0 16.0"  # past the three, which are few
    assert "40 images: confidence 0.500, accuracy 0.250" in text
    assert "at most 40" in text


def test_without_points_there_is_a_figure_all_the_same() -> None:
    ET.fromstring(reliability.draw([]))
