"""Whole schedules, once in the simulated stores and once in real ones: the same comes out."""

from pathlib import Path

import pytest
from real_stores import RealSimulation, contents, prepare

from simulation.run import Simulation
from simulation.schedule import from_seed

SEEDS = (5, 23, 31, 35, 39)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_comes_out_the_same_in_real_stores(
    seed: int, tmp_path: Path, empty_database: Path
) -> None:
    prepare(tmp_path, empty_database)
    schedule = from_seed(seed)
    simulated, real = Simulation(schedule), RealSimulation(schedule, tmp_path)
    simulated.run()
    real.run()
    assert simulated.world.happened == real.world.happened != []
    assert simulated.world.n_steps == real.world.n_steps
    assert repr(simulated.table()) == repr(real.table())  # NaN is not equal to itself
    here, there = contents(simulated.runs), contents(real.runs)
    assert here == there
