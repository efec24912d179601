"""What is planned for trials and runs, a row a case: no database, no MLflow, no files."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from scripted import REFERENCE, make_spec

from pipeline.doctor import plan
from pipeline.doctor.plan import Kind
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import State, Trial
from pipeline.tracking.reader import Run
from pipeline.tracking.record import RunRecord

SPEC = make_spec()
TRIAL = Trial(
    number=0,
    state=State.COMPLETE,
    value=0.6,
    best_epoch=2,
    hyperparameters=Hyperparameters.from_mapping(REFERENCE),
    seed=11,
    history={"loss": [0.5, 0.4], "val_accuracy": [0.5, 0.6]},
    run_id="a",
    scores={"train_loss": 0.3},
)
FAILED = replace(TRIAL, state=State.FAIL, value=None, best_epoch=0, history={}, reason="no luck")
INTERRUPTED = replace(TRIAL, state=State.FAIL, value=None, history={}, scores={}, interrupted=True)
UNNOTED = replace(TRIAL, run_id="")

RUN = Run(
    id="a",
    trial=0,
    is_of_study=False,
    status="FINISHED",
    state="COMPLETE",
    seed="11",
    n_epochs=2,
    has_best=True,
    started=1,
    artifacts="",
    is_deleted=False,
    is_orphan=False,
    parent="study",
)
STUDY = replace(
    RUN, id="study", trial=None, is_of_study=True, state="", seed="", n_epochs=0, parent=""
)
KILLED = replace(RUN, status="KILLED", state="FAIL", n_epochs=0, has_best=False)
ZOMBIE = replace(RUN, status="RUNNING", state="RUNNING", has_best=False)
OTHER = replace(RUN, id="b")
NOBODYS = replace(OTHER, trial=None, state="", seed="", parent="")


def planned(
    trials: Sequence[Trial], runs: Sequence[Run], running: Sequence[int] = ()
) -> list[tuple[Kind, tuple[int, ...], tuple[str, ...]]]:
    repairs = plan.plan(trials, runs, running, SPEC)
    return [(each.kind, (*each.trials,), tuple(run.id for run in each.runs)) for each in repairs]


@pytest.mark.parametrize(
    ("trials", "runs"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([TRIAL], [STUDY, RUN], id="all there"),
        pytest.param([INTERRUPTED], [STUDY], id="interrupted, without a run"),
        pytest.param([INTERRUPTED], [STUDY, KILLED], id="interrupted, killed"),
        pytest.param([INTERRUPTED], [STUDY, replace(KILLED, status="FAILED")], id="tried again"),
        pytest.param([INTERRUPTED], [STUDY, replace(KILLED, is_deleted=True)], id="and deleted"),
        pytest.param(
            [replace(INTERRUPTED, run_id="")], [STUDY, KILLED], id="interrupted, not noted"
        ),
        pytest.param(
            [TRIAL], [STUDY, RUN, replace(OTHER, trial=9, is_orphan=True)], id="a restored orphan"
        ),
        pytest.param([TRIAL], [STUDY, RUN, replace(OTHER, is_deleted=True)], id="a deleted twin"),
        pytest.param([TRIAL], [STUDY, RUN, NOBODYS], id="somebody else's, below none"),
        pytest.param(
            [TRIAL], [STUDY, RUN, replace(NOBODYS, parent="a")], id="somebody's, below a trial's"
        ),
        pytest.param(
            [TRIAL], [STUDY, replace(STUDY, id="old", is_deleted=True), RUN], id="an older study"
        ),
    ],
)
def test_nothing_is_done_where_all_is_in_order(trials: list[Trial], runs: list[Run]) -> None:
    assert planned(trials, runs) == []


@pytest.mark.parametrize(
    ("trials", "runs", "running", "expected"),
    [
        pytest.param([TRIAL], [RUN], [], (Kind.WRITE_STUDY_RUN, (), ()), id="no run of the study"),
        pytest.param(
            [TRIAL],
            [replace(STUDY, is_deleted=True), RUN],
            [],
            (Kind.RESTORE_STUDY_RUN, (), ("study",)),
            id="the study's run is deleted",
        ),
        pytest.param(
            [TRIAL],
            [replace(STUDY, status="RUNNING"), RUN],
            [],
            (Kind.END_STUDY_RUN, (), ()),
            id="the study's run is left",
        ),
        pytest.param(
            [TRIAL],
            [replace(STUDY, id="new"), RUN],
            [],
            (Kind.SET_PARENT, (), ("a",)),
            id="a run below another study's run",
        ),
        pytest.param(
            [TRIAL],
            [STUDY, replace(RUN, is_deleted=True)],
            [],
            (Kind.RESTORE_RUNS, (0,), ("a",)),
            id="a deleted run",
        ),
        pytest.param(
            [UNNOTED], [STUDY, RUN], [], (Kind.NOTE_RUNS, (0,), ("a",)), id="a run not noted"
        ),
        pytest.param(
            [TRIAL],
            [STUDY, replace(RUN, seed="")],
            [],
            (Kind.SEND_AGAIN, (0,), ("a",)),
            id="a run without its hyperparameters",
        ),
        pytest.param([TRIAL], [STUDY], [], (Kind.WRITE_RUNS, (0,), ()), id="no run"),
        pytest.param(
            [TRIAL],
            [STUDY, RUN, replace(OTHER, trial=9)],
            [],
            (Kind.SET_ASIDE, (), ("b",)),
            id="a run without a trial",
        ),
        pytest.param(
            [TRIAL], [STUDY, OTHER, RUN], [], (Kind.SET_ASIDE, (), ("b",)), id="a second run"
        ),
        pytest.param(
            [TRIAL], [STUDY, ZOMBIE], [], (Kind.END_RUNS, (0,), ("a",)), id="a run that is left"
        ),
        pytest.param(
            [TRIAL],
            [STUDY, RUN, replace(ZOMBIE, id="b", trial=1)],
            [1],
            (Kind.END_RUNS, (), ()),
            id="a run that is left with its trial",
        ),
        pytest.param(
            [TRIAL],
            [STUDY, replace(RUN, state="FAIL")],
            [],
            (Kind.SEND_AGAIN, (0,), ("a",)),
            id="another state",
        ),
    ],
)
def test_one_thing_amiss_is_one_repair(
    trials: list[Trial], runs: list[Run], running: list[int], expected: Any
) -> None:
    assert planned(trials, runs, running) == [expected]


def test_a_run_that_was_left_while_it_was_made_is_noted_and_completed() -> None:
    runs = [STUDY, replace(RUN, seed="")]
    expected = [(Kind.NOTE_RUNS, (0,), ("a",)), (Kind.SEND_AGAIN, (0,), ("a",))]
    assert planned([UNNOTED], runs) == expected


def test_a_run_of_a_deleted_study_is_no_trials_twin() -> None:
    stranger = replace(RUN, seed="12")
    assert planned([UNNOTED], [STUDY, stranger]) == [
        (Kind.WRITE_RUNS, (0,), ()),
        (Kind.SET_ASIDE, (), ("a",)),
    ]


def test_trials_are_told_before_runs_are_ended_and_these_before_others_are_sent_again() -> None:
    late = replace(TRIAL, number=1, run_id="b")
    runs = [STUDY, ZOMBIE, replace(OTHER, trial=1, n_epochs=1)]
    assert [kind for kind, *_ in planned([TRIAL, late], runs)] == [Kind.END_RUNS, Kind.SEND_AGAIN]
    (first,) = plan.plan_queue([7, 3])
    assert first.kind is Kind.REQUEUE
    assert first.what.startswith("Optuna calls trials 3 and 7 RUNNING")
    assert plan.plan_queue([]) == []


@pytest.mark.parametrize(
    ("trial", "run", "said"),
    [
        (TRIAL, RUN, ""),
        (TRIAL, replace(RUN, state=""), "state unknown, not COMPLETE"),
        (TRIAL, replace(RUN, state="FAIL"), "state FAIL, not COMPLETE"),
        (TRIAL, replace(RUN, status="KILLED"), "status KILLED, not FINISHED"),
        (TRIAL, replace(RUN, n_epochs=1), "1 of 2 epochs"),
        (TRIAL, replace(RUN, n_epochs=3), ""),
        (TRIAL, replace(RUN, has_best=False), "without its best value"),
        (replace(TRIAL, state=State.PRUNED), replace(RUN, state="PRUNED"), ""),
        (FAILED, replace(KILLED, status="FAILED"), ""),
        (FAILED, KILLED, "status KILLED, not FAILED"),
        (INTERRUPTED, KILLED, ""),
        (INTERRUPTED, replace(KILLED, status="FINISHED"), "status FINISHED, not KILLED"),
    ],
)
def test_what_a_run_has_not_got(trial: Trial, run: Run, said: str) -> None:
    assert plan.difference(RunRecord.of(trial, SPEC), run) == said


def test_eight_differences_are_named_and_the_others_counted() -> None:
    trials = [replace(TRIAL, number=n, run_id=f"run {n}") for n in range(10)]
    runs = [replace(RUN, id=f"run {n}", trial=n, n_epochs=0) for n in range(10)]
    (repair,) = plan.plan(trials, [STUDY, *runs], [], SPEC)
    assert repair.what.count("0 of 2 epochs") == 8
    assert repair.what.endswith("; and 2 more")
    assert list(repair.trials) == list(range(10))


def test_epochs_are_those_with_a_value_of_the_studys_metric() -> None:
    spec = make_spec(metric="val_loss")
    trial = replace(TRIAL, history={"val_accuracy": [0.5, 0.6], "val_loss": [0.9, 0.8, 0.7]})
    record = RunRecord.of(trial, spec)
    assert record.n_epochs == 3
    assert record.end == (
        "COMPLETE",
        {"best_val_loss": 0.8, "best_epoch": 2, "train_loss": 0.3},
        {},
    )
