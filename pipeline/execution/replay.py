"""Replays learning curves in virtual time: an executor that trains nothing.

What a job would have done is told by its curves, and how long it would have taken by the curves'
seconds. A supervisor whose clock is the executor's cannot tell the difference.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from pipeline.errors import PipelineError, UsageError
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import Cause, is_better
from pipeline.task.task import LOSS
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, Started

MODEL = b"replayed"  # in the place of weights
# Of a job whose seconds nobody tells: time passes whatever fails, or a budget would have no end.
LEAST_SECONDS = 1.0
# Of a reference that is no network, and so has no curves.
SIMPLE_VALUES = {"maximize": 0.0, "minimize": 1e9}


@dataclass(frozen=True)
class Curves:
    """How one training goes, epoch by epoch.

    Attributes:
        metrics: values of each metric, one an epoch; the study's metric is among them. A loss that
            is left out follows from the study's metric.
        seconds: of each epoch. If training broke off there may be one more: of the epoch in which
            it did.
        failed: why training broke off after these epochs; "" if it did not.
        is_transient: whether that may go well another time. The curves of a trial that is tried
            again are asked for again.
        cause: what the hyperparameters made of it, if it would end like that again.
        n_parameters: number of trainable weights.

    Raises:
        UsageError: the numbers of values differ, or a number is none that is allowed.
    """

    metrics: Mapping[str, Sequence[float]]
    seconds: Sequence[float]
    failed: str = ""
    is_transient: bool = False
    cause: Cause | None = None
    n_parameters: int = 0

    def __post_init__(self) -> None:
        """Takes whatever counts as a sequence of numbers, such as an array."""
        metrics = {name: _numbers(name, values) for name, values in self.metrics.items()}
        object.__setattr__(self, "metrics", metrics)
        object.__setattr__(self, "seconds", _numbers("seconds", self.seconds))
        n = self.n_epochs
        for name, values in metrics.items():
            if len(values) != n:
                raise UsageError(
                    f"curves: found {len(values)} values of {name} and {n} of another metric, "
                    "allowed is one an epoch"
                )
        allowed = (n, n + 1) if self.failed else (n,)
        if len(self.seconds) not in allowed:
            raise UsageError(
                f"curves: found {len(self.seconds)} seconds of {n} epochs, allowed is one an epoch"
            )
        for each in self.seconds:
            if not 0 <= each < math.inf:
                raise UsageError(
                    f"curves: found {each} as the seconds of an epoch, allowed is a number from 0"
                )
        if not (any(self.seconds) or self.failed):
            raise UsageError("curves: found no seconds, allowed are some, of one epoch at least")

    @property
    def n_epochs(self) -> int:
        """Number of epochs that came to their end."""
        return len(next(iter(self.metrics.values()), ()))

    @classmethod
    def of(cls, given: object) -> "Curves":
        """Makes them of a mapping such as `{"val_accuracy": [...], "seconds": [...]}`.

        Args:
            given: a mapping whose other keys are names of metrics; or curves, left as they are.

        Raises:
            UsageError: it is neither, or a value in it is not allowed.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping) or "seconds" not in given:
            keys = (
                f" with {', '.join(map(str, given)) or 'nothing'}"
                if isinstance(given, Mapping)
                else ""
            )
            raise UsageError(
                f"curves: found a {type(given).__name__}{keys}, allowed is Curves, or a mapping "
                'with a list of each metric\'s values and one of "seconds"'
            )
        own = {field.name for field in fields(cls)} - {"metrics"}
        metrics = {key: each for key, each in given.items() if key not in own}
        return cls(metrics, **{key: each for key, each in given.items() if key in own})


# What is asked for the curves of a network, by its hyperparameters and the seed of its training.
CurvesOf: TypeAlias = Callable[[Hyperparameters, int], Curves | Mapping[str, Any]]


