"""Good simple models by scikit-learn: what a network has to beat to be worth its trouble.

A constant answer, a linear model, and gradient-boosted trees at their defaults, each fitted to the
training part that networks are trained on, and scored as they are.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from pipeline.clock import WorkingClock
from pipeline.data import datasets
from pipeline.study.trainers import CONSTANT, GRADIENT_BOOSTING, LINEAR
from pipeline.task import scoring
from pipeline.task.dataset import Dataset
from pipeline.task.features import Features
from pipeline.task.source import Groups, Inputs, Weights
from pipeline.task.task import LOSS, Target, Task
from pipeline.training.job import EpochEnd, Event, Finished, Job

MOST_CODES = 255  # of a category, in the trees
# Of logistic regression: 1,000, or fewer if there is much data, which would take longer than a
# network. So many products of a weight and a number take two minutes of a core at most.
ITERATIONS, N_PRODUCTS = (100, 1_000), 1e11


@dataclass(frozen=True)
class _Part:
    """What a model answered to one part of the data.

    Attributes:
        targets: as in a `Dataset`.
        answers: probabilities of all classes, (n, n_classes), or standardised numbers, (n,).
        weights: None if all are 1.
        groups: None if the examples err independently, or it does not matter.
    """

    targets: NDArray[Any]
    answers: NDArray[np.float64]
    weights: "Weights | None"
    groups: "Groups | None" = None


def train(job: Job) -> Iterator[Event]:
    """Fits the job's simple model on one core: `job.trainer`, a key of `SIMPLE`.

    Yields one `EpochEnd` with the metrics that a network of the task has. Of a cross-validation a
    model is fitted to each member; all validation rows are scored at once, each with the answer of
    the model that has not seen it, and training values are means over the models.
    """
    with WorkingClock() as clock, threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of what is stopped in time
        members = datasets.load_members(job.data)
        task = members[0].task.scored_by(job.metric)
        fits = [_fit(job.trainer, member, job.seed) for member in members]
        targets = [member.task.target for member in members]
        validation = [part for _, _, part in fits]
        scored = _scored(task, targets, validation)
        training = _mean_of(
            [
                {**_in_graph(task, part), **_scored(task, [target], [part])}
                for target, (_, part, _) in zip(targets, fits, strict=True)
            ],
            names=(*task.in_graph, *(metric.quantity for metric in task.scored)),
        )
        metrics = task.epoch_metrics(
            {name: training[name] for name in task.in_graph}, _in_graph(task, _pool(validation))
        )
        metrics |= {f"val_{name}": value for name, value in scored.items()}
        seconds = clock()
    n_parameters = _n_parameters(fits[0][0], task)
    yield EpochEnd(job.trial, 1, {**metrics, "seconds": seconds}, n_parameters)
    quantities = task.quantities_of(training)
    yield Finished(job.trial, {f"train_{name}": value for name, value in quantities.items()})


def answers(trainer: str, data: Dataset, seed: int) -> NDArray[np.float64]:
    """Fits a model to the training part; returns its answers to the validation part.

    These are probabilities of all classes, (n, n_classes), or standardised numbers, (n,).
    """
    return _fit(trainer, data, seed)[2].answers


def _fit(trainer: str, data: Dataset, seed: int) -> tuple[Any, _Part, _Part]:
    """Fits a model to the training part, and returns it with its answers to both parts."""
    inputs = _as_seen(trainer, data.train_inputs, data.task)
    model = _model(trainer, data.task, inputs, seed)
    if trainer == CONSTANT:
        _fit_constant(model, inputs, data)
    else:
        weighted = {} if data.train_weights is None else {"sample_weight": data.train_weights}
        model.fit(inputs, data.train_targets, **weighted)
    training = _Part(data.train_targets, _answers(model, inputs, data.task), data.measured_weights)
    del inputs  # before there are those of validation
    inputs = _as_seen(trainer, data.validation_inputs, data.task)
    validation = _Part(
        data.validation_targets,
        _answers(model, inputs, data.task),
        data.validation_weights,
        data.validation_groups,
    )
    if data.task.target.transform == "log":  # e to the power of a line soon is astronomical
        seen = float(data.train_targets.min()), float(data.train_targets.max())
        for part in (training, validation):
            np.clip(part.answers, *seen, out=part.answers)
    return model, training, validation


def _fit_constant(model: Any, inputs: Any, data: Dataset) -> None:
    """Fits what answers all alike: to the classes as often as they come, or to numbers themselves.

    Class weights would make all classes equally frequent, and the mean of logarithms is no mean.
    """
    weights, task = data.measured_weights, data.task
    if not task.is_regression:
        model.fit(inputs, data.train_targets, sample_weight=weights)
        return
    model.fit(inputs, scoring.restore(task.target, data.train_targets), sample_weight=weights)
    model.constant_ = scoring.transform(task.target, model.constant_)


def _model(trainer: str, task: Task, inputs: Any, seed: int) -> Any:
    """Makes the model for inputs as `_as_seen` returns them."""
    if trainer == CONSTANT and task.is_regression:
        return DummyRegressor(strategy="median" if task.loss == "absolute" else "mean")
    if trainer == CONSTANT:
        return DummyClassifier(strategy="prior")
    if trainer == LINEAR and task.is_regression:
        return Ridge()
    if trainer == LINEAR:
        n_numbers = inputs.nnz if issparse(inputs) else inputs.size
        n_iterations = N_PRODUCTS / (n_numbers * task.n_outputs)
        return LogisticRegression(max_iter=int(np.clip(n_iterations, *ITERATIONS)))
    if trainer != GRADIENT_BOOSTING:
        raise ValueError(f"trainer: found {trainer!r}")
    categories = task.features.categories if task.features else ()
    first = inputs.shape[1] - len(categories)
    few = [i for i, each in enumerate(categories, start=first) if each.n_codes <= MOST_CODES]
    make = HistGradientBoostingRegressor if task.is_regression else HistGradientBoostingClassifier
    return make(categorical_features=few or None, random_state=seed)


def _as_seen(trainer: str, inputs: Inputs, task: Task) -> Any:
    """Returns the inputs as a model takes them, (n, width).

    Linear models get pixels from 0 to 1, and of a table a column for each code; trees get tables
    in which missing numbers are NaN, which they know what to do with, and no indicators.
    """
    if trainer == LINEAR and inputs.dtype == np.uint8:
        flat = inputs.reshape(len(inputs), -1).astype(np.float32)
        flat /= 255
        return flat
    if trainer == LINEAR and task.features and task.features.categories:
        return _with_a_column_for_each_code(inputs, task.features)
    if trainer == GRADIENT_BOOSTING and task.features and inputs.ndim == 2:
        return _with_gaps(inputs, task.features)
    return inputs.reshape(len(inputs), -1)


def _with_a_column_for_each_code(inputs: Inputs, features: Features) -> Any:
    """Makes a sparse matrix of an encoded one: the numbers, then a column for each code."""
    n_codes = np.array([category.n_codes for category in features.categories])
    first = features.width - len(n_codes)  # of the codes
    values = np.array(inputs, np.float32)
    columns = np.empty(values.shape, np.int32)
    columns[:, :first] = np.arange(first)
    columns[:, first:] = values[:, first:] + (first + np.cumsum(n_codes) - n_codes)
    values[:, first:] = 1
    starts = np.arange(0, values.size + 1, features.width)
    shape = (len(values), first + int(n_codes.sum()))
    return csr_matrix((values.ravel(), columns.ravel(), starts), shape=shape)


def _with_gaps(inputs: Inputs, features: Features) -> NDArray[np.float32]:
    """Copies numbers and codes of an encoded matrix, with NaN where a number is missing."""
    n_numbers, n_codes = len(features.numbers), len(features.categories)
    found = np.empty((len(inputs), n_numbers + n_codes), np.float32)
    found[:, :n_numbers] = inputs[:, :n_numbers]
    found[:, n_numbers:] = inputs[:, features.width - n_codes :]
    gaps = [column for column, number in enumerate(features.numbers) if number.may_miss]
    for indicator, column in enumerate(gaps, start=n_numbers):
        found[inputs[:, indicator] > 0, column] = np.nan
    return found


def _answers(model: Any, inputs: Inputs, task: Task) -> NDArray[np.float64]:
    """Returns probabilities of all classes of the task, or standardised numbers."""
    if task.is_regression:
        return np.asarray(model.predict(inputs), np.float64)
    probabilities = np.asarray(model.predict_proba(inputs), np.float64)
    if len(model.classes_) == len(task.class_names):
        return probabilities
    found = np.zeros((len(probabilities), len(task.class_names)))
    found[:, model.classes_] = probabilities  # a training part without one of the classes
    return found


def _in_graph(task: Task, part: _Part) -> dict[str, float]:
    """Computes what a network's graph computes of a part: the loss, of classes the accuracy."""
    targets, answers = part.targets, part.answers
    found = {LOSS: _mean(scoring.losses(task, targets, answers), part.weights)}
    if not task.is_regression:
        found["accuracy"] = _mean(answers.argmax(axis=1) == targets, part.weights)
    return found


