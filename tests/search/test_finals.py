"""How a search ends: the best networks once more, with fresh seeds, round by round."""

import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
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

from pipeline import best
from pipeline.paths import Project
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import finals as store
from pipeline.storage import queue, studies, study_store
from pipeline.storage.importance import constant, importance
from pipeline.study.finals import Network, networks_of, rank
from pipeline.study.spec import Finals, StudySpec
from pipeline.study.trial import Cause, Trial, select_counted, with_seeds
from pipeline.training.job import Failed, Job

# Six trials of search, and of six more five: three networks once, the best two once more.
FINALS = {"share": 0.5, "networks": 3, "seeds": 3}
N_SEARCHED, N_FINALS = 6, 5
BUDGET = {"trials": 12}
FEW = {"epochs": 3, "optimizer": "adam", "learning_rate": 0.01}


def spec_with_finals(**changes: Any) -> StudySpec:
    return make_spec(**{"finals": FINALS, "budget": BUDGET, **changes})


def ended(study: optuna.Study) -> list[Trial]:
    return select_counted(study_store.read_trials(study))


def finals_of(study: optuna.Study) -> list[Trial]:
    return [trial for trial in ended(study) if trial.is_final]


def searched(study: optuna.Study) -> list[Trial]:
    return [trial for trial in ended(study) if not trial.is_final]


def best_searched(study: optuna.Study, n: int) -> list[Network]:
    return rank(networks_of(searched(study)), "maximize")[:n]


def champion_number(study: optuna.Study) -> int | None:
    found: int | None = study.user_attrs[study_store.FINALS].get("champion")
    return found


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_the_best_are_trained_again_with_fresh_seeds_and_the_better_half_goes_on(
    n_workers: int,
) -> None:
    spec = spec_with_finals()
    study, executor = make_study(spec), ScriptedExecutor(steady, n_workers)
    assert search(spec, study, executor) is SearchEnd.BUDGET_USED
    assert len(executor.jobs) == N_SEARCHED + N_FINALS
    first, second, third = (each.number for each in best_searched(study, 3))
    found = sorted((t.final_of or 0, t.repeat) for t in finals_of(study))
    assert found == sorted([(first, 1), (second, 1), (third, 1), (first, 2), (second, 2)])
    assert n_running(study) == 0


def test_all_finalists_have_the_same_seeds_that_no_other_trial_has() -> None:
    spec = spec_with_finals()
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    by_repeat: dict[int | None, set[int | None]] = {}
    for trial in finals_of(study):
        by_repeat.setdefault(trial.repeat, set()).add(trial.seed)
    assert [len(seeds) for seeds in by_repeat.values()] == [1, 1]
    fresh = set.union(*by_repeat.values())
    assert len(fresh) == 2
    assert not fresh & {trial.seed for trial in searched(study)}


def test_a_lucky_run_loses_to_a_network_that_is_better_on_average() -> None:
    spec = spec_with_finals()
    study = make_study(spec)

    def script(job: Job) -> list[float]:
        lucky = job.trial == 3
        if job.trial < N_SEARCHED:
            return [0.95 if lucky else 0.9 - 0.01 * job.trial]
        drawn = study.get_trials(deepcopy=False)[job.trial].user_attrs["final_of"]
        return [0.5 if drawn == 3 else 0.9 - 0.01 * drawn]

    search(spec, study, ScriptedExecutor(script))
    assert champion_number(study) == 0
    assert study_store.champion(study).value == 0.9
    assert study_store.champion(study).number in {0, *(t.number for t in finals_of(study))}


def test_of_an_error_the_lowest_mean_wins() -> None:
    spec = spec_with_finals(metric="val_loss")
    study = make_study(spec)

    def script(job: Job) -> list[float]:
        if job.trial < N_SEARCHED:
            return [0.3 + 0.01 * job.trial - 0.2 * (job.trial == 4)]
        drawn = study.get_trials(deepcopy=False)[job.trial].user_attrs["final_of"]
        return [0.3 + 0.01 * drawn + 0.9 * (drawn == 4)]

    search(spec, study, ScriptedExecutor(script))
    assert {t.final_of for t in finals_of(study)} == {4, 0, 1}
    assert champion_number(study) == 0
    assert study_store.champion(study).value == 0.3