class ReplayExecutor:
    """Runs jobs in virtual time, which passes in `events` alone.

    A job that is a network follows its curves as a worker would train it: with early stopping, for
    its hyperparameters' epochs at most, and less if the curves are shorter. A simple model ends
    after `LEAST_SECONDS` with the worst value, so that nothing is learned from it. How far a job
    has come is a number of epochs: all else about it follows from its curves.

    Args:
        curves: of a network and a seed; asked when a job begins.
        n_workers: how many jobs run at a time.
        start_seconds: between a job's beginning and its `Started`, as a process takes to start.
        look_seconds: for which `events` waits at least if nothing happens: a supervisor that looks
            at its limits less often gets through a long search sooner.
    """

    def __init__(
        self,
        curves: CurvesOf,
        n_workers: int,
        start_seconds: float = 0.0,
        look_seconds: float = 0.0,
    ) -> None:
        self.n_workers = n_workers
        self._curves, self._start_seconds = curves, start_seconds
        self._look_seconds = look_seconds
        self._now = 0.0
        self._queue: deque[Job] = deque()
        self._running: dict[int, _Next] = {}

    def clock(self) -> float:
        """Returns the virtual time, in seconds since this was built: the supervisor's clock."""
        return self._now

    def submit(self, job: Job) -> None:
        """Starts a job, or queues the job until a worker is free.

        Raises:
            UsageError: what stands for the job's curves is none.
        """
        self._queue.append(job)
        self._start_queued()

    def events(self, timeout_seconds: float) -> list[Event]:
        """Moves the clock to the next event of any job, or by the timeout if that comes first.

        Args:
            timeout_seconds: virtual ones.

        Returns:
            An event of each job whose next one is due at that moment, in the order of submission.
        """
        until = self._now + max(timeout_seconds, self._look_seconds)
        moment = min((each.moment for each in self._running.values()), default=math.inf)
        if moment > until:
            self._now = until
            return []
        self._now = moment
        happened = []
        for trial, due in list(self._running.items()):
            if due.moment <= moment:
                happened.append(due.event)
                if following := next(due.rest, None):
                    seconds, due.event = following
                    due.moment = moment + seconds
                else:
                    del self._running[trial]
        self._start_queued()
        return happened

    def stop(self, trial: int) -> None:
        """Ends the job of a trial now; no event of that job comes any more."""
        self._queue = deque(job for job in self._queue if job.trial != trial)
        self._running.pop(trial, None)
        self._start_queued()

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Refuses: there is no process in which Keras is imported.

        Raises:
            PipelineError: always.
        """
        raise PipelineError("nothing can be called where training is replayed")

    def close(self) -> None:
        """Ends all jobs."""
        self._queue.clear()
        self._running.clear()

    def _start_queued(self) -> None:
        while self._queue and len(self._running) < self.n_workers:
            job = self._queue.popleft()
            rest = self._play(job)
            _, started = next(rest)
            self._running[job.trial] = _Next(self._now + self._start_seconds, started, rest, job)

    def _play(self, job: Job) -> Iterator[tuple[float, Event]]:
        given = job.hyperparameters
        if given is None:
            return _play_simple(job)
        curves = Curves.of(self._curves(given, job.seed))
        if curves.n_epochs and job.metric not in curves.metrics:
            raise UsageError(
                f"curves: found {', '.join(curves.metrics)}, allowed is what has {job.metric}, "
                "the study's metric"
            )
        return _play(job, given, curves)


@dataclass
class _Next:
    """What comes next of a job: an event, when, and what follows it."""

    moment: float
    event: Event
    rest: Iterator[tuple[float, Event]]
    job: Job


def _play(job: Job, given: Hyperparameters, curves: Curves) -> Iterator[tuple[float, Event]]:
    """Yields the events of a job as `training.loop` does, each with the seconds that led to it.

    Those of epochs that were reached before a break are not sent again. Who goes on after a break
    takes for the next one what the first took longer than others: its graph is built again.
    """
    yield 0.0, Started(job.trial)
    reached = job.goes_on_after
    again = curves.seconds[0] - statistics.median(curves.seconds) if reached else 0.0
    record, best, best_epoch = job.to_beat, None, 0
    last = min(given.epochs, curves.n_epochs)
    for epoch in range(1, last + 1):
        seconds = curves.seconds[epoch - 1]
        metrics = {name: values[epoch - 1] for name, values in curves.metrics.items()}
        for name in dict.fromkeys((LOSS, f"val_{LOSS}", job.metric)):
            if not math.isfinite(metrics.get(name, 0.0)):
                reason = f"{name} became {metrics[name]} in epoch {epoch}"
                yield seconds, Failed(job.trial, reason, cause=Cause.DIVERGED)
                return
        value, model = metrics[job.metric], None
        if is_better(value, best, job.direction):
            best, best_epoch = value, epoch
        if is_better(value, record, job.direction):
            record, model = value, MODEL
        loss = value if job.direction == "minimize" else 1 - value
        filled = {LOSS: loss, "learning_rate": given.learning_rate} | metrics
        filled["seconds"] = seconds
        if epoch <= reached:
            continue
        if epoch == reached + 1 > 1:
            seconds += max(again, 0.0)
        yield seconds, EpochEnd(job.trial, epoch, filled, curves.n_parameters, model)
        if epoch - best_epoch >= job.patience:
            break
    else:
        if curves.failed and last < given.epochs:
            seconds = math.fsum(curves.seconds[last:]) if any(curves.seconds) else LEAST_SECONDS
            cause = curves.cause
            yield seconds, Failed(job.trial, curves.failed, curves.is_transient, cause)
            return
    kept = {
        name: curves.metrics[name][best_epoch - 1]
        for name in (LOSS, "accuracy")
        if name in curves.metrics
    }
    yield 0.0, Finished(job.trial, {f"train_{name}": value for name, value in kept.items()})


def _play_simple(job: Job) -> Iterator[tuple[float, Event]]:
    """Yields the events of a job that trains no network."""
    yield 0.0, Started(job.trial)
    value = SIMPLE_VALUES[job.direction]
    metrics = {LOSS: value, job.metric: value, "seconds": LEAST_SECONDS}
    yield LEAST_SECONDS, EpochEnd(job.trial, 1, metrics, 0)
    yield 0.0, Finished(job.trial, {})


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError):
        raise UsageError(
            f"curves: found {values!r} as {name}, allowed is a list of numbers"
        ) from None
