"""Hyperparameter search and experiment tracking with Keras, Optuna and MLflow."""

__version__ = "0.11.1"
