"""What the libraries read from the environment: set by a command, never by importing the package.

It has to stand before a library is imported, and what a command starts inherits it.
"""

import contextlib
import gc
import os
import sys
import warnings
from pathlib import Path

VISIBLE_GPUS, NO_GPU = "CUDA_VISIBLE_DEVICES", "-1"
STAND_IN_HOME = ".home"  # in the project, of a user who has no home
# What this program is written for: it would fail or measure something else with another value.
_FIXED = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_NNX_ENABLED": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",  # what counts as written is written
}
_REMOVED = (
    # what limits every training in a process, for debugging
    "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH",
    # what has MLflow keep or read some of it elsewhere than in the store that this program names
    "MLFLOW_REGISTRY_URI", "MLFLOW_ENABLE_WORKSPACES", "MLFLOW_WORKSPACE_STORE_URI",
    # what joins whatever a process logs to somebody's model or run
    "MLFLOW_ACTIVE_MODEL_ID", "MLFLOW_RUN_CONTEXT",
    # of somebody's own `mlflow server`: other stores and addresses than those that `ui` names
    "MLFLOW_REGISTRY_STORE_URI", "MLFLOW_READ_REPLICA_BACKEND_STORE_URI", "MLFLOW_ARTIFACTS_ONLY",
    "MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_SERVE_ARTIFACTS", "MLFLOW_STATIC_PREFIX",
    "MLFLOW_GUNICORN_OPTS", "MLFLOW_EXPOSE_PROMETHEUS",
)  # fmt: skip
# Each of these can be set otherwise from outside.
_DEFAULTS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # errors that matter come as exceptions
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated request may do twice what it asks
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes for language models
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # else every installed package is searched for some
}


def set_defaults() -> None:
    """Sets what is fixed, and each default that is not set from outside; children inherit both."""
    os.environ.update(_FIXED)
    for name in _REMOVED:
        os.environ.pop(name, None)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    _find_home()


def ignore_warnings() -> None:
    """Has no warning of a library be printed or raised, whatever `PYTHONWARNINGS` says.

    That is meant for somebody's own code, whose programs inherit it; `python -W` is obeyed.
    """
    asked = os.environ.pop("PYTHONWARNINGS", "").split(",")
    sys.warnoptions[:] = [each for each in sys.warnoptions if each not in asked]
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _find_home() -> None:
    """Has `~` be a folder of the project for a user without a home, a container's say.

    MLflow asks where it is when it is imported, and fails where nobody knows. A `HOME` that is no
    absolute path counts as not set.
    """
    if not Path(os.environ.get("HOME", "")).is_absolute():
        os.environ.pop("HOME", None)
    try:
        Path.home()
    except RuntimeError:  # the system does not know the user either
        with contextlib.suppress(FileNotFoundError):  # the current folder is gone: see `Project`
            os.environ["HOME"] = str(Path(STAND_IN_HOME).absolute())


def hide_gpus() -> None:
    """Keeps TensorFlow off the GPU, unless the environment names one; before it is imported.

    One core for each network beats a shared GPU for networks this small.
    """
    os.environ.setdefault(VISIBLE_GPUS, NO_GPU)


def import_keras() -> None:
    """Imports Keras as it is without a `keras.json`: float32, channels last, TensorFlow.

    Whoever imports Keras first calls this. Its file says in which precision, layout and backend
    somebody's other work is done; only the data sets in its folder are for us.

    Keras imports some packages wherever they are installed, for galleries and wrappers that nobody
    uses here: a third of its time. Whoever needs one can import it afterwards.
    """
    set_defaults()
    unused = [name for name in ("matplotlib", "pandas", "sklearn") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]  # None: not to be found
    home = os.environ.get("KERAS_HOME")
    os.environ["KERAS_HOME"] = os.devnull  # where nothing can be read from or written to
    was_enabled = gc.isenabled()
    gc.disable()  # else it looks through hundreds of times what is there to stay
    try:
        import keras  # noqa: F401
    finally:
        gc.freeze()  # or each worker that is forked looks through it again and again
        if was_enabled:
            gc.enable()
        for name in unused:
            del sys.modules[name]
        del os.environ["KERAS_HOME"]
        if home is not None:
            os.environ["KERAS_HOME"] = home
