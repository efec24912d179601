"""The supervisor's loop, with executors that play a script instead of training."""

import contextlib
import itertools
import math
from collections.abc import Callable
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
    search,
    steady,
)

from pipeline.errors import PipelineError
from pipeline.paths import Project
from pipeline.search.again import MOST_LOSSES
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import studies, study_store
from pipeline.study import assignment
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Cause, Trial, ranking, select_counted, with_model
from pipeline.training.job import Event, Failed, Job, Lost


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_budget_of_trials_is_met_exactly(n_workers: int) -> None:
    spec = make_spec()
    study = make_study(spec)
    assert search(spec, study, ScriptedExecutor(steady, n_workers)) is SearchEnd.BUDGET_USED
    assert [trial.state for trial in study_store.read_trials(study)] == ["COMPLETE"] * 6
    assert n_running(study) == 0


def test_value_is_the_metric_at_the_best_epoch() -> None:
    spec = make_spec(budget={"trials": 1})
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(lambda job: [0.5, 0.8, 0.7]))
    (trial,) = study_store.read_trials(study)
    assert (trial.value, trial.best_epoch, trial.n_epochs) == (0.8, 2, 3)
    assert trial.history["val_accuracy"] == [0.5, 0.8, 0.7]
    assert trial.n_parameters == 7


def test_budget_used_up_means_nothing_is_started() -> None:
    spec = make_spec()
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    again = ScriptedExecutor(steady)
    assert search(spec, study, again) is SearchEnd.BUDGET_USED
    assert again.jobs == []


@pytest.mark.parametrize("n_workers", [1, 3])
def test_a_sampler_that_has_drawn_all_there_is_ends_the_search(
    n_workers: int, tmp_path: Path
) -> None:
    spec = make_spec(
        finals=False,
        budget={"trials": 50},
        sampler={"type": "BruteForceSampler"},
        fixed={"epochs": 3, "optimizer": "adam", "learning_rate": 0.01},
        space={
            "hidden_layers": {"type": "int", "low": 0, "high": 1},
            "units": {"type": "int", "low": 8, "high": 10, "per": "hidden_layers"},
            "batch_size": {"type": "categorical", "choices": [32, 64]},
        },
    )
    study = studies.open_study(Project(tmp_path), spec)
    assert search(spec, study, ScriptedExecutor(steady, n_workers)) is SearchEnd.BUDGET_USED
    drawn = {str(trial.hyperparameters) for trial in study_store.read_trials(study)}
    assert len(drawn) == 8
    # what the others still train when a worker is free, it may draw again
    assert len(study_store.read_trials(study)) < 8 + n_workers
    again = ScriptedExecutor(steady, n_workers)
    search(spec, studies.open_study(Project(tmp_path), spec), again)
    assert again.jobs == []


def test_a_larger_budget_goes_on() -> None:
    study = make_study(make_spec())
    search(make_spec(), study, ScriptedExecutor(steady))
    more = ScriptedExecutor(steady)
    search(make_spec(budget={"trials": 8}), study, more)
    assert len(more.jobs) == 2
    assert len(study_store.read_trials(study)) == 8


def test_minutes_count_over_reruns() -> None:
    spec = make_spec(budget={"minutes": 1})
    study = make_study(spec)
    study.set_user_attr(study_store.SECONDS, 61.0)
    executor = ScriptedExecutor(steady)
    assert search(spec, study, executor) is SearchEnd.BUDGET_USED
    assert executor.jobs == []
    assert study.user_attrs[study_store.SECONDS] > 61.0


def test_same_seed_and_one_worker_give_the_same_trials() -> None:
    spec = make_spec()
    first, second = make_study(spec), make_study(spec)
    search(spec, first, ScriptedExecutor(steady))
    search(spec, second, ScriptedExecutor(steady))
    assert asked(first) == asked(second)
    assert len({seed for _, seed in asked(first)}) == 6


def test_references_come_first_with_paired_seeds() -> None:
    references = [
        {"name": "a", "hyperparameters": REFERENCE, "repeats": 2},
        {"name": "b", "hyperparameters": {**REFERENCE, "units": [999]}, "repeats": 2},
    ]
    spec = make_spec(reference=references)
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    done = study_store.read_trials(study)
    assert [trial.reference for trial in done] == ["a", "a", "b", "b", "", ""]
    assert [trial.seed for trial in done[:2]] == [trial.seed for trial in done[2:4]]
    assert done[0].seed != done[1].seed
    assert done[2].hyperparameters is not None
    assert done[2].hyperparameters.units == (999,), "outside the space, and still run as it is"


def test_references_alone_are_a_study() -> None:
    references = [{"name": "a", "hyperparameters": REFERENCE, "repeats": 3}]
    spec = make_spec(reference=references, space={}, fixed={}, budget={"trials": 100})
    study = make_study(spec)
    assert search(spec, study, ScriptedExecutor(steady, 2)) is SearchEnd.BUDGET_USED
    assert len(study_store.read_trials(study)) == 3


LOGISTIC = {"name": "logistic", "trainer": "sgd_classifier"}


def by_kind(job: Job) -> list[float]:
    """Logistic regression beats every network."""
    return steady(job) if job.hyperparameters else [0.99]


