"""Real images, but few: a data set that networks are trained on in a second."""

from benchmarks.epochs import first_images
from pipeline.task.dataset import Dataset


def few_images(n_train: int, n_validation: int) -> Dataset:
    """The first of Fashion-MNIST's training and validation part."""
    return first_images(n_train, n_validation)
