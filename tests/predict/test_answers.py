"""What is printed is aligned, fits a terminal, and is the same as JSON."""

import json
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from pipeline.predict.answers import as_json, as_text, spread
from pipeline.predict.given import Place, places_in
from pipeline.task.task import Kind, Target, Task

SHOES = Task(Kind.MULTICLASS, (2, 2), ("Sandal", "Ankle boot", "가방"))
SOLD = Task(Kind.BINARY, (2, 2), ("no", "yes"))
PRICE = Task(Kind.REGRESSION, (2,), loss="squared", target=Target("price"))
LOG = Task(Kind.REGRESSION, (2,), loss="squared", target=Target("price", transform="log"))
PROBABILITIES = np.array([[0.1, 0.7, 0.2], [0.05, 0.05, 0.9]], np.float32)


def test_classes_as_text() -> None:
    places = [Place("신발.png"), *places_in("x.npy", 1)]
    assert [*as_text(SHOES, places, PROBABILITIES, None)] == [
        "input     class       probability  next",
        "신발.png  Ankle boot  0.7000       가방 0.2000",
        "x.npy:1   가방        0.9000       Sandal 0.0500",
    ]


def test_of_two_classes_the_one_answer_is_spread() -> None:
    answers = spread(SOLD, np.array([[0.25], [0.875]]))
    assert [line.split() for line in as_text(SOLD, places_in("x", 2), answers, None)][1:] == [
        ["x:1", "no", "0.7500", "yes", "0.2500"],
        ["x:2", "yes", "0.8750", "no", "0.1250"],
    ]


def test_values_as_text() -> None:
    answers = np.array([[1234.5678], [0.5]])
    assert [*as_text(PRICE, places_in("x.csv", 2), answers, 10.0)] == [
        "input    price    95 % interval",
        "x.csv:1  1,234.6  1,224.6 to 1,244.6",
        "x.csv:2  0.50000  -9.50000 to 10.50000",
    ]
    (_, line) = as_text(PRICE, places_in("x.csv", 1), answers[:1], None)
    assert line.split() == ["x.csv:1", "1,234.6", "unknown"]


def test_a_line_fits_a_terminal_and_no_character_is_obeyed() -> None:
    task = Task(Kind.MULTICLASS, (2, 2), ("a\x1b[2J", "b" * 20, "c"))
    places = [Place("가나" * 40 + "/end.png"), Place("x\n.png")]
    lines = [*as_text(task, places, PROBABILITIES, None)]
    assert max(map(cell_len, lines)) <= 80
    assert lines[1].split()[0].startswith("...")
    assert lines[1].split()[0].endswith("가나/end.png")
    assert lines[2].startswith("x\\n.png ")
    assert "\x1b" not in "".join(lines)


def loaded(*given: Any) -> list[Any]:
    return [json.loads(line) for line in as_json(*given)]


def test_classes_as_json() -> None:
    (first, _) = loaded(SHOES, [Place("a.png"), Place("x.npy", 3)], PROBABILITIES, None)
    assert first == {
        "input": "a.png", "row": None, "class": "Ankle boot",
        "probability": pytest.approx(0.7),
        "probabilities": pytest.approx({"Sandal": 0.1, "Ankle boot": 0.7, "가방": 0.2}),
    }  # fmt: skip


def test_values_as_json() -> None:
    (found,) = loaded(PRICE, places_in("x.csv", 1), np.array([[2.0]]), 0.5)
    assert found == {"input": "x.csv", "row": 1, "value": 2.0, "low": 1.5, "high": 2.5}
    (found,) = loaded(LOG, places_in("x.csv", 1), np.array([[8.0]]), np.log(2))
    assert (found["low"], found["high"]) == (pytest.approx(4), pytest.approx(16))
    (found,) = loaded(PRICE, places_in("x.csv", 1), np.array([[2.0]]), None)
    assert (found["low"], found["high"]) == (None, None)
