"""A trial under way, as its supervisor knows it."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.optuna_errors import quiet
from pipeline.search.snapshot import RunningTrial
from pipeline.storage import optuna_internals, study_store
from pipeline.study.assignment import Assignment, Outcome
from pipeline.study.trial import Cause, State, best_epoch, is_better, name_end, run_end
from pipeline.task.task import Metric
from pipeline.tracking.tracker import End
from pipeline.training.job import EpochEnd, Failed
from pipeline.wording import count_noun

# At least, for a process to begin its job: its server may have to start anew; the first server may
# have to read its imports from a slow disk.
BEGIN_MINUTES, FIRST_MINUTES = 5.0, 30.0


@dataclass
class Running:
    """A trial under way.

    Attributes:
        trial: Optuna's.
        assignment: what it was given.
        submitted: moment of the supervisor's clock since which its process could have started.
        started: moment at which its process had started.
        history: each metric's values so far, one for each epoch.
        scores: what was measured with the kept weights when training was over.
        n_parameters: trainable weights, known when an epoch was over.
        best: the study's metric at its best epoch.
        best_epoch: that epoch, from 1; 0 before the first.
        model: with the weights of that epoch, if it is good enough to be kept.
        reason: what ended it, if neither its own end nor the pruner did.
        cause: what its hyperparameters made of it, if that is known.
        is_pruned: whether the pruner ended it.
        spent: seconds for which it ran before it was last paused.
        pauses: epochs after which it was paused, in order.
        audited_after: epoch after which it would have been dropped; 0 if it is not audited.
        has_model: whether its run may have a model already.
    """

    trial: optuna.Trial
    assignment: Assignment
    submitted: float | None = None
    started: float | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    scores: Mapping[str, float] | None = None
    n_parameters: int | None = None
    best: float | None = None
    best_epoch: int = 0
    model: bytes | None = None
    reason: str = ""
    cause: Cause | None = None
    is_pruned: bool = False
    spent: float = 0.0
    pauses: list[int] = field(default_factory=list)
    audited_after: int = 0
    has_model: bool = False

    @classmethod
    def paused(
        cls, trial: optuna.Trial, assignment: Assignment, noted: Outcome, metric: Metric
    ) -> "Running":
        """Returns a trial that another supervisor has paused, as that had known it.

        Args:
            trial: Optuna's.
            assignment: what it was given.
            noted: when it was paused.
            metric: the study's.
        """
        history = {name: [*values] for name, values in (noted.history or {}).items()}
        spent = sum(history.get("seconds", ()))
        found = cls(
            trial,
            assignment,
            history=history,
            n_parameters=noted.n_parameters,
            spent=spent,
            pauses=[*noted.pauses],
        )
        found.has_model = True  # it may: it may have been about to end
        found.go_back(found.paused_after, metric)
        return found

    @property
    def epoch(self) -> int:
        """Number of epochs for which the trial has been trained so far."""
        return len(self.history.get("loss", ()))

    @property
    def paused_after(self) -> int:
        """Epoch after which it was paused last; 0 if it never was."""
        return self.pauses[-1] if self.pauses else 0

    def hear(self, event: EpochEnd, metric: Metric) -> None:
        """Notes what an epoch has brought, and tells Optuna of it.

        A pruner is to hold networks against networks: what is none stands at epoch 0, where no
        pruner looks.

        Args:
            event: what the worker tells.
            metric: the study's.
        """
        if event.epoch <= self.epoch:  # a state of its training was lost: it goes on from earlier
            self.go_back(event.epoch - 1, metric)
        for name, each in event.metrics.items():
            self.history.setdefault(name, []).append(each)
        value = event.metrics[metric.name]
        if is_better(value, self.best, metric.direction):
            self.best, self.best_epoch = value, event.epoch
            self.model = event.model
        self.n_parameters = event.n_parameters
        with quiet():  # of what is reported twice, which is the same
            self.trial.report(value, event.epoch if self.assignment.hyperparameters else 0)

    def go_back(self, epoch: int, metric: Metric) -> None:
        """Forgets what came after an epoch; the model is kept if the best epoch still is."""
        self.history = {name: values[:epoch] for name, values in self.history.items()}
        self.pauses = [each for each in self.pauses if each <= epoch]
        if self.audited_after > epoch:
            self.audited_after = 0
        values, before = self.history.get(metric.name, []), self.best_epoch
        self.best_epoch = best_epoch(values, metric.direction)
        self.best = values[self.best_epoch - 1] if self.best_epoch else None
        if self.best_epoch != before:
            self.model = None

    def stand_still(self, now: float | None) -> None:
        """Stops its own clock: its process is stopped, and it may go on later.

        Args:
            now: what the clock says; None if what it was trained since it was paused is lost.
        """
        if self.started is not None and now is not None:
            self.spent += now - self.started
        self.submitted = self.started = None

    def is_overdue(self, now: float, minutes: float, *, is_first: bool = False) -> bool:
        """Tells whether it has run for so many minutes, pauses not counted; or has not begun."""
        if self.started is not None:
            return self.spent + now - self.started > 60 * minutes
        waited = 0.0 if self.submitted is None else now - self.submitted
        return waited > 60 * max(minutes, FIRST_MINUTES if is_first else BEGIN_MINUTES)

    def time_out(self, minutes: float) -> None:
        """Notes that it was stopped, for it took too long."""
        self.reason, self.cause = f"stopped after {count_noun(minutes, 'minute')}", Cause.TOO_SLOW

    def should_prune(self) -> bool:
        """Asks the pruner whether the trial is to end; it sees none that was interrupted."""
        study = self.trial.study
        if isinstance(study.pruner, optuna.pruners.NopPruner):
            return False

        def counted() -> list[FrozenTrial]:
            known = study.get_trials(deepcopy=False)
            return [each for each in known if not each.user_attrs.get(study_store.INTERRUPTED)]

        seen = optuna_internals.StudyOfSomeTrials(study, counted)
        with quiet():
            return study.pruner.prune(seen, optuna_internals.latest(self.trial))

    def fail(self, failure: Failed, *, others_end: bool) -> None:
        """Notes why training broke off.

        Args:
            failure: what the worker tells.
            others_end: whether other trials of the study have come to their own end.
        """
        self.reason = failure.reason
        self.cause = failure.cause if others_end or not failure.is_guess else None

    @property
    def state(self) -> State:
        """In which it ends: any that has an epoch has a value, whatever ended it."""
        if self.best is None:
            return State.FAIL
        return State.PRUNED if self.is_pruned else State.COMPLETE

    @property
    def how(self) -> str:
        """How it ends, in a word or two."""
        return name_end(self.state, self.reason, self.cause)

    def beats(self, value: float | None, direction: str) -> bool:
        """Tells whether it is a network and better; logistic regression is no network."""
        return (
            self.assignment.hyperparameters is not None
            and self.best is not None
            and is_better(self.best, value, direction)
        )

    def about(self, metric: Metric) -> str:
        """Describes in a line what came of it, by the study's metric."""
        value = "no value" if self.best is None else metric.show(self.best)
        why = f" ({self.reason})" if self.reason else ""
        return f"trial {self.trial.number}: {value}, {self.assignment}{why}"

    def outcome(self) -> Outcome:
        """Returns what is noted in Optuna when it ends."""
        cause = self.cause if self.best is None else None
        return Outcome(
            self.history,
            self.scores,
            self.n_parameters,
            self.reason,
            cause,
            self.pauses,
            self.audited_after,
        )

    def told(self, direction: str) -> tuple[float | None, TrialState]:
        """Returns what Optuna is told when it ends: value and state.

        With an epoch it is worth its best one, but of what is pruned Optuna takes the last one.
        Without an epoch, every sampler learns the worst value there is if the hyperparameters are
        to blame: of what failed samplers learn nothing, and would come back. A final's were good.

        Args:
            direction: "maximize" or "minimize".
        """
        if self.state == State.PRUNED:
            return None, TrialState.PRUNED
        if self.best is None and self.cause is not None and not self.assignment.is_final:
            return -math.inf if direction == "maximize" else math.inf, TrialState.COMPLETE
        return self.best, TrialState[self.state]

    def run_end(self, metric: str) -> End:
        """Returns state, metrics and tags with which its run in MLflow ends."""
        scores = self.scores or {}
        return run_end(self.state, metric, self.best, self.best_epoch, scores, self.reason)

    @functools.cached_property
    def _given(self) -> str:
        """What is trained, in a line; shown many times."""
        return str(self.assignment)

    def shown(self, metric: Metric) -> RunningTrial:
        """Returns what people see of it while it runs, by the study's metric."""
        given = self.assignment.hyperparameters
        return RunningTrial(
            self.trial.number,
            self.epoch,
            given.epochs if given else 1,
            metric.show(self.history[metric.name][-1]) if self.history else "",
            self._given,
        )
