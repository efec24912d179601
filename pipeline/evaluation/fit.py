"""Whether a network overfits: what it knows of training examples, and not of others."""

from dataclasses import dataclass

from pipeline.study.trial import Trial, best_epoch
from pipeline.task.task import LOSS, Task


@dataclass(frozen=True)
class Fit:
    """A network at the epoch whose weights were kept.

    Attributes:
        training: its score on the training examples.
        validation: the same on the validation examples.
        lowest_loss: epoch at which the validation loss was lowest; 0 if it is not known.
        kept: epoch whose weights were kept.
        rise: of the validation loss from there to the epoch that was kept, as a share; 0.0 if it
            fell or is not known.
    """

    training: float
    validation: float
    lowest_loss: int
    kept: int
    rise: float

    @classmethod
    def of(cls, trial: Trial, task: Task) -> "Fit | None":
        """Looks at a trial; None where its score on training examples is not known.

        Args:
            trial: that has a value.
            task: of its study.
        """
        score = task.score
        validation = trial.kept(score.name)
        training = trial.scores.get(f"train_{score.quantity}", trial.kept(score.quantity))
        if validation is None or training is None:
            return None
        losses = trial.history.get(f"val_{LOSS}", ())
        lowest = best_epoch(losses, "minimize") if losses else 0
        rise = 0.0
        if lowest and losses[lowest - 1] > 0:
            rise = max(losses[trial.best_epoch - 1] / losses[lowest - 1] - 1, 0.0)
        return cls(training, validation, lowest, trial.best_epoch, rise)

    def gap(self, direction: str) -> float:
        """By how much the score on training examples is better."""
        sign = 1.0 if direction == "maximize" else -1.0
        return sign * (self.training - self.validation)
