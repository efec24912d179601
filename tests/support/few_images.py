"""Real images, but few: a data set that networks are trained on in a second."""

from dataclasses import replace

from pipeline.data import datasets
from pipeline.task.dataset import Dataset


def few_images(n_train: int, n_validation: int) -> Dataset:
    """The first of Fashion-MNIST's training and validation part."""
    whole = datasets.load("fashion_mnist")
    return replace(
        whole,
        train_inputs=whole.train_inputs[:n_train],
        train_targets=whole.train_targets[:n_train],
        validation_inputs=whole.validation_inputs[:n_validation],
        validation_targets=whole.validation_targets[:n_validation],
    )
