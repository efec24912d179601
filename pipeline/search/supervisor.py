"""The supervisor: the one process that asks and tells Optuna, writes MLflow and runs workers.

The order of writes is what makes a search safe to kill at any moment. When a trial ends, its
curves and its model go to MLflow first, then Optuna is told, then MLflow's run is closed. Optuna
is the truth: what it calls finished is finished, what it calls RUNNING when a supervisor starts
was interrupted, and is queued again with the same hyperparameters and seed.
"""

import math
import time
from collections import Counter
from dataclasses import replace
from enum import Enum

import optuna
from optuna.trial import TrialState

from pipeline.errors import PipelineError
from pipeline.execution.executor import Executor
from pipeline.search import samplers
from pipeline.search.progress import Progress, RunningTrial, Snapshot
from pipeline.search.running import Running, Unsuitable, ask
from pipeline.storage import optuna_internals, queue, study_store
from pipeline.storage.presence import Presence
from pipeline.study.assignment import Outcome
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State, is_better, ranking, run_end, select_counted
from pipeline.tracking.tracker import END_OF_INTERRUPTED, Tracker
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, Started
from pipeline.wording import count_noun

WAIT_SECONDS = 0.25  # for events, so that budgets and limits are looked at now and then
SAVE_SECONDS = 10.0  # between two notes of the time used


class SearchEnd(Enum):
    """How a search came to its end."""

    BUDGET_USED = "budget used"
    INTERRUPTED = "interrupted"


