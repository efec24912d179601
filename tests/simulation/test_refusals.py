"""What simulated stores refuse, real ones refuse: who may write, what is gone, what is fixed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric, Param, RunTag
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from real_stores import RealClient, RealStorage, contents, prepare, read_into
from recording import of_mlflow, outcome, said

from simulation.drive import Drive
from simulation.mlflow_client import SimulatedClient
from simulation.mlflow_store import MlflowStore
from simulation.optuna_store import DURABLE, OptunaStore, SimulatedStorage
from simulation.world import World

MISSING = 77  # id of nothing
WAITING = create_trial(
    state=TrialState.WAITING, user_attrs={"a": (1, {2: 3})}, system_attrs={"b": (1,)}
)


class Lost(ValueError):
    """Somebody else has a later lease."""


def is_first(attributes: Mapping[str, Any]) -> None:
    if attributes.get("n") != 1:
        raise Lost(str(attributes))


def said_by(storage: Any, name: str, *arguments: Any) -> object:
    """What comes of a call; of what makes an id, that it does."""
    found = outcome(getattr(storage, name), *arguments)
    if isinstance(found, Exception):
        return said(found)
    return "an id" if name.startswith("create") else found


def storages(kind: str, folder: Path) -> tuple[Any, Any, int]:
    """Two processes' storages of one store, and the id of a study in it."""
    world, store, url = World({}), OptunaStore(), f"sqlite:///{folder / 'optuna.db'}"
    first, second = (
        RealStorage(world, world.begin("here"), url)
        if kind == "real"
        else SimulatedStorage(world, world.begin("here"), store)
        for _ in range(2)
    )
    return first, second, first.create_new_study([StudyDirection.MAXIMIZE], "x")


def both(ask: Any, folder: Path) -> list[object]:
    """Asks a pair of simulated storages and one of real ones; they answer alike."""
    here, there = (ask(*storages(kind, folder)) for kind in ("simulated", "real"))
    assert here == there
    return list(here)


def writes(study: int, trial: int) -> list[tuple[Any, ...]]:
    return [
        ("set_study_user_attr", study, "key", [1]),
        ("set_study_system_attr", study, "key", [1]),
        ("create_new_trial", study),
        ("create_new_trial", study, WAITING),
        ("set_trial_param", trial, "x", 0.5, FloatDistribution(0.0, 1.0)),
        ("set_trial_intermediate_value", trial, 1, 0.5),
        ("set_trial_user_attr", trial, "key", {"a": [1, None]}),
        ("set_trial_system_attr", trial, "key", "value"),
        ("set_trial_state_values", trial, TrialState.RUNNING),
        ("set_trial_state_values", trial, TrialState.COMPLETE, [0.5]),
    ]


def test_of_two_that_swap_one_does(tmp_path: Path) -> None:
    def ask(first: Any, second: Any, study: int) -> list[object]:
        said = [
            first.swap(study, "n", None, 1, {"who": "first", "new": [1]}),
            second.swap(study, "n", None, 1, {"who": "second"}),
            second.swap(study, "n", 2, 3, {"who": "second"}),
            second.get_study_user_attrs(study),
            second.swap(study, "n", 1, 2, {"who": "second", "more": None}),
            first.swap(study, "n", 1, 2, {"who": "first"}),
        ]
        return [*said, first.get_study_user_attrs(study)]

    ends = both(ask, tmp_path)
    assert [each for each in ends if isinstance(each, bool)] == [True, False, False, True, False]
    assert ends[-1] == {"n": 2, "who": "second", "new": [1], "more": None}


def test_a_fence_lets_nobody_write_whose_lease_is_followed_by_another(tmp_path: Path) -> None:
    def ask(first: Any, second: Any, study: int) -> list[object]:
        first.swap(study, "n", None, 1, {"beat": 0})
        trial, ended = first.create_new_trial(study), first.create_new_trial(study)
        first.set_trial_state_values(ended, TrialState.COMPLETE, [0.1])
        fence = first.fence(study, ("n",), is_first)
        end = fence.put_up()
        (beat, close), (other, close_other) = (fence.writer(k, lambda: 7) for k in ("beat", "no"))
        ends = [said_by(first, "set_trial_user_attr", trial, "key", 1), outcome(beat)]
        ends += [outcome(other), second.get_study_user_attrs(study)]
        second.swap(study, "n", 1, 2, {"beat": 8})
        then = _all(second, study)
        for name, *arguments in (
            *writes(study, trial), *writes(study, ended), *writes(study, MISSING),
            ("get_study_id_from_name", "x"), ("get_study_name_from_id", study),
            ("get_study_user_attrs", study), ("get_study_system_attrs", study),
            ("get_study_directions", study), ("get_trial_number_from_id", trial),
            ("get_all_studies",),
        ):  # fmt: skip
            ends.append((name, said_by(first, name, *arguments)))
        ends += [said(outcome(beat)), _all(second, study) == then, then]
        second.get_all_trials(study)
        second.set_trial_state_values(trial, TrialState.FAIL)
        ends += [(name, said_by(first, name, *more)) for name, *more in writes(study, trial)[4:]]
        close()
        close_other()
        end()
        return [*ends, said_by(first, "set_study_user_attr", study, "key", 2), _all(first, study)]

    ends = both(ask, tmp_path)
    assert ends[:4] == [None, None, None, {"n": 1, "beat": 7}]
    assert [each[1] for each in ends[4:14]] == 10 * [("Lost", None)]  # type: ignore[index]
    assert True in ends, "nothing was written by who has lost the lease"


