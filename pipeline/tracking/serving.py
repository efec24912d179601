"""The registered champion behind MLflow's scoring server, and what that server is sent."""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import mlflow
from mlflow.exceptions import MlflowException

from pipeline import snapshot
from pipeline.data import datasets
from pipeline.errors import PipelineError, first_line, one_line
from pipeline.listening import HOST
from pipeline.paths import Project
from pipeline.task.source import DataSpec
from pipeline.tracking import aliases, reader, relocation
from pipeline.wording import doctor_command

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOSTS = [HOST, "localhost"]  # by which a request may call the server


class Registered(NamedTuple):
    """A version of a study's registered model.

    Attributes:
        version: MLflow's number of it.
        uri: from where MLflow loads it: a folder on this disk, if it is on one.
    """

    version: str
    uri: str


def find_champion(project: Project, study: str) -> Registered:
    """Finds the version that bears the alias `champion`.

    Raises:
        PipelineError: there is none, or MLflow's store cannot be used.
    """
    version, location = None, ""
    if not project.mlflow_uri.missing_file:
        with reader.opened(project) as client:
            version = aliases.champion_version(client, study)
            if version is not None:
                found = client.get_model_version(study, version)
                location = str(found.source)
                if location.startswith("models:/"):
                    model_id = location.removeprefix("models:/")
                    with contextlib.suppress(MlflowException):  # deleted: loading will say so
                        location = client.get_logged_model(model_id).artifact_location
    if version is None:
        raise PipelineError(
            f"no model of {study!r} is registered in MLflow yet: a search registers its champion "
            f"when it ends, and after a kill that is done by: {doctor_command(study)}"
        )
    path = relocation.local_path(project, location)
    uri = f"models:/{study}@{aliases.CHAMPION}" if path is None else str(path)
    return Registered(version, uri)


def load_application(project: Project, study: str, champion: Registered) -> Any:
    """Loads the champion into MLflow's scoring server.

    TensorFlow has been imported.

    Returns:
        An ASGI application that answers `POST /invocations` and `GET /ping`, and refuses requests
        by another name than `HOSTS`: a page in a browser that has its own name lead to 127.0.0.1
        (DNS rebinding) gets nothing out of it.

    Raises:
        PipelineError: the model cannot be loaded.
    """
    import keras
    from mlflow.pyfunc import scoring_server
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    mlflow.set_tracking_uri(snapshot.readable(project.mlflow_uri))
    try:
        model = mlflow.pyfunc.load_model(champion.uri)
    except Exception as error:  # MLflow's, the disk's, zipfile's, Keras's
        raise PipelineError(
            f"models:/{study}/{champion.version} cannot be loaded "
            f"({one_line(first_line(error))}); it is written again with: {doctor_command(study)}"
        ) from None
    answer = model.predict

    def predict(data: Any, params: dict[str, Any] | None = None) -> Any:
        keras.config.disable_interactive_logging()  # of the thread: else it prints a bar
        return answer(data, params=params)

    model.predict = predict
    application = scoring_server.init(model)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    return application


def request_of(inputs: "NDArray[Any] | Mapping[str, NDArray[Any]]") -> dict[str, Any]:
    """Makes the body of a request, ready for JSON.

    Args:
        inputs: as a model that is handed over takes them: (n, ...), or by name columns, (n,).
    """
    if not isinstance(inputs, Mapping):
        return {"inputs": inputs.tolist()}
    columns = [values.tolist() for values in inputs.values()]
    rows = [
        [None if value != value else value for value in row] for row in zip(*columns, strict=True)
    ]
    return {"dataframe_split": {"columns": [*inputs], "data": rows}}


def example_request(data: DataSpec) -> dict[str, Any]:
    """Makes the body of a request about the first validation example of a data set."""
    inputs = datasets.validation_sets(data)[0].inputs
    if isinstance(inputs, Mapping):
        return request_of({name: values[:1] for name, values in inputs.items()})
    return request_of(inputs[:1])
