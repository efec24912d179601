"""The supervisor: the one process that asks and tells Optuna, writes MLflow and runs workers.

The order of writes (see `outcomes`) makes a search safe to kill at any moment. Optuna is the
truth: what it calls finished is finished, what it calls RUNNING when a supervisor starts is paused
(see `pausing`), or was interrupted, and is queued again with the same hyperparameters and seed.

A trial is worth its best epoch, whatever ended it. A worker sends the weights of an epoch that
sets a record at once, so that it, too, can be killed at any moment.
"""

import time
from collections.abc import Callable
from enum import Enum

import optuna

from pipeline.execution.executor import Executor
from pipeline.search import known_space, recovery, samplers
from pipeline.search.again import Again
from pipeline.search.asking import Unsuitable, ask
from pipeline.search.distinct import Untried
from pipeline.search.finals import Finals
from pipeline.search.outcomes import Outcomes
from pipeline.search.pausing import Pausing
from pipeline.search.policy import GoOn, Stage
from pipeline.search.progress import Progress
from pipeline.search.running import Running
from pipeline.search.used import Used
from pipeline.storage import optuna_internals, queue
from pipeline.storage.paused import Nowhere
from pipeline.storage.presence import Presence
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import Finals as Asked
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State
from pipeline.tracking.tracker import Tracker
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, Lost, Started