def test_a_job_has_the_trainer_and_the_patience_of_its_reference() -> None:
    references = [
        {"name": "a", "hyperparameters": REFERENCE, "patience": 7, "repeats": 2},
        {"name": "b", "hyperparameters": REFERENCE},
        {**LOGISTIC, "patience": 5},
    ]
    spec = make_spec(reference=references, training={"patience": 2})
    executor = ScriptedExecutor(by_kind)
    study = make_study(spec)
    search(spec, study, executor)
    assert [(job.trainer, job.patience) for job in executor.jobs] == [
        ("keras", 7),
        ("keras", 7),
        ("keras", 2),
        ("sgd_classifier", 5),
        ("keras", 2),
        ("keras", 2),
    ]
    assert [job.trial for job in executor.jobs if job.hyperparameters is None] == [3]
    seeds = [job.seed for job in executor.jobs]
    assert seeds[0] == seeds[2] == seeds[3] != seeds[1], "the n-th repeats are pairs"
    done = study_store.read_trials(study)
    assert (done[3].reference, done[3].hyperparameters) == ("logistic", None)
    assert (done[3].state, done[3].value) == ("COMPLETE", 0.99)


def test_what_is_no_network_sets_no_record_even_with_the_best_value() -> None:
    spec = make_spec(
        reference=[LOGISTIC, {"name": "a", "hyperparameters": REFERENCE}], budget={"trials": 3}
    )
    study, tracker, progress = make_study(spec), ListTracker(), SilentProgress()
    executor = ScriptedExecutor(by_kind)
    Supervisor(spec, study, executor, tracker, progress).run()
    done = study_store.read_trials(study)
    best = max(steady(job)[1] for job in executor.jobs[1:])
    assert study_store.champion(study).value == best < (done[0].value or 0)
    assert 0 not in [trial.number for trial in ranking(done, spec.direction)]
    assert [job.to_beat for job in executor.jobs[:2]] == [None, None]
    assert "run 0" not in tracker.models, "although the executor sent one"
    assert tracker.records[0] == steady(executor.jobs[1])[1]
    assert tracker.status["run 0"] == "COMPLETE"
    assert f"{best:.4f}" in progress.snapshots[-1].best
    assert any("0.9900, logistic" in line for line in progress.lines)


def test_what_is_no_network_sets_no_record_for_a_supervisor_that_goes_on() -> None:
    study = make_study(make_spec())
    references = [LOGISTIC, {"name": "a", "hyperparameters": REFERENCE}]
    search(make_spec(reference=references, budget={"trials": 2}), study, ScriptedExecutor(by_kind))
    again = ScriptedExecutor(by_kind)
    search(make_spec(reference=references, budget={"trials": 3}), study, again)
    network = study_store.read_trials(study)[1]
    assert network.reference == "a"
    assert [job.to_beat for job in again.jobs] == [network.value]


