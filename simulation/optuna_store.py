"""Optuna's storage in memory: each call that writes is one transaction, which may fail.

What it holds is Optuna's own storage in memory. As `pipeline.storage.row_storage` writes SQLite, a
power failure takes back what was written since a trial began or ended, from some moment on.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipeline.storage import study_store
from simulation.disk import end_after
from simulation.faults import Kind, What
from simulation.scenario import BY_HAND, GIVEN, N_MODELS
from simulation.world import Process, World

_SAID = {What.BUSY: "database is locked", What.FULL: "database or disk is full"}


# What waits for the disk: where a trial begins, and where it ends, and what is noted of a study.
DURABLE = ("create_new_trial", "set_trial_state_values", "set_study_user_attr")


@dataclass
class OptunaStore:
    """What processes share.

    Attributes:
        data: as it is.
        log: of all writes: the name of a method, its arguments.
        n_durable: number of writes that no power failure takes back.
    """

    data: InMemoryStorage = field(default_factory=InMemoryStorage)
    log: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    n_durable: int = 0

    def apply(self, name: str, *arguments: Any) -> Any:
        """Writes, and waits for the disk where the real one does."""
        done = self.write(name, *arguments)
        if name in DURABLE:
            self.n_durable = len(self.log)
        return done

    def write(self, name: str, *arguments: Any) -> Any:
        """Writes: all or nothing."""
        if name.endswith("_attr"):
            arguments = (*arguments[:-1], _as_text(arguments[-1]))
        if name == "create_new_trial" and (template := copy.copy(arguments[1])):
            template.user_attrs = _as_text(template.user_attrs)
            template.system_attrs = _as_text(template.system_attrs)
            arguments = (arguments[0], template)
        done = getattr(self.data, name)(*arguments)
        self.log.append((name, arguments))
        return done

    def swap(
        self, study_id: int, key: str, old: int | None, new: int, others: Mapping[str, Any]
    ) -> bool:
        """Writes some attributes of a study if one of them is as it was; as `fencing.swap`."""
        if self.data.get_study_user_attrs(study_id).get(key) != old:
            return False
        for name, value in {key: new, **others}.items():
            self.write("set_study_user_attr", study_id, name, value)
        return True

    def fail_power(self, share: float) -> None:
        """Takes back some of what was written since the last durable write."""
        kept = self.n_durable + round(share * (len(self.log) - self.n_durable))
        log, self.log = self.log[:kept], []
        self.data = InMemoryStorage()
        for name, arguments in log:
            self.write(name, *arguments)


def _as_text(value: Any) -> Any:
    """Returns what is read of a value that is kept as text: a list of a tuple."""
    return json.loads(json.dumps(value))


class SimulatedStorage(optuna.storages.BaseStorage):
    """The storage as one process sees it."""

    def __init__(self, world: World, process: Process, store: OptunaStore) -> None:
        self._world, self._process, self._store = world, process, store
        self._judges: list[Callable[[], None]] = []

    def _transact(self, what: str, do: Callable[[], Any]) -> Any:
        fault = self._world.step(self._process, Kind.OPTUNA, what)
        if fault and fault.what in (What.BUSY, What.FULL, What.READ_ONLY):
            said = _SAID.get(fault.what, "attempt to write a readonly database")
            raise StorageInternalError(f"simulated: {said}")
        if fault and fault.what is What.ENQUEUED:
            self._enqueue(is_good=fault.share < 0.5)
            fault = None
        done = do()
        if fault:
            end_after(self._world, self._process, fault)
        return done

    def _enqueue(self, *, is_good: bool) -> None:
        """Does what somebody else does with Optuna's own `Study.enqueue_trial`."""
        params = GIVEN if is_good else {**GIVEN, "units": "many"}
        for study in self._store.data.get_all_studies():
            if study_store.DATA_FINGERPRINT not in study.user_attrs:  # it is being made
                continue
            queued = optuna.trial.create_trial(
                state=TrialState.WAITING,
                system_attrs={"fixed_params": params},
                user_attrs={BY_HAND: is_good},
            )
            self._store.apply("create_new_trial", study._study_id, queued)

    def _write(self, what: str, name: str, *arguments: Any) -> Any:
        def write() -> Any:
            if self._judges and name.startswith("set_trial"):  # what Optuna looks at comes first
                trial = self._store.data.get_trial(arguments[0])
                self.check_trial_is_updatable(arguments[0], trial.state)
            self._judge()
            return self._store.apply(name, *arguments)

        return self._transact(what, write)

    def _judge(self) -> None:
        for judge in self._judges:
            judge()

    def _read(self, *, is_judged: bool = False) -> InMemoryStorage:
        """Gives what to read from; a fence ends also reads, where they end a transaction."""
        if self._process.is_dead:
            self._world.step(self._process, Kind.OPTUNA, "")
        if is_judged:
            self._judge()
        return self._store.data

    # Who may write

    def swap(
        self, study_id: int, key: str, old: int | None, new: int, others: Mapping[str, Any]
    ) -> bool:
        """As `pipeline.storage.fencing.swap`: one transaction."""
        arguments = (study_id, key, old, new, others)
        what = f"swaps {key} for {new}"
        return bool(self._transact(what, lambda: self._store.swap(*arguments)))

    def fence(
        self, study_id: int, keys: Sequence[str], judge: Callable[[Mapping[str, Any]], None]
    ) -> "_Fence":
        """As `pipeline.storage.fencing.Fence`."""
        return _Fence(self, study_id, keys, judge)

    # Writes, as Optuna names them

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        return int(self._write("makes the study", "create_new_study", directions, study_name))

    def delete_study(self, study_id: int) -> None:
        self._write("deletes the study", "delete_study", study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        if key == study_store.N_MODELS:
            value = N_MODELS
        self._write(f"notes {key}", "set_study_user_attr", study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._write(f"notes {key}", "set_study_system_attr", study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        what = "makes a trial" if template_trial is None else "queues a trial"
        return int(self._write(what, "create_new_trial", study_id, template_trial))

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: Any
    ) -> None:
        what = f"notes {param_name} of trial {trial_id}"
        arguments = (trial_id, param_name, float(param_value_internal), distribution)
        self._write(what, "set_trial_param", *arguments)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        what = f"trial {trial_id} is {state.name}"
        return bool(self._write(what, "set_trial_state_values", trial_id, state, values))

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        what = f"epoch {step} of trial {trial_id}"
        arguments = (trial_id, step, intermediate_value)
        self._write(what, "set_trial_intermediate_value", *arguments)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._write(
            f"notes {key} of trial {trial_id}", "set_trial_user_attr", trial_id, key, value
        )

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        what = f"notes {key} of trial {trial_id}"
        self._write(what, "set_trial_system_attr", trial_id, key, value)

    # Questions

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._read(is_judged=True).get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._read().get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._read().get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return dict(self._read().get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return dict(self._read(is_judged=True).get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[Any]:
        return self._read(is_judged=True).get_all_studies()

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self._read().get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_trial_number_from_id(self, trial_id: int) -> int:
        return self._read().get_trial_number_from_id(trial_id)

    def get_trial_param(self, trial_id: int, param_name: str) -> float:
        return self._read().get_trial_param(trial_id, param_name)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._read().get_trial(trial_id)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._read().get_best_trial(study_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Any = None
    ) -> list[FrozenTrial]:
        return self._read().get_all_trials(study_id, deepcopy, states)


@dataclass
class _Fence:
    """Lets nobody write a study who may not, as `pipeline.storage.fencing.Fence`."""

    storage: SimulatedStorage
    study_id: int
    keys: Sequence[str]
    judge: Callable[[Mapping[str, Any]], None]

    def put_up(self) -> Callable[[], None]:
        self.storage._judges.append(self._look)
        return lambda: self.storage._judges.remove(self._look)

    def writer(
        self, key: str, value: Callable[[], Any]
    ) -> tuple[Callable[[], None], Callable[[], None]]:
        storage = self.storage

        def note() -> None:
            self._look()
            if key in storage._store.data.get_study_user_attrs(self.study_id):
                storage._store.write("set_study_user_attr", self.study_id, key, value())

        def write() -> None:
            storage._transact(f"notes {key}", note)

        return write, lambda: None

    def _look(self) -> None:
        known = self.storage._store.data.get_study_user_attrs(self.study_id)
        self.judge({key: known[key] for key in self.keys if key in known})
