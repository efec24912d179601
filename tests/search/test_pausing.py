"""Trials that are paused and go on: by a policy that plays a script, killed at every write."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from scripted import (
    REFERENCE,
    Killed,
    ListTracker,
    ScriptedExecutor,
    SilentProgress,
    asked,
    make_spec,
    make_study,
    n_running,
)

from pipeline.search.pausing import Pausing
from pipeline.search.policy import Begin, Choice, GoOn, Left, Seen, Stage
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import paused, study_store
from pipeline.storage.paused import FolderOfStates
from pipeline.study.assignment import Assignment
from pipeline.study.spec import StudySpec
from pipeline.training.job import Failed, Job

CURVE = [0.3, 0.5, 0.4, 0.7, 0.6, 0.8]


@dataclass
class Halving:
    """Pauses each trial after two epochs; the best paused one goes on when three are there."""

    seen: list[Mapping[int, Seen]] = field(default_factory=list)
    memory: Mapping[str, Any] = field(default_factory=dict)

    def rungs(self, epochs: int) -> tuple[int, ...]:
        return (2, 4)

    def choose(self, seen: Mapping[int, Seen], left: Left) -> Choice | None:
        self.seen.append(dict(seen))
        waiting = [number for number, each in seen.items() if each.stage is Stage.PAUSED]
        if len(waiting) >= 3 or (waiting and not left.may_begin):
            return GoOn(max(waiting, key=lambda number: max(seen[number].values)))
        return Begin() if left.may_begin else None

    def goes_on(self, number: int, seen: Mapping[int, Seen], left: Left) -> bool:
        assert seen[number].stage is Stage.RUNNING
        return len(seen[number].values) > 2


class Files(FolderOfStates):
    """Makes also the folder of the project."""

    def folder_of(self, trial: int, epochs: Collection[int]) -> str:
        self._folder.parent.mkdir(exist_ok=True)
        return super().folder_of(trial, epochs)


def spec_of(**changes: Any) -> StudySpec:
    fixed = {"batch_size": 32, "epochs": 6, "optimizer": "adam"}
    return make_spec(fixed=fixed, finals=False, **changes)


def curve(job: Job) -> list[float]:
    assert job.hyperparameters
    return [value - abs(job.hyperparameters.learning_rate - 0.01) for value in CURVE]


def search(
    spec: StudySpec,
    study: optuna.Study,
    folder: Path,
    *,
    n_workers: int = 1,
    tracker: ListTracker | None = None,
    executor: ScriptedExecutor | None = None,
    policy: Halving | None = None,
) -> SearchEnd:
    states = Files(folder / "paused")
    return Supervisor(
        spec,
        study,
        executor or ScriptedExecutor(curve, n_workers),
        tracker or ListTracker(),
        SilentProgress(),
        pausing=Pausing(study, spec, policy or Halving(), states),
    ).run()


@pytest.mark.parametrize("n_workers", [1, 3])
def test_paused_trials_go_on_and_no_epoch_is_trained_twice(n_workers: int, tmp_path: Path) -> None:
    spec, executor = spec_of(), ScriptedExecutor(curve, n_workers)
    study = make_study(spec)
    assert search(spec, study, tmp_path, executor=executor) is SearchEnd.BUDGET_USED
    trials = study_store.read_trials(study)
    assert len(trials) == 6
    assert {trial.n_epochs for trial in trials} == {6}, "all may go on in the end"
    for trial in trials:
        assert trial.state == "COMPLETE"
        assert (trial.value, trial.best_epoch) == (max(trial.history["val_accuracy"]), 6)
        assert len({*trial.history["val_accuracy"]}) == 6
        assert trial.pauses == (2,)
    assert len(executor.jobs) > 6
    assert n_running(study) == 0
    assert not (tmp_path / "paused").exists()


def test_what_is_still_paused_at_the_end_is_told_as_pruned_with_its_best_epoch(
    tmp_path: Path,
) -> None:
    class Never(Halving):
        def choose(self, seen: Mapping[int, Seen], left: Left) -> Choice | None:
            return Begin() if left.may_begin else None

    spec, tracker = spec_of(), ListTracker()
    study = make_study(spec)
    search(spec, study, tmp_path, tracker=tracker, policy=Never())
    trials = study_store.read_trials(study)
    assert [trial.state for trial in trials] == ["PRUNED"] * 6
    assert [(trial.n_epochs, trial.best_epoch) for trial in trials] == [(2, 2)] * 6
    assert [trial.pauses for trial in trials] == [(2,)] * 6
    assert set(tracker.status.values()) == {"PRUNED"}
    assert {tracker.trial_of[run] for run in tracker.models} == {
        trial.number for trial in trials if trial.keeps_weights
    }, "their models were kept while they were paused"
    assert study_store.champion(study).value == max(trial.value or 0 for trial in trials)


def test_references_are_never_paused_and_a_policy_sees_them(tmp_path: Path) -> None:
    known = {**REFERENCE, "epochs": 6}
    spec = spec_of(reference=[{"name": "known", "hyperparameters": known}])
    study, policy, executor = make_study(spec), Halving(), ScriptedExecutor(curve)
    search(spec, study, tmp_path, policy=policy, executor=executor)
    assert executor.jobs[0].rungs == ()
    assert executor.jobs[1].rungs == (2, 4)
    assert policy.seen[0][0].stage is Stage.ENDED
    assert len(policy.seen[0][0].values) == 6


def test_a_search_that_is_interrupted_keeps_what_is_paused(tmp_path: Path) -> None:
    spec, tracker = spec_of(), ListTracker()
    study, executor = make_study(spec), ScriptedExecutor(curve)
    supervisor = Supervisor(
        spec, study, executor, tracker, SilentProgress(),
        pausing=Pausing(study, spec, Halving(), Files(tmp_path / "paused")),
    )  # fmt: skip

    def interrupt_the_third() -> None:
        if len(executor.jobs) == 3:
            supervisor.interrupt()

    executor.on_events = interrupt_the_third
    assert supervisor.run() is SearchEnd.INTERRUPTED
    states = Files(tmp_path / "paused")
    waiting = [t.number for t in study.trials if paused.paused_after(t, states) == 2]
    assert waiting == [0, 1]
    assert [tracker.status[tracker.run_of(number)] for number in waiting] == ["PAUSED"] * 2
    again = ScriptedExecutor(curve)
    again.reached = executor.reached
    search(spec, study, tmp_path, tracker=tracker, executor=again)
    whole = make_study(spec)
    search(spec, whole, tmp_path / "other")
    assert asked(study) == asked(whole)
    assert [t.history for t in counted(study)] == [t.history for t in counted(whole)]


def test_what_went_on_and_is_interrupted_goes_back_to_where_it_was_paused(tmp_path: Path) -> None:
    spec, tracker, policy = spec_of(), ListTracker(), Halving()
    study, executor = make_study(spec), ScriptedExecutor(curve)
    supervisor = Supervisor(
        spec, study, executor, tracker, SilentProgress(),
        pausing=Pausing(study, spec, policy, Files(tmp_path / "paused")),
    )  # fmt: skip

    def interrupt_what_went_on() -> None:
        job = executor.jobs[-1]
        if job.goes_on_after and tracker.curves[tracker.run_of(job.trial)][-1] == 5:
            supervisor.interrupt()

    executor.on_events = interrupt_what_went_on
    assert supervisor.run() is SearchEnd.INTERRUPTED
    number = executor.jobs[-1].trial
    assert tracker.status[tracker.run_of(number)] == "PAUSED"
    assert paused.paused_after(study.trials[number], Files(tmp_path / "paused")) == 2
    again, policy = ScriptedExecutor(curve), Halving()
    again.reached = executor.reached
    search(spec, study, tmp_path, tracker=tracker, executor=again, policy=policy)
    known = policy.seen[0][number]
    assert (known.stage, known.paused_after) == (Stage.PAUSED, 2)
    assert [job.goes_on_after for job in again.jobs if job.trial == number] == [2]
    trials = study_store.read_trials(study)
    assert [trial.number for trial in trials] == [*range(6)], "none was run under another number"
    assert {(trial.pauses, trial.n_epochs) for trial in trials} == {((2,), 6)}


@pytest.mark.parametrize("n_failures", [1, 2])
def test_what_went_on_and_fails_for_a_while_goes_on_from_where_it_was_paused(
    n_failures: int, tmp_path: Path
) -> None:
    spec, tracker, progress = spec_of(training={"retries": 1}), ListTracker(), SilentProgress()
    study = make_study(spec)

    def script(job: Job) -> Any:
        n_tries = sum(each.goes_on_after > 0 for each in executor.jobs if each.trial == 0)
        if job.trial == 0 and 0 < n_tries <= n_failures:
            return curve(job)[:4], Failed(0, "killed", is_transient=True)
        return curve(job)

    executor = ScriptedExecutor(script)
    pausing = Pausing(study, spec, Halving(), Files(tmp_path / "paused"))
    Supervisor(spec, study, executor, tracker, progress, pausing=pausing).run()
    trials = study_store.read_trials(study)
    assert [trial.number for trial in trials] == [*range(6)], "none was run under another number"
    assert [job.goes_on_after for job in executor.jobs if job.trial == 0] == [0, 2, 2]
    first = trials[0]
    assert first.pauses == (2,)
    assert (first.n_epochs, first.reason) == ((6, "") if n_failures == 1 else (4, "killed"))
    assert [*first.history["val_accuracy"]] == curve(executor.jobs[0])[: first.n_epochs]
    assert first.value == max(first.history["val_accuracy"])
    assert tracker.status[tracker.run_of(0)] == first.state == "COMPLETE"
    (said,) = (line for line in progress.lines if line.startswith("again"))
    assert said.endswith("(killed; again from epoch 2)")
    given = Assignment.read(study.trials[0].user_attrs)
    assert given
    assert given.n_retries == 1, "also to a supervisor that comes after"
    assert not (tmp_path / "paused").exists()


def test_a_model_that_was_stored_before_a_kill_is_dropped_where_its_trial_ends_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledWhileItEnds(ListTracker):
        def store_model(self, trial: int, model: bytes) -> None:
            super().store_model(trial, model)
            if trial == 1:
                raise Killed

    class Never(Halving):
        def choose(self, seen: Mapping[int, Seen], left: Left) -> Choice | None:
            return None

    known = {"name": "known", "hyperparameters": {**REFERENCE, "epochs": 6}}
    spec, tracker = spec_of(reference=[known], budget={"trials": 2}), KilledWhileItEnds()
    study = make_study(spec)

    def script(job: Job) -> list[float]:
        return [0.3, 0.5, 0.4, 0.7, 0.6, 0.95] if job.trial else [0.9] * 6

    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        with pytest.raises(Killed):
            search(spec, study, tmp_path, tracker=tracker, executor=ScriptedExecutor(script))
    assert {tracker.trial_of[run] for run in tracker.models} == {0, 1}
    search(spec, study, tmp_path, tracker=tracker, policy=Never())
    trials = study_store.read_trials(study)
    assert [(trial.n_epochs, trial.value) for trial in trials] == [(6, 0.9), (2, 0.5)]
    assert {tracker.trial_of[run] for run in tracker.models} == {0}


def test_what_fails_before_it_was_paused_leaves_no_state(tmp_path: Path) -> None:
    class Patient(Halving):
        def goes_on(self, *_: Any, **__: Any) -> bool:
            return True

    def script(job: Job) -> Any:
        if job.trial == 0:
            return CURVE[:3], Failed(0, "killed", is_transient=True)
        return curve(job)

    spec, study = spec_of(budget={"trials": 2}), make_study(spec_of())
    search(spec, study, tmp_path, executor=ScriptedExecutor(script), policy=Patient())
    assert [trial.interrupted for trial in study_store.read_trials(study)] == [True, False, False]
    assert not (tmp_path / "paused").exists()


def test_what_a_policy_remembers_is_noted_and_known_to_the_next_supervisor(
    tmp_path: Path,
) -> None:
    @dataclass
    class Counting(Halving):
        def choose(self, seen: Mapping[int, Seen], left: Left) -> Choice | None:
            assert study.user_attrs.get("policy", {}) == self.memory
            self.memory = {"n": self.memory.get("n", 0) + 1}
            return super().choose(seen, left)

        def goes_on(self, number: int, seen: Mapping[int, Seen], left: Left) -> bool:
            self.memory = {"n": self.memory["n"] + 100}
            return super().goes_on(number, seen, left)

    study = make_study(spec_of())
    first, second = Counting(), Counting()
    search(spec_of(budget={"trials": 1}), study, tmp_path, policy=first)
    assert study.user_attrs["policy"] == {"n": 203}, "begun, went on, nothing else, and two rungs"
    search(spec_of(budget={"trials": 2}), study, tmp_path, policy=second)
    assert second.memory == study.user_attrs["policy"] == {"n": 406}
    assert first.memory == {"n": 203}


def test_trials_are_seen_in_the_order_in_which_who_was_not_killed_sees_them(
    tmp_path: Path,
) -> None:
    spec, tracker, policy = spec_of(), ListTracker(), Halving()
    study, executor = make_study(spec), ScriptedExecutor(curve)
    supervisor = Supervisor(
        spec, study, executor, tracker, SilentProgress(),
        pausing=Pausing(study, spec, Halving(), Files(tmp_path / "paused")),
    )  # fmt: skip
    executor.on_events = lambda: supervisor.interrupt() if len(executor.jobs) == 5 else None
    supervisor.run()
    search(spec, study, tmp_path, tracker=tracker, policy=policy)
    stages = {each.stage for each in policy.seen[0].values()}
    assert stages == {Stage.ENDED, Stage.PAUSED}
    assert list(policy.seen[0]) == sorted(policy.seen[0])


def counted(study: optuna.Study) -> list[Any]:
    found = [trial for trial in study_store.read_trials(study) if not trial.interrupted]
    return sorted(found, key=lambda trial: trial.seed)


def killed(
    spec: StudySpec, folder: Path, at: int, patch: pytest.MonkeyPatch
) -> tuple[optuna.Study, ListTracker, bool]:
    """A search that is killed at one of the writes to MLflow, and gone on with."""
    study, tracker, executor = make_study(spec), ListTracker(), ScriptedExecutor(curve)
    tracker.kill_at = at
    was_killed = False
    try:
        with patch.context() as context:
            context.setattr(Supervisor, "_interrupt_running", lambda self: None)
            search(spec, study, folder, tracker=tracker, executor=executor)
    except Killed:
        was_killed, tracker.kill_at = True, None
        again = ScriptedExecutor(curve)
        again.reached = executor.reached
        search(spec, study, folder, tracker=tracker, executor=again)
    return study, tracker, was_killed


def test_a_kill_at_any_write_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of()
    whole, tracker, _ = killed(spec, tmp_path / "whole", 0, monkeypatch)
    expected = {trial.seed: trial.history["val_accuracy"] for trial in counted(whole)}
    at, was_killed = 0, True
    while was_killed:
        at += 1
        study, tracker, was_killed = killed(spec, tmp_path / str(at), at, monkeypatch)
        found = {trial.seed: trial.history["val_accuracy"] for trial in counted(study)}
        assert len(found) == len(counted(study)) == 6, at
        assert found == {seed: expected[seed] for seed in found}, at
        assert n_running(study) == 0
        for trial in counted(study):
            assert tracker.status[tracker.run_of(trial.number)] == trial.state
            assert trial.pauses == (2,), at
        begun_anew = [t for t in study.trials if t.user_attrs.get(study_store.INTERRUPTED)]
        assert not any(paused.PAUSED in trial.user_attrs for trial in begun_anew), at
        assert not (tmp_path / str(at) / "paused").exists()
    assert at > 30


def test_a_state_that_is_lost_costs_epochs_and_no_trial(tmp_path: Path) -> None:
    spec, executor = spec_of(), ScriptedExecutor(curve)

    class Forgetful(ScriptedExecutor):
        def submit(self, job: Job) -> None:
            if len(self.jobs) % 2:
                self.reached.clear()
            super().submit(job)

    study, executor = make_study(spec), Forgetful(curve)
    search(spec, study, tmp_path, executor=executor)
    for trial in study_store.read_trials(study):
        assert trial.history["val_accuracy"] == curve(
            next(job for job in executor.jobs if job.trial == trial.number)
        )
        assert trial.pauses == (2,), "not noted again where it comes by again"


def test_each_pause_of_a_trial_is_noted_also_across_supervisors(tmp_path: Path) -> None:
    class Twice(Halving):
        def goes_on(self, *_: Any, **__: Any) -> bool:
            return False

    spec, executor, tracker = spec_of(), ScriptedExecutor(curve), ListTracker()
    study = make_study(spec)
    supervisor = Supervisor(
        spec, study, executor, tracker, SilentProgress(),
        pausing=Pausing(study, spec, Twice(), Files(tmp_path / "paused")),
    )  # fmt: skip
    executor.on_events = lambda: supervisor.interrupt() if len(executor.jobs) == 3 else None
    supervisor.run()
    again = ScriptedExecutor(curve)
    again.reached = executor.reached
    search(spec, study, tmp_path, tracker=tracker, executor=again, policy=Twice())
    trials = [trial for trial in study_store.read_trials(study) if not trial.interrupted]
    assert [(trial.pauses, trial.n_epochs) for trial in trials] == [((2, 4), 6)] * 6


def test_a_kill_between_the_note_of_its_pauses_and_that_it_is_paused_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, executor, tracker = spec_of(), ScriptedExecutor(curve), ListTracker()
    study = make_study(spec)

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        patch.setattr(paused, "note", kill)
        with pytest.raises(Killed):
            search(spec, study, tmp_path, tracker=tracker, executor=executor)
    assert study.trials[0].user_attrs["pauses"] == [2]
    assert "paused" not in study.trials[0].user_attrs
    search(spec, study, tmp_path, tracker=tracker)
    assert [trial.pauses for trial in counted(study)] == [(2,)] * 6
    assert counted(study)[0].number != 0


def test_a_store_without_noted_pauses_is_read(tmp_path: Path) -> None:
    """Versions up to 0.7 noted the last one alone."""
    study = make_study(spec_of())
    search(spec_of(budget={"trials": 1}), study, tmp_path)
    old = study.get_trials(deepcopy=True)[0]
    del old.user_attrs["pauses"]
    study.add_trial(old)
    assert [trial.pauses for trial in study_store.read_trials(study)] == [(2,), ()]


def test_the_least_promising_go_first_where_states_take_too_much_room(tmp_path: Path) -> None:
    class Small(Files):
        def size(self) -> int:
            return 10**9 * len([*self._folder.glob("*.npz")])

    spec, study = spec_of(budget={"trials": 4}), make_study(spec_of())
    pausing = Pausing(study, spec, Halving(), Small(tmp_path / "paused"))
    progress = SilentProgress()
    Supervisor(
        spec, study, ScriptedExecutor(curve), ListTracker(), progress, pausing=pausing
    ).run()
    states = {trial.number: trial.state for trial in study_store.read_trials(study)}
    worst = min(
        (trial for trial in study_store.read_trials(study) if trial.number < 3),
        key=lambda trial: trial.history["val_accuracy"][0],
    )
    assert states[worst.number] == "PRUNED"
    assert any(line.startswith("pruned") for line in progress.lines)
