"""Logistic regression on a few real images: scikit-learn's own numbers, and what a job sends."""

import time
import warnings
from typing import Any

import numpy as np
import pytest

from pipeline.clock import WorkingClock
from pipeline.data import datasets
from pipeline.task.source import DataSpec, Images, Labels
from pipeline.training import logistic_regression
from pipeline.training.job import EpochEnd, Event, Finished, Job

N_IMAGES = 1_000


def job(seed: int) -> Job:
    return Job(
        trial=3,
        data=DataSpec("fashion_mnist"),
        hyperparameters=None,
        seed=seed,
        metric="val_loss",
        direction="minimize",
        patience=1000,
        trainer="sgd_classifier",
    )


@pytest.fixture(scope="module")
def some() -> tuple[Images, Labels]:
    """The first images of the training file."""
    images, labels = datasets.load_training_file("fashion_mnist")
    return images[:N_IMAGES], labels[:N_IMAGES]


def trained(
    monkeypatch: pytest.MonkeyPatch, some: tuple[Images, Labels], seed: int = 42
) -> list[Event]:
    monkeypatch.setattr(datasets, "load_training_file", lambda name: some)
    return list(logistic_regression.train(job(seed)))


def of_scikit_learn(some: tuple[Images, Labels], seed: int) -> dict[str, Any]:
    """What the chapter's own lines give."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.model_selection import cross_validate

    images, labels = some
    scaled = (images / 255.0).reshape(-1, 28 * 28)
    classifier = SGDClassifier(loss="log_loss", max_iter=5, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five passes do not converge
        found = cross_validate(
            classifier, scaled, labels, cv=5, return_train_score=True,
            scoring=["accuracy", "neg_log_loss"],
        )  # fmt: skip
    return dict(found)


@pytest.mark.parametrize("seed", [42, 1, 2])
def test_each_fold_scores_what_scikit_learn_says(
    monkeypatch: pytest.MonkeyPatch, some: tuple[Images, Labels], seed: int
) -> None:
    epoch, finished = trained(monkeypatch, some, seed)
    expected = of_scikit_learn(some, seed)
    assert isinstance(epoch, EpochEnd)
    assert isinstance(finished, Finished)
    folds = [epoch.metrics[f"fold_{i}"] for i in range(1, 6)]
    assert folds == expected["test_accuracy"].tolist()
    assert epoch.metrics["val_accuracy"] == pytest.approx(np.mean(folds))
    assert epoch.metrics["accuracy"] == pytest.approx(expected["train_accuracy"].mean())
    assert epoch.metrics["val_loss"] == pytest.approx(-expected["test_neg_log_loss"].mean())
    assert epoch.metrics["loss"] == pytest.approx(-expected["train_neg_log_loss"].mean())
    assert finished.scores == {
        "train_loss": epoch.metrics["loss"],
        "train_accuracy": epoch.metrics["accuracy"],
    }


def test_it_is_one_epoch_and_an_end_without_a_model(
    monkeypatch: pytest.MonkeyPatch, some: tuple[Images, Labels]
) -> None:
    epoch, finished = trained(monkeypatch, some)
    assert isinstance(epoch, EpochEnd)
    assert isinstance(finished, Finished)
    assert (epoch.trial, epoch.epoch, finished.trial) == (3, 1, 3)
    assert epoch.model is None
    assert epoch.n_parameters == 784 * 10 + 10 == 7_850
    assert epoch.metrics["seconds"] > 0


def test_the_seed_decides_the_scores(
    monkeypatch: pytest.MonkeyPatch, some: tuple[Images, Labels]
) -> None:
    scores = []
    for seed in (7, 7, 8):
        event = trained(monkeypatch, some, seed)[0]
        assert isinstance(event, EpochEnd)
        scores.append({k: v for k, v in event.metrics.items() if k != "seconds"})
    assert scores[0] == scores[1] != scores[2]


def test_the_folds_are_of_all_60000_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the 48,000 that networks are trained on, whose folds would leave 38,400."""
    from sklearn.linear_model import SGDClassifier

    seen: list[tuple[tuple[int, ...], np.dtype[Any], float]] = []

    def fit(self: Any, inputs: Any, labels: Any) -> None:
        seen.append((inputs.shape, inputs.dtype, float(inputs.max())))
        raise InterruptedError

    monkeypatch.setattr(SGDClassifier, "fit", fit)
    with pytest.raises(InterruptedError):
        list(logistic_regression.train(job(42)))
    assert seen == [((48_000, 784), np.dtype(np.float64), 1.0)]


def test_the_time_in_which_it_was_stopped_does_not_count(
    monkeypatch: pytest.MonkeyPatch, some: tuple[Images, Labels]
) -> None:
    paused = [0.0]

    def stopped(name: str) -> tuple[Images, Labels]:
        paused[0] += 1_000.0
        return some

    monkeypatch.setattr(
        logistic_regression,
        "WorkingClock",
        lambda: WorkingClock(lambda: time.monotonic() + paused[0]),
    )
    monkeypatch.setattr(datasets, "load_training_file", stopped)
    epoch, _ = logistic_regression.train(job(42))
    assert isinstance(epoch, EpochEnd)
    assert 0 <= epoch.metrics["seconds"] < 1_000.0