def _mean(values: NDArray[Any], weights: "Weights | None") -> float:
    return float(np.average(values, weights=weights))


def _mean_of(found: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    """Averages the values of several models, by name."""
    return {name: float(np.mean([each[name] for each in found])) for name in names}


def _scored(task: Task, kinds: Sequence[Target], parts: Sequence[_Part]) -> dict[str, float]:
    """Scores the rows of all parts at once, a regression's in its own units, with the errors.

    Args:
        task: says what is scored.
        kinds: of target, of each part: as the model's own training part has it.
        parts: one of each model.
    """
    given = []
    for kind, part in zip(kinds, parts, strict=True):
        targets: NDArray[Any] = part.targets
        answers: NDArray[Any] = part.answers.astype(np.float32)  # clipped as a network's
        if task.is_regression:
            targets, answers = (scoring.restore(kind, x) for x in (targets, part.answers))
        elif task.n_outputs == 1:
            answers = answers[:, 1:]
        given.append((targets, answers, part.weights, part.groups))
    return scoring.score_folds(task, given)


def _pool(parts: Sequence[_Part]) -> _Part:
    """Puts the rows of all parts into one."""
    weights = [part.weights for part in parts if part.weights is not None]
    return _Part(
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.answers for part in parts]),
        np.concatenate(weights) if weights else None,
    )


def _n_parameters(model: Any, task: Task) -> int:
    """Counts coefficients, or the values of a constant answer; 0 of trees, which have none."""
    if hasattr(model, "coef_"):
        return int(np.size(model.coef_) + np.size(model.intercept_))
    return task.n_outputs if isinstance(model, DummyClassifier | DummyRegressor) else 0
