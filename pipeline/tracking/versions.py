"""The versions of a study's registered model, as somebody would find them who loads them."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]  # comes with MLflow, whose file it reads
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from pipeline.paths import Project, display_path
from pipeline.tracking import aliases, reader, relocation
from pipeline.tracking.delivery import MODEL_ARTIFACT
from pipeline.tracking.reader import Run

if TYPE_CHECKING:
    import numpy as np

_DESCRIPTION = "MLmodel"  # MLflow's own file beside a model
_MODEL = f"data/{MODEL_ARTIFACT}"  # where its Keras flavour keeps the model
_LAST_KEY = "utc_time_created"  # of a description, whose keys MLflow sorts
_WEIGHTS = "model.weights.h5"  # in a `.keras` file


@dataclass(frozen=True)
class Version:
    """A version of a study's registered model.

    Attributes:
        number: MLflow's.
        run: the id of the run whose model it is.
        model_id: of the logged model that holds its files; "" if there is none, or no more.
        is_champion: whether it bears the alias `champion`.
        trouble: why it cannot be loaded; "" if it can.
        is_other: whether it is whole, as the run's own model is, and has other weights.
    """

    number: str
    run: str
    model_id: str
    is_champion: bool
    trouble: str = ""
    is_other: bool = False


def versions_of(project: Project, study: str, runs: Mapping[str, Run]) -> list[Version]:
    """Looks at all versions of a study's registered model that are models of its trials.

    Args:
        project: whose store is read.
        study: name of the study, and so of the model.
        runs: of the study's trials, by id.

    Raises:
        PipelineError: the store cannot be used.
    """
    if project.mlflow_uri.missing_file:
        return []
    with reader.opened(project) as client:
        champion = aliases.champion_version(client, study)
        found = client.search_model_versions(f"name = '{study}'")
        return [
            _look_at(project, client, each, runs[each.run_id], str(each.version) == champion)
            for each in sorted(found, key=lambda version: int(version.version))
            if each.run_id in runs
        ]


def _look_at(project: Project, client: Any, found: Any, run: Run, is_champion: bool) -> Version:
    number, model_id = str(found.version), str(getattr(found, "model_id", None) or "")
    source = str(found.source)
    if source.startswith("models:/"):
        model_id = source.removeprefix("models:/")
    if source.startswith("runs:/"):
        source = f"{run.artifacts}/{source.removeprefix('runs:/').partition('/')[2]}"
    if model_id:
        try:
            source = client.get_logged_model(model_id).artifact_location
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            trouble = f"its logged model {model_id} is deleted"
            return Version(number, run.id, "", is_champion, trouble)
    path = relocation.local_path(project, source)
    if path is None:
        trouble = _remote_trouble(client, model_id) if model_id else ""
        return Version(number, run.id, model_id, is_champion, trouble)
    trouble = local_trouble(path)
    own = relocation.local_path(project, run.artifacts)
    is_other = bool(
        not trouble
        and own
        and path.is_dir()
        and reader.is_whole(own / MODEL_ARTIFACT)
        and not has_same_weights(path / _MODEL, own / MODEL_ARTIFACT)
    )
    return Version(number, run.id, model_id, is_champion, trouble, is_other)


def local_trouble(path: Path) -> str:
    """Says why an MLflow model, or a `.keras` file, cannot be loaded; "" if it can."""
    if path.is_file():
        return reader.keras_file_trouble(path)
    description = path / _DESCRIPTION
    if not description.is_file():
        return f"{display_path(description)} is missing"
    if trouble := reader.keras_file_trouble(path / _MODEL):
        return trouble
    return "" if _describes_keras(description) else f"{display_path(description)} is damaged"


def _describes_keras(description: Path) -> bool:
    """Tells whether an `MLmodel` can be read to its end, and names the Keras model beside it."""
    try:
        content = yaml.safe_load(description.read_bytes())
        flavors = Model.from_dict(content).flavors
        keras, function = flavors["keras"], flavors["python_function"]
        loader = function["loader_module"]
        code = f"{function.get('code')}/{loader}.py"  # of rows_flavor
        return (
            _LAST_KEY in content
            and f"{keras['data']}/{MODEL_ARTIFACT}" == _MODEL
            and not keras.get("save_exported_model")
            and (loader == "mlflow.keras" or (description.parent / code).is_file())
        )
    except Exception:  # whatever MLflow and YAML raise of what they cannot read
        return False


def has_same_weights(one: Path, other: Path) -> bool:
    """Tells whether the layers of two whole `.keras` files have the same weights, however packed.

    What an optimizer or a random generator holds is no matter: what is registered starts anew.
    """
    with zipfile.ZipFile(one) as first, zipfile.ZipFile(other) as second:
        for file in (first, second):
            if _WEIGHTS not in file.namelist():
                return False
        if first.getinfo(_WEIGHTS).CRC == second.getinfo(_WEIGHTS).CRC:
            return True
        try:
            left, right = _arrays(first.read(_WEIGHTS)), _arrays(second.read(_WEIGHTS))
        except OSError:  # not HDF5
            return False
    same = (left[name].tobytes() == right[name].tobytes() for name in left.keys() & right.keys())
    return left.keys() == right.keys() and all(same)


def _arrays(content: bytes) -> "dict[str, np.ndarray]":
    import h5py  # only where two files differ

    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "seed_generator" not in name:
            found[name] = item[()]

    with h5py.File(io.BytesIO(content)) as file:
        if "layers" in file:
            file["layers"].visititems(visit)
    return found


def _remote_trouble(client: Any, model_id: str) -> str:
    files = [*client.list_logged_model_artifacts(model_id)]
    files += client.list_logged_model_artifacts(model_id, str(Path(_MODEL).parent))
    sizes = {each.path: each.file_size for each in files}
    missing = [name for name in (_DESCRIPTION, _MODEL) if not sizes.get(name)]
    return f"{missing[0]} of logged model {model_id} is missing" if missing else ""
