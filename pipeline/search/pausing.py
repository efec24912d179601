"""Trials that are paused and may go on: what a policy decides is noted, and outlives a kill.

A pause is written in this order: the state of the training (by the worker, before the supervisor
hears of the epoch), the model of the best epoch, what the trial has come to and after which epochs
it was paused, that it is paused; then MLflow. A kill before the note leaves a trial that was
interrupted, which is run again.
"""

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna

from pipeline.search.auditing import is_audited
from pipeline.search.freeze_thaw import FreezeThaw, FreezeThawSampler
from pipeline.search.policy import Begin, Choice, GoOn, Left, Policy, Seen, Stage
from pipeline.search.running import Running
from pipeline.search.samplers import build_sampler
from pipeline.search.used import Used
from pipeline.storage import optuna_internals, paused, study_store
from pipeline.storage.presence import Presence
from pipeline.study.assignment import Assignment, Outcome
from pipeline.study.spec import PAUSES, StudySpec
from pipeline.study.trial import Trial
from pipeline.tracking.tracker import Tracker
from pipeline.training.job import Job

BYTES = 2_000_000_000  # of all paused trials; the least promising are let go


@dataclass
class Pausing:
    """What a supervisor knows of trials that may be paused; without a policy, none is.

    Attributes:
        study: with one supervisor, this one.
        spec: its study file.
        policy: decides; None if the study's sampler and pruner do.
        states: where states of trainings lie.
        waiting: paused trials, by number.
    """

    study: optuna.Study
    spec: StudySpec
    policy: Policy | None
    states: paused.States
    waiting: dict[int, Running] = field(default_factory=dict)
    _seen: dict[int, Seen] = field(default_factory=dict)
    _used: Used | None = None
    _memory: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, study: optuna.Study, spec: StudySpec, states: paused.States) -> "Pausing":
        """Has the policy decide that the study file names, if it names one."""
        return cls(study, spec, build_policy(spec), states)

    def recover(self, ended: Sequence[Trial], used: Used) -> Collection[int]:
        """Finds the trials that are paused, and removes what is left of others.

        Args:
            ended: all trials that count.
            used: what is used of the budget.

        Returns:
            Their numbers.
        """
        self._used = used
        if self.policy:
            self._memory = self.study.user_attrs.get(study_store.POLICY, {})
            self.policy.memory = self._memory
            for frozen in self.study.get_trials(deepcopy=False):
                number, assignment = frozen.number, Assignment.read(frozen.user_attrs)
                if assignment and paused.paused_after(frozen, self.states):
                    writable = optuna_internals.writable(self.study, frozen)
                    noted = Outcome.read(frozen.user_attrs)
                    self.waiting[number] = Running.paused(
                        writable, assignment, noted, self.spec.objective
                    )
        self.clear_up()
        for trial in ended:
            self._note(trial.number, trial, trial, Stage.ENDED)
        for running in self.waiting.values():
            self.see(running, Stage.PAUSED)
        self._seen = dict(sorted(self._seen.items()))  # as who was not killed has them
        return self.waiting.keys()

    def clear_up(self) -> None:
        """Removes states of what is not paused, which workers of a dead supervisor leave, too."""
        self.states.remove_others({n: each.epoch for n, each in self.waiting.items()})

    def see(self, running: Running, stage: Stage) -> None:
        """Lets the policy see where a trial stands."""
        self._note(running.trial.number, running.assignment, running, stage)

    def _note(
        self, number: int, given: Assignment | Trial, known: Running | Trial, stage: Stage
    ) -> None:
        if self.policy and given.hyperparameters and not given.is_final:
            self._seen[number] = Seen(
                given.hyperparameters,
                known.history.get(self.spec.metric, ()),
                known.history.get("seconds", ()),
                stage,
                known.audited_after,
                max(known.pauses, default=0),
            )

    def forget(self, number: int) -> None:
        """Takes back what was seen of a trial that is run again under another number."""
        self._seen.pop(number, None)
        if self.policy:
            self.states.remove(number)

    def choose(self, *, may_begin: bool) -> Choice | None:
        """Decides what a free worker does; without a policy a new trial begins, if any may."""
        if self.policy:
            choice = self.policy.choose(self._seen, self._left(may_begin))
            self._note_memory()
            return choice
        return Begin() if may_begin else None

    def _note_memory(self) -> None:
        assert self.policy is not None
        if self.policy.memory != self._memory:
            self._memory = self.policy.memory
            self.study.set_user_attr(study_store.POLICY, dict(self._memory))

    def prepared(self, job: Job, running: Running) -> Job:
        """Has a job leave its state where it may be paused."""
        if not (rungs := self._rungs(running)):
            return job
        folder = self.states.folder_of(job.trial, rungs)
        return replace(job, state_folder=folder, rungs=rungs, goes_on_after=running.epoch)

    def stage_after_epoch(self, running: Running, *, may_begin: Callable[[], bool]) -> Stage:
        """Decides at the end of an epoch where a trial stands now.

        References and finals are trained to their end, to be compared; so is what is audited.

        Args:
            running: the trial; if it is to be dropped, and audited instead, that is noted in it.
            may_begin: tells whether the budget suffices for another trial.

        Returns:
            ENDED if the pruner ends it, PAUSED if it is to be paused.
        """
        if running.audited_after:
            return Stage.RUNNING
        if running.should_prune() and running.assignment.is_drawn:
            stage = Stage.ENDED
        elif self._is_to_pause(running, may_begin=may_begin):
            stage = Stage.PAUSED
        else:
            return Stage.RUNNING
        if not is_audited(self.spec, running.assignment):
            return stage
        running.audited_after = running.epoch
        self.see(running, Stage.RUNNING)
        return Stage.RUNNING

    def _is_to_pause(self, running: Running, *, may_begin: Callable[[], bool]) -> bool:
        if not self.policy or running.epoch not in self._rungs(running):
            return False
        if running.epoch - running.best_epoch >= self.spec.training.patience:
            return False  # it ends by itself
        self.see(running, Stage.RUNNING)
        number = running.trial.number
        if not self.states.has(number, running.epoch):
            return False
        goes_on = self.policy.goes_on(number, self._seen, self._left(may_begin()))
        self._note_memory()
        return not goes_on

    def _left(self, may_begin: bool) -> Left:
        return self._used.left(len(self._seen), may_begin) if self._used else Left(may_begin)

    def _rungs(self, running: Running) -> tuple[int, ...]:
        """Lists the epochs after which a trial may be paused; the last one is none of them."""
        given = running.assignment.hyperparameters
        if not (self.policy and given and running.assignment.is_drawn):
            return ()
        return tuple(rung for rung in self.policy.rungs(given.epochs) if rung < given.epochs)

    def pause(self, running: Running, tracker: Tracker) -> None:
        """Notes that a trial is paused, whose worker has been stopped."""
        number, epoch = running.trial.number, running.epoch
        tracker.flush(number)
        if epoch != running.paused_after:  # else somebody has paused it again where it began
            running.pauses.append(epoch)
            self.states.keep(number, epoch, running.model)
            with optuna_internals.together(self.study):
                study_store.write(running.trial, running.outcome())
                paused.note(running.trial, epoch)
            self.states.remove(number, but=epoch)
        running.model = None
        self.waiting[number] = running
        self.see(running, Stage.PAUSED)
        self._show(number, tracker, is_paused=True)

    def put_back(
        self, under_way: MutableMapping[int, Running], tracker: Tracker, stores: Presence
    ) -> None:
        """Has trials wait where they were paused last: what they were trained since is lost.

        Args:
            under_way: trials whose processes were stopped, by number; others stay in it than those
                that were paused before.
            tracker: where runs are written.
            stores: looked at before anything is told them.
        """
        for number, running in list(under_way.items()):
            if running.paused_after:
                running.stand_still(None)
                running.go_back(running.paused_after, self.spec.objective)
                if stores.has_optuna and stores.has_mlflow:
                    self.pause(running, tracker)
                del under_way[number]

    def _show(self, number: int, tracker: Tracker, *, is_paused: bool) -> None:
        run = study_store.run_of(self.study, number)
        tracker.set_paused(number, run, is_paused=is_paused)

    def too_many(self) -> int | None:
        """Finds the least promising paused trial if the states of all are too large."""
        if len(self.waiting) < 2 or self.states.size() <= BYTES:
            return None
        sign = 1.0 if self.spec.direction == "maximize" else -1.0
        return min(self.waiting, key=lambda number: sign * (self.waiting[number].best or 0.0))

    def let_go(self, number: int) -> Running:
        """Takes a trial out of those that are paused, with the model of its best epoch."""
        running = self.waiting.pop(number)
        running.model = self.states.model(number, running.epoch)
        return running

    def ended(self, running: Running) -> None:
        """Removes what was left of a trial that has ended; the policy sees what became of it."""
        if self.policy:
            self.states.remove(running.trial.number)
        self.see(running, Stage.ENDED)

    def take_up(self, choice: GoOn, tracker: Tracker) -> Running:
        """Takes a trial out of those that are paused, which goes on."""
        running = self.let_go(choice.number)
        self._show(choice.number, tracker, is_paused=False)
        self.see(running, Stage.RUNNING)
        return running


def build_policy(spec: StudySpec) -> Policy | None:
    """Builds the policy that a study file names as its sampler; None if that is Optuna's."""
    if not spec.space or spec.sampler.type != PAUSES:
        return None
    sampler = build_sampler(spec.sampler, spec.seed, 0)
    assert isinstance(sampler, FreezeThawSampler)
    return FreezeThaw(spec.searched, spec.direction, spec.seed, sampler.n_startup_trials)
