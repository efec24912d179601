"""What travels between the supervisor and a worker: a job one way, events the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.study.assignment import Assignment
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import Cause
from pipeline.task.source import DataSpec

if TYPE_CHECKING:  # a worker needs no pydantic
    from pipeline.study.spec import StudySpec

N_FOLDS = 5  # of the chapter's cross-validation


@dataclass(frozen=True)
class Job:
    """One network to train.

    Attributes:
        trial: number of the trial; every event bears it.
        data: which data set, and how it is read and split.
        trainer: "keras", or one of `study.trainers`; or "refit" (see `training.refit`).
        hyperparameters: of the network and its training; None for all other trainers.
        seed: of the initial weights, the order of batches and dropout.
        metric: watched by early stopping: name of one of the task's objectives.
        direction: "maximize" or "minimize".
        patience: epochs without improvement before training stops.
        to_beat: value above which a model is kept; that of an epoch that is no better is not sent.
        refit_epochs: for which "refit" trains.
        state_folder: where "keras" leaves states of the training (see `training.state`); "" for
            nowhere.
        rungs: epochs at whose end it does; whoever has heard of such an epoch may kill the worker
            at any moment, and submit a job that goes on after that epoch.
        goes_on_after: epoch after whose state training goes on, if that is there; 0 to begin.
        cpus: threads on which a network is trained.
        gpus: that it is trained on, or which part of one; 0 for none (see `study.resources`).
        is_cross_fitted: whether it is told what the value is worth without the luck of having been
            chosen among epochs (see `training.cross_fitting`).
    """

    trial: int
    data: DataSpec
    hyperparameters: Hyperparameters | None
    seed: int
    metric: str
    direction: str
    patience: int
    to_beat: float | None = None
    trainer: str = "keras"
    refit_epochs: int = 0
    state_folder: str = ""
    rungs: tuple[int, ...] = ()
    goes_on_after: int = 0
    cpus: int = 1
    gpus: float = 0.0
    is_cross_fitted: bool = False

    @classmethod
    def of(
        cls,
        spec: "StudySpec",
        trial: int,
        assignment: Assignment,
        to_beat: float | None = None,
    ) -> "Job":
        """Makes the job of a trial of a study.

        Args:
            spec: the study file; says what is watched, and on which data.
            trial: number of the trial.
            assignment: what the trial was given.
            to_beat: value above which a model is kept.
        """
        return cls(
            trial=trial,
            data=spec.data_spec,
            hyperparameters=assignment.hyperparameters,
            seed=assignment.seed,
            metric=spec.metric,
            direction=spec.direction,
            patience=assignment.patience or spec.training.patience,
            to_beat=to_beat,
            trainer=assignment.trainer,
            cpus=spec.resources.cpus,
            gpus=spec.resources.gpus if assignment.hyperparameters else 0.0,
            is_cross_fitted=not assignment.is_drawn,
        )


@dataclass(frozen=True)
class Started:
    """The job's process has started; its wall time counts from now.

    Attributes:
        trial: number of the trial.
    """

    trial: int


@dataclass(frozen=True)
class EpochEnd:
    """An epoch is over.

    Attributes:
        trial: number of the trial.
        epoch: counted from 1.
        metrics: loss, accuracy (of the training set, as the weights changed), val_loss,
            val_accuracy, what else is scored with its standard error, learning_rate and seconds
            (of the epoch; none in which the process was stopped).
        n_parameters: number of trainable weights.
        model: a `.keras` file with the weights of this epoch if it is the job's best so far and
            is better than `to_beat`; they must not be lost, however the job ends. None if not.
    """

    trial: int
    epoch: int
    metrics: Mapping[str, float]
    n_parameters: int
    model: bytes | None = None


@dataclass(frozen=True)
class Finished:
    """Training came to its own end.

    Attributes:
        trial: number of the trial.
        scores: train_loss and train_accuracy: of the whole training set in inference mode, with
            the kept weights; and the value of a job that is cross-fitted, by `cross_fitted`.
    """

    trial: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Failed:
    """Training broke off.

    Attributes:
        trial: number of the trial.
        reason: what a user reads.
        is_transient: whether it may go well another time: the cause lies outside the trial.
        cause: what the hyperparameters made of it, if it would end like that again; None if this
            tells nothing of them.
        is_guess: whether that is a guess, to be believed where other trials come to their end.
    """

    trial: int
    reason: str
    is_transient: bool = False
    cause: Cause | None = None
    is_guess: bool = False


@dataclass(frozen=True)
class Lost:
    """The place is gone where the job ran: with it all that it has done, and by no fault of it.

    Attributes:
        trial: number of the trial.
        reason: what a user reads.
    """

    trial: int
    reason: str


JobEnd = Finished | Failed | Lost  # the last event of a job that is not stopped
Event = Started | EpochEnd | JobEnd
