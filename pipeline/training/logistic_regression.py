"""Logistic regression by scikit-learn, as the chapter does it before its first network."""

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold

from pipeline.clock import WorkingClock
from pipeline.data import datasets
from pipeline.training.job import N_FOLDS, EpochEnd, Event, Finished, Job

MAX_ITER = 5


def train(job: Job) -> Iterator[Event]:
    """Cross-validates `SGDClassifier(loss="log_loss", max_iter=5)` on all 60,000 images.

    Yields one `EpochEnd`: means over five folds, and each fold's validation accuracy as
    `fold_1` ... `fold_5`. The folds are those of `cross_validate(cv=5)`: stratified, not shuffled,
    of the training file in its own order.
    """
    with WorkingClock() as clock:
        images, labels = datasets.load_training_file(job.data)
        inputs = images.reshape(len(images), -1) / 255.0  # float64, as the chapter's: it matters
        task = datasets.task_of(job.data)
        scores: dict[str, list[float]] = {
            f"{prefix}{name}": [] for prefix in ("", "val_") for name in task.in_graph
        }
        classifier = SGDClassifier(loss="log_loss", max_iter=MAX_ITER, random_state=job.seed)
        for train_index, val_index in StratifiedKFold(N_FOLDS).split(inputs, labels):
            with warnings.catch_warnings():
                # five passes do not converge, and are meant not to
                warnings.simplefilter("ignore")
                classifier.fit(inputs[train_index], labels[train_index])
            for prefix, part in (("", train_index), ("val_", val_index)):
                # not from the probabilities: those of several classes may be rounded to one
                answers = classifier.predict(inputs[part])
                probabilities = classifier.predict_proba(inputs[part])
                scores[f"{prefix}loss"].append(float(log_loss(labels[part], probabilities)))
                scores[f"{prefix}accuracy"].append(float(accuracy_score(labels[part], answers)))
        seconds = clock()
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    training = {name: means[name] for name in task.in_graph}
    validation = {name: means[f"val_{name}"] for name in task.in_graph}
    metrics = task.epoch_metrics(training, validation)
    folds = {f"fold_{i}": v for i, v in enumerate(scores[task.score.name], start=1)}
    n_parameters = classifier.coef_.size + classifier.intercept_.size
    yield EpochEnd(job.trial, 1, {**metrics, **folds, "seconds": seconds}, n_parameters)
    quantities = task.quantities_of(training)
    yield Finished(job.trial, {f"train_{name}": value for name, value in quantities.items()})
