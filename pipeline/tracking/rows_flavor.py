"""Models of tables in MLflow: its Keras flavour, but for what answers a DataFrame.

MLflow's own Keras flavour knows arrays alone. Files and layout stay its own; its python_function
is `data/predict.py`, of which a copy is kept beside the model: who loads it needs no more.
"""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.data import predict

_CONSTANT = re.compile(r"^((ANSWERS|ALSO_MISSING): .+? = )\(\)", re.MULTILINE)
CODE = "code"  # the folder of it, beside an MLmodel


def predict_script(names: Sequence[str], missing: Sequence[str] = ()) -> str:
    """Writes the stand-alone file that answers rows.

    Args:
        names: of what it answers.
        missing: texts that mean a missing value, besides those that always do.
    """
    code = Path(predict.__file__).read_text(encoding="utf-8")
    given = {"ANSWERS": tuple(names), "ALSO_MISSING": tuple(missing)}
    return _CONSTANT.sub(lambda found: f"{found[1]}{given[found[2]]!r}", code)


def save_model(
    model: Any,
    path: str,
    mlflow_model: Any,
    signature: Any,
    names: Sequence[str],
    missing: Sequence[str],
    **given: Any,
) -> None:
    """Saves a model that takes a dictionary by column name; called by `Model.log`.

    Args:
        model: Keras's.
        path: a folder to be made.
        mlflow_model: its description, which is completed.
        signature: by column.
        names: of the classes, or of the one number that is answered.
        missing: texts that mean a missing value, besides those that always do.
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
    script = predict_script(names, missing)
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
