"""A network trained once more on training and validation data together."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from few_images import few_images

from pipeline.data import datasets
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.task.source import DataSpec
from pipeline.training import refit
from pipeline.training.fitting import fit
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job
from pipeline.training.loop import from_bytes
from pipeline.training.model import build_model

GIVEN = Hyperparameters(1, (16,), "adam", 0.001, 32, 5, learning_rate_schedule="cosine")


def job(epochs: int = 2, **changes: Any) -> Job:
    known: dict[str, Any] = {
        "trial": 3,
        "data": DataSpec("fashion_mnist"),
        "hyperparameters": GIVEN,
        "seed": 7,
        "metric": "val_accuracy",
        "direction": "maximize",
        "patience": 1,
        "trainer": "refit",
        "refit_epochs": epochs,
    }
    return Job(**{**known, **changes})


def trained(monkeypatch: pytest.MonkeyPatch, dataset: Dataset, asked: Job) -> list[Event]:
    monkeypatch.setattr(datasets, "load", lambda _: dataset)
    return list(refit.train(asked))


def weights_of(events: list[Event]) -> list[Any]:
    contents = [event.model for event in events if isinstance(event, EpochEnd) and event.model]
    (content,) = contents
    return [np.array(each) for each in from_bytes(content).get_weights()]


def test_it_learns_from_all_examples_for_so_many_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    few = few_images(200, 100)
    events = trained(monkeypatch, few, job(2))
    assert [type(event) for event in events] == [EpochEnd, EpochEnd, Finished]
    assert all(
        not name.startswith("val_")
        for event in events
        if isinstance(event, EpochEnd)
        for name in event.metrics
    )
    whole = replace(
        few,
        train_inputs=np.concatenate([few.train_inputs, few.validation_inputs]),
        train_targets=np.concatenate([few.train_targets, few.validation_targets]),
    )
    import keras

    keras.utils.set_random_seed(7)
    model = build_model(GIVEN, few.task)
    for epoch, _ in enumerate(fit(model, whole, GIVEN, seed=7), start=1):
        if epoch == 2:
            break
    for own, known in zip(weights_of(events), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, known)


def test_what_the_validation_labels_are_makes_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = few_images(200, 100)
    other = replace(few, validation_targets=(few.validation_targets + 1) % 10)
    first, second = (weights_of(trained(monkeypatch, each, job())) for each in (few, other))
    assert any((a != b).any() for a, b in zip(first, second, strict=True))


def test_what_diverges_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    wild = replace(GIVEN, optimizer="sgd", learning_rate=1e30, learning_rate_schedule="constant")
    events = trained(monkeypatch, few_images(200, 100), job(20, hyperparameters=wild))
    assert isinstance(events[-1], Failed)
    assert "loss became" in events[-1].reason


@pytest.mark.parametrize("n_train_weights", [0, 200])
@pytest.mark.parametrize("n_validation_weights", [0, 100])
def test_weights_of_rows_are_joined(n_train_weights: int, n_validation_weights: int) -> None:
    few = replace(
        few_images(200, 100),
        train_weights=np.full(200, 1, np.float32) if n_train_weights else None,
        validation_weights=np.full(100, 3, np.float32) if n_validation_weights else None,
    )
    joined = refit.joined(few)
    if not n_train_weights and not n_validation_weights:
        assert joined.train_weights is None
        return
    assert joined.train_weights is not None
    assert set(joined.train_weights[:200]) == {1.0}
    assert set(joined.train_weights[200:]) == {1.0}  # on the scale of the others, of mean 1
    assert joined.train_counts is None


def test_classes_weigh_as_in_the_training_set() -> None:
    few = few_images(200, 100)
    of_class = np.linspace(0.5, 2, 10, dtype=np.float32)
    counts = np.where(np.arange(200) % 2, 1, 3).astype(np.float32)
    weighted = replace(
        few, train_counts=counts, train_weights=counts * of_class[few.train_targets]
    )
    joined = refit.joined(weighted)
    assert joined.train_weights is not None
    assert joined.train_counts is not None
    assert joined.train_counts.tolist() == [*counts.tolist(), *[1.0] * 100]
    expected = joined.train_counts * of_class[joined.train_targets]
    assert np.abs(joined.train_weights - expected).max() < 1e-6


def test_rows_weigh_in_both_parts_by_the_same_scale() -> None:
    rng = np.random.default_rng(0)
    raw = rng.uniform(500, 1500, 300).astype(np.float32)
    few = replace(
        few_images(200, 100),
        train_weights=raw[:200] / raw[:200].mean(),  # as they are made ready
        validation_weights=raw[200:],
    )
    joined = refit.joined(few)
    assert joined.train_weights is not None
    np.testing.assert_allclose(joined.train_weights, raw / raw.mean(), rtol=0.1)
    assert joined.train_weights.mean() == pytest.approx(1, abs=1e-5)


def test_rows_that_weigh_nothing_tell_nothing_of_their_class() -> None:
    few = few_images(200, 100)
    counts = np.ones(200, np.float32)
    for label in range(10):  # the last row of each class
        counts[np.flatnonzero(few.train_targets == label)[-1]] = 0
    joined = refit.joined(replace(few, train_counts=counts, train_weights=2 * counts))
    assert joined.train_weights is not None
    assert set(joined.train_weights[200:]) == {2.0}
    assert np.isfinite(joined.train_weights).all()
