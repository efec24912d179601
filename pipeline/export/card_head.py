"""The head of a model card: what model hubs read of it, in YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data import datasets
from pipeline.formats.parity import Format
from pipeline.study.spec import StudySpec
from pipeline.task.task import Task

_TAGS = {"saved_model": "tensorflow", "litert": "tflite", "onnx": "onnx"}  # of a hub, by format


def text(spec: StudySpec, found: Mapping[str, Any], formats: Mapping[str, Format]) -> str:
    """Writes the head of a model card, with the `---` around it.

    Which license a model has is for whoever has the data to say: none is named. Nor is a path.

    Args:
        spec: of the study.
        found: the champion's `champion.summary`, or an ensemble's, test score included.
        formats: by `writing.write_formats`.
    """
    import yaml  # type: ignore[import-untyped]  # comes with MLflow

    task, is_known = spec.task, spec.dataset in datasets.sources()
    data = spec.dataset if is_known else Path(spec.dataset).name
    scored = [each for each in task.objectives if each.quantity in found["test"]]
    values = [
        {
            "type": each.quantity,
            "value": float(f"{found['test'][each.quantity]:.6g}"),
            "name": f"test {each.noun}",
        }
        for each in scored
    ]
    result = {
        "task": {"type": _task_type(task)},
        "dataset": {"name": data, "type": data, "split": "test"},
        "metrics": values,
    }
    tags = [_TAGS[name] for name in _TAGS if name in formats and not formats[name].why_not]
    head = {
        "library_name": "keras",
        "pipeline_tag": _task_type(task),
        "tags": ["keras", *tags, "hyperparameter-search"],
        **({"datasets": [data]} if is_known else {}),
        "metrics": [each.quantity for each in scored],
        "model-index": [{"name": spec.name, "results": [result]}],
    }
    written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{written}---\n\n"


def _task_type(task: Task) -> str:
    of_what = "tabular" if task.features else "image"
    return f"{of_what}-{'regression' if task.is_regression else 'classification'}"