def test_the_best_reference_is_trained_as_often_as_the_winner_however_bad() -> None:
    references = [{"name": "a", "hyperparameters": REFERENCE}]
    spec = spec_with_finals(reference=references, budget={"trials": 16})
    study = make_study(spec)

    def script(job: Job) -> list[float]:
        assert job.hyperparameters
        return [0.1] if job.hyperparameters.units == (100,) else steady(job)

    search(spec, study, ScriptedExecutor(script))
    again = [trial for trial in finals_of(study) if trial.final_of == 0]
    assert {trial.repeat for trial in again} == {1, 2}
    assert champion_number(study) != 0


def test_repeats_of_a_reference_count_as_its_fresh_seeds() -> None:
    references = [{"name": "a", "hyperparameters": REFERENCE, "repeats": 3}]
    spec = spec_with_finals(reference=references, budget={"trials": 16})
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    reference = next(each for each in networks_of(ended(study)) if each.reference == "a")
    assert [run.repeat for run in reference.runs] == [0, 1, 2]
    seeds = {run.repeat: run.seed for run in reference.runs}
    assert {t.seed for t in finals_of(study) if t.repeat == 1} == {seeds[1]}
    assert with_seeds(ended(study), reference.first) == list(reference.runs)


def test_finals_come_when_all_that_was_searched_has_ended() -> None:
    spec = spec_with_finals()
    study = make_study(spec)

    def rising(job: Job) -> list[float]:
        return [0.5 + 0.01 * job.trial]  # the last one drawn is the best

    search(spec, study, ScriptedExecutor(rising, n_workers=4))
    assert {t.final_of for t in finals_of(study) if t.repeat == 1} == {3, 4, 5}


def test_false_turns_them_off() -> None:
    spec = spec_with_finals(finals=False)
    study, executor = make_study(spec), ScriptedExecutor(steady)
    search(spec, study, executor)
    assert (len(executor.jobs), finals_of(study)) == (12, [])


def test_a_budget_of_a_few_trials_has_none() -> None:
    spec = make_spec(finals={"share": 0.2}, budget={"trials": 7})
    study, executor = make_study(spec), ScriptedExecutor(steady)
    search(spec, study, executor)
    assert (len(executor.jobs), finals_of(study)) == (7, [])


@pytest.mark.parametrize("n_trials", [8, 10, 13, 20, 31, 60])
@pytest.mark.parametrize("n_references", [0, 1, 3])
def test_search_and_finals_never_take_more_trials_than_the_budget_has(
    n_trials: int, n_references: int
) -> None:
    references = [
        {"name": str(i), "hyperparameters": {**REFERENCE, "units": [100 + i]}}
        for i in range(n_references)
    ]
    spec = make_spec(finals={}, reference=references, budget={"trials": n_trials})
    study, executor = make_study(spec), ScriptedExecutor(steady, 2)
    search(spec, study, executor)
    n_finals = len(finals_of(study))
    assert len(searched(study)) == n_trials - round(0.2 * n_trials)
    assert len(ended(study)) <= n_trials
    assert 0 < n_finals <= round(0.2 * n_trials)
    assert len(executor.jobs) == len(searched(study)) + n_finals


def test_a_study_of_an_older_version_has_none_unless_its_file_names_them(tmp_path: Path) -> None:
    spec = make_spec(budget={"trials": 20})
    study = studies.open_study(Project(tmp_path), spec)
    stored = optuna.load_study(study_name=study.study_name, storage=study._storage)
    assert store.split_budget(stored, spec)[1] is not None, "a new one has"
    old = make_study(spec)  # which notes nothing unless the file names finals
    executor = ScriptedExecutor(steady)
    search(spec, old, executor)
    assert len(executor.jobs) == 20
    named = make_spec(budget={"trials": 20}, finals={})
    store.note_due(old, named, is_new=False)
    search(named, old, executor)
    assert len(finals_of(old)) == 4


def test_they_change_no_fingerprint_and_a_larger_number_adds_what_lacks() -> None:
    spec, more = spec_with_finals(), spec_with_finals(finals={**FINALS, "networks": 2, "seeds": 4})
    assert more.fingerprint == spec.fingerprint == make_spec().fingerprint
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    again = ScriptedExecutor(steady)
    search(spec, study, again)
    assert again.jobs == []
    larger = more.model_copy(update={"budget": more.budget.model_copy(update={"trials": 14})})
    search(larger, study, again)
    assert len(searched(study)) == 7
    assert len(finals_of(study)) <= 7
    assert len({(t.final_of, t.repeat) for t in finals_of(study)}) == len(finals_of(study))


