"""What can be said of a trial by name: each measure with its words and its formula.

To add a measure for claims and comparisons: one row in `MEASURES`. Every metric has its rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.study.network_input import layer_parameters
from pipeline.study.trial import Trial
from pipeline.task.task import METRICS, Metric, Task


@dataclass(frozen=True)
class Measure:
    """A number that can be computed of a trial that has a value.

    Attributes:
        words: what it is, as a report says it. "Kept" are the weights of the best epoch.
        of: computes it.
        needs: tells whether a trial has what this needs, which is not measured of all.
    """

    words: str
    of: Callable[[Trial, Task], float]
    needs: Callable[[Trial], bool] = lambda _: True


def has_measure(name: str, trial: Trial) -> bool:
    """Tells whether a measure can be computed: one without an epoch has none, for example.

    Args:
        name: key of `MEASURES`.
        trial: whatever ended it.
    """
    return trial.value is not None and trial.n_epochs > 0 and MEASURES[name].needs(trial)


def measure(name: str, trial: Trial, task: Task) -> float:
    """Computes the measure of that name on a trial of a task.

    Args:
        name: key of `MEASURES`.
        trial: of which `has_measure` holds.
        task: says which metrics the trial has.
    """
    return MEASURES[name].of(trial, task)


def _kept(metric: Metric) -> Measure:
    learning = ", while learning" if metric.part == "training" else ""
    return Measure(
        f"{metric.words} at the kept epoch{learning}",
        lambda trial, _: trial.history[metric.name][trial.best_epoch - 1],
        lambda trial: metric.name in trial.history,
    )


def _last(metric: Metric) -> Measure:
    when = "after the last epoch"
    if metric.part == "training":
        when = "in the last epoch, while learning"
    return Measure(
        f"{metric.words} {when}",
        lambda trial, _: trial.history[metric.name][-1],
        lambda trial: metric.name in trial.history,
    )


def _lowest_epoch(trial: Trial, _: Task) -> float:
    losses = list(trial.history["val_loss"])
    return losses.index(min(losses)) + 1


def _overfitting_gap(trial: Trial, _: Task) -> float:
    return trial.history["val_loss"][trial.best_epoch - 1] - trial.scores["train_loss"]


def _layers(trial: Trial, task: Task) -> list[int]:
    assert trial.hyperparameters is not None
    return layer_parameters(trial.hyperparameters, task.input_shape, task.n_outputs, task.features)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        **{metric.name: _kept(metric) for metric in METRICS},
        **{f"last_{metric.name}": _last(metric) for metric in METRICS},
        "lowest_val_loss": Measure(
            "lowest validation loss of any epoch", lambda trial, _: min(trial.history["val_loss"])
        ),
        "lowest_val_loss_epoch": Measure(
            "epoch with the lowest validation loss, from 1", _lowest_epoch
        ),
        "highest_val_accuracy": Measure(
            "highest validation accuracy of any epoch",
            lambda trial, _: max(trial.history["val_accuracy"]),
            lambda trial: "val_accuracy" in trial.history,
        ),
        "val_loss_rise": Measure(
            "last validation loss less the lowest",
            lambda trial, _: trial.history["val_loss"][-1] - min(trial.history["val_loss"]),
        ),
        "overfitting_gap": Measure(
            "validation less training loss, in inference mode, kept weights",
            _overfitting_gap,
            lambda trial: "train_loss" in trial.scores,  # not of what was stopped
        ),
        "n_parameters": Measure(
            "number of trainable weights",
            lambda trial, _: trial.n_parameters,
            lambda trial: trial.n_parameters > 0,
        ),
        "first_layer_parameters": Measure(
            "number of weights of the first hidden layer", lambda *of: _layers(*of)[0]
        ),
        "output_layer_parameters": Measure(
            "number of weights of the output layer", lambda *of: _layers(*of)[-1]
        ),
        "n_epochs": Measure("number of epochs trained", lambda trial, _: trial.n_epochs),
    }
)
