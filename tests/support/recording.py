"""Records what a simulation asks of its stores, to ask others the same and compare the answers."""

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError

from simulation.drive import Drive
from simulation.faults import Fault, What
from simulation.mlflow_client import SimulatedClient
from simulation.optuna_store import SimulatedStorage
from simulation.run import Simulation
from simulation.scenario import Scenario
from simulation.schedule import MEND, SEARCH, Schedule
from simulation.world import Process

ANSWERS = (KeyError, ValueError, UpdateFinishedTrialError, DuplicatedStudyError, MlflowException)


@dataclass(frozen=True)
class Call:
    """A call of a store, and what came of it.

    Attributes:
        name: of the method.
        arguments: by name.
        seconds: of the world at that moment.
        answer: what was returned, or the error that was raised.
    """

    name: str
    arguments: dict[str, Any]
    seconds: float
    answer: Any


def outcome(method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a method returns, or raises if that is an answer; what ends a process goes on."""
    try:
        return method(*arguments, **named)
    except ANSWERS as error:
        return error


def said(error: Exception) -> tuple[object, ...]:
    """What counts of an error, whatever its text."""
    return type(error).__name__, getattr(error, "error_code", None)


def of_mlflow(answer: Any) -> object:
    """What counts of an answer of a client."""
    match answer:
        case Exception():
            return said(answer)
        case list():
            return [of_mlflow(each) for each in answer]
    if hasattr(answer, "data"):
        tags = {key: each for key, each in answer.data.tags.items() if key != "mlflow.runName"}
        last_steps = sorted((each.key, each.step) for each in answer.data._metric_objs)
        inputs = [each.dataset.name for each in answer.inputs.dataset_inputs]
        about = {key: each for key, each in vars(answer.info).items() if key != "artifact_uri"}
        metrics = repr(sorted(answer.data.metrics.items()))
        return about, tags, answer.data.params, metrics, last_steps, inputs
    if hasattr(answer, "version"):
        return str(answer.version), answer.run_id, answer.tags
    if hasattr(answer, "experiment_id"):
        return answer.experiment_id, answer.name, answer.lifecycle_stage
    if hasattr(answer, "file_size"):
        return answer.path, answer.file_size > 0
    return answer


class _Recorded:
    """Notes each call of a public method, but for what no fault let come to its end."""

    calls: list[Call]
    _world: Any
    _drive: Any

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name == "fence" or not inspect.ismethod(found):
            return found

        @functools.wraps(found)
        def method(*arguments: Any, **named: Any) -> Any:
            given = inspect.signature(found).bind(*arguments, **named).arguments
            given, seconds = copy.deepcopy(given), self._world.seconds
            if name == "log_artifact":  # the file is there for this moment
                given["content"] = self._drive.files[Path(given["path"])].content
            answer = outcome(found, *arguments, **named)
            self.calls.append(Call(name, given, seconds, copy.deepcopy(answer)))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return method


class RecordedStorage(_Recorded, SimulatedStorage):
    """A simulated storage that notes what it is asked."""


class RecordedClient(_Recorded, SimulatedClient):
    """A simulated client that notes what it is asked."""


class RecordedSimulation(Simulation):
    """A simulation of which all calls of both stores are known.

    Attributes:
        of_optuna: calls of all processes, in their order.
        of_mlflow: likewise.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.of_optuna: list[Call] = []
        self.of_mlflow: list[Call] = []

    def storage_of(self, process: Process) -> SimulatedStorage:
        storage = RecordedStorage(self.world, process, self.trials)
        storage.calls = self.of_optuna
        return storage

    def client_of(self, process: Process, drive: Drive) -> SimulatedClient:
        client = RecordedClient(self.world, process, self.runs, drive)
        client.calls = self.of_mlflow
        return client


@functools.cache
def recorded(scenario: Scenario) -> RecordedSimulation:
    """Records a search that is killed, mended, interrupted, and brought to its end.

    It is killed while it writes a file, so that no call of a store is left without an answer.
    """
    killed = (Fault(0, step, What.TEAR) for step in range(200, 500))
    schedule = Schedule(scenario, (SEARCH, MEND, SEARCH), (*killed, Fault(2, 45, What.INTERRUPT)))
    simulation = RecordedSimulation(schedule)
    simulation.run()
    assert [each.what for each in simulation.world.happened] == [What.TEAR, What.INTERRUPT]
    return simulation
