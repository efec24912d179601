"""The hyperparameters of a network and of its training: names, types, units, allowed values.

This is their one source. A hyperparameter bears the same name in a study file, in Optuna, in
MLflow, in a report and in an export. To add one: a field and a rule here, its range in the study
file, its use in `training/model.py` or `training/loop.py`; and in `idle`, beside which values it
has no effect, if there are any.
"""

from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from pipeline.wording import count_noun

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
    """

    kind: type[bool] | type[int] | type[float] | type[str]
    low: float = float("-inf")
    high: float = float("inf")
    low_is_open: bool = False
    high_is_open: bool = False
    choices: tuple[str, ...] = ()
    per_layer: bool = False

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


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "layer_kind": Rule(str, choices=("dense", "convolutional")),
        "hidden_layers": Rule(int, low=0, high=20),
        "units": Rule(int, low=1, high=100_000, per_layer=True),
        "activation": Rule(
            str, choices=("relu", "sigmoid", "tanh", "elu", "selu", "gelu", "silu", "leaky_relu")
        ),
        "dropout": Rule(float, low=0, high=1, high_is_open=True),
        "numeric_encoding": Rule(str, choices=("standard", "quantile", "piecewise_linear")),
        "numeric_bins": Rule(int, low=2, high=64),
        "embedding_size": Rule(int, low=0, high=64),
        "optimizer": Rule(str, choices=("sgd", "adagrad", "rmsprop", "adam", "nadam", "adamw")),
        "learning_rate": Rule(float, low=0, low_is_open=True, high=100),
        "momentum": Rule(float, low=0, high=1, high_is_open=True),
        "nesterov": Rule(bool),
        "batch_size": Rule(int, low=1, high=1_000_000),
        "epochs": Rule(int, low=1, high=100_000),
    }
)


@dataclass(frozen=True)
class Hyperparameters:
    """One network and how to train it. Those with a default may be left out of a study file.

    Attributes:
        hidden_layers: number of layers between input and output.
        units: neurons (dense) or filters (convolutional) of each hidden layer, first layer first.
        optimizer: name of a Keras optimizer.
        learning_rate: initial learning rate of the optimizer.
        batch_size: images per step.
        epochs: passes over the training images at most; early stopping may end sooner.
        layer_kind: kind of the hidden layers: "dense", or "convolutional" (3 by 3, then pooled).
        activation: activation function of the hidden layers.
        dropout: share of each hidden layer's outputs that is dropped while training.
        numeric_encoding: how a network sees each number of a table: "standard", standardised;
            "quantile", its smoothed rank; "piecewise_linear", standardised, and how far each of
            its bins is filled (Gorishniy et al. 2022, arXiv:2203.05556).
        numeric_bins: between quantiles of the training part, for the latter two, at most.
        embedding_size: dimensions of the embedding of each category of a table that has more
            values; 0 for one-hot codes.
        momentum: of "sgd" alone.
        nesterov: whether the momentum of "sgd" is Nesterov's.
    """

    hidden_layers: int
    units: tuple[int, ...]
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    layer_kind: str = "dense"
    activation: str = "relu"
    dropout: float = 0.0
    numeric_encoding: str = "standard"
    numeric_bins: int = 16
    embedding_size: int = 0
    momentum: float = 0.0
    nesterov: bool = False

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Hyperparameters":
        """Builds hyperparameters from plain values, as in a study file or in JSON.

        `units` may be one integer for all hidden layers or a list with one for each.

        Raises:
            ValueError: a name is unknown or missing, or a value is not allowed; the text says
                what was found and what is allowed.
        """
        values = dict(values)
        for name, value in values.items():
            check(name, value)
        if missing := REQUIRED - values.keys():
            raise ValueError(f"missing: {', '.join(sorted(missing))}")
        n_layers, units = values["hidden_layers"], values["units"]
        values["units"] = (units,) * n_layers if isinstance(units, int) else tuple(units)
        if len(values["units"]) != n_layers:
            raise ValueError(
                f"units: found {len(values['units'])} values for {n_layers} hidden layers, "
                "allowed is one integer, or one for each hidden layer"
            )
        for name, value in values.items():
            if RULES[name].kind is float:
                values[name] = float(value)
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values; `units` is a list, so that JSON gives back what it took."""
        return {**asdict(self), "units": list(self.units)}

    def flat(self) -> dict[str, Scalar]:
        """Returns one scalar a name, as Optuna and MLflow hold them: `units_1`, `units_2`, ..."""
        values: dict[str, Scalar] = {}
        for name, value in asdict(self).items():
            if RULES[name].per_layer:
                values |= {layer_name(name, i): each for i, each in enumerate(value)}
            else:
                values[name] = value
        return values

    def shown(self, named: Container[str]) -> dict[str, Any]:
        """Returns the values that people are shown: not those that a study knows nothing of.

        Args:
            named: what the study fixes or searches; an optional one beside it is shown only if it
                is not at its default, or is a number of bins that has an effect.
        """
        hidden = OPTIONAL if self.numeric_encoding == "standard" else ("embedding_size",)
        return {
            name: value
            for name, value in self.as_dict().items()
            if name in named or name not in hidden or value != DEFAULTS[name]
        }

    @property
    def effective(self) -> "Hyperparameters":
        """The same network and training, with a default for each value that has no effect here."""
        return replace(self, **{name: DEFAULTS[name] for name in idle(vars(self))})

    def __str__(self) -> str:
        """In a line: `256-128 relu, dropout 0.3, adam 0.001, batch 64, at most 20 epochs`."""
        given = self.effective
        units = "-".join(map(str, given.units))
        kind = "conv " if given.layer_kind == "convolutional" else ""
        network = f"{kind}{units} {given.activation}" if units else "no hidden layer"
        dropout = f", dropout {given.dropout:.3g}" if given.dropout else ""
        encoding = ""
        if given.numeric_encoding != "standard":
            words = given.numeric_encoding.replace("_", " ")
            encoding = f", {words} in {given.numeric_bins} bins"
        if given.embedding_size:
            encoding += f", embeddings of {given.embedding_size}"
        nesterov = "nesterov " if given.nesterov else ""
        momentum = f" {nesterov}momentum {given.momentum:.3g}" if given.momentum else ""
        return (
            f"{network}{dropout}{encoding}, {self.optimizer} {self.learning_rate:.3g}{momentum}, "
            f"batch {self.batch_size}, at most {count_noun(self.epochs, 'epoch')}"
        )


DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        name: field.default
        for name, field in Hyperparameters.__dataclass_fields__.items()
        if isinstance(field.default, bool | int | float | str)
    }
)
REQUIRED = RULES.keys() - DEFAULTS.keys()
OPTIONAL = ("numeric_encoding", "numeric_bins", "embedding_size")  # for tables alone


def idle(values: Mapping[str, Any]) -> set[str]:
    """Lists the hyperparameters that have no effect, as far as the values of others are known."""
    found: set[str] = set()
    if values.get("hidden_layers") == 0:
        found |= {"layer_kind", "activation", "dropout"}
    if values.get("optimizer", "sgd") != "sgd":
        found |= {"momentum", "nesterov"}
    if values.get("momentum") == 0:
        found |= {"nesterov"}
    if values.get("numeric_encoding") == "standard":
        found |= {"numeric_bins"}
    return found


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