def test_they_are_no_part_of_what_was_drawn() -> None:
    with_finals, without = spec_with_finals(), make_spec(finals=False)
    first, second = make_study(with_finals), make_study(without)
    search(with_finals, first, ScriptedExecutor(steady))
    search(without, second, ScriptedExecutor(steady))
    search(spec_with_finals(budget={"trials": 16}), first, ScriptedExecutor(steady))
    search(make_spec(finals=False, budget={"trials": 8}), second, ScriptedExecutor(steady))
    seeds = [[t.seed for t in searched(study)] for study in (first, second)]
    assert len(seeds[0]) == 8
    assert seeds[0] == seeds[1], "seeds of drawn trials go on as if there were no finals"


def noisy(job: Job) -> list[float]:
    """A curve that depends on the seed more than on the network."""
    return [random.Random(f"{job.seed} {job.hyperparameters}").gauss(0.9, 0.01)]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_round_brings_does_not_change_who_takes_part_in_it(seed: int) -> None:
    spec = spec_with_finals(
        finals={"share": 0.6, "networks": 8, "seeds": 5},
        budget={"trials": 40},
        sampler={"type": "RandomSampler", "seed": seed},
    )
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(noisy, 1 + seed % 3))
    n_runs = [each.repeat for each in finals_of(study)]
    assert [n_runs.count(repeat) for repeat in (1, 2, 3, 4)] == [8, 4, 2, 2]
    known = {each.number: each for each in networks_of(ended(study))}
    last = [each for each in known.values() if len(each.runs) == 5]
    assert champion_number(study) == rank(last, "maximize")[0].number