class Supervisor:
    """Runs one study until its budget is used or somebody calls `interrupt`.

    Args:
        spec: the study file.
        study: where trials are asked from and told to; gets the pruner of the study file.
        executor: where trials run.
        tracker: where runs are written; `open_study` has been called.
        progress: where people look.
        stores: looked at before anything is told them.
    """

    def __init__(
        self,
        spec: StudySpec,
        study: optuna.Study,
        executor: Executor,
        tracker: Tracker,
        progress: Progress,
        stores: Presence | None = None,
    ) -> None:
        self._stores = stores or Presence()
        study.pruner = samplers.build_pruner(spec.pruner)
        optuna_internals.let_sampler_stop(study)
        self._spec, self._study = spec, study
        self._executor, self._tracker, self._progress = executor, tracker, progress
        self._running: dict[int, Running] = {}
        self._is_interrupted = self._is_ready = False
        self._seconds_before = float(study.user_attrs.get(study_store.SECONDS, 0.0))
        self._started = self._saved = time.monotonic()
        self._states: Counter[str] = Counter()
        self._n_drawn = self._n_failed_in_a_row = 0
        self._incumbent: float | None = None
        self._best_line = ""

    def interrupt(self) -> None:
        """Asks the search to stop; may be called from a signal handler."""
        self._is_interrupted = True

    def run(self) -> SearchEnd:
        """Runs the study, and leaves nothing RUNNING when this returns or raises.

        Raises:
            PipelineError: too many trials failed in a row, or a store is gone; the text says why.
        """
        try:
            self._recover()
            queue.queue_references(self._study, self._spec)
            while not self._is_interrupted:
                self._stores.check()
                while self._may_start():
                    self._start_next()
                if not self._running:
                    return SearchEnd.BUDGET_USED
                for event in self._executor.events(WAIT_SECONDS):
                    self._stores.check()
                    self._handle(event)
                self._stop_overdue()
                self._save_seconds()
                self._progress.update(self.snapshot())
            return SearchEnd.INTERRUPTED
        finally:
            self._interrupt_running()
            if self._stores.has_optuna:
                self._save_seconds(now=True)

    @property
    def seconds(self) -> float:
        """How long supervisors of this study have run, this one included."""
        return self._seconds_before + time.monotonic() - self._started

    def snapshot(self) -> Snapshot:
        """Takes a snapshot of the search as it stands, for people to see."""
        spec = self._spec
        running = tuple(
            RunningTrial(
                number,
                each.epoch,
                each.assignment.hyperparameters.epochs if each.assignment.hyperparameters else 1,
                each.history[spec.metric][-1] if each.history else None,
                str(each.assignment),
            )
            for number, each in self._running.items()
        )
        return Snapshot(
            study=spec.name,
            metric=spec.metric,
            states=dict(self._states),
            n_trials=spec.budget.trials,
            seconds=self.seconds,
            minutes=spec.budget.minutes,
            running=running,
            best=self._best_line,
            is_ready=self._is_ready,
        )

    # Before the first trial

    def _recover(self) -> None:
        """Queues again what a killed supervisor left, and counts the trials that are known."""
        n_left = queue.requeue_left(self._study, self._spec)
        known = study_store.read_trials(self._study)
        n_mended = self._tracker.mend(
            {trial.number: trial.end(self._spec.metric) for trial in select_counted(known)}
        )
        if n_left or n_mended:
            self._progress.say(
                f"a supervisor was killed here: {count_noun(n_left, 'trial')} queued again"
            )
        for ended in select_counted(known):
            self._states[ended.state] += 1
            self._n_drawn += not ended.reference
        for best in ranking(known, self._spec.direction)[:1]:
            self._incumbent = best.value
            self._best_line = f"trial {best.number}: {best.value:.4f}, {best.hyperparameters}"

    # Starting and ending trials

    def _may_start(self) -> bool:
        budget = self._spec.budget
        n_begun = sum(self._states.values()) + len(self._running)
        return (
            not self._is_interrupted
            and len(self._running) < self._executor.n_workers
            and (budget.trials is None or n_begun < budget.trials)
            and (budget.minutes is None or self.seconds < 60 * budget.minutes)
            and (self._can_draw() or queue.has_waiting(self._study))
        )

    def _can_draw(self) -> bool:
        return bool(self._spec.space) and not study_store.is_exhausted(self._study)

    def _start_next(self) -> None:
        spec = self._spec
        try:
            running = ask(self._study, spec, self._n_drawn)
        except Unsuitable as refusal:
            self._progress.say(f"fail     {refusal}")
            return
        trial, assignment = running.trial, running.assignment
        self._n_drawn += not assignment.reference
        self._running[trial.number] = running
        params = {"seed": assignment.seed, "dataset": spec.dataset}
        run = self._tracker.start_trial(
            trial.number, assignment.hyperparameters, params, assignment.tags
        )
        if run:
            trial.set_user_attr(study_store.RUN_ID, run)
        self._executor.submit(Job.of(spec, trial.number, assignment, self._incumbent))

    def _handle(self, event: Event) -> None:
        running = self._running.get(event.trial)
        if running is None:  # stopped while its event was on the way
            return
        match event:
            case Started():
                running.started = time.monotonic()
                self._is_ready = True
            case EpochEnd():
                self._epoch_ended(running, event)
            case Finished():
                running.scores, running.n_parameters = event.scores, event.n_parameters
                if event.model and self._beats_incumbent(running):
                    self._tracker.store_model(event.trial, event.model)
                self._end(running, TrialState.COMPLETE)
            case Failed():
                n_retries = running.assignment.n_retries
                if event.is_transient and n_retries < self._spec.training.retries:
                    self._try_again(running, event.reason)
                else:
                    self._end(running, TrialState.FAIL, event.reason)

    def _epoch_ended(self, running: Running, event: EpochEnd) -> None:
        for name, value in event.metrics.items():
            running.history.setdefault(name, []).append(value)
        value = event.metrics[self._spec.metric]
        if is_better(value, running.best, self._spec.direction):
            running.best, running.best_epoch = value, event.epoch
        self._tracker.log_epoch(event.trial, event.epoch, event.metrics)
        running.trial.report(value, event.epoch)
        # A reference is trained to its end, to be compared with what was claimed of it.
        if running.trial.should_prune() and not running.assignment.reference:
            self._executor.stop(event.trial)
            self._end(running, TrialState.PRUNED)

    def _stop_overdue(self) -> None:
        limit = self._spec.training.trial_minutes
        for number, running in list(self._running.items()):
            overdue = time.monotonic() - 60 * limit
            if running.started is not None and running.started < overdue:
                self._executor.stop(number)
                self._end(running, TrialState.FAIL, f"stopped after {count_noun(limit, 'minute')}")

    def _end(self, running: Running, state: TrialState, reason: str = "") -> None:
        """Tells MLflow and Optuna of a trial that came to an end of its own."""
        trial, metric = running.trial, self._spec.metric
        study_store.write(trial, running.outcome(reason))
        self._tracker.flush()
        self._study.tell(trial, running.best if state == TrialState.COMPLETE else None, state)
        del self._running[trial.number]
        self._states[state.name] += 1
        end = run_end(
            state.name, metric, running.best, running.best_epoch, running.scores or {}, reason
        )
        self._tracker.finish_trial(trial.number, *end)
        about = f"trial {trial.number}: {running.best or math.nan:.4f}, {running.assignment}"
        why = f" ({reason})" if reason else ""
        self._progress.say(f"{state.name.lower():<8} {about}{why}")
        if state == TrialState.COMPLETE and self._beats_incumbent(running):
            assert running.best is not None
            self._incumbent, self._best_line = running.best, about
            self._tracker.log_incumbent(trial.number, metric, running.best)
        self._n_failed_in_a_row = self._n_failed_in_a_row + 1 if state == TrialState.FAIL else 0
        if self._n_failed_in_a_row >= self._spec.training.stop_after_failures:
            raise PipelineError(
                f"stopped, for {self._n_failed_in_a_row} trials failed in a row, the last one "
                f"(trial {trial.number}) because: {reason}; run again to go on, or allow more by "
                "[training] stop_after_failures"
            )

    # Interruption

    def _interrupt_running(self) -> None:
        """Ends what runs and queues it again: first all processes, then Optuna, then MLflow."""
        for number in self._running:
            self._executor.stop(number)
        try:
            for running in self._running.values() if self._stores.has_optuna else ():
                queue.requeue(self._study, self._spec, running.trial, running.assignment)
        finally:  # even if somebody has deleted the study
            for number in self._running if self._stores.has_mlflow else ():
                self._tracker.finish_trial(number, *END_OF_INTERRUPTED)
            self._running.clear()

    def _try_again(self, running: Running, reason: str) -> None:
        """Queues a failed trial again, for its cause may be over the next time."""
        number, assignment = running.trial.number, running.assignment
        study_store.write(running.trial, Outcome(reason=reason))
        self._tracker.flush()
        again = replace(assignment, n_retries=assignment.n_retries + 1)
        queue.requeue(self._study, self._spec, running.trial, again)
        del self._running[number]
        self._n_drawn -= not assignment.reference  # it is counted when it runs again
        self._tracker.finish_trial(number, State.FAIL, {}, {"reason": reason, "retried": "true"})
        self._progress.say(f"again    trial {number}: {running.assignment} ({reason})")

    def _save_seconds(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._saved > SAVE_SECONDS:
            self._study.set_user_attr(study_store.SECONDS, self.seconds)
            self._saved = time.monotonic()

    def _beats_incumbent(self, running: Running) -> bool:
        """Tells whether a trial is the best network so far; logistic regression is no network."""
        return (
            running.assignment.hyperparameters is not None
            and running.best is not None
            and is_better(running.best, self._incumbent, self._spec.direction)
        )
