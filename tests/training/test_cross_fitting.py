"""What a value is worth without the luck of having been chosen among epochs."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from few_images import few_images

from pipeline.data import datasets
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.task.source import DataSpec
from pipeline.training import loop
from pipeline.training.cross_fitting import CrossFitting
from pipeline.training.job import EpochEnd, Finished, Job

N, N_EPOCHS, N_TRAININGS = 500, 12, 300


def job_of(metric: str = "val_accuracy", **changes: Any) -> Job:
    given = Hyperparameters(
        hidden_layers=1, units=(16,), optimizer="adam", learning_rate=0.01, batch_size=64, epochs=6
    )
    source = DataSpec("fashion_mnist")
    direction = "minimize" if metric == "val_loss" else "maximize"
    return Job(0, source, given, 3, metric, direction, patience=6, **changes)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return few_images(640, N)


def trainings(dataset: Dataset, spread: float) -> tuple[float, float, float]:
    """Simulates trainings; returns means of values, of those cross-fitted, and of the truth.

    Args:
        dataset: whose validation labels are answered.
        spread: standard deviation of the true accuracies of epochs.
    """
    rng, found = np.random.default_rng(0), []
    labels = dataset.validation_targets
    for _ in range(N_TRAININGS):
        truths = 0.8 + spread * rng.standard_normal(N_EPOCHS)
        member = SimpleNamespace(task=dataset.task, dataset=dataset, outputs=None)
        fitting, values = CrossFitting(job_of(), [member]), []  # type: ignore[list-item]
        for truth in truths:
            is_right = rng.random(N) < truth
            member.outputs = np.eye(10)[np.where(is_right, labels, (labels + 1) % 10)]
            values.append(float(is_right.mean()))
            fitting.add(values[-1])
        fair = fitting.value()
        assert fair is not None
        found.append((max(values), fair, truths[int(np.argmax(values))]))
    value, fair, truth = np.mean(found, axis=0)
    return float(value), float(fair), float(truth)


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_the_best_of_many_epochs_is_lucky_and_cross_fitted_it_is_not(
    dataset: Dataset, spread: float
) -> None:
    value, fair, truth = trainings(dataset, spread)
    assert value > truth + 0.01
    assert fair == pytest.approx(truth, abs=0.0025)


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss", "val_macro_f1"])
def test_a_training_tells_it_and_is_otherwise_the_same(
    dataset: Dataset, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "load_members", lambda data: [dataset])
    plain, told = ([*loop.train(job_of(metric, is_cross_fitted=each))] for each in (False, True))
    curves = [
        [each.metrics[metric] for each in events if isinstance(each, EpochEnd)]
        for events in (plain, told)
    ]
    assert curves[0] == curves[1]
    *_, last = told
    *_, without = plain
    assert isinstance(last, Finished)
    assert isinstance(without, Finished)
    fair = last.scores[f"cross_fitted_{metric}"]
    assert {**without.scores, f"cross_fitted_{metric}": fair} == last.scores
    best = max(curves[0]) if metric != "val_loss" else min(curves[0])
    assert fair == pytest.approx(best, abs=0.05)
    assert (fair - best) * (1 if metric == "val_loss" else -1) >= -1e-9, "luck is never bad"


def test_where_examples_are_too_few_to_be_divided_nothing_is_told(dataset: Dataset) -> None:
    few = replace(
        dataset,
        validation_inputs=dataset.validation_inputs[:5],
        validation_targets=dataset.validation_targets[:5],
    )
    member = SimpleNamespace(task=few.task, dataset=few, outputs=np.full((5, 10), 0.1))
    fitting = CrossFitting(job_of(), [member])  # type: ignore[list-item]
    assert fitting.value() is None
    fitting.add(0.5)
    assert fitting.value() is None
