"""The best network once more, with other seeds, when the budget of a search is used."""

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
    make_spec,
    make_study,
    n_running,
    search,
    steady,
)

from pipeline.paths import Project
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import queue, studies, study_store
from pipeline.storage.importance import constant, importance
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Cause, Trial, champion_of, ranking, select_counted, with_seeds
from pipeline.training.job import Failed, Job

FINALS = {"seeds": 4}
FEW = {"epochs": 3, "optimizer": "adam", "learning_rate": 0.01}


def finals_of(study: optuna.Study) -> list[Trial]:
    counted = select_counted(study_store.read_trials(study))
    return [trial for trial in counted if trial.final_of is not None]


def best_drawn(study: optuna.Study, spec: StudySpec) -> Trial:
    ended = [t for t in study_store.read_trials(study) if t.final_of is None]
    best = champion_of(ranking(ended, spec.direction))
    assert best
    return best


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_the_best_is_trained_again_with_fresh_seeds(n_workers: int) -> None:
    spec = make_spec(finals=FINALS)
    study, executor = make_study(spec), ScriptedExecutor(steady, n_workers)
    assert search(spec, study, executor) is SearchEnd.BUDGET_USED
    best, finals = best_drawn(study, spec), finals_of(study)
    assert len(executor.jobs) == 6 + 3
    assert [t.final_of for t in finals] == [best.number] * 3
    assert {t.hyperparameters for t in finals} == {best.hyperparameters}
    assert len({t.seed for t in [best, *finals]}) == 4
    ranked = ranking(study_store.read_trials(study), spec.direction)
    for each in [best, *finals]:
        assert with_seeds(ranked, each) == [best, *finals]
    assert n_running(study) == 0


def test_finals_come_when_all_that_was_searched_has_ended() -> None:
    spec = make_spec(finals=FINALS)
    study = make_study(spec)

    def rising(job: Job) -> list[float]:
        return [0.5 + 0.01 * job.trial]  # the last one drawn is the best

    search(spec, study, ScriptedExecutor(rising, n_workers=4))
    assert {trial.final_of for trial in finals_of(study)} == {5}


def test_without_the_table_nothing_is_trained_again() -> None:
    spec = make_spec()
    study, executor = make_study(spec), ScriptedExecutor(steady)
    search(spec, study, executor)
    assert len(executor.jobs) == 6


def test_it_changes_no_fingerprint_and_may_be_added_later() -> None:
    spec = make_spec()
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    later = make_spec(finals=FINALS)
    assert later.fingerprint == spec.fingerprint
    more, again = ScriptedExecutor(steady), ScriptedExecutor(steady)
    search(later, study, more)
    search(later, study, again)
    assert (len(more.jobs), len(again.jobs)) == (3, 0)
    five = ScriptedExecutor(steady)
    search(make_spec(finals={"seeds": 5}), study, five)
    assert len(five.jobs) == 1
    assert len({trial.seed for trial in finals_of(study)}) == 4


def test_they_are_no_part_of_the_budget_nor_of_what_was_drawn() -> None:
    with_finals, without = make_spec(finals=FINALS), make_spec()
    first, second = make_study(with_finals), make_study(without)
    search(with_finals, first, ScriptedExecutor(steady))
    search(without, second, ScriptedExecutor(steady))
    search(make_spec(finals=FINALS, budget={"trials": 8}), first, ScriptedExecutor(steady))
    search(make_spec(budget={"trials": 8}), second, ScriptedExecutor(steady))

    def seeds(study: optuna.Study) -> list[int | None]:
        return [t.seed for t in study_store.read_trials(study) if t.final_of is None]

    assert len(seeds(first)) == 8
    assert seeds(first) == seeds(second), "seeds of drawn trials go on as if there were no finals"


