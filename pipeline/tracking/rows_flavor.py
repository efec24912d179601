"""Models of tables in MLflow: its Keras flavour, but for what answers a DataFrame.

MLflow's own Keras flavour knows arrays alone. Files and layout stay its own; its python_function
is `data/predict.py`, of which a copy is kept beside the model: who loads it needs no more.
"""

import re
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.data import predict
from pipeline.reading.column import Dialect
from pipeline.task.features import Features
from pipeline.task.task import Task

CODE = "code"  # the folder of it, beside an MLmodel


def answer_names(task: Task) -> tuple[str, ...]:
    """Names what a model answers: the classes, or the one number."""
    return task.class_names or (task.target.name or "answer",)


def predict_script(task: Task, dialect: Dialect) -> str:
    """Writes the stand-alone file that answers rows.

    Args:
        task: what the model has learned.
        dialect: how the file was written that it has learned from, and so others are.
    """
    code = Path(predict.__file__).read_text(encoding="utf-8")
    for name, value in constants(task, dialect).items():
        constant = re.compile(rf"^({name}\b.*? = ).+?(?=  #|$)", re.MULTILINE)
        found = constant.search(code)
        assert found, name
        code = f"{code[: found.start()]}{found[1]}{value!r}{code[found.end() :]}"
    return code


def constants(task: Task, dialect: Dialect) -> dict[str, Any]:
    """Lists what that file has of a task and a dialect, by the names of its constants."""
    features = task.features or Features((), ())
    dates = tuple((each.name, each.date_format) for each in features.inputs if each.date_format)
    given = {"answers": answer_names(task), "dates": dates, "also_missing": features.missing}
    return {name.upper(): value for name, value in (given | asdict(dialect)).items()}


def save_model(
    model: Any, path: str, mlflow_model: Any, signature: Any, script: str, **given: Any
) -> None:
    """Saves a model that takes a dictionary by column name; called by `Model.log`.

    Args:
        model: Keras's.
        path: a folder to be made.
        mlflow_model: its description, which is completed.
        signature: by column.
        script: as `predict_script` wrote it.
        given: further arguments of `mlflow.keras.save_model`.
    """
    import mlflow.keras
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.models.model import MLMODEL_FILE_NAME
    from mlflow.types import Schema, TensorSpec

    # which the Keras flavour asks for, and which it would refuse by column
    stand_in = ModelSignature(Schema([TensorSpec(np.dtype(np.float64), (-1, 1))]))
    mlflow.keras.save_model(model, path, mlflow_model=mlflow_model, signature=stand_in, **given)
    # Named by content: Python imports a name once, and a process may load several models.
    module = f"predict_{zlib.crc32(script.encode()):08x}"
    code = Path(path, CODE)
    code.mkdir()
    (code / f"{module}.py").write_text(script, encoding="utf-8")
    mlflow_model.signature = signature
    mlflow_model.flavors["python_function"] |= {
        "loader_module": module,
        "data": "data",
        "code": CODE,
    }
    mlflow_model.save(str(Path(path, MLMODEL_FILE_NAME)))
