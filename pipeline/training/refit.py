"""A network once more, trained on the training and the validation set together.

Nothing is left to watch it by: it is trained for as many epochs as are asked for.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.data import datasets
from pipeline.study.trial import Cause
from pipeline.task.dataset import Dataset
from pipeline.task.task import LOSS
from pipeline.training.fitting import fit
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job
from pipeline.training.loop import to_bytes
from pipeline.training.members import as_kept, count_parameters
from pipeline.training.model import build_model


def train(job: Job) -> Iterator[Event]:
    """Trains for `job.refit_epochs`; the last epoch's event has the model.

    Ends with one `Finished` or `Failed`. Everything random follows from the job's seed.
    """
    given = job.hyperparameters
    assert given is not None
    keras.utils.set_random_seed(job.seed)
    dataset = joined(datasets.load(job.data))
    model = build_model(given, dataset.task)
    epochs = fit(model, dataset, given, seed=job.seed)
    for epoch, metrics in zip(range(1, job.refit_epochs + 1), epochs, strict=False):
        if not math.isfinite(metrics[LOSS]):
            reason = f"{LOSS} became {metrics[LOSS]} in epoch {epoch}"
            yield Failed(job.trial, reason, cause=Cause.DIVERGED)
            return
        known = {name: value for name, value in metrics.items() if not name.startswith("val_")}
        content = None
        if epoch == job.refit_epochs:
            content = to_bytes(as_kept(model, dataset.task))
        yield EpochEnd(job.trial, epoch, known, count_parameters(model), content)
    yield Finished(job.trial, {})


def joined(dataset: Dataset) -> Dataset:
    """Joins both parts as training set; of the validation set one example is left.

    Classes weigh as they did in the training set, and examples on the scale of that one, whose
    mean is 1.
    """
    n_train, n_validation = len(dataset.train_targets), len(dataset.validation_targets)
    of_rows = dataset.validation_weights
    if of_rows is not None:
        of_rows = of_rows / of_rows.mean()
    counts = _both(dataset.measured_weights, of_rows, n_train, n_validation)
    weights = counts
    targets = np.concatenate([dataset.train_targets, dataset.validation_targets])
    if dataset.train_counts is not None:
        assert dataset.train_weights is not None
        assert counts is not None
        of_class, known = np.ones(int(targets.max()) + 1, np.float32), dataset.train_counts > 0
        ratios = dataset.train_weights[known] / dataset.train_counts[known]
        of_class[dataset.train_targets[known]] = ratios
        weights = counts * of_class[targets]
    groups = dataset.validation_groups
    return replace(
        dataset,
        train_inputs=np.concatenate([dataset.train_inputs, dataset.validation_inputs]),
        train_targets=targets,
        train_weights=weights,
        train_counts=None if dataset.train_counts is None else counts,
        validation_inputs=dataset.validation_inputs[:1],
        validation_targets=dataset.validation_targets[:1],
        validation_weights=None,
        validation_groups=None if groups is None else groups[:1],
    )


def _both(
    first: NDArray[np.float32] | None, second: NDArray[np.float32] | None, n: int, m: int
) -> NDArray[np.float32] | None:
    """Joins weights of n and of m examples; None if all are 1."""
    if first is None and second is None:
        return None
    known = [
        np.ones(size, np.float32) if each is None else each
        for each, size in ((first, n), (second, m))
    ]
    return np.concatenate(known)
