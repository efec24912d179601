"""Who trains a reference: Keras a network, or scikit-learn a simple model."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Trainer = Literal["keras", "sgd_classifier", "constant", "linear", "gradient_boosting"]
# What needs no search, as a report says it: of classes, and of numbers.
SIMPLE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "constant": ("the majority class", "the mean"),
        "linear": ("logistic regression", "ridge regression"),
        "gradient_boosting": ("gradient-boosted trees", "gradient-boosted trees"),
    }
)