def _all(storage: Any, study: int) -> str:
    """All that a storage holds, but for dates and ids."""
    of_study = (storage.get_study_user_attrs(study), storage.get_study_system_attrs(study))
    trials = [
        (
            t.number,
            t.state,
            t.params,
            t.user_attrs,
            t.system_attrs,
            t.intermediate_values,
            t.values,
        )
        for t in storage.get_all_trials(study)
    ]
    return repr((*[sorted(each.items()) for each in of_study], trials))


def test_what_is_not_there_or_has_ended_is_refused(tmp_path: Path) -> None:
    def ask(first: Any, second: Any, study: int) -> list[object]:
        waiting = first.create_new_trial(study, WAITING)
        ended = first.create_new_trial(study)
        ends = [said_by(first, name, *more) for name, *more in writes(study, ended)]
        ends += [said_by(first, name, *more) for name, *more in writes(study, ended)]
        ends += [said_by(first, name, *more) for name, *more in writes(MISSING, MISSING)]
        ends += [
            said_by(first, "create_new_study", [StudyDirection.MAXIMIZE], "x"),
            said_by(first, "get_study_id_from_name", "y"),
            said_by(first, "get_trial", MISSING),
            said_by(first, "get_trial_id_from_study_id_trial_number", study, MISSING),
            said_by(first, "set_trial_state_values", waiting, TrialState.RUNNING),
            said_by(first, "set_trial_state_values", waiting, TrialState.RUNNING),
            said_by(first, "set_trial_param", waiting, "x", 0, FloatDistribution(0.0, 2.0)),
            said_by(first, "set_trial_user_attr", waiting, "key", (1, {2: "x"})),
            said_by(first, "set_trial_intermediate_value", waiting, 1, float("nan")),
            said_by(first, "set_trial_intermediate_value", waiting, 1, float("inf")),
        ]
        return [*ends, _all(first, study), _all(second, study)]

    ends = both(ask, tmp_path)
    assert ("UpdateFinishedTrialError", None) in ends
    assert ("KeyError", None) in ends
    assert ("DuplicatedStudyError", None) in ends


def test_what_no_power_failure_takes_back_is_what_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, real, study = storages("real", tmp_path)
    trial, sync = real.create_new_trial(study), os.fsync
    waited: list[int] = []

    def note(file: int) -> None:
        sync(file)
        waited.append(file)

    monkeypatch.setattr(os, "fsync", note)
    for name, *arguments in writes(study, trial):
        waited.clear()
        getattr(real, name)(*arguments)
        assert bool(waited) == (name in DURABLE), name


def clients(kind: str, folder: Path, database: Path) -> Any:
    """A client of an empty MLflow."""
    world, drive = World({}), Drive()
    process = world.begin("here")
    if kind == "simulated":
        return SimulatedClient(world, process, MlflowStore(), drive)
    prepare(folder, database)
    return RealClient(world, process, MlflowStore(), drive, folder)


