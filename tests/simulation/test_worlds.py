"""Whole schedules, once in the simulated stores and once in real ones: the same comes out."""

import json
from pathlib import Path
from typing import Any

import empty_mlflow
import pytest
from real_stores import RealSimulation, prepare

from simulation.mlflow_store import MlflowStore
from simulation.run import Simulation
from simulation.schedule import from_seed

SEEDS = (5, 23, 31, 35, 39)


def contents(store: MlflowStore) -> dict[str, Any]:
    """All that MLflow holds; of inputs what tells them apart, as MLflow gives them an id."""
    runs = {
        run.id: vars(run)
        | {"inputs": [(each.dataset.name, each.dataset.digest) for each in run.inputs]}
        for run in store.runs.values()
    }
    versions = {name: [vars(each) for each in found] for name, found in store.versions.items()}
    return {"runs": runs, "versions": versions, "aliases": store.aliases}


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
