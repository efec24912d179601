"""The audit: some of what would be pruned or paused is trained to its end, always the same."""

from pathlib import Path
from typing import Any

import pytest
from scripted import (
    REFERENCE,
    ListTracker,
    ScriptedExecutor,
    SilentProgress,
    make_spec,
    make_study,
    search,
)
from test_pausing import Files, Halving, curve

from pipeline.search.laboratory import search_in_virtual_time
from pipeline.search.pausing import Pausing
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import study_store
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial, select_counted
from pipeline.training.job import Job

ALWAYS = {"type": "ThresholdPruner", "lower": 2.0}  # ends any trial after its first epoch
FIXED = {"batch_size": 32, "epochs": 6, "optimizer": "adam"}


def spec_of(audit: float, **changes: Any) -> StudySpec:
    settings = {"fixed": FIXED, "finals": False, "pruner": ALWAYS, "audit": audit}
    return make_spec(**{**settings, **changes})


def counted(spec: StudySpec) -> list[Trial]:
    study = make_study(spec)
    search(spec, study, ScriptedExecutor(curve))
    return select_counted(study_store.read_trials(study))


def test_without_an_audit_all_is_pruned() -> None:
    assert [(t.state, t.n_epochs, t.audited_after) for t in counted(spec_of(0))] == [
        ("PRUNED", 1, 0)
    ] * 6


def test_what_is_audited_is_trained_to_its_end_and_noted() -> None:
    trials = counted(spec_of(0.999999))
    assert [(t.state, t.n_epochs, t.audited_after) for t in trials] == [("COMPLETE", 6, 1)] * 6
    assert [t.value for t in trials] == [max(t.history["val_accuracy"]) for t in trials]


def curves(given: Hyperparameters, seed: int) -> dict[str, Any]:
    values = [0.5, 0.6, 0.55, 0.5, 0.5, 0.9]
    return {"val_accuracy": values, "seconds": [1.0] * 6}


def test_about_the_share_is_audited_and_early_stopping_ends_it() -> None:
    spec = spec_of(0.5, budget={"trials": 400}, sampler={"type": "RandomSampler", "seed": 5})
    found = search_in_virtual_time(spec, curves).trials
    audited = [trial for trial in found if trial.audited_after]
    assert 160 <= len(audited) <= 240, "four standard deviations"
    assert {(t.state, t.n_epochs, t.audited_after) for t in audited} == {("COMPLETE", 5, 1)}
    others = {(t.state, t.n_epochs) for t in found if not t.audited_after}
    assert others == {("PRUNED", 1)}
    again = search_in_virtual_time(spec, curves).trials
    assert [t.audited_after for t in again] == [t.audited_after for t in found]


def test_a_larger_share_audits_the_same_ones_and_more() -> None:
    known = [
        {t.seed for t in counted(spec_of(share, budget={"trials": 30})) if t.audited_after}
        for share in (0.2, 0.5, 0.8)
    ]
    assert known[0] < known[1] < known[2]


def test_references_and_finals_are_not_audited() -> None:
    known = {"name": "known", "hyperparameters": {**REFERENCE, "epochs": 6}}
    finals = {"networks": 2, "seeds": 2}
    spec = spec_of(0.999999, reference=[known], finals=finals, budget={"trials": 10})
    trials = counted(spec)
    assert any(trial.is_final for trial in trials)
    assert {trial.is_drawn for trial in trials if trial.audited_after} == {True}
    assert all(trial.audited_after for trial in trials if trial.is_drawn)


def test_who_is_audited_outlives_an_interruption_in_the_middle_of_it() -> None:
    spec = spec_of(0.5, budget={"trials": 20})
    whole = {trial.seed: trial.audited_after for trial in counted(spec)}
    assert 0 < sum(whole.values()) < 20

    study, tracker = make_study(spec), ListTracker()
    executor = ScriptedExecutor(curve)
    supervisor = Supervisor(spec, study, executor, tracker, SilentProgress())

    def interrupt_an_audited_one() -> None:
        if tracker.curves and len(next(reversed(tracker.curves.values()))) == 3:
            supervisor.interrupt()

    executor.on_events = interrupt_an_audited_one
    assert supervisor.run() is SearchEnd.INTERRUPTED
    (broken,) = (t for t in study_store.read_trials(study) if t.interrupted)
    assert whole[broken.seed] == 1, "others had ended before their third epoch"
    search(spec, study, ScriptedExecutor(curve), tracker)
    trials = select_counted(study_store.read_trials(study))
    assert {trial.seed: trial.audited_after for trial in trials} == whole
    assert {t.n_epochs for t in trials if t.audited_after} == {6}


@pytest.mark.parametrize("share", [0.5, 0.999999])
def test_what_a_policy_would_pause_is_audited_or_paused(share: float, tmp_path: Path) -> None:
    spec = spec_of(share, pruner={"type": "NopPruner"}, budget={"trials": 20})
    study, policy, executor = make_study(spec), Halving(), ScriptedExecutor(curve)
    pausing = Pausing(study, spec, policy, Files(tmp_path / "paused"))
    Supervisor(spec, study, executor, ListTracker(), SilentProgress(), pausing=pausing).run()
    trials = study_store.read_trials(study)
    assert {(t.pauses, t.audited_after) for t in trials} == {
        *([((2,), 0)] if share == 0.5 else []),
        ((), 2),
    }
    audited = {t.number for t in trials if t.audited_after}
    seen = {number: each for seen in policy.seen for number, each in seen.items()}
    assert {number for number, each in seen.items() if each.audited_after} >= audited - {19}
    assert all(t.n_epochs == 6 for t in trials if t.audited_after)
    assert not (tmp_path / "paused").exists()


def test_a_search_by_freeze_thaw_is_audited_in_virtual_time() -> None:
    def rising(given: Hyperparameters, seed: int) -> dict[str, Any]:
        values = [0.5 + 0.1 * given.learning_rate + epoch / 100 for epoch in range(6)]
        return {"val_accuracy": values, "seconds": [20.0] * 6}

    sampler = {"type": "FreezeThawSampler", "seed": 3}
    spec = spec_of(0.5, sampler=sampler, pruner={"type": "NopPruner"}, budget={"trials": 12})
    found = search_in_virtual_time(spec, rising).trials
    audited = [trial for trial in found if trial.audited_after]
    assert audited
    assert {(t.state, t.n_epochs, t.pauses) for t in audited} == {("COMPLETE", 6, ())}
    assert any(trial.pauses for trial in found)


def test_a_pruner_hears_no_more_of_what_it_would_have_pruned() -> None:
    """Else successive halving would hold others against it on rungs to which it never came."""
    halving = {"type": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 3}
    spec = spec_of(0.999999, pruner=halving, budget={"trials": 12})
    study = make_study(spec)

    def falling(job: Job) -> list[float]:
        return [0.9 - job.trial / 100] * 6

    search(spec, study, ScriptedExecutor(falling))
    noted = {
        frozen.number: [name for name in frozen.system_attrs if name.startswith("completed_rung")]
        for frozen in study.trials
    }
    audited = [t for t in study_store.read_trials(study) if t.audited_after == 1]
    assert audited
    assert {len(noted[trial.number]) for trial in audited} == {1}