@pytest.mark.parametrize("kill_at", range(30, 80))
def test_a_kill_in_the_middle_loses_and_doubles_nothing_and_decides_the_same(
    kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_with_finals()
    whole, study, tracker = make_study(spec), make_study(spec), ListTracker()
    search(spec, whole, ScriptedExecutor(noisy, 2))
    tracker.kill_at = kill_at
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        try:
            search(spec, study, ScriptedExecutor(noisy, 2), tracker)
        except Killed:
            assert len(finals_of(study)) <= N_FINALS
    tracker.kill_at = None
    search(spec, study, ScriptedExecutor(noisy, 2), tracker)
    assert len(ended(study)) == N_SEARCHED + N_FINALS
    assert len({(t.final_of, t.repeat) for t in finals_of(study)}) == N_FINALS
    assert {t.final_of for t in finals_of(study)} <= {t.number for t in searched(study)}
    assert "RUNNING" not in tracker.status.values()
    assert n_running(study) == 0
    champions = [study_store.champion(each) for each in (study, whole)]
    assert champions[0].hyperparameters == champions[1].hyperparameters


@pytest.mark.parametrize("n_events", range(1, 40, 3))
def test_an_interruption_in_the_middle_is_gone_on_with(n_events: int) -> None:
    spec = spec_with_finals()
    study, executor = make_study(spec), ScriptedExecutor(steady)
    supervisor = Supervisor(spec, study, executor, ListTracker(), SilentProgress())
    left = iter(range(n_events))
    executor.on_events = lambda: None if next(left, None) is not None else supervisor.interrupt()
    supervisor.run()
    search(spec, study, ScriptedExecutor(steady))
    assert len(ended(study)) == N_SEARCHED + N_FINALS
    assert len({(t.final_of, t.repeat) for t in finals_of(study)}) == N_FINALS


def test_all_their_models_are_kept_and_none_is_pruned() -> None:
    pruner = {"type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2}
    spec, tracker = spec_with_finals(pruner=pruner), ListTracker()
    study = make_study(spec)
    study.set_user_attr(study_store.N_MODELS, 2)

    def script(job: Job) -> list[float]:
        return steady(job) if job.trial < N_SEARCHED else [0.1, 0.2, 0.15]

    search(spec, study, ScriptedExecutor(script), tracker)
    finals = finals_of(study)
    assert [(t.state, t.n_epochs, t.value) for t in finals] == [("COMPLETE", 3, 0.2)] * N_FINALS
    kept = {number for run, number in tracker.trial_of.items() if run in tracker.models}
    assert {t.number for t in finals} < kept
    assert len(kept) == 2 + N_FINALS, "no model of another network was pushed out"


def test_they_wait_for_trials_that_wait_for_a_larger_budget() -> None:
    references: list[dict[str, Any]] = [{"name": "a", "hyperparameters": REFERENCE, "repeats": 9}]
    small = spec_with_finals(reference=references, budget={"trials": 8})
    study, executor = make_study(small), ScriptedExecutor(steady)
    assert search(small, study, executor) is SearchEnd.BUDGET_USED
    assert (len(executor.jobs), finals_of(study)) == (4, [])
    large = spec_with_finals(reference=references, budget={"trials": 22})
    search(large, study, ScriptedExecutor(steady))
    assert len(finals_of(study)) > 0


def test_a_final_that_fails_is_not_tried_for_ever_and_the_others_decide() -> None:
    spec = spec_with_finals(training={"retries": 1, "stop_after_failures": 50})
    study = make_study(spec)

    def script(job: Job) -> list[float] | Failed:
        if job.trial < N_SEARCHED:
            return steady(job)
        return Failed(job.trial, "killed", is_transient=True)

    assert search(spec, study, ScriptedExecutor(script)) is SearchEnd.BUDGET_USED
    assert [trial.value for trial in finals_of(study)] == [None] * N_FINALS
    assert champion_number(study) == best_searched(study, 1)[0].number
    executor = ScriptedExecutor(steady)
    search(spec, study, executor)
    assert executor.jobs == []


def test_their_time_is_counted_apart_and_kept_within_their_share() -> None:
    def slow(job: Job) -> list[float]:
        assert job.hyperparameters
        return [0.9 - abs(job.hyperparameters.learning_rate - 0.01)]

    spec = make_spec(finals={"share": 0.5, "networks": 8, "seeds": 4}, budget={"minutes": 4})
    study, seconds = make_study(spec), [0.0]

    class Timed(ScriptedExecutor):
        """Each call for events takes ten seconds."""

        def events(self, timeout_seconds: float) -> Any:
            seconds[0] += 10
            return super().events(timeout_seconds)

    executor = Timed(slow)
    supervisor = Supervisor(
        spec, study, executor, ListTracker(), SilentProgress(), clock=lambda: seconds[0]
    )
    supervisor.run()
    assert study.user_attrs[study_store.SECONDS] == pytest.approx(120, abs=40)
    assert study.user_attrs[study_store.FINALS_SECONDS] > 0


def test_a_finite_space_that_is_used_up_has_finals_too(tmp_path: Path) -> None:
    spec = make_spec(
        finals={"networks": 2, "seeds": 3},
        budget={"trials": 50},
        sampler={"type": "BruteForceSampler"},
        fixed={**FEW, "hidden_layers": 0, "units": 8},
        space={"batch_size": {"type": "categorical", "choices": [32, 64]}},
    )
    study = studies.open_study(Project(tmp_path), spec)
    first, again = ScriptedExecutor(steady), ScriptedExecutor(steady)
    assert search(spec, study, first) is SearchEnd.BUDGET_USED
    assert len(first.jobs) == 2 + 4
    search(spec, studies.open_study(Project(tmp_path), spec), again)
    assert again.jobs == []


def interrupted_among_finals(spec: StudySpec, study: optuna.Study) -> None:
    """Searches until the first final has begun, and is interrupted there."""
    executor = ScriptedExecutor(steady)
    supervisor = Supervisor(spec, study, executor, ListTracker(), SilentProgress())

    def interrupt() -> None:
        if len(executor.jobs) == N_SEARCHED + 1:
            supervisor.interrupt()

    executor.on_events = interrupt
    assert supervisor.run() is SearchEnd.INTERRUPTED
    assert finals_of(study) == []


def test_with_a_larger_budget_the_search_goes_on_before_finals_that_wait() -> None:
    spec, tracker = spec_with_finals(), ListTracker()
    study = make_study(spec)
    interrupted_among_finals(spec, study)
    larger = spec_with_finals(budget={"trials": 16})
    executor = ScriptedExecutor(lambda job: [0.99] if job.trial > 10 else steady(job))
    assert search(larger, study, executor, tracker) is SearchEnd.BUDGET_USED
    assert len(searched(study)) == 8
    best = {each.number for each in best_searched(study, 3)}
    assert {t.final_of for t in finals_of(study)} <= best
    assert len(finals_of(study)) <= 8
    assert "RUNNING" not in tracker.status.values()


def test_an_interruption_between_two_that_are_queued_loses_none() -> None:
    spec = spec_with_finals()
    study = make_study(spec)
    search(make_spec(finals=False), study, ScriptedExecutor(steady))
    asked = iter([False, True])
    queue.queue_finals(study, spec, [(0, 1), (1, 1), (2, 1)], lambda: next(asked))
    assert len(study.get_trials(states=(TrialState.WAITING,))) == 1
    queue.queue_finals(study, spec, [(0, 1), (1, 1), (2, 1)])
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert [each.user_attrs["final_of"] for each in waiting] == [0, 1, 2]


def test_what_somebody_enqueues_among_the_finals_waits_for_a_larger_budget() -> None:
    spec = spec_with_finals()
    study = make_study(spec)
    interrupted_among_finals(spec, study)
    study.enqueue_trial({"learning_rate": 0.02})
    search(spec, study, ScriptedExecutor(steady))
    assert len(finals_of(study)) == N_FINALS
    assert queue.count_waiting(study) == 1
    search(spec_with_finals(budget={"trials": 14}), study, ScriptedExecutor(steady))
    rates = [t.hyperparameters.learning_rate for t in searched(study) if t.hyperparameters]
    assert 0.02 in rates


def test_a_final_that_diverges_tells_no_sampler_that_its_network_is_bad() -> None:
    spec = spec_with_finals()
    study = make_study(spec)

    def script(job: Job) -> list[float] | Failed:
        if job.trial < N_SEARCHED:
            return steady(job)
        return Failed(job.trial, "nan", cause=Cause.DIVERGED)

    search(spec, study, ScriptedExecutor(script))
    assert {t.state for t in study.trials if "final_of" in t.user_attrs} == {TrialState.FAIL}


def test_finals_teach_neither_tpe_nor_the_importance_of_hyperparameters() -> None:
    with_finals, without = spec_with_finals(), make_spec(finals=False)
    first, second = make_study(with_finals), make_study(without)
    for spec, study, n in ((with_finals, first, 24), (without, second, 12)):
        search(spec, study, ScriptedExecutor(steady))
        more = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": n})})
        search(more, study, ScriptedExecutor(steady))
    drawn = [[t.hyperparameters for t in searched(study)] for study in (first, second)]
    assert drawn[0] == drawn[1]
    assert importance(first) == importance(second)
    assert constant(first) == constant(second)


def test_of_a_study_that_has_ended_they_can_be_asked_for_without_a_limit() -> None:
    spec = make_spec(finals=False)
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(steady))
    executor = ScriptedExecutor(steady)
    asked = Finals(networks=3, seeds=3)
    for n_jobs in (N_FINALS, 0):
        executor.jobs.clear()
        Supervisor(spec, study, executor, ListTracker(), SilentProgress(), only_finals=asked).run()
        assert len(executor.jobs) == n_jobs
    assert champion_number(study) is not None
    search(spec, study, executor)
    assert executor.jobs == []
    assert champion_number(study) is not None


def test_asked_for_they_pass_by_what_waits_for_a_larger_budget() -> None:
    references = [{"name": "a", "hyperparameters": REFERENCE, "repeats": 9}]
    spec = make_spec(finals=False, reference=references)
    study = make_study(spec)
    search(make_spec(finals=False), study, ScriptedExecutor(steady))
    queue.queue_references(study, spec)
    Supervisor(
        spec, study, ScriptedExecutor(steady), ListTracker(), SilentProgress(),
        only_finals=Finals(networks=3, seeds=3),
    ).run()  # fmt: skip
    assert len(finals_of(study)) == N_FINALS
    assert queue.count_waiting(study) == 9


@pytest.mark.parametrize(
    "arguments",
    [
        ["--finals", "0"],
        ["--finals", "-1"],
        ["--finals", "x"],
        ["--finals", "1001"],
        ["--finals", "3", "--export"],
        ["--finals", "--json"],
        ["--finals", "--ensemble"],
    ],
)
def test_what_best_does_not_do_with_finals(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        best._parse(arguments)
    assert refused.value.code == 2
    assert "allowed" in capsys.readouterr().err


def test_how_many_networks_best_lets_take_part() -> None:
    asked = [best._parse(given).finals for given in ([], ["--finals"], ["--finals", "7"])]
    assert asked == [None, 0, 7]
