"""The head of a model card is YAML, whatever stands in names."""

from types import SimpleNamespace
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from pipeline.export import card_head
from pipeline.formats.parity import Format
from pipeline.paths import Project
from pipeline.study.load import load
from pipeline.study.spec import StudySpec

FORMATS = {
    "keras": Format(("model.keras",)),
    "onnx": Format(("model.onnx",), why_not="it differs"),
}
FORMATS |= {"litert": Format(("model.tflite",))}
FOUND = {"test": {"accuracy": 0.8871, "loss": 0.3215, "n_examples": 10_000}}


def spec_of(project: Project) -> StudySpec:
    return load(project, "recorded")


def recorded_as(project: Project, name: str) -> Any:
    """Stands for the spec of a study with that name, of a file with that name."""
    task = spec_of(project).task
    return SimpleNamespace(name=name, dataset=f"/home/me/{name}", task=task)


def parsed(text: str) -> Any:
    before, head, after = text.split("---\n")
    assert (before, after) == ("", "\n")
    return yaml.safe_load(head)


def test_a_hub_reads_task_data_and_test_score(recorded_study: Project) -> None:
    head = parsed(card_head.text(spec_of(recorded_study), FOUND, FORMATS))
    assert head["library_name"] == "keras"
    assert head["pipeline_tag"] == "image-classification"
    assert head["tags"] == ["keras", "tflite", "hyperparameter-search"]
    assert head["datasets"] == ["fashion_mnist"]
    assert head["metrics"] == ["accuracy", "loss"]
    (model,) = head["model-index"]
    assert model["name"] == "recorded"
    (result,) = model["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": "fashion_mnist", "type": "fashion_mnist", "split": "test"}
    assert result["metrics"][0] == {"type": "accuracy", "value": 0.8871, "name": "test accuracy"}


@pytest.mark.parametrize(
    "name",
    ["off", "2024", "1e3", "häuser", "값 'a': \"b\" # c", "- x", "{y}", "a\x07\x85\u2028b", "!!x"],
)
def test_names_are_what_they_were_and_no_folder_is_told(
    name: str, recorded_study: Project
) -> None:
    spec = recorded_as(recorded_study, name)
    head = parsed(card_head.text(spec, FOUND, FORMATS))
    (model,) = head["model-index"]
    assert model["name"] == name
    assert model["results"][0]["dataset"]["name"] == name
    assert "datasets" not in head