WAIT_SECONDS = 0.25  # for events, so that budgets and limits are looked at now and then
START_SECONDS = 2.0  # of starting trials, before events are heard that wait meanwhile


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
        clock: seconds in which this process could work, counted from some moment on.
        stores: looked at before anything is told them.
        only_finals: held instead of a search, which has ended; None to search.
        pausing: decides what is paused, and goes on; without, nothing is paused.
    """

    def __init__(
        self,
        spec: StudySpec,
        study: optuna.Study,
        executor: Executor,
        tracker: Tracker,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
        stores: Presence | None = None,
        only_finals: Asked | None = None,
        pausing: Pausing | None = None,
    ) -> None:
        study.pruner = samplers.build_pruner(spec.own_pruner, samplers.most_epochs(spec))
        optuna_internals.let_sampler_stop(study)
        self._spec, self._study = spec, study
        self._executor, self._tracker, self._progress = executor, tracker, progress
        self._running: dict[int, Running] = {}
        self._untried = Untried(spec)
        self._is_interrupted = self._is_ready = False
        self._clock, self._stores = clock, stores or Presence()
        self._finals = Finals(study, spec, executor.n_workers, only_finals)
        self._used = Used(study, self._finals.budget_of_search, clock)
        self._outcomes = Outcomes(study, spec, tracker, progress, self._used)
        self._pausing = pausing or Pausing(study, spec, None, Nowhere())
        self._again = Again(self._pausing, self._outcomes, tracker, progress, self._stores)
        self._n_drawn = 0

    def interrupt(self) -> None:
        """Asks the search to stop; may be called from a signal handler."""
        self._is_interrupted = True

    def run(self) -> SearchEnd:
        """Runs the study, and leaves nothing RUNNING when this returns or raises.

        Raises:
            PipelineError: too many trials failed in a row, or a store is gone; the text says why.
        """
        if said := known_space.remark(self._spec):
            self._progress.say(said)
        with optuna_internals.alone(self._study) as look:
            return self._run(look)

    def _run(self, look: Callable[[], None]) -> SearchEnd:
        recovered = (self._study, self._spec, self._tracker, self._pausing, self._used)
        try:
            ended, self._n_drawn = recovery.recover(*recovered, self._progress.say)
            self._outcomes.know(ended)
            if not self._finals.only:
                queue.queue_references(self._study, self._spec, lambda: self._is_interrupted)
            while not self._is_interrupted:
                self._stores.check()
                look()
                until = self._clock() + START_SECONDS
                while self._clock() < until and self._start_next():
                    pass
                if not self._running and not self._go_on():
                    self._pausing.clear_up()
                    return SearchEnd.BUDGET_USED
                for event in self._executor.events(WAIT_SECONDS):
                    self._stores.check()
                    self._handle(event)
                self._stop_overdue()
                if self._stores.has_optuna:
                    self._used.save()
                n_paused = len(self._pausing.waiting)
                self._outcomes.show(self._finals, self._running, n_paused, is_ready=self._is_ready)
            return SearchEnd.INTERRUPTED
        finally:
            self._interrupt_running()
            if self._stores.has_optuna:
                self._used.save(now=True)

    def _start_next(self) -> bool:
        """Starts what is to be trained next, if there is a free worker; tells whether it did."""
        if self._is_interrupted or len(self._running) >= self._executor.n_workers:
            return False
        if self._used.is_final or self._finals.only:
            if found := self._used.is_final and queue.is_final_waiting(self._study):
                self._begin()
            return found
        may_begin = self._may_begin()
        if not self._pausing.policy or (may_begin and queue.count_waiting(self._study)):
            is_left = may_begin and (
                self._untried.can_draw(self._study) or queue.count_waiting(self._study) > 0
            )
            if is_left:
                self._begin()
            return is_left
        may_begin = may_begin and self._untried.can_draw(self._study)
        choice = None if self._used.is_over else self._pausing.choose(may_begin=may_begin)
        if isinstance(choice, GoOn):
            self._submit(self._pausing.take_up(choice, self._tracker))
        elif choice:
            self._begin(choice.hyperparameters)
        return choice is not None

    def _may_begin(self) -> bool:
        """Tells whether the budget of the search suffices for another trial."""
        n_open = sum(not each.assignment.is_final for each in self._running.values())
        return not self._used.is_all(n_open + len(self._pausing.waiting))

    def _go_on(self) -> bool:
        """Queues the next round of finals when the search is over; tells whether there is one.

        Not as long as other trials wait for which the budget did not suffice: they come first.
        """
        if self._is_interrupted:
            return False
        if not self._used.is_final:
            for number in list(self._pausing.waiting):
                self._let_go(number)
            if not self._finals.only and (said := self._untried.ending(self._study)):
                self._progress.say(said)
            if not self._finals.begin(self._used):
                return False
            self._used.begin_finals()
        return self._finals.queue_round(lambda: self._is_interrupted)

    def _begin(self, proposed: Hyperparameters | None = None) -> None:
        """Begins a trial: one that waits in Optuna's queue, or else a new one."""
        spec, under_way = self._spec, {**self._running, **self._pausing.waiting}
        try:
            with optuna_internals.together(self._study):
                running = ask(self._study, spec, self._n_drawn, self._untried, under_way, proposed)
        except Unsuitable as refusal:
            self._progress.say(f"fail     {refusal}")
            return
        trial, assignment = running.trial, running.assignment
        if assignment.is_final != self._used.is_final:
            queue.put_off(self._study, spec, trial, assignment)
            return
        self._n_drawn += assignment.is_drawn
        self._running[trial.number] = running
        self._outcomes.begin(running)
        self._submit(running)

    def _submit(self, running: Running) -> None:
        number, assignment = running.trial.number, running.assignment
        to_beat = None if assignment.is_final else self._outcomes.to_beat
        self._running[number] = running
        running.submitted = self._clock()
        job = Job.of(self._spec, number, assignment, to_beat)
        self._executor.submit(self._pausing.prepared(job, running))
        self._pausing.see(running, Stage.RUNNING)

    def _let_go(self, number: int) -> None:
        """Ends a paused trial, for the search is over or others are better."""
        running = self._running[number] = self._pausing.let_go(number)
        self._end(running, is_pruned=True)

    def _handle(self, event: Event) -> None:
        running = self._running.get(event.trial)
        if running is None:  # stopped while its event was on the way
            return
        match event:
            case Started():
                running.started = self._clock()
                for each in () if self._is_ready else self._running.values():
                    each.submitted = running.started  # all have waited for the same imports
                self._is_ready = True
            case EpochEnd():
                self._epoch_ended(running, event)
            case Finished():
                running.scores = event.scores
                self._end(running)
            case Failed():
                self._failed(running, event)
            case Lost():
                if failed := self._again.lose(running, event.reason):
                    self._failed(running, failed)
                else:
                    self._take_back(running)

    def _epoch_ended(self, running: Running, event: EpochEnd) -> None:
        running.hear(event, self._spec.objective)
        self._tracker.log_epoch(event.trial, event.epoch, event.metrics)
        stage = self._pausing.stage_after_epoch(running, may_begin=self._may_begin)
        if stage is Stage.ENDED:
            self._executor.stop(event.trial)
            self._end(running, is_pruned=True)
        elif stage is Stage.PAUSED:
            self._pause(running)

    def _stop_overdue(self) -> None:
        limit, is_first, now = self._spec.training.trial_minutes, not self._is_ready, self._clock()
        known = self._running.values()
        for running in [r for r in known if r.is_overdue(now, limit, is_first=is_first)]:
            self._executor.stop(number := running.trial.number)
            if running.started is None:  # no fault of what it was to train
                self._failed(running, Failed(number, "its process did not begin", True))
            else:
                running.time_out(limit)
                self._end(running)

    def _failed(self, running: Running, event: Failed) -> None:
        if event.is_transient and running.assignment.n_retries < self._spec.training.retries:
            self._again.try_again(running, event.reason)
            self._take_back(running)
        else:
            running.fail(event, others_end=self._used.states[State.COMPLETE] > 0)
            self._end(running)

    def _pause(self, running: Running) -> None:
        """Stops a trial's process; where it has left its state, it may be gone on with."""
        self._executor.stop(running.trial.number)
        running.stand_still(self._clock())
        self._pausing.pause(running, self._tracker)
        del self._running[running.trial.number]
        while (least := self._pausing.too_many()) is not None:
            self._let_go(least)

    def _end(self, running: Running, *, is_pruned: bool = False) -> None:
        """Tells the stores of a trial that came to an end that counts."""
        running.is_pruned = is_pruned
        self._outcomes.tell(running)
        del self._running[running.trial.number]
        self._pausing.ended(running)
        self._outcomes.close(running)

    def _interrupt_running(self) -> None:
        """Ends what runs and queues it again: first all processes, then Optuna, then MLflow."""
        for number in self._running:
            self._executor.stop(number)
        try:
            self._again.interrupt(self._running)
            self._pausing.clear_up()
        finally:
            self._running.clear()

    def _take_back(self, running: Running) -> None:
        """Forgets a trial that is run again; it is counted as drawn when it is."""
        self._running.pop(running.trial.number, None)
        self._n_drawn -= running.assignment.is_drawn and not running.paused_after
