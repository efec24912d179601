"""The networks of one job: one, or with folds one for each, measured together as one model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.task.scoring import restore, score, score_folds
from pipeline.task.source import Outputs
from pipeline.task.task import Task
from pipeline.training.epoch import tensors
from pipeline.training.fitting import Fitting, evaluation_of
from pipeline.training.job import Job
from pipeline.training.model import build_model
from pipeline.training.raw_model import accept_raw, average

PLATEAU_FACTOR, PLATEAU_PATIENCE = 0.5, 2  # epochs
PLATEAU_COUNTERS = ("best", "wait", "cooldown_counter")  # Keras's own, of the callback


class Member:
    """A network and the data that it is trained and validated on.

    Args:
        dataset: one of those that `datasets.load_members` returns.
        job: says the metric and the seed.
        hyperparameters: of the network and its training.

    Attributes:
        kept: the weights that were kept, as the model's `get_weights` gives them.
    """

    def __init__(self, dataset: Dataset, job: Job, hyperparameters: Hyperparameters):
        self.dataset, self.task = dataset, dataset.task.scored_by(job.metric)
        self.model = build_model(hyperparameters, self.task)
        self.outputs: Outputs | None = None
        errs_by_rows = dataset.validation_weights is None and dataset.validation_groups is None
        self.is_scored = bool(self.task.scored) or not errs_by_rows
        keeps = self.is_scored or job.is_cross_fitted
        self._evaluation = evaluation_of(self.model, self.task, keeps_outputs=keeps)
        self._fitting = Fitting(
            self.model,
            dataset,
            hyperparameters,
            seed=job.seed,
            evaluation=self._evaluation,
            keep=self._keep,
        )
        self._epochs = self._fitting.epochs()
        self.kept = self.model.get_weights()
        is_plateau = hyperparameters.learning_rate_schedule == "plateau"
        self._schedule = plateau(job) if is_plateau else keras.callbacks.Callback()
        self._counted = PLATEAU_COUNTERS if is_plateau else ()
        self._schedule.set_model(self.model)
        self._schedule.on_train_begin()

    @property
    def n_parameters(self) -> int:
        """Number of trainable weights."""
        return count_parameters(self.model)

    def _keep(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def train_epoch(self) -> dict[str, float]:
        """Trains for one epoch more, and returns what the graph has measured."""
        return next(self._epochs)

    def adjust_rate(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Lowers the learning rate for the next epoch if the metric has stopped getting better."""
        self._schedule.on_epoch_end(epoch, dict(metrics))

    def keep_weights(self) -> None:
        """Keeps the weights as they are now."""
        self.kept = self.model.get_weights()

    def restore_weights(self) -> None:
        """Takes back the weights that were kept."""
        self.model.set_weights(self.kept)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that an epoch changes in the graph; see `Fitting.variables`."""
        return self._fitting.variables

    def counters(self) -> dict[str, Any]:
        """Returns what changes from epoch to epoch outside the graph, for JSON."""
        schedule = {name: getattr(self._schedule, name) for name in self._counted}
        return {"order": self._fitting.order.bit_generator.state, "schedule": schedule}

    def go_on(self, n_epochs: int, counters: Mapping[str, Any]) -> None:
        """Goes on after so many epochs; `variables` have been set to what they were then.

        Args:
            n_epochs: that are over.
            counters: what `counters` has returned then.
        """
        self._fitting.order.bit_generator.state = counters["order"]
        for name in self._counted:
            setattr(self._schedule, name, counters["schedule"][name])
        self._epochs = self._fitting.epochs(n_before=n_epochs)

    def evaluate_training(self) -> tuple[dict[str, float], Outputs]:
        """Evaluates the training set in inference mode: quantities in the graph, and outputs.

        As the validation set is: classes that weigh more in training do not here.
        """
        data = self.dataset
        part = tensors(data.train_inputs, data.train_targets, data.measured_weights)
        means, outputs = self._evaluation(*part)
        return dict(zip(self.task.in_graph, means.numpy().tolist(), strict=True)), outputs.numpy()


def plateau(job: Job) -> keras.callbacks.ReduceLROnPlateau:
    """Builds what halves the learning rate if a job's metric does not get better."""
    mode = "max" if job.direction == "maximize" else "min"
    return keras.callbacks.ReduceLROnPlateau(
        job.metric, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE, mode=mode, min_delta=0
    )


def measure(epochs: Sequence[Mapping[str, float]], members: Sequence[Member]) -> dict[str, float]:
    """Measures an epoch of all members together.

    What is scored is scored once, on the validation rows of all members: each was predicted by
    the network that has not seen it (see `score_folds`). What the graph measures is a mean.

    Args:
        epochs: what `Member.train_epoch` has returned of each.
        members: in the same order.
    """
    if len(members) == 1:
        metrics = dict(epochs[0])
    else:
        sizes = [_weight_of_validation(member.dataset) for member in members]
        metrics = {
            name: float(np.average([each[name] for each in epochs], weights=sizes))
            for name in epochs[0]
        }
        metrics["seconds"] = float(sum(each["seconds"] for each in epochs))
    if not members[0].is_scored:
        return metrics
    seconds = metrics.pop("seconds")
    scored = score_folds(members[0].task, validation_parts(members))
    return {
        **metrics,
        **{f"val_{name}": each for name, each in scored.items()},
        "seconds": seconds,
    }


def validation_parts(members: Sequence[Member]) -> list[tuple[Any, Any, Any, Any]]:
    """Lists of each member what `task.scoring.score` takes of the last epoch's validation rows."""
    return [
        (
            in_own_units(each.task, each.dataset.validation_targets),
            in_own_units(each.task, each.outputs),
            each.dataset.validation_weights,
            each.dataset.validation_groups,
        )
        for each in members
        if each.outputs is not None
    ]


def measure_training(members: Sequence[Member]) -> dict[str, float]:
    """Measures the training set in inference mode: means over the members."""
    found = []
    for member in members:
        quantities, outputs = member.evaluate_training()
        if member.task.scored:
            data = member.dataset
            scored = score(
                member.task,
                in_own_units(member.task, data.train_targets),
                in_own_units(member.task, outputs),
                data.measured_weights,
            )
            quantities |= {m.quantity: scored[m.quantity] for m in member.task.scored}
        found.append(quantities)
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def as_one_model(members: Sequence[Member]) -> keras.Model:
    """Makes of the members the model that is kept; of several it gives the mean answer."""
    if len(members) == 1:
        return as_kept(members[0].model, members[0].task)
    models = [accept_raw(member.model, member.task) for member in members]
    return average({f"fold_{i}": model for i, model in enumerate(models, start=1)})


def as_kept(model: keras.Model, task: Task) -> keras.Model:
    """Makes of a network the model that is kept.

    Of pictures that is the network itself, which `pixels.accept_any_scale` wraps when it is handed
    over. Else it takes raw columns.
    """
    is_plain = task.features is None and task.input_dtype == "uint8"
    return model if is_plain else accept_raw(model, task)


def count_parameters(model: keras.Model) -> int:
    """Counts the trainable weights of a network."""
    return sum(math.prod(each.shape) for each in model.trainable_variables)


def in_own_units(task: Task, values: NDArray[Any]) -> NDArray[Any]:
    """Gives numbers in the units of a target; classes and probabilities as they are."""
    return restore(task.target, values) if task.is_regression else values


def _weight_of_validation(data: Dataset) -> float:
    weights = data.validation_weights
    return float(len(data.validation_targets) if weights is None else weights.sum())
