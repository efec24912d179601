"""The simulated world: what follows from a number, and what must be true whatever befalls it."""

import os
import random
import time
from dataclasses import replace

import pytest

from simulation.__main__ import run_many
from simulation.faults import Fault, Kind, What
from simulation.losses import Loss, Lost
from simulation.run import Simulation
from simulation.scenario import Scenario
from simulation.schedule import MEND, MENDING, SEARCH, Schedule, from_seed
from simulation.shrink import shrink
from simulation.story import story, violation

SMALL = Scenario(seed=0, n_trials=2)
PAUSING = Scenario(seed=3, n_trials=3, pauses=True)


def n_steps(scenario: Scenario, of: Kind | None = None) -> int:
    """Steps of a search that nothing befalls."""
    simulation = Simulation(Schedule(scenario, (), ()))
    simulation.run()
    process = simulation.world.processes[0]
    return process.n_steps if of is None else process.n_of[of] + 1


def one(scenario: Scenario, fault: Fault) -> Schedule:
    return Schedule(scenario, (SEARCH,), (fault,))


def test_fresh_schedules_hold() -> None:
    first = int(os.environ["SIMULATED_FROM"])
    n, wrong = run_many(first, n_jobs=2, seconds=20)
    assert wrong is None, f"make simulate SEED={wrong}"
    assert n > 20, "hardly any was run"


def test_everything_follows_from_one_number() -> None:
    for seed in range(5):
        assert story(from_seed(seed)) == story(from_seed(seed))
    assert len({str(from_seed(seed)) for seed in range(50)}) == 50


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(seed=1, n_trials=30),
        Scenario(seed=2, n_trials=30, prunes=True, has_reference=True),
        Scenario(seed=3, n_trials=30, pauses=True, audits=True),
        Scenario(seed=4, n_trials=30, pauses=True, has_finals=True),
    ],
    ids=["plain", "prunes", "pauses", "finals"],
)
def test_a_search_that_is_killed_twenty_times_ends_with_the_same_table(scenario: Scenario) -> None:
    rng, n_kills = random.Random(scenario.seed), 20
    faults = tuple(Fault(i, rng.randrange(25, 140), What.KILL) for i in range(n_kills))
    schedule = Schedule(scenario, (SEARCH,) * n_kills, faults)
    simulation, alone = Simulation(schedule), Simulation(Schedule(scenario, (), ()))
    simulation.run()
    alone.run()
    assert schedule.changes_nothing
    assert len(simulation.world.happened) == n_kills
    assert repr(simulation.table()).encode() == repr(alone.table()).encode()


# Each of these was found by a fresh schedule, and mended: now at every step where it could be.
@pytest.mark.parametrize(
    ("scenario", "of", "what"),
    [
        (SMALL, None, What.KILL),
        (PAUSING, Kind.OPTUNA, What.KILL),
        (PAUSING, Kind.DISK, What.KILL_AFTER),
        (SMALL, Kind.OPTUNA, What.POWER),  # a trial's number was given twice; a study was begun
        (PAUSING, Kind.OPTUNA, What.POWER_AFTER),  # a paused trial's model had no name any more
        (SMALL, Kind.MLFLOW, What.TWICE),  # two runs of the study, or of a trial, stayed open
        (SMALL, Kind.MLFLOW, What.LOST),
        (PAUSING, Kind.WORKERS, What.DIES),  # its state stayed on the disk
        (SMALL, Kind.WORKERS, What.SECOND),
        (SMALL, Kind.OPTUNA, What.ENQUEUED),
        (PAUSING, Kind.WORKERS, What.INTERRUPT),  # states of what is begun anew stayed
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_it_holds_wherever_it_happens(scenario: Scenario, of: Kind | None, what: What) -> None:
    for step in range(n_steps(scenario, of)):
        schedule = one(scenario, Fault(0, step, what, share=step % 3 / 2, of=of))
        assert not violation(schedule), schedule


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.name)
def test_the_doctor_mends_what_is_lost_wherever_he_is_killed(lost: Lost) -> None:
    loss = Loss(lost, 0.5)
    alone = Simulation(Schedule(SMALL, (), (), (loss,)))
    alone.run()
    doctor = next(each for each in alone.world.processes if each.number == MENDING)
    for step in range(0, doctor.n_steps, 2):
        schedule = Schedule(SMALL, (), (Fault(MENDING, step, What.KILL),), (loss,))
        assert not violation(schedule), schedule


def test_a_schedule_that_has_no_end_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.story.MOST_SECONDS", 0.2)
    monkeypatch.setattr(Simulation, "run", lambda _: time.sleep(60))
    assert violation(from_seed(0)).startswith("it goes on without an end")


def test_what_cannot_be_read_afterwards_is_no_clean_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.invariants.at_the_end", lambda _: [][0])
    said = violation(Schedule(SMALL, (), ()))
    assert said.startswith("what came of it is not to be read")
    assert "IndexError" in said


def test_a_worker_that_never_begins_is_tried_again() -> None:
    simulation = Simulation(one(SMALL, Fault(0, 1, What.HANGS, of=Kind.WORKERS)))
    simulation.run()
    assert [trial.reason for trial in simulation.trials_that_count()] == ["", ""]


def test_another_host_takes_over_from_one_that_is_suspended() -> None:
    for step in range(0, n_steps(PAUSING), 7):
        schedule = one(PAUSING, Fault(0, step, What.SUSPEND))
        assert not violation(schedule), schedule


def test_the_doctor_leaves_alone_what_is_paused() -> None:
    for step in range(60, n_steps(PAUSING), 9):
        schedule = Schedule(PAUSING, (SEARCH, MEND), (Fault(0, step, What.KILL),))
        assert not violation(schedule), schedule


def test_a_story_is_shortened_and_goes_wrong_in_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.storage.queue.requeue_left", lambda *_: 0)
    fault = Fault(0, 40, What.KILL)
    others = tuple(Fault(1, step, What.REFUSED) for step in (5, 50, 60))
    long = Schedule(
        replace(SMALL, n_trials=4, has_finals=True), (SEARCH, SEARCH), (fault, *others)
    )
    short = shrink(long)
    assert short.lives == (SEARCH,)
    assert short.faults == (fault,)
    assert (short.scenario.n_trials, short.scenario.has_finals) == (1, False)
    *_, ending = story(short)
    assert ending.startswith("WRONG: Optuna has trials that have not ended")
