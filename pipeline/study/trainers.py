"""What trains a trial, by the names of study files, and what a report calls the simple ones."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pipeline.task.task import Task

Trainer = Literal["keras", "sgd_classifier", "constant", "linear", "gradient_boosting"]
CONSTANT, LINEAR, GRADIENT_BOOSTING = "constant", "linear", "gradient_boosting"
# Scikit-learn's, trained on the study's own split; none takes hyperparameters.
SIMPLE: Mapping[str, str] = MappingProxyType(
    {
        CONSTANT: "majority class or mean",
        LINEAR: "linear model",
        GRADIENT_BOOSTING: "gradient-boosted trees",
    }
)


def words_of(trainer: str, task: Task) -> str:
    """Says what a simple model is of a task: "mean", or "median" if that has the least loss.

    Args:
        trainer: key of `SIMPLE`.
        task: what is learned.
    """
    if trainer != CONSTANT:
        return SIMPLE[trainer]
    if not task.is_regression:
        return "majority class"
    return "median" if task.loss == "absolute" else "mean"
