"""What can be said of a complete trial by name: each measure with its words and its formula.

To add a measure for claims and comparisons: one row in `MEASURES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.data import fashion_mnist
from pipeline.study.hyperparameters import layer_parameters
from pipeline.study.trial import Trial


@dataclass(frozen=True)
class Measure:
    """A number that can be computed of a complete trial.

    Attributes:
        words: what it is, as a report says it. "Kept" are the weights of the best epoch.
        of: computes it.
    """

    words: str
    of: Callable[[Trial], float]


def measure(name: str, trial: Trial) -> float:
    """Computes the measure of that name on a complete trial."""
    return MEASURES[name].of(trial)


def _kept(name: str) -> Callable[[Trial], float]:
    return lambda trial: trial.history[name][trial.best_epoch - 1]


def _last(name: str) -> Callable[[Trial], float]:
    return lambda trial: trial.history[name][-1]


def _lowest_epoch(trial: Trial) -> float:
    losses = list(trial.history["val_loss"])
    return losses.index(min(losses)) + 1


def _layers(trial: Trial) -> list[int]:
    assert trial.hyperparameters is not None
    return layer_parameters(
        trial.hyperparameters, fashion_mnist.INPUT_SHAPE, len(fashion_mnist.CLASS_NAMES)
    )


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "val_accuracy": Measure("validation accuracy at the kept epoch", _kept("val_accuracy")),
        "val_loss": Measure("validation loss at the kept epoch", _kept("val_loss")),
        "accuracy": Measure(
            "training accuracy at the kept epoch, while learning", _kept("accuracy")
        ),
        "loss": Measure("training loss at the kept epoch, while learning", _kept("loss")),
        "last_val_accuracy": Measure(
            "validation accuracy after the last epoch", _last("val_accuracy")
        ),
        "last_val_loss": Measure("validation loss after the last epoch", _last("val_loss")),
        "last_accuracy": Measure(
            "training accuracy in the last epoch, while learning", _last("accuracy")
        ),
        "last_loss": Measure("training loss in the last epoch, while learning", _last("loss")),
        "lowest_val_loss": Measure(
            "lowest validation loss of any epoch", lambda trial: min(trial.history["val_loss"])
        ),
        "lowest_val_loss_epoch": Measure(
            "epoch with the lowest validation loss, from 1", _lowest_epoch
        ),
        "highest_val_accuracy": Measure(
            "highest validation accuracy of any epoch",
            lambda trial: max(trial.history["val_accuracy"]),
        ),
        "val_loss_rise": Measure(
            "last validation loss less the lowest",
            lambda t: t.history["val_loss"][-1] - min(t.history["val_loss"]),
        ),
        "overfitting_gap": Measure(
            "validation less training loss, in inference mode, kept weights",
            lambda trial: _kept("val_loss")(trial) - trial.scores["train_loss"],
        ),
        "n_parameters": Measure("number of trainable weights", lambda trial: trial.n_parameters),
        "first_layer_parameters": Measure(
            "number of weights of the first hidden layer", lambda trial: _layers(trial)[0]
        ),
        "output_layer_parameters": Measure(
            "number of weights of the output layer", lambda trial: _layers(trial)[-1]
        ),
        "n_epochs": Measure("number of epochs trained", lambda trial: trial.n_epochs),
    }
)
