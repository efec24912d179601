"""The hyperparameters of a network and of its training, as a value.

A hyperparameter bears the same name in a study file, in Optuna, in MLflow, in a report and in an
export; `rules.py` says which values it may have.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pipeline.study.rules import RULES, Scalar, check, idle, layer_name
from pipeline.wording import count_noun


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
        layer_kind: kind of the hidden layers: "dense" or "convolutional".
        kernel_size: height and width of a convolutional layer's kernels, in pixels.
        pooling: how maps are halved: by the "max" or "average" of 2 by 2 pixels, or "none".
        pool_every: so many convolutional layers are followed by one that halves.
        global_pooling: whether what is left of a map becomes its mean, and not all its pixels.
        dense_units: neurons of a dense layer behind the convolutional ones; 0 for none.
        activation: activation function of the hidden layers.
        batch_normalization: whether each hidden layer is normalised over the batch, before its
            activation (Ioffe and Szegedy 2015, arXiv:1502.03167).
        dropout: share of each hidden layer's outputs that is dropped while training.
        numeric_encoding: how a network sees each number of a table: "standard", standardised;
            "quantile", its smoothed rank; "piecewise_linear", standardised, and how far each of
            its bins is filled (Gorishniy et al. 2022, arXiv:2203.05556).
        numeric_bins: between quantiles of the training part, for the latter two, at most.
        embedding_size: dimensions of the embedding of each category of a table that has more
            values; 0 for one-hot codes.
        learning_rate_schedule: "constant"; "cosine", down to 0 at the last of `epochs`
            (Loshchilov and Hutter 2017, arXiv:1608.03983); or "plateau", halved after 2 epochs
            in which the metric did not get better.
        warmup_epochs: in which the rate rises from 0, before "cosine" alone.
        momentum: of "sgd" alone.
        nesterov: whether the momentum of "sgd" is Nesterov's.
        weight_decay: share of each weight that a step takes away, times the learning rate
            (Loshchilov and Hutter 2019, arXiv:1711.05101); 0 leaves the optimizer's own, which is
            0.004 of "adamw" and none of the others.
        ema_momentum: of the moving average of the weights, over steps, by which the network is
            measured and kept; 0 for the weights themselves.
        label_smoothing: share of a label that is spread over all classes, in the training loss.
        random_shift: pixels by which a training picture is moved at most, each way.
        random_flip: whether training pictures are mirrored, left to right, every second one.
        cutout: side of a square that is blackened in each training picture, in pixels; 0 for none
            (DeVries and Taylor 2017, arXiv:1708.04552).
        mixup: parameter of the Beta distribution by which training examples are mixed in pairs; 0
            for none (Zhang et al. 2018, arXiv:1710.09412).
        precision: in which hidden layers are trained: "mixed_bfloat16" and "mixed_float16" compute
            in 16 bits with weights of 32 (Micikevicius et al. 2018, arXiv:1710.03740).
    """

    hidden_layers: int
    units: tuple[int, ...]
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    layer_kind: str = "dense"
    kernel_size: int = 3
    pooling: str = "max"
    pool_every: int = 1
    global_pooling: bool = False
    dense_units: int = 0
    activation: str = "relu"
    batch_normalization: bool = False
    dropout: float = 0.0
    numeric_encoding: str = "standard"
    numeric_bins: int = 16
    embedding_size: int = 0
    learning_rate_schedule: str = "constant"
    warmup_epochs: int = 0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    ema_momentum: float = 0.0
    label_smoothing: float = 0.0
    random_shift: int = 0
    random_flip: bool = False
    cutout: int = 0
    mixup: float = 0.0
    precision: str = "float32"

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
        """Returns plain values; `units` is a list, so that JSON gives back what it took.

        What came late and is at its default is left out, so that it changes nothing stored.
        """
        values = {**vars(self), "units": list(self.units)}
        return {k: v for k, v in values.items() if k not in _LATE or v != DEFAULTS[k]}

    def flat(self, names: Container[str] | None = None) -> dict[str, Scalar]:
        """Returns one scalar a name, as Optuna and MLflow hold them: `units_1`, `units_2`, ...

        Args:
            names: of those that are wanted; None for those of `as_dict`.
        """
        values: dict[str, Scalar] = {}
        wanted = self.as_dict() if names is None else names
        for name, value in vars(self).items():
            if name not in wanted:
                continue
            if RULES[name].per_layer:
                values |= {layer_name(name, i): each for i, each in enumerate(value)}
            else:
                values[name] = value
        return values

    def shown(self, named: Container[str]) -> dict[str, Any]:
        """Returns the values that people are shown: not those that a study knows nothing of.

        Args:
            named: what the study fixes or searches; of what is beside it, not what is off, and
                of what is no question of the chapter not what has no effect.
        """
        without_effect = idle(vars(self))
        return {
            name: value
            for name, value in {**vars(self), "units": list(self.units)}.items()
            if name in named
            or name in CHAPTER
            or value != DEFAULTS[name]
            or (value and RULES[name].idle_beside and name not in without_effect)
        }

    @property
    def effective(self) -> "Hyperparameters":
        """The same network and training, with a default for each value that has no effect here."""
        return replace(self, **{name: DEFAULTS[name] for name in idle(vars(self))})

    def __str__(self) -> str:
        """In a line: `256-128 relu, dropout 0.3, adam 0.001, batch 64, at most 20 epochs`."""
        return in_a_line(self.effective)


DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        name: field.default
        for name, field in Hyperparameters.__dataclass_fields__.items()
        if isinstance(field.default, bool | int | float | str)
    }
)
REQUIRED = RULES.keys() - DEFAULTS.keys()
_LATE = {"precision"}
# What the chapter asks of a network; all else came later, and is off in its studies.
CHAPTER = REQUIRED | {"layer_kind", "activation", "dropout", "momentum", "nesterov"}


def in_a_line(given: Hyperparameters) -> str:
    """Writes hyperparameters as a line for people, without those that are off.

    Args:
        given: those that have an effect.
    """
    return ", ".join(part for part in (*_network(given), *_training(given)) if part)


def _network(given: Hyperparameters) -> Iterator[str]:
    units = "-".join(map(str, given.units))
    is_convolutional = given.layer_kind == "convolutional" and units
    kind = "conv " if is_convolutional else ""
    yield f"{kind}{units} {given.activation}" if units else "no hidden layer"
    if is_convolutional:
        size = given.kernel_size
        yield f"{size} by {size}" * (size != DEFAULTS["kernel_size"])
        pooled = f" after every {given.pool_every}" * (given.pool_every > 1)
        is_plain = given.pooling == DEFAULTS["pooling"] and not pooled
        yield "" if is_plain else f"{given.pooling} pooling{pooled}".replace("none", "no")
        yield "global pooling" * given.global_pooling
        yield f"dense {given.dense_units}" * bool(given.dense_units)
    yield "batch norm" * given.batch_normalization
    yield _with_number("dropout", given.dropout)
    if given.numeric_encoding != DEFAULTS["numeric_encoding"]:
        yield f"{given.numeric_encoding.replace('_', ' ')} in {given.numeric_bins} bins"
    yield f"embeddings of {given.embedding_size}" * bool(given.embedding_size)


def _training(given: Hyperparameters) -> Iterator[str]:
    nesterov = "nesterov " * given.nesterov
    momentum = _with_number(f" {nesterov}momentum", given.momentum)
    decay = _with_number(" decay", given.weight_decay)
    yield f"{given.optimizer} {given.learning_rate:.3g}{momentum}{decay}"
    if given.learning_rate_schedule != DEFAULTS["learning_rate_schedule"]:
        warmup = f" after {count_noun(given.warmup_epochs, 'epoch')}" * bool(given.warmup_epochs)
        yield f"{given.learning_rate_schedule}{warmup}"
    yield given.precision if given.precision != DEFAULTS["precision"] else ""
    yield _with_number("ema", given.ema_momentum)
    yield _with_number("smoothing", given.label_smoothing)
    yield f"shift {given.random_shift}" * bool(given.random_shift)
    yield "flip" * given.random_flip
    yield f"cutout {given.cutout}" * bool(given.cutout)
    yield _with_number("mixup", given.mixup)
    yield f"batch {given.batch_size}"
    yield f"at most {count_noun(given.epochs, 'epoch')}"


def _with_number(word: str, value: float) -> str:
    return f"{word} {value:.3g}" if value else ""
