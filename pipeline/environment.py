"""What the libraries read from the environment: set by a command, never by importing the package.

Each can be set otherwise from outside. It has to stand before a library is imported, and what a
command starts inherits it.
"""

import os

_DEFAULTS = {
    "KERAS_BACKEND": "tensorflow",
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
    """Sets, for this process and its children, each default that is not set from outside."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def hide_gpus() -> None:
    """Keeps TensorFlow off the GPU, unless the environment names one; before it is imported.

    One core for each network beats a shared GPU for networks this small.
    """
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