PARAM, OTHER = [Param("a", "1")], [Param("a", "2")]
TAG = [RunTag("trial", "1")]
METRICS = [
    Metric("m", 0.5, 10, 2), Metric("m", 0.7, 20, 1), Metric("m", 0.5, 10, 2),
    Metric("m", 0.6, 5, 2), Metric("n", 3, 5, 1), Metric("n", 4, 6, 1),
]  # fmt: skip
FILTERS = (
    "", "tags.role = 'study'", "tags.trial != ''", "tags.trial = '1'",
    "attributes.status = 'RUNNING' and tags.trial != ''",
    "tags.trial = '1' and attributes.status = 'FINISHED'", "tags.mlflow.parentRunId = 'r0'",
)  # fmt: skip
# Of a run without an id these say that it is not there, where all others say that it is none:
# the pipeline takes both for a refusal.
UNLIKE = ("set_tag", "set_terminated")
QUESTIONS: tuple[tuple[Any, ...], ...] = (
    ("get_experiment_by_name", "x"), ("create_experiment", "x", None),
    ("create_experiment", "x", None), ("search_experiments",),
    ("create_run", "1", 5, {"role": "study"}, "x"),
    ("create_run", "1", 7, {"trial": "1", "mlflow.parentRunId": "r0"}, "trial 1"),
    ("create_run", "1", 6, {"trial": "2", "mlflow.parentRunId": "r0"}, "trial 2"),
    *(("search_runs", ["1"], each) for each in FILTERS),
    *((name, run, *more) for run in ("r1", "r9", "") for name, *more in (
        ("get_run",), ("log_batch", (), PARAM), ("log_batch", (), PARAM), ("log_batch", (), OTHER),
        ("log_batch", METRICS), ("log_batch", METRICS, (), TAG), ("log_batch", (), (), TAG),
        ("log_batch",), ("set_tag", "b", "2"), ("log_inputs", []), ("update_run", "SCHEDULED"),
        ("set_terminated", "FINISHED", 9), ("update_run", "RUNNING"),
        ("set_terminated", "KILLED", None), ("log_dict", {"a": [1]}, "a.json"),
        ("delete_artifact", "a.json"), ("delete_artifact", "a.json"),
        ("log_dict", {"a": [1]}, "a.json"), ("get_run",),
    ) if run or name not in UNLIKE),
    *(("search_runs", ["1"], each) for each in FILTERS),
    ("delete_run", "r1"), ("delete_run", "r1"), ("delete_run", "r9"), ("get_run", "r1"),
    ("log_batch", "r1", (), PARAM), ("log_batch", "r1", METRICS), ("log_batch", "r1", (), (), TAG),
    ("log_batch", "r1"), ("set_tag", "r1", "b", "3"), ("log_inputs", "r1", []),
    ("update_run", "r1", "RUNNING"), ("set_terminated", "r1", "KILLED", None),
    ("log_dict", "r1", {"b": 1}, "b.json"), ("delete_artifact", "r1", "a.json"),
    *(("search_runs", ["1"], each, view) for each in FILTERS for view in (1, 2, 3)),
    ("restore_run", "r1"), ("restore_run", "r1"), ("restore_run", "r9"), ("get_run", "r1"),
    ("search_runs", ["1"], "", 1, 1), ("search_runs", ["0"]), ("search_runs", ["7"]),
    ("get_model_version_by_alias", "x", "champion"), ("search_model_versions", "name = 'x'"),
    ("get_model_version", "x", "1"), ("set_registered_model_alias", "x", "champion", "1"),
    ("register", "x", "r1"), ("register", "x", "r1"), ("register", "x", "r2"),
    ("get_model_version_by_alias", "x", "champion"), ("get_model_version", "x", "2"),
    ("get_model_version", "x", "4"), ("set_registered_model_alias", "x", "champion", "4"),
    ("set_registered_model_alias", "x", "champion", "2"),
    ("set_registered_model_alias", "x", "previous", "1"),
    ("set_registered_model_alias", "x", "champion", "3"),
    ("set_model_version_tag", "x", "3", "a", "b"), ("set_model_version_tag", "x", "3", "a", "c"),
    ("set_model_version_tag", "x", "4", "a", "b"), ("set_model_version_tag", "x", "3", "d", "e"),
    ("delete_model_version_tag", "x", "3", "d"), ("delete_model_version_tag", "x", "3", "d"),
    ("get_model_version_by_alias", "x", "champion"),
    ("get_model_version_by_alias", "x", "previous"),
    ("get_model_version_by_alias", "x", "other"),
)  # fmt: skip


def test_an_mlflow_refuses_what_the_simulated_one_refuses(
    tmp_path: Path, empty_database: Path
) -> None:
    here, there = (clients(kind, tmp_path, empty_database) for kind in ("simulated", "real"))
    codes, differ = set(), []
    for name, *arguments in QUESTIONS:
        one, other = (outcome(getattr(each, name), *arguments) for each in (here, there))
        if of_mlflow(one) != of_mlflow(other):
            differ.append((name, arguments, of_mlflow(one), of_mlflow(other)))
        codes.add(getattr(one, "error_code", ""))
    assert differ == []
    assert codes == {
        "", "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS",
    }  # fmt: skip
    found = MlflowStore()
    read_into(found, tmp_path)
    assert contents(here._store) == contents(found)
