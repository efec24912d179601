"""Tells Optuna and MLflow what becomes of trials, and knows the best so far.

The order of writes is what makes a search safe to kill at any moment. When a trial ends, its
curves and its model go to MLflow first, then Optuna is told, then MLflow's run is closed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import optuna

from pipeline.search.best_trials import BestTrials
from pipeline.search.failures import FailuresInARow
from pipeline.search.finals import Finals
from pipeline.search.progress import Progress
from pipeline.search.running import Running
from pipeline.search.snapshot import Snapshot
from pipeline.search.used import Used
from pipeline.storage import optuna_internals, queue, study_store
from pipeline.storage.presence import Presence
from pipeline.study.assignment import Outcome
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State, Trial, champion_of, ranking, select_counted
from pipeline.tracking.tracker import END_OF_INTERRUPTED, Tracker


class Outcomes:
    """Tells the stores of the trials of one study.

    Attributes:
        best_line: the best so far, in a line for people; "" if there is none.

    Args:
        study: where trials are told.
        spec: its study file.
        tracker: where runs are written.
        progress: where people look.
        used: where it is counted what is used of the budget.
    """

    def __init__(
        self,
        study: optuna.Study,
        spec: StudySpec,
        tracker: Tracker,
        progress: Progress,
        used: Used,
    ) -> None:
        self._study, self._spec, self._used = study, spec, used
        self._tracker, self._progress = tracker, progress
        self._failures = FailuresInARow(spec.training.stop_after_failures)
        self._best = BestTrials([], spec.direction, study_store.n_models(study))
        self.best_line = ""

    def know(self, ended: Sequence[Trial]) -> None:
        """Takes trials into account that ended before.

        Args:
            ended: all of the study.
        """
        for trial in select_counted(ended):
            self._used.count(trial.state, is_final=trial.is_final)
        ranked, direction = ranking(ended, self._spec.direction), self._spec.direction
        self._best = BestTrials(ranked, direction, study_store.n_models(self._study))
        if (dropped := self._best.dropped_last) is not None:  # unless somebody was killed before
            self._tracker.drop_model(dropped, study_store.run_of(self._study, dropped))
        if best := champion_of(ranked):
            value = self._spec.objective.show(best.value or 0.0)
            self.best_line = f"trial {best.number}: {value}, {best.hyperparameters}"

    @property
    def to_beat(self) -> float | None:
        """The value above which a model is kept; None as long as all are."""
        return self._best.to_beat

    def show(
        self, finals: Finals, running: Mapping[int, Running], n_paused: int, *, is_ready: bool
    ) -> None:
        """Shows people the search as it stands, if they would see that now.

        Args:
            finals: of the study.
            running: trials under way, by number.
            n_paused: number of trials that are paused.
            is_ready: whether workers have done their imports.
        """
        if not self._progress.is_due:
            return
        spec, used, budget = self._spec, self._used, finals.budget_of_search
        snapshot = Snapshot(
            study=spec.name,
            metric=spec.metric,
            states=dict(used.states),
            n_trials=budget.trials,
            seconds=used.seconds,
            minutes=budget.minutes,
            running=tuple(each.shown(spec.objective) for each in running.values()),
            best=self.best_line,
            is_ready=is_ready,
            n_finals=used.n_finals if used.is_final else None,
            stage=finals.stage,
            n_paused=n_paused,
            has_finals=finals.are_to_come,
        )
        self._progress.update(snapshot)

    def begin(self, running: Running) -> None:
        """Has MLflow make the run of a trial, and notes which it is."""
        trial, assignment = running.trial, running.assignment
        params = {"seed": assignment.seed, "dataset": self._spec.dataset}
        run = self._tracker.start_trial(
            trial.number, assignment.hyperparameters, params, assignment.tags
        )
        if run:
            with optuna_internals.together(self._study, is_urgent=False):  # it can be found, too
                trial.set_user_attr(study_store.RUN_ID, run)

    def tell(self, running: Running) -> None:
        """Tells MLflow of curves and model of a trial that came to an end, then Optuna of it."""
        number, spec = running.trial.number, self._spec
        if self._is_kept(running) and running.model:
            self._tracker.store_model(number, running.model)
            if running.is_pruned:
                study_store.note_pruned_record(self._study, number)
        self._tracker.flush(number)
        with optuna_internals.together(self._study):
            study_store.write(running.trial, running.outcome())
            queue.tell(self._study, running.trial, *running.told(spec.direction))

    def close(self, running: Running) -> None:
        """Counts a trial that Optuna knows has ended, and closes its run.

        Raises:
            PipelineError: too many have failed in a row.
        """
        number, best, spec = running.trial.number, running.best, self._spec
        about, is_final = running.about(spec.objective), running.assignment.is_final
        is_kept = self._is_kept(running)
        is_record = running.beats(self._best.best, spec.direction)
        self._used.count(running.state, is_final=is_final)
        self._tracker.finish_trial(number, *running.run_end(spec.metric))
        self._progress.say(f"{running.how:<8} {about}", may_be_cut=not running.reason)
        if is_record and best is not None:
            self.best_line = about
            self._tracker.log_incumbent(number, spec.metric, best)
        if running.has_model and not is_kept:
            self._tracker.drop_model(number, study_store.run_of(self._study, number))
        if is_kept and best is not None:
            for dropped in self._best.add(best, number, is_final=is_final):
                self._tracker.drop_model(dropped, study_store.run_of(self._study, dropped))
        self._failures.count(running)

    def _is_kept(self, running: Running) -> bool:
        """Tells whether the model of a trial is one of the best."""
        return running.assignment.is_final or running.beats(
            self._best.to_beat, self._spec.direction
        )

    def interrupt(self, interrupted: Iterable[Running], stores: Presence) -> None:
        """Queues trials again whose processes were stopped: first Optuna is told, then MLflow.

        Args:
            interrupted: trials that ran.
            stores: looked at before anything is told them.
        """
        interrupted = list(interrupted)
        try:
            for running in interrupted if stores.has_optuna else ():
                queue.requeue(self._study, self._spec, running.trial, running.assignment)
        finally:  # even if somebody has deleted the study
            for running in interrupted if stores.has_mlflow else ():
                self._tracker.finish_trial(running.trial.number, *END_OF_INTERRUPTED)

    def try_again(self, running: Running, reason: str) -> None:
        """Queues a failed trial again, for its cause may be over the next time."""
        number, assignment = running.trial.number, running.assignment
        self._tracker.flush(number)
        again = replace(assignment, n_retries=assignment.n_retries + 1)
        with optuna_internals.together(self._study):
            study_store.write(running.trial, Outcome(reason=reason))
            queue.requeue(self._study, self._spec, running.trial, again)
        self._tracker.finish_trial(number, State.FAIL, {}, {"reason": reason, "retried": "true"})
        self._progress.say(f"again    trial {number}: {running.assignment} ({reason})")

    def note_retry(self, running: Running, reason: str) -> None:
        """Notes that a trial which has failed is to be trained again from where it was paused."""
        number, n_retries = running.trial.number, running.assignment.n_retries + 1
        running.assignment = replace(running.assignment, n_retries=n_retries)
        study_store.write(running.trial, running.assignment)
        again = f"again from epoch {running.paused_after}"
        self._progress.say(f"again    trial {number}: {running.assignment} ({reason}; {again})")