@pytest.mark.parametrize("is_killed", [False, True])
def test_logistic_regression_is_queued_again_when_it_is_interrupted(
    is_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(
        reference=[{**LOGISTIC, "repeats": 2, "patience": 5}], space={}, fixed={},
        budget={"trials": 10},
    )  # fmt: skip
    study, executor, tracker = make_study(spec), ScriptedExecutor(by_kind), ListTracker()
    supervisor = Supervisor(spec, study, executor, tracker, SilentProgress())
    with monkeypatch.context() as patch:
        if is_killed:
            patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        executor.on_events = supervisor.interrupt
        assert supervisor.run() is SearchEnd.INTERRUPTED
    assert n_running(study) == int(is_killed)

    again = ScriptedExecutor(by_kind)
    assert search(spec, study, again, tracker) is SearchEnd.BUDGET_USED

    done = study_store.read_trials(study)
    assert [trial.interrupted for trial in done] == [True, False, False]
    counted = select_counted(done)
    assert [trial.reference for trial in counted] == ["logistic", "logistic"]
    assert {trial.seed for trial in counted} == {job.seed for job in again.jobs}
    assert done[0].seed in {trial.seed for trial in counted}
    assert len({trial.seed for trial in counted}) == 2
    for job in again.jobs:
        assert (job.trainer, job.patience, job.hyperparameters) == ("sgd_classifier", 5, None)
    assert "RUNNING" not in tracker.status.values()


def test_pruning_stops_the_job_and_keeps_its_curve() -> None:
    spec = make_spec(
        pruner={"type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2}
    )
    study = make_study(spec)
    falling = itertools.count()
    executor = ScriptedExecutor(lambda job: [0.9 - 0.1 * next(falling)] * 3)
    search(spec, study, executor)
    done = study_store.read_trials(study)
    assert [trial.state for trial in done] == ["COMPLETE"] + ["PRUNED"] * 5
    assert executor.stopped == [1, 2, 3, 4, 5]
    assert [trial.n_epochs for trial in done] == [3, 1, 1, 1, 1, 1]


def test_references_are_never_pruned() -> None:
    spec = make_spec(
        pruner={"type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2},
        reference=[{"name": "a", "hyperparameters": REFERENCE, "repeats": 3}],
        budget={"trials": 3},
    )
    study = make_study(spec)
    falling = itertools.count()
    search(spec, study, ScriptedExecutor(lambda job: [0.9 - 0.1 * next(falling)] * 3))
    assert [trial.state for trial in study_store.read_trials(study)] == ["COMPLETE"] * 3


def test_a_failure_has_its_reason_and_the_search_goes_on() -> None:
    spec = make_spec()
    study = make_study(spec)
    tracker = ListTracker()
    search(
        spec,
        study,
        ScriptedExecutor(lambda job: "no memory" if job.trial == 2 else steady(job)),
        tracker,
    )
    done = study_store.read_trials(study)
    assert [str(trial.state) for trial in done].count("FAIL") == 1
    assert (done[2].state, done[2].reason, done[2].value) == ("FAIL", "no memory", None)
    assert len(done) == 6, "a trial that failed of its own counts"
    assert tracker.status["run 2"] == "FAIL"


def out_of_memory(job: Job) -> Failed:
    return Failed(job.trial, "killed", is_transient=True)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_what_failed_for_want_of_memory_is_tried_again_with_its_seed(n_workers: int) -> None:
    spec = make_spec()
    study, tracker = make_study(spec), ListTracker()
    executor = ScriptedExecutor(
        lambda job: out_of_memory(job) if job.trial == 1 else steady(job), n_workers
    )
    assert search(spec, study, executor, tracker) is SearchEnd.BUDGET_USED
    done = study_store.read_trials(study)
    assert [trial.state for trial in select_counted(done)] == ["COMPLETE"] * 6
    (again,) = (frozen for frozen in study.trials if assignment.RETRY_OF in frozen.user_attrs)
    failed, retried = done[1], done[again.number]
    assert (failed.state, failed.reason, failed.interrupted) == ("FAIL", "killed", True)
    assert again.user_attrs[assignment.RETRY_OF] == 1
    assert (retried.hyperparameters, retried.seed) == (failed.hyperparameters, failed.seed)
    assert tracker.status["run 1"] == "FAIL"
    assert tracker.reasons["run 1"] == "killed"


def test_trying_again_draws_what_would_have_been_drawn() -> None:
    spec = make_spec()
    disturbed, undisturbed = make_study(spec), make_study(spec)
    search(
        spec,
        disturbed,
        ScriptedExecutor(lambda job: out_of_memory(job) if job.trial == 2 else steady(job)),
    )
    search(spec, undisturbed, ScriptedExecutor(steady))
    assert asked(disturbed) == asked(undisturbed)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_what_was_lost_with_its_machine_runs_again_and_that_is_no_retry(n_workers: int) -> None:
    spec = make_spec(training={"retries": 0})
    study, tracker = make_study(spec), ListTracker()

    def script(job: Job) -> list[float] | tuple[list[float], Lost]:
        return ([0.1], Lost(job.trial, "node 2: gone")) if job.trial in (1, 2) else steady(job)

    executor = ScriptedExecutor(script, n_workers)
    assert search(spec, study, executor, tracker) is SearchEnd.BUDGET_USED
    done = study_store.read_trials(study)
    assert [trial.state for trial in select_counted(done)] == ["COMPLETE"] * 6
    for lost in done[1:3]:
        assert (lost.state, lost.interrupted) == ("FAIL", True)
        assert tracker.status[f"run {lost.number}"] == "KILLED"
        (again,) = (t for t in study.trials if t.user_attrs.get("retry_of") == lost.number)
        retried = done[again.number]
        assert (retried.hyperparameters, retried.seed) == (lost.hyperparameters, lost.seed)
    assert n_running(study) == 0


def test_losing_a_trial_draws_what_would_have_been_drawn() -> None:
    spec = make_spec()
    disturbed, undisturbed = make_study(spec), make_study(spec)

    def script(job: Job) -> list[float] | tuple[list[float], Lost]:
        return ([], Lost(job.trial, "gone")) if job.trial == 2 else steady(job)

    search(spec, disturbed, ScriptedExecutor(script))
    search(spec, undisturbed, ScriptedExecutor(steady))
    assert asked(disturbed) == asked(undisturbed)


def test_a_trial_with_which_every_machine_is_lost_has_an_end() -> None:
    spec = make_spec(training={"retries": 1}, budget={"trials": 2})
    study, hopeless = make_study(spec), set[int]()

    def script(job: Job) -> list[float] | tuple[list[float], Lost]:
        hopeless.update({job.seed} if not hopeless else ())
        return ([], Lost(job.trial, "gone")) if job.seed in hopeless else steady(job)

    search(spec, study, ScriptedExecutor(script))
    done = study_store.read_trials(study)
    assert sum(trial.seed in hopeless for trial in done) == MOST_LOSSES + 2
    assert sorted(trial.state for trial in select_counted(done)) == ["COMPLETE", "FAIL"]


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_trying_again_has_an_end(retries: int) -> None:
    spec = make_spec(training={"retries": retries}, budget={"trials": 2})
    study, hopeless = make_study(spec), set[int]()

    def script(job: Job) -> list[float] | Failed:
        hopeless.update({job.seed} if not hopeless else ())
        return out_of_memory(job) if job.seed in hopeless else steady(job)

    search(spec, study, ScriptedExecutor(script))
    done = study_store.read_trials(study)
    assert sum(trial.seed in hopeless for trial in done) == 1 + retries
    assert sorted(trial.state for trial in select_counted(done)) == ["COMPLETE", "FAIL"]


def test_an_interruption_does_not_forget_how_often_a_trial_was_tried() -> None:
    spec = make_spec(training={"retries": 1}, budget={"trials": 1})
    study = make_study(spec)
    executor = ScriptedExecutor(lambda job: out_of_memory(job) if job.trial == 0 else steady(job))
    supervisor = Supervisor(spec, study, executor, ListTracker(), SilentProgress())
    executor.on_events = lambda: supervisor.interrupt() if len(executor.jobs) == 2 else None
    assert supervisor.run() is SearchEnd.INTERRUPTED
    search(spec, study, ScriptedExecutor(out_of_memory))
    (failed,) = select_counted(study_store.read_trials(study))
    assert (failed.number, failed.state) == (2, "FAIL")


def test_failures_in_a_row_end_the_search_and_a_rerun_goes_on() -> None:
    spec = make_spec(training={"stop_after_failures": 3}, budget={"trials": 8})
    study, tracker = make_study(spec), ListTracker()
    script = ["no memory", "no disk", None, "no data", "no luck", "no end", "never run"]
    executor = ScriptedExecutor(lambda job: script[job.trial] or steady(job))
    with pytest.raises(PipelineError) as caught:
        search(spec, study, executor, tracker)
    assert "3 trials failed in a row" in str(caught.value)
    assert "(trial 5) because: no end" in str(caught.value)
    assert "stop_after_failures" in str(caught.value)
    assert len(executor.jobs) == 6
    assert "RUNNING" not in tracker.status.values()
    assert search(spec, study, ScriptedExecutor(steady), tracker) is SearchEnd.BUDGET_USED
    assert len(select_counted(study_store.read_trials(study))) == 8


def test_five_failures_in_a_row_are_the_default_limit() -> None:
    spec, executor = make_spec(), ScriptedExecutor(lambda job: "no luck")
    with pytest.raises(PipelineError, match="5 trials failed in a row"):
        search(spec, make_study(spec), executor)
    assert len(executor.jobs) == 5


@pytest.mark.parametrize("n_kinds", [1, 2], ids=["alone", "between ones that diverged"])
def test_what_breaks_after_an_epoch_is_a_failure_too(n_kinds: int) -> None:
    def script(job: Job) -> Any:
        if job.trial % n_kinds:
            return Failed(job.trial, "nan", cause=DIVERGED)
        return [0.5], Failed(job.trial, "no disk")

    spec = make_spec(budget={"trials": 20})
    study = make_study(spec)
    with pytest.raises(PipelineError, match=r"5 trials failed in a row.* because: no disk"):
        search(spec, study, ScriptedExecutor(script))
    assert sum(trial.how == "stopped" for trial in study_store.read_trials(study)) == 5


def test_that_memory_was_short_is_believed_where_others_come_to_their_end() -> None:
    def script(job: Job) -> Any:
        killed = Failed(job.trial, "killed", True, Cause.TOO_LARGE, is_guess=True)
        return [0.5] if job.trial == 1 else killed

    study = make_study(make_spec())
    search(make_spec(training={"retries": 0}), study, ScriptedExecutor(script))
    hows = [trial.how for trial in study_store.read_trials(study)]
    assert hows == ["failed", "complete", *["too large"] * 4]


@pytest.mark.parametrize("has_file", [False, True])
@pytest.mark.parametrize("is_pruned", [False, True])
def test_of_equal_trials_the_champion_is_the_one_whose_weights_were_kept(
    tmp_path: Path, has_file: bool, is_pruned: bool
) -> None:
    pruner = {"type": "ThresholdPruner", "lower": 0.2} if is_pruned else {"type": "NopPruner"}
    spec = make_spec(budget={"trials": 2}, pruner=pruner)
    study = studies.open_study(Project(tmp_path), spec) if has_file else make_study(spec)
    curves = {0: [0.8, 0.9, 0.1], 1: [0.9]}
    tracker = ListTracker()
    search(spec, study, ScriptedExecutor(lambda job: curves[job.trial], 2), tracker)
    assert [trial.number for trial in ranking_of(study, "val_accuracy")] == [1, 0]
    assert study_store.champion(study).number == 1
    also = {"run 0": b"0.9"} if has_file else {}  # a study in memory is as an older one
    assert tracker.models == {"run 1": b"0.9"} | also


def test_a_run_that_was_created_late_is_a_trials_run_all_the_same() -> None:
    spec = make_spec(budget={"trials": 2})
    study = make_study(spec)

    class Late(ListTracker):
        def start_trial(self, trial: int, *_: Any, **__: Any) -> str:
            super().start_trial(trial)
            return ""

    search(spec, study, ScriptedExecutor(steady), Late())
    assert [trial.run_id for trial in study_store.read_trials(study)] == ["", ""]
    study_store.note_run(study, 1, "late")
    study_store.note_run(study, 0, "later")
    assert [trial.run_id for trial in study_store.read_trials(study)] == ["later", "late"]
    assert study_store.champion(study).run_id in ("late", "later")


def test_only_records_store_their_model() -> None:
    values = {0: 0.5, 1: 0.4, 2: 0.7, 3: 0.7, 4: 0.8, 5: 0.1}
    spec = make_spec()
    tracker = ListTracker()
    executor = ScriptedExecutor(lambda job: [values[job.trial]])
    search(spec, make_study(spec), executor, tracker)
    assert tracker.models == {"run 0": b"0.5", "run 2": b"0.7", "run 4": b"0.8"}
    assert tracker.records == [0.5, 0.7, 0.8]
    assert [job.to_beat for job in executor.jobs] == [None, 0.5, 0.5, 0.7, 0.7, 0.8]


VALUES = {0: 0.5, 1: 0.4, 2: 0.7, 3: 0.7, 4: 0.8, 5: 0.45}


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_best_few_models_are_kept_and_others_dropped(metric: str) -> None:
    sign = 1 if metric == "val_accuracy" else -1
    spec, tracker = make_spec(metric=metric), ListTracker()
    study = make_study(spec)
    study.set_user_attr(study_store.N_MODELS, 3)
    executor = ScriptedExecutor(lambda job: [sign * VALUES[job.trial]])
    search(spec, study, executor, tracker)
    kept = {number: str(sign * VALUES[number]).encode() for number in (2, 3, 4)}
    assert tracker.models == {f"run {number}": model for number, model in kept.items()}
    to_beat = [None, None, None, sign * 0.4, sign * 0.5, sign * 0.7]
    assert [job.to_beat for job in executor.jobs] == to_beat
    assert tracker.records == [sign * 0.5, sign * 0.7, sign * 0.8]
    ranked = ranking_of(study, metric)
    assert [each.number for each in with_model(ranked, spec.direction, 3)] == [4, 2, 3]
    again = ScriptedExecutor(lambda job: [sign * 0.75])
    search(make_spec(metric=metric, budget={"trials": 7}), study, again, tracker)
    assert [job.to_beat for job in again.jobs] == [sign * 0.7]
    assert tracker.models.keys() == {"run 2", "run 4", "run 6"}


@pytest.mark.parametrize("kill_at", range(1, 40))
def test_the_best_few_are_there_wherever_a_supervisor_is_killed(
    kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, tracker = make_spec(), ListTracker()
    study = make_study(spec)
    study.set_user_attr(study_store.N_MODELS, 2)

    def script(job: Job) -> list[float]:
        return [VALUES[job.seed % 6]]  # a trial that is run again comes out as before

    tracker.kill_at = kill_at
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        search(spec, study, ScriptedExecutor(script), tracker)
    tracker.kill_at = None
    search(spec, study, ScriptedExecutor(script), tracker)
    ranked = ranking_of(study, "val_accuracy")
    for trial in with_model(ranked, spec.direction, 2):
        assert tracker.models[trial.run_id] == str(trial.value).encode()
    assert len(tracker.models) <= 2 + 1  # what the kill has left


def test_a_trial_over_its_wall_limit_is_stopped() -> None:
    spec = make_spec(training={"trial_minutes": 1e-9}, budget={"trials": 2})
    study = make_study(spec)
    executor = ScriptedExecutor(steady)
    search(spec, study, executor)
    assert [trial.state for trial in study_store.read_trials(study)] == ["FAIL"] * 2
    assert "minutes" in study_store.read_trials(study)[0].reason
    assert executor.stopped == [0, 1]


DIVERGED = Cause.DIVERGED


def played(values: dict[int, Any], **changes: Any) -> tuple[optuna.Study, ListTracker, list[str]]:
    """Searches with a script by number of the trial; returns stores and printed lines."""
    spec = make_spec(budget={"trials": len(values)}, **changes)
    study, tracker, progress = make_study(spec), ListTracker(), SilentProgress()
    executor = ScriptedExecutor(lambda job: values[job.trial])
    Supervisor(spec, study, executor, tracker, progress).run()
    return study, tracker, progress.lines


@pytest.mark.parametrize(
    "end",
    [
        Failed(1, "val_loss became nan in epoch 3", cause=DIVERGED),
        Failed(1, "killed", is_transient=True),
        Failed(1, "MemoryError", cause=Cause.TOO_LARGE),
        Failed(1, "ValueError: a bug"),
    ],
)
@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_best_epoch_counts_whatever_ended_the_trial(end: Failed, metric: str) -> None:
    best, worse = (0.9, 0.5) if metric == "val_accuracy" else (0.1, 0.5)
    study, tracker, lines = played(
        {0: [worse], 1: ([best, worse], end), 2: [worse]},
        metric=metric,
        training={"retries": 0},
    )
    stopped = study_store.read_trials(study)[1]
    assert (stopped.state, stopped.value, stopped.best_epoch) == ("COMPLETE", best, 1)
    assert (stopped.ending, stopped.how, stopped.n_parameters) == (end.reason, "stopped", 7)
    assert study.trials[1].value == best, "as samplers see it"
    assert study_store.champion(study) == stopped
    assert tracker.models["run 1"] == str(best).encode(), "the weights of its best epoch"
    assert tracker.records == [worse, best]
    assert tracker.status["run 1"] == "COMPLETE"
    assert tracker.reasons["run 1"] == end.reason
    assert lines[1].startswith("stopped")
    assert end.reason in lines[1]


def test_a_trial_over_its_wall_limit_counts_with_its_best_epoch() -> None:
    spec = make_spec(budget={"trials": 1})
    study, tracker = make_study(spec), ListTracker()
    executor = ScriptedExecutor(lambda job: [0.7, 0.9, 0.8])
    supervisor = Supervisor(spec, study, executor, tracker, SilentProgress())

    def let_time_pass() -> None:  # before the second epoch is heard of
        if any(running.epoch == 1 for running in supervisor._running.values()):
            supervisor._spec = make_spec(training={"trial_minutes": 1e-9}, budget={"trials": 1})

    executor.on_events = let_time_pass
    supervisor.run()
    (trial,) = study_store.read_trials(study)
    assert (trial.state, trial.value, trial.n_epochs) == ("COMPLETE", 0.9, 2)
    assert trial.ending == "stopped after 1e-09 minutes"
    assert trial.how == "stopped"
    assert study_store.champion(study) == trial
    assert tracker.models == {"run 0": b"0.9"}
    assert executor.stopped == [0]


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_a_pruned_trial_counts_with_its_best_epoch_and_is_the_champion_if_it_is_the_best(
    metric: str,
) -> None:
    pruner = {"type": "ThresholdPruner", "lower": 0.2, "upper": 0.8}
    good, best, bad = (0.5, 0.7, 0.1) if metric == "val_accuracy" else (0.5, 0.3, 0.9)
    study, tracker, lines = played(
        {0: [good], 1: [best, bad, good], 2: [good, bad], 3: [bad]}, metric=metric, pruner=pruner
    )
    pruned = study_store.read_trials(study)[1]
    assert (pruned.state, pruned.value, pruned.best_epoch) == ("PRUNED", best, 1)
    assert pruned.ending == "pruned after epoch 2"
    assert study.trials[1].value == bad, "as Optuna has it of pruned trials"
    assert study_store.champion(study) == pruned == ranking_of(study, metric)[0]
    assert [t.number for t in ranking_of(study, metric)] == [1, 0, 2, 3]
    assert tracker.models == {"run 0": str(good).encode(), "run 1": str(best).encode()}
    assert [line.split()[0] for line in lines] == ["complete", *["pruned"] * 3]
    # a supervisor that goes on knows the record
    again = ScriptedExecutor(lambda job: [good])
    search(make_spec(budget={"trials": 5}, metric=metric, pruner=pruner), study, again)
    assert [job.to_beat for job in again.jobs] == [best]


def ranking_of(study: optuna.Study, metric: str) -> list[Trial]:
    direction = "maximize" if metric == "val_accuracy" else "minimize"
    return ranking(study_store.read_trials(study), direction)


def test_when_all_are_pruned_the_best_of_them_is_the_champion() -> None:
    study, tracker, _ = played(
        {0: [0.5, 0.4], 1: [0.7], 2: [0.6]}, pruner={"type": "ThresholdPruner", "lower": 0.99}
    )
    assert study_store.champion(study).number == 1
    assert tracker.models == {"run 0": b"0.5", "run 1": b"0.7"}


def test_of_a_pruned_trial_of_an_older_store_no_weights_were_kept() -> None:
    study, tracker, _ = played(
        {0: [0.5], 1: [0.9, 0.1]}, pruner={"type": "ThresholdPruner", "lower": 0.2}
    )
    study.set_user_attr(study_store.PRUNED_RECORDS, [])  # which it did not have
    assert [trial.number for trial in ranking_of(study, "val_accuracy")] == [1, 0]
    assert study_store.champion(study).number == 0
    again = ScriptedExecutor(lambda job: [0.6])
    search(make_spec(budget={"trials": 3}), study, again, tracker)
    assert study_store.champion(study).number == 2
    assert tracker.models["run 2"] == b"0.6", "the best whose weights were kept"


def test_a_pruned_record_that_was_killed_before_optuna_was_told_is_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_spec(pruner={"type": "ThresholdPruner", "lower": 0.99}, budget={"trials": 1})
    study, tracker = make_study(spec), ListTracker()
    tracker.kill_at = 1 + 1 + 1 + 1  # its run, its epoch, its model, then its curve
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        with pytest.raises(Killed):
            search(spec, study, ScriptedExecutor(steady), tracker)
    assert study.user_attrs[study_store.PRUNED_RECORDS] == [0]
    with pytest.raises(PipelineError, match="no trial yet"):
        study_store.champion(study)
    search(spec, study, ScriptedExecutor(steady), tracker)
    assert study_store.champion(study).number == 1
    assert [t.number for t in ranking(study_store.read_trials(study), spec.direction)] == [1]


@pytest.mark.parametrize("cause", [*Cause])
@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_what_hyperparameters_made_of_a_trial_is_the_worst_value_to_a_sampler(
    cause: Cause, metric: str
) -> None:
    values: dict[int, Any] = {i: Failed(i, "nan" * i, cause=cause) for i in range(7)}
    study, tracker, lines = played(
        {**values, 7: [0.5]}, metric=metric, training={"retries": 0, "stop_after_failures": 1}
    )
    worst = -math.inf if metric == "val_accuracy" else math.inf
    assert [(t.state.name, t.value) for t in study.trials] == [
        *[("COMPLETE", worst)] * 7,
        ("COMPLETE", 0.5),
    ]
    known = study_store.read_trials(study)
    assert [(t.state, t.value, t.how) for t in known[:7]] == [("FAIL", None, str(cause))] * 7
    assert (tracker.status["run 1"], tracker.reasons["run 1"]) == ("FAIL", "nan")
    assert [trial.number for trial in ranking_of(study, metric)] == [7]
    assert study_store.champion(study).number == 7
    assert lines[1].startswith(cause)


def test_a_study_without_any_value_has_no_champion() -> None:
    study, _, _ = played({i: Failed(i, "nan", cause=DIVERGED) for i in range(3)})
    with pytest.raises(PipelineError, match="no trial yet"):
        study_store.champion(study)


SAMPLERS: list[dict[str, Any]] = [
    {"type": "TPESampler", "n_startup_trials": 4},
    {"type": "TPESampler", "n_startup_trials": 4, "multivariate": True, "group": True},
    {"type": "CmaEsSampler", "n_startup_trials": 4},
]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("seed", [1, 3])
def test_a_sampler_leaves_the_region_that_diverges(
    sampler: dict[str, Any], metric: str, seed: int
) -> None:
    """Of .001 to 100, what is above .02 diverges: three quarters."""

    def script(job: Job) -> list[float] | Failed:
        assert job.hyperparameters
        rate = job.hyperparameters.learning_rate
        if rate > 0.02:
            return Failed(job.trial, "val_loss became nan in epoch 1", cause=DIVERGED)
        miss = 0.1 * abs(math.log10(rate / 0.004))
        return [0.9 - miss if metric == "val_accuracy" else 0.1 + miss]

    spec = make_spec(
        budget={"trials": 40},
        metric=metric,
        sampler={**sampler, "seed": seed},
        fixed={"hidden_layers": 1, "units": 16, "batch_size": 32, "epochs": 1, "optimizer": "sgd"},
        space={
            "learning_rate": {"type": "float", "low": 0.001, "high": 100.0, "log": True},
            "momentum": {"type": "float", "low": 0.0, "high": 0.9},
        },
    )
    study = make_study(spec)
    assert search(spec, study, ScriptedExecutor(script)) is SearchEnd.BUDGET_USED
    late = [trial.value is not None for trial in study_store.read_trials(study)[20:]]
    assert sum(late) > len(late) / 2, "where chance alone would find a quarter"


def interrupted_search(n_workers: int, after: int) -> tuple[StudySpec, optuna.Study]:
    """A search that was interrupted after so many calls of `events`, and then finished."""
    spec = make_spec(reference=[{"name": "a", "hyperparameters": REFERENCE}])
    study = make_study(spec)
    executor = ScriptedExecutor(steady, n_workers)
    tracker = ListTracker()
    supervisor = Supervisor(spec, study, executor, tracker, SilentProgress())
    calls = itertools.count(1)
    executor.on_events = lambda: supervisor.interrupt() if next(calls) == after else None
    assert supervisor.run() is SearchEnd.INTERRUPTED
    assert n_running(study) == 0
    assert "RUNNING" not in tracker.status.values()
    assert search(spec, study, ScriptedExecutor(steady, n_workers)) is SearchEnd.BUDGET_USED
    return spec, study


@pytest.mark.parametrize("after", [1, 2, 3, 7])
@pytest.mark.parametrize("n_workers", [1, 3])
def test_interrupted_trials_run_again_with_their_seed(n_workers: int, after: int) -> None:
    _, study = interrupted_search(n_workers, after)
    done = study_store.read_trials(study)
    interrupted = [trial for trial in done if trial.interrupted]
    assert interrupted
    counted = select_counted(done)
    assert len(counted) == 6
    for trial in interrupted:
        twins = [t for t in counted if (t.hyperparameters, t.seed) == (
            trial.hyperparameters, trial.seed)]  # fmt: skip
        assert [twin.reference for twin in twins] == [trial.reference]


def test_an_interrupted_search_asks_what_it_would_have_asked() -> None:
    spec, study = interrupted_search(n_workers=1, after=9)
    undisturbed = make_study(spec)
    search(spec, undisturbed, ScriptedExecutor(steady))
    assert asked(study) == asked(undisturbed)


def n_tracker_calls() -> int:
    tracker = ListTracker()
    search(make_spec(), make_study(make_spec()), ScriptedExecutor(steady, 2), tracker)
    return len(tracker.calls)


@pytest.mark.parametrize("kill_at", range(1, 41))
def test_killed_at_any_write_nothing_is_lost(
    kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert n_tracker_calls() == 40, "the range above is meant to cover every write"
    spec = make_spec()
    study = make_study(spec)
    tracker = ListTracker()
    tracker.kill_at = kill_at
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        with pytest.raises(Killed):
            search(spec, study, ScriptedExecutor(steady, 2), tracker)
    before = [trial for trial in study_store.read_trials(study) if not trial.interrupted]

    assert search(spec, study, ScriptedExecutor(steady, 2), tracker) is SearchEnd.BUDGET_USED

    done = study_store.read_trials(study)
    assert [done[trial.number] for trial in before] == before
    assert len(select_counted(done)) == 6
    assert n_running(study) == 0
    assert "RUNNING" not in tracker.status.values()
    for trial in select_counted(done):
        assert tracker.status[trial.run_id] == trial.state
        assert tracker.curves[trial.run_id] == [1, 2, 3]
    best = ranking(done, spec.direction)[0]
    assert best.run_id in tracker.models
    seeds = [seed for _, seed in asked(study)]
    assert len(set(seeds)) == 6, "no trial finished twice"


@pytest.mark.parametrize("pruner", ["SuccessiveHalvingPruner", "HyperbandPruner"])
def test_a_pruner_does_not_see_what_was_interrupted(
    pruner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold what is run again against itself."""
    resource = {"min_resource": 1, "reduction_factor": 2}
    spec = make_spec(pruner={"type": pruner, **resource}, budget={"trials": 12})
    study, executor, asked_of = make_study(spec), ScriptedExecutor(steady), set[int]()
    supervisor = Supervisor(spec, study, executor, ListTracker(), SilentProgress())
    executor.on_events = lambda: supervisor.interrupt() if len(executor.jobs) == 3 else None
    assert supervisor.run() is SearchEnd.INTERRUPTED
    (broken,) = (trial for trial in study_store.read_trials(study) if trial.interrupted)
    prune = optuna.pruners.SuccessiveHalvingPruner.prune

    def noted(self: Any, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        asked_of.update(each.number for each in study.get_trials(deepcopy=False))
        return prune(self, study, trial)

    monkeypatch.setattr(optuna.pruners.SuccessiveHalvingPruner, "prune", noted)
    search(spec, study, ScriptedExecutor(steady))
    assert asked_of == {trial.number for trial in study.trials} - {broken.number}


class Late(ScriptedExecutor):
    """Begins some jobs late, by a clock on which a minute passes whenever nothing happens."""

    def __init__(self, minutes: Callable[[Job], float], n_workers: int = 1) -> None:
        super().__init__(steady, n_workers)
        self.now, self._minutes = 0.0, minutes
        self._begins: dict[int, float] = {}

    def submit(self, job: Job) -> None:
        super().submit(job)
        self._begins[job.trial] = self.now + 60 * self._minutes(job)

    def events(self, timeout_seconds: float) -> list[Event]:
        waiting = {n: each for n, each in self._playing.items() if self._begins[n] > self.now}
        self._playing = {n: each for n, each in self._playing.items() if n not in waiting}
        happened = super().events(timeout_seconds)
        self._playing |= waiting
        self.now += 0 if happened else 60
        assert self.now < 60 * 60, "somebody waits for ever"
        return happened


def searched_late(executor: Late, n_trials: int = 3) -> tuple[list[Trial], ListTracker]:
    spec = make_spec(budget={"trials": n_trials}, training={"trial_minutes": 1})
    study, tracker = make_study(spec), ListTracker()
    Supervisor(spec, study, executor, tracker, SilentProgress(), lambda: executor.now).run()
    return study_store.read_trials(study), tracker


@pytest.mark.parametrize(("number", "minutes"), [(0, 30), (1, 5)])
def test_a_worker_that_never_begins_is_stopped_and_its_trial_tried_again(
    number: int, minutes: int
) -> None:
    executor = Late(lambda job: math.inf if job.trial == number else 0)
    trials, tracker = searched_late(executor)
    assert executor.stopped == [number]
    assert executor.now == 60 * (minutes + 1)
    broken, again = trials[number], trials[number + 1]
    assert (broken.reason, broken.interrupted) == ("its process did not begin", True)
    assert (again.seed, again.state) == (broken.seed, "COMPLETE")
    assert tracker.reasons[broken.run_id] == "its process did not begin"
    assert len(select_counted(trials)) == 3


@pytest.mark.parametrize(("number", "minutes"), [(0, 30), (1, 5)])
def test_a_worker_that_begins_late_is_waited_for(number: int, minutes: int) -> None:
    executor = Late(lambda job: minutes if job.trial == number else 0)
    trials, _ = searched_late(executor)
    assert executor.stopped == []
    assert [trial.state for trial in trials] == ["COMPLETE"] * 3


def test_what_waited_for_the_imports_of_the_first_is_waited_for_anew() -> None:
    executor = Late(lambda job: {0: 20, 1: 25}.get(job.trial, 0), n_workers=2)
    trials, _ = searched_late(executor)
    assert executor.stopped == []
    assert [trial.state for trial in trials] == ["COMPLETE"] * 3


def test_progress_shows_what_runs() -> None:
    spec = make_spec(budget={"trials": 2})
    progress = SilentProgress()
    study = make_study(spec)
    Supervisor(spec, study, ScriptedExecutor(steady, 2), ListTracker(), progress).run()
    first, second = progress.snapshots[:2]
    assert first.is_ready
    assert [each.epoch for each in first.running] == [0, 0]
    assert [each.epoch for each in second.running] == [1, 1]
    assert progress.snapshots[-1].n_ended == 2
    assert progress.snapshots[-1].best.startswith("trial ")
    assert [line.split()[0] for line in progress.lines] == ["complete", "complete"]
