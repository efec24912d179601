"""Holds the simulated stores against real ones: what searches ask of them, and what they refuse.

What whole searches ask is recorded, and asked of real stores again. Not compared is what MLflow
adds of its own, which nothing of the pipeline reads: the tag `mlflow.runName`, the tags of an
experiment; and where files lie, which is another place in each.
"""

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial
from real_stores import RealClient, RealStorage, contents, prepare, read_into
from recording import Call, of_mlflow, outcome, recorded, said

from pipeline.storage.lease import HEARTBEAT
from simulation.drive import Drive
from simulation.mlflow_client import SimulatedClient
from simulation.mlflow_store import MlflowStore
from simulation.optuna_store import OptunaStore, SimulatedStorage
from simulation.scenario import Scenario
from simulation.world import World

SCENARIOS = (
    Scenario(1),
    Scenario(2, pauses=True),
    Scenario(3, prunes=True, n_workers=2, has_finals=True),
    Scenario(4, pauses=True, has_reference=True),
)
NAMES = ("plain", "paused", "pruned with finals", "paused with references")


@pytest.fixture
def worlds(tmp_path: Path, empty_database: Path) -> tuple[Any, ...]:
    """A simulated storage and a real one; a simulated client and a real one."""
    prepare(tmp_path, empty_database)
    world, drive = World({}), Drive()
    process = world.begin("here")
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    return (
        SimulatedStorage(world, process, OptunaStore()),
        RealStorage(world, process, url),
        SimulatedClient(world, process, MlflowStore(), drive),
        RealClient(world, process, MlflowStore(), drive, tmp_path),
    )


# Optuna

MAKES_IDS = (
    "create_new_study", "create_new_trial", "get_study_id_from_name",
    "get_trial_id_from_study_id_trial_number",
)  # fmt: skip


def of_optuna(answer: Any) -> object:
    """What counts of an answer of a storage: neither dates nor ids, which count from 0 or 1."""
    match answer:
        case Exception():
            return said(answer)
        case FrozenTrial():
            return (
                answer.number, answer.state, list(answer.params.items()), answer.distributions,
                repr(answer.values), answer.user_attrs, answer.system_attrs,
                repr(sorted(answer.intermediate_values.items())),  # NaN is not equal to itself
            )  # fmt: skip
        case list():
            return [of_optuna(each) for each in answer]
        case dict():  # the heartbeat is a date
            return {key: value for key, value in answer.items() if key != HEARTBEAT}
    if hasattr(answer, "study_name"):
        return answer.study_name, answer.directions, of_optuna(answer.user_attrs)
    return answer


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_optuna_answers_searches_as_the_simulated_storage_does(
    scenario: Scenario, worlds: tuple[Any, ...]
) -> None:
    simulation, real = recorded(scenario), worlds[1]
    ids: dict[tuple[str, int], int] = {}
    for call in simulation.of_optuna:
        given = {key: ids.get((key, each), each) if key.endswith("_id") else each
                 for key, each in call.arguments.items()}  # fmt: skip
        there = outcome(getattr(real, call.name), **given)
        if call.name in MAKES_IDS and not isinstance(call.answer, Exception):
            kind = (
                "study_id" if "get_study" in call.name or "new_study" in call.name else "trial_id"
            )
            assert ids.setdefault((kind, call.answer), there) == there
        else:
            assert of_optuna(call.answer) == of_optuna(there), call
    asked = {call.name for call in simulation.of_optuna}
    assert asked >= {"swap", "create_new_trial", "set_trial_state_values", "get_all_trials"}
    (of_study,) = real.get_all_studies()
    here = simulation.trials.data.get_all_trials(0)
    assert of_optuna(here) == of_optuna(real.get_all_trials(of_study._study_id))
    best = simulation.trials.data.get_best_trial(0)
    assert of_optuna(best) == of_optuna(real.get_best_trial(of_study._study_id))


# MLflow


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_mlflow_answers_searches_as_the_simulated_client_does(
    scenario: Scenario, worlds: tuple[Any, ...], tmp_path: Path
) -> None:
    simulation, real = recorded(scenario), worlds[3]
    for call in simulation.of_mlflow:
        real._world.seconds = call.seconds
        if call.name == "log_artifact":
            name = Path(call.arguments["path"]).name
            there = outcome(real._put, call.arguments["run"], name, call.arguments["content"])
        else:
            arguments, named = split(call)
            there = outcome(getattr(real, call.name), *arguments, **named)
        assert of_mlflow(call.answer) == of_mlflow(there), call
    asked = {call.name for call in simulation.of_mlflow}
    assert asked >= {"search_runs", "get_run", "log_batch", "register", "set_terminated"}
    found = MlflowStore()
    read_into(found, tmp_path)
    assert contents(simulation.runs) == contents(found)


NAMED: tuple[str, ...] = (
    "run_view_type", "max_results", "order_by", "page_token", "run_name", "start_time", "tags",
    "params", "metrics",
)  # fmt: skip


def split(call: Call) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, by place as far as both clients have other names for them."""
    given = dict(call.arguments)
    named = {key: given.pop(key) for key in NAMED if key in given}
    return list(given.values()), named
