"""What values each hyperparameter may have, for which data it is, and when it has no effect.

This is the one source of their names, types and limits. To add one: a row here, a field in
`hyperparameters.py`, its use in `training/`, and its range in a study file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Rule:
    """What values a hyperparameter may have: a type, and a range or choices.

    Attributes:
        kind: the type of one value.
        low: smallest allowed number; excluded itself if `low_is_open`.
        high: largest allowed number; excluded itself if `high_is_open`.
        choices: allowed values of a string.
        per_layer: whether each hidden layer has its own value.
        data: what alone other values than the default are for: "pictures", "classes" or
            "tables"; "" if for all.
        idle_beside: by other hyperparameters, the values beside which it has no effect.
    """

    kind: type[bool] | type[int] | type[float] | type[str]
    low: float = float("-inf")
    high: float = float("inf")
    low_is_open: bool = False
    high_is_open: bool = False
    choices: tuple[str, ...] = ()
    per_layer: bool = False
    data: str = ""
    idle_beside: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def allows(self, value: object) -> bool:
        """Tells whether `value` is of the right type and in range; an int will do for a float."""
        if self.kind is bool:
            return isinstance(value, bool)
        if self.kind is str:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(
            value, int if self.kind is int else int | float
        ):
            return False
        above = self.low < value if self.low_is_open else self.low <= value
        below = value < self.high if self.high_is_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        """Says what is allowed, for a message."""
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        noun = "an integer" if self.kind is int else "a number"
        low = f"above {self.low}" if self.low_is_open else f"from {self.low}"
        high = f"below {self.high}" if self.high_is_open else f"to {self.high}"
        return f"{noun} {low} {high}" if self.high < float("inf") else f"{noun} {low}"


_OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam", "nadam", "adamw")
# what has no effect beside these: of hidden layers, of convolutional ones, of plain SGD
_NO_LAYERS: Mapping[str, tuple[Scalar, ...]] = {"hidden_layers": (0,)}
_NO_MAPS: Mapping[str, tuple[Scalar, ...]] = {"layer_kind": ("dense",), **_NO_LAYERS}
_NO_SGD: Mapping[str, tuple[Scalar, ...]] = {"optimizer": _OPTIMIZERS[1:]}

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "layer_kind": Rule(
            str, choices=("dense", "convolutional"), data="pictures", idle_beside=_NO_LAYERS
        ),
        "hidden_layers": Rule(int, low=0, high=20),
        "units": Rule(int, low=1, high=100_000, per_layer=True),
        "kernel_size": Rule(int, low=1, high=15, data="pictures", idle_beside=_NO_MAPS),
        "pooling": Rule(
            str,
            choices=("max", "average", "none"),
            data="pictures",
            idle_beside=_NO_MAPS,
        ),
        "pool_every": Rule(
            int,
            low=1,
            high=20,
            data="pictures",
            idle_beside={"pooling": ("none",), **_NO_MAPS},
        ),
        "global_pooling": Rule(bool, data="pictures", idle_beside=_NO_MAPS),
        "dense_units": Rule(int, low=0, high=100_000, data="pictures", idle_beside=_NO_MAPS),
        "activation": Rule(
            str,
            choices=("relu", "sigmoid", "tanh", "elu", "selu", "gelu", "silu", "leaky_relu"),
            idle_beside=_NO_LAYERS,
        ),
        "batch_normalization": Rule(bool, idle_beside=_NO_LAYERS),
        "dropout": Rule(float, low=0, high=1, high_is_open=True, idle_beside=_NO_LAYERS),
        "numeric_encoding": Rule(
            str, choices=("standard", "quantile", "piecewise_linear"), data="tables"
        ),
        "numeric_bins": Rule(
            int, low=2, high=64, data="tables", idle_beside={"numeric_encoding": ("standard",)}
        ),
        "embedding_size": Rule(int, low=0, high=64, data="tables"),
        "optimizer": Rule(str, choices=_OPTIMIZERS),
        "learning_rate": Rule(float, low=0, low_is_open=True, high=100),
        "learning_rate_schedule": Rule(str, choices=("constant", "cosine", "plateau")),
        "warmup_epochs": Rule(
            int, low=0, high=1000, idle_beside={"learning_rate_schedule": ("constant", "plateau")}
        ),
        "momentum": Rule(float, low=0, high=1, high_is_open=True, idle_beside=_NO_SGD),
        "nesterov": Rule(bool, idle_beside={"momentum": (0,), **_NO_SGD}),
        "weight_decay": Rule(float, low=0, high=1),
        "ema_momentum": Rule(float, low=0, high=1, high_is_open=True),
        "label_smoothing": Rule(float, low=0, high=1, high_is_open=True, data="classes"),
        "random_shift": Rule(int, low=0, high=1000, data="pictures"),
        "random_flip": Rule(bool, data="pictures"),
        "cutout": Rule(int, low=0, high=1000, data="pictures"),
        "mixup": Rule(float, low=0, high=100, data="pictures"),
        "precision": Rule(str, choices=("float32", "mixed_bfloat16", "mixed_float16")),
        "batch_size": Rule(int, low=1, high=1_000_000),
        "epochs": Rule(int, low=1, high=100_000),
    }
)


def idle(values: Mapping[str, Any]) -> set[str]:
    """Lists the hyperparameters that have no effect, as far as the values of others are known."""
    return {
        name
        for name, rule in RULES.items()
        if any(other in values and values[other] in off for other, off in rule.idle_beside.items())
    }


def layer_name(name: str, index: int) -> str:
    """Names the scalar of a hidden layer's own value; layers are counted from 1."""
    return f"{name}_{index + 1}"


def rule_of(name: str) -> Rule:
    """Finds the rule of a hyperparameter: which values are allowed.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in RULES:
        raise ValueError(f"{name}: no such hyperparameter, allowed are {', '.join(RULES)}")
    return RULES[name]


def check(name: str, value: object) -> None:
    """Checks one value, or one value for each hidden layer.

    Raises:
        ValueError: the name is unknown, or the value not allowed.
    """
    rule = rule_of(name)
    values = value if rule.per_layer and isinstance(value, list | tuple) else [value]
    for each in values:
        if not rule.allows(each):
            raise ValueError(f"{name}: found {each!r}, allowed is {rule}")
