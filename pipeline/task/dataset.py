"""A data set in memory, as networks are trained on it: the test set is not in here."""

from dataclasses import dataclass

from pipeline.task.source import Groups, Inputs, Targets, Weights
from pipeline.task.task import Task


@dataclass(frozen=True)
class Dataset:
    """Holds the training and the validation part.

    Attributes:
        name: as in a study file.
        train_inputs: what is trained on, (n, *task.input_shape) of task.input_dtype: pictures of
            raw pixels, uint8 0 to 255, of Fashion-MNIST (48000, 28, 28); or float32, encoded.
        train_targets: of classes integers from 0, (n,); of a regression float32, (n,), as
            `task.target` transforms them.
        validation_inputs: of the same dtype.
        validation_targets: of the same dtype.
        task: what is learned.
        fingerprint: SHA-256 of the content of all files.
        train_weights: of each training example in the loss, float32 (n,); None if all are 1.
        train_counts: of each training example in metrics, float32 (n,); None if as in the loss,
            that is unless classes have weights.
        validation_weights: of each validation example in loss and metrics; None if all are 1.
        validation_groups: numbers of each validation example's; None if they err independently.
    """

    name: str
    train_inputs: Inputs
    train_targets: Targets
    validation_inputs: Inputs
    validation_targets: Targets
    task: Task
    fingerprint: str
    train_weights: "Weights | None" = None
    train_counts: "Weights | None" = None
    validation_weights: "Weights | None" = None
    validation_groups: "Groups | None" = None

    @property
    def measured_weights(self) -> "Weights | None":
        """Of each training example in metrics; None if all are 1."""
        return self.train_weights if self.train_counts is None else self.train_counts

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.task.input_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the labels mean."""
        return self.task.class_names
