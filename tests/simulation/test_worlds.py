"""Whole schedules, once in the simulated stores and once in real ones: the same comes out."""

import itertools
from pathlib import Path

import pytest
from real_stores import RealSimulation, contents, prepare

from simulation.faults import What
from simulation.run import Simulation
from simulation.schedule import from_seed

# A power failure is left out: what SQLite and the file system keep of it cannot be had here.
POWER = {What.POWER, What.POWER_AFTER}


def first_with(*faults: What) -> Simulation:
    """Runs the first schedule in which these faults happen, in the simulated stores."""
    for seed in itertools.count():
        schedule = from_seed(seed)
        if not schedule.losses and set(faults) <= {fault.what for fault in schedule.faults}:
            simulation = Simulation(schedule)
            simulation.run()
            happened = {fault.what for fault in simulation.world.happened}
            if set(faults) <= happened and not happened & POWER:
                return simulation
    raise AssertionError


@pytest.mark.parametrize(
    "faults",
    [
        (What.KILL, What.LOST),
        (What.KILL_AFTER, What.OUTAGE),
        (What.SUSPEND, What.KILL),
        (What.TWICE, What.KILL_AFTER),
    ],
    ids=lambda faults: ", ".join(each.name for each in faults),
)
def test_a_schedule_comes_out_the_same_in_real_stores(
    faults: tuple[What, ...], tmp_path: Path, empty_database: Path
) -> None:
    simulated = first_with(*faults)
    prepare(tmp_path, empty_database)
    real = RealSimulation(simulated.schedule, tmp_path)
    real.run()
    assert simulated.world.happened == real.world.happened
    assert simulated.world.n_steps == real.world.n_steps
    assert repr(simulated.table()) == repr(real.table())  # NaN is not equal to itself
    assert contents(simulated.runs) == contents(real.runs)
