"""Hyperparameter search and experiment tracking with Keras, Optuna and MLflow.

What the libraries read from the environment when they are imported is set here, before any of
them is. Each can be set otherwise from outside.
"""

import os

__version__ = "0.2.0"

_SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # errors that matter come as exceptions
    "CUDA_VISIBLE_DEVICES": "-1",  # one core each beats a shared GPU for networks this small
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # a repeated request may do twice what it asks
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # else every installed package is searched for some
}
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)