@pytest.mark.parametrize("kill_at", range(38, 59))
def test_a_kill_among_the_finals_loses_and_doubles_nothing(
    kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(finals=FINALS)
    study, tracker = make_study(spec), ListTracker()
    tracker.kill_at = kill_at
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        with pytest.raises(Killed):
            search(spec, study, ScriptedExecutor(steady, 2), tracker)
    assert len(finals_of(study)) < 3
    tracker.kill_at = None
    search(spec, study, ScriptedExecutor(steady, 2), tracker)
    finals = finals_of(study)
    assert len(select_counted(study_store.read_trials(study))) == 6 + 3
    assert [t.final_of for t in finals] == [best_drawn(study, spec).number] * 3
    assert len({t.seed for t in finals}) == 3
    assert "RUNNING" not in tracker.status.values()


@pytest.mark.parametrize("n_events", range(1, 20, 2))
def test_an_interruption_among_the_finals_is_gone_on_with(n_events: int) -> None:
    spec = make_spec(finals=FINALS, budget={"trials": 2})
    study, executor = make_study(spec), ScriptedExecutor(steady)
    supervisor = Supervisor(spec, study, executor, ListTracker(), SilentProgress())
    left = iter(range(n_events))
    executor.on_events = lambda: None if next(left, None) is not None else supervisor.interrupt()
    supervisor.run()
    search(spec, study, ScriptedExecutor(steady))
    assert len(select_counted(study_store.read_trials(study))) == 2 + 3
    assert len({trial.seed for trial in finals_of(study)}) == 3


def test_all_their_models_are_kept_and_none_is_pruned() -> None:
    spec = make_spec(
        finals=FINALS,
        pruner={"type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2},
    )
    study, tracker = make_study(spec), ListTracker()
    study.set_user_attr(study_store.N_MODELS, 2)

    def script(job: Job) -> list[float]:
        return steady(job) if job.trial < 6 else [0.1, 0.2, 0.15]

    search(spec, study, ScriptedExecutor(script), tracker)
    finals = finals_of(study)
    assert [(t.state, t.n_epochs, t.value) for t in finals] == [("COMPLETE", 3, 0.2)] * 3
    kept = {number for run, number in tracker.trial_of.items() if run in tracker.models}
    assert {t.number for t in finals} < kept
    assert len(kept) == 2 + 3


def test_finals_push_no_model_of_another_network_out() -> None:
    spec = make_spec(finals=FINALS)
    study, tracker = make_study(spec), ListTracker()
    study.set_user_attr(study_store.N_MODELS, 2)

    def script(job: Job) -> list[float]:
        return steady(job) if job.trial < 6 else [0.99]

    search(spec, study, ScriptedExecutor(script), tracker)
    kept = {number for run, number in tracker.trial_of.items() if run in tracker.models}
    assert len([number for number in kept if number < 6]) == 2
    assert tracker.records[-1] == 0.99, "a better seed is a record"


def test_of_a_reference_that_is_the_best_seeds_are_fresh_too() -> None:
    references = [{"name": "a", "hyperparameters": REFERENCE, "repeats": 3, "patience": 7}]
    spec = make_spec(finals=FINALS, reference=references)
    study = make_study(spec)
    executor = ScriptedExecutor(lambda job: [0.99] if job.patience == 7 else steady(job))
    search(spec, study, executor)
    finals = finals_of(study)
    assert {job.patience for job in executor.jobs[-3:]} == {7}
    repeats = [t.seed for t in study_store.read_trials(study) if t.reference]
    assert len(finals) == 3
    assert not {t.seed for t in finals} & set(repeats)
    assert all(not trial.reference for trial in finals)


def test_they_wait_for_trials_that_wait_for_a_larger_budget() -> None:
    references: list[dict[str, Any]] = [{"name": "a", "hyperparameters": REFERENCE, "repeats": 9}]
    small = make_spec(finals=FINALS, reference=references, budget={"trials": 4})
    study, executor = make_study(small), ScriptedExecutor(steady)
    assert search(small, study, executor) is SearchEnd.BUDGET_USED
    assert (len(executor.jobs), finals_of(study)) == (4, [])
    large = make_spec(finals=FINALS, reference=references, budget={"trials": 10})
    search(large, study, ScriptedExecutor(steady))
    assert len(finals_of(study)) == 3


def test_a_final_that_fails_is_not_tried_for_ever() -> None:
    spec = make_spec(finals=FINALS, training={"retries": 1})
    study = make_study(spec)

    def script(job: Job) -> list[float] | Failed:
        return steady(job) if job.trial < 6 else Failed(job.trial, "killed", is_transient=True)

    assert search(spec, study, ScriptedExecutor(script)) is SearchEnd.BUDGET_USED
    assert [trial.value for trial in finals_of(study)] == [None] * 3
    executor = ScriptedExecutor(steady)
    search(spec, study, executor)
    assert executor.jobs == []


def test_their_time_is_counted_apart() -> None:
    spec = make_spec(finals=FINALS)
    study, ticks = make_study(spec), iter(range(10_000))
    supervisor = Supervisor(
        spec, study, ScriptedExecutor(steady), ListTracker(), SilentProgress(),
        clock=lambda: float(next(ticks)),
    )  # fmt: skip
    supervisor.run()
    searched = study.user_attrs[study_store.SECONDS]
    finals = study.user_attrs[study_store.FINALS_SECONDS]
    assert searched > 0
    assert finals > 0
    assert searched + finals <= next(ticks)


def test_a_finite_space_that_is_used_up_has_finals_too(tmp_path: Path) -> None:
    spec = make_spec(
        finals=FINALS,
        budget={"trials": 50},
        sampler={"type": "BruteForceSampler"},
        fixed={**FEW, "hidden_layers": 0, "units": 8},
        space={"batch_size": {"type": "categorical", "choices": [32, 64]}},
    )
    study = studies.open_study(Project(tmp_path), spec)
    first, again = ScriptedExecutor(steady), ScriptedExecutor(steady)
    assert search(spec, study, first) is SearchEnd.BUDGET_USED
    assert len(first.jobs) == 2 + 3
    search(spec, studies.open_study(Project(tmp_path), spec), again)
    assert again.jobs == []


def interrupted_among_finals(spec: StudySpec, study: optuna.Study) -> None:
    """Searches until the first final has begun, and is interrupted there."""
    executor = ScriptedExecutor(steady)
    supervisor = Supervisor(spec, study, executor, ListTracker(), SilentProgress())

    def interrupt() -> None:
        if len(executor.jobs) == (spec.budget.trials or 0) + 1:
            supervisor.interrupt()

    executor.on_events = interrupt
    assert supervisor.run() is SearchEnd.INTERRUPTED
    assert finals_of(study) == []


def test_with_a_larger_budget_the_search_goes_on_before_finals_that_wait() -> None:
    study, tracker = make_study(make_spec()), ListTracker()
    interrupted_among_finals(make_spec(finals=FINALS), study)
    larger, executor = (
        make_spec(finals=FINALS, budget={"trials": 8}),
        ScriptedExecutor(lambda job: [0.99] if job.trial > 11 else steady(job)),
    )
    assert search(larger, study, executor, tracker) is SearchEnd.BUDGET_USED
    drawn = [t for t in select_counted(study_store.read_trials(study)) if not t.is_final]
    assert len(drawn) == 8
    assert {t.final_of for t in finals_of(study)} == {best_drawn(study, larger).number}
    assert len(finals_of(study)) == 3
    assert len(executor.jobs) == 2 + 3
    assert "RUNNING" not in tracker.status.values()


def test_with_a_larger_budget_finals_that_waited_are_trained_in_the_end() -> None:
    study = make_study(make_spec())
    interrupted_among_finals(make_spec(finals=FINALS), study)
    larger = make_spec(finals=FINALS, budget={"trials": 7})
    search(larger, study, ScriptedExecutor(lambda job: [0.1] if job.trial > 9 else steady(job)))
    assert len(finals_of(study)) == 3
    assert len({t.seed for t in finals_of(study)}) == 3


def test_more_seeds_are_queued_beside_those_that_wait() -> None:
    study = make_study(make_spec())
    interrupted_among_finals(make_spec(finals=FINALS), study)
    search(make_spec(finals={"seeds": 8}), study, ScriptedExecutor(steady))
    assert len({t.seed for t in finals_of(study)}) == 7


def test_an_interruption_between_two_that_are_queued_loses_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_spec(finals=FINALS)
    study = make_study(spec)
    search(make_spec(), study, ScriptedExecutor(steady))
    asked = iter([False, True])
    queue.queue_finals(study, spec, lambda: next(asked))
    assert len(study.get_trials(states=(optuna.trial.TrialState.WAITING,))) == 1
    search(spec, study, ScriptedExecutor(steady))
    assert len({t.seed for t in finals_of(study)}) == 3


def test_what_somebody_enqueues_among_the_finals_waits_for_a_larger_budget() -> None:
    spec = make_spec(finals=FINALS)
    study = make_study(spec)
    interrupted_among_finals(spec, study)
    study.enqueue_trial({"learning_rate": 0.02})
    search(spec, study, ScriptedExecutor(steady))
    assert len(finals_of(study)) == 3
    assert queue.count_waiting(study) == 1


def test_finals_of_a_finite_space_that_were_interrupted_count_as_finals(tmp_path: Path) -> None:
    spec = make_spec(
        finals=FINALS,
        budget={"trials": 2},
        fixed={**FEW, "hidden_layers": 0, "units": 8},
        space={"batch_size": {"type": "categorical", "choices": [32, 64]}},
    )
    study = studies.open_study(Project(tmp_path), spec)
    interrupted_among_finals(spec, study)
    endless = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": 50})})
    supervisor = Supervisor(
        endless, studies.open_study(Project(tmp_path), spec), ScriptedExecutor(steady),
        ListTracker(), SilentProgress(),
    )  # fmt: skip
    assert supervisor.run() is SearchEnd.BUDGET_USED
    assert supervisor.snapshot().n_finals == 3
    assert study.user_attrs[study_store.FINALS_SECONDS] > 0


def test_a_final_that_diverges_tells_no_sampler_that_its_network_is_bad() -> None:
    spec = make_spec(finals=FINALS)
    study = make_study(spec)

    def script(job: Job) -> list[float] | Failed:
        return steady(job) if job.trial < 6 else Failed(job.trial, "nan", cause=Cause.DIVERGED)

    search(spec, study, ScriptedExecutor(script))
    assert {t.state for t in study.trials if "final_of" in t.user_attrs} == {
        optuna.trial.TrialState.FAIL
    }


def test_finals_teach_neither_tpe_nor_the_importance_of_hyperparameters() -> None:
    with_finals, without = make_spec(finals={"seeds": 20}), make_spec()
    first, second = make_study(with_finals), make_study(without)
    for spec, study in ((with_finals, first), (without, second)):
        search(spec, study, ScriptedExecutor(steady))
        more = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": 12})})
        search(more, study, ScriptedExecutor(steady))
    drawn = [
        [t.hyperparameters for t in study_store.read_trials(study) if not t.is_final]
        for study in (first, second)
    ]
    assert drawn[0] == drawn[1]
    assert importance(first) == importance(second)
    assert constant(first) == constant(second)


def test_what_a_larger_budget_has_outdone_leaves_no_gap_among_models_that_are_kept() -> None:
    spec = make_spec(finals=FINALS, budget={"trials": 2})
    study, tracker = make_study(spec), ListTracker()
    study.set_user_attr(study_store.N_MODELS, 2)
    search(spec, study, ScriptedExecutor(lambda job: [0.5 + 0.01 * job.trial]), tracker)
    larger = make_spec(finals=FINALS, budget={"trials": 5})
    search(larger, study, ScriptedExecutor(lambda job: [0.52]), tracker)  # between both
    kept = {number for run, number in tracker.trial_of.items() if run in tracker.models}
    assert {trial.number for trial in study_store.with_models(study)} == kept
