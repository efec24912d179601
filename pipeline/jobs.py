"""What travels between the supervisor and a worker: a job one way, events the other."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.hyperparameters import Hyperparameters


@dataclass(frozen=True)
class Job:
    """One network to train.

    Attributes:
        trial: number of the trial; every event bears it.
        dataset: name of the data set.
        trainer: "keras" or "sgd_classifier".
        hyperparameters: of the network and its training; None for "sgd_classifier".
        seed: of the initial weights, the order of batches and dropout.
        metric: watched by early stopping, "val_accuracy" or "val_loss".
        direction: "maximize" or "minimize".
        patience: epochs without improvement before training stops.
        record: best value known so far; a model that is no better is not sent back.
    """

    trial: int
    dataset: str
    hyperparameters: Hyperparameters | None
    seed: int
    metric: str
    direction: str
    patience: int
    record: float | None = None
    trainer: str = "keras"


@dataclass(frozen=True)
class Started:
    """The job's process has started; its wall time counts from now.

    Attributes:
        trial: number of the trial.
    """

    trial: int


@dataclass(frozen=True)
class EpochEnd:
    """An epoch is over.

    Attributes:
        trial: number of the trial.
        epoch: counted from 1.
        metrics: loss, accuracy (of the training set, as the weights changed), val_loss,
            val_accuracy, learning_rate and seconds (wall time of the epoch).
    """

    trial: int
    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Finished:
    """Training came to its end; the model has the weights of its best epoch.

    Attributes:
        trial: number of the trial.
        n_parameters: number of trainable weights.
        scores: train_loss and train_accuracy: of the whole training set in inference mode, with
            the kept weights.
        model: a `.keras` file, or None if it is no better than the job's `record`.
    """

    trial: int
    n_parameters: int
    scores: Mapping[str, float]
    model: bytes | None


@dataclass(frozen=True)
class Failed:
    """Training broke off.

    Attributes:
        trial: number of the trial.
        reason: what a user reads.
        is_transient: whether it may go well another time: the cause lies outside the trial.
    """

    trial: int
    reason: str
    is_transient: bool = False


Event = Started | EpochEnd | Finished | Failed


def is_better(value: float, than: float | None, direction: str) -> bool:
    """Whether a metric's value beats another; anything beats None."""
    return than is None or (value > than if direction == "maximize" else value < than)


def derived_seed(*parts: object) -> int:
    """A seed below 2**31 that follows from its parts alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1
