"""The shortest schedule that still goes wrong: what can be left out is left out."""

from collections.abc import Iterator
from dataclasses import replace

from simulation.scenario import Scenario
from simulation.schedule import Schedule
from simulation.story import kind_of, violation

PLAIN = Scenario(seed=0)


def shrink(schedule: Schedule, most_runs: int = 400) -> Schedule:
    """Returns a schedule with no more faults, which goes wrong in the same way.

    Args:
        schedule: goes wrong.
        most_runs: of shorter schedules that are tried.
    """
    n_runs, is_shorter, kind = 0, True, kind_of(violation(schedule))
    while is_shorter:
        is_shorter = False
        for shorter in _shorter(schedule):
            n_runs += 1
            if n_runs > most_runs:
                return schedule
            if kind_of(violation(shorter)) == kind:
                schedule, is_shorter = shorter, True
                break
    return schedule


def _shorter(schedule: Schedule) -> Iterator[Schedule]:
    """Yields schedules that are a little shorter, or plainer."""
    faults, lives, scenario = schedule.faults, schedule.lives, schedule.scenario
    for process in reversed(range(1, len(lives))):
        # what comes after it keeps its faults
        kept = tuple(
            replace(fault, process=fault.process - (fault.process > process))
            for fault in faults
            if fault.process != process
        )
        yield replace(schedule, lives=lives[:process] + lives[process + 1 :], faults=kept)
    for i in range(len(faults)):
        yield replace(schedule, faults=faults[:i] + faults[i + 1 :])
    for i in range(len(schedule.losses)):
        yield replace(schedule, losses=schedule.losses[:i] + schedule.losses[i + 1 :])
    for name in ("is_timed", "has_finals", "has_reference", "prunes", "pauses", "audits"):
        if getattr(scenario, name):
            yield replace(schedule, scenario=replace(scenario, **{name: False}))
    if scenario.n_workers > 1:
        yield replace(schedule, scenario=replace(scenario, n_workers=1))
    if scenario.n_trials > 1 + 2 * scenario.has_reference:
        yield replace(schedule, scenario=replace(scenario, n_trials=scenario.n_trials - 1))
