"""A simulation whose stores are real: SQLite files, behind the steps and faults of the simulated.

Ids of runs are counted, as the simulated ones are; in MLflow they are drawn at random.
"""

import contextlib
import functools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import optuna
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.store.tracking import sqlalchemy_store
from mlflow.tracking._tracking_service import utils

from pipeline.storage.rdb import open_storage
from pipeline.tracking import mlflow_internals
from simulation.drive import Drive
from simulation.mlflow_client import SimulatedClient
from simulation.mlflow_store import MlflowStore, Run, Version
from simulation.optuna_store import SimulatedStorage
from simulation.run import Simulation
from simulation.scenario import NAME
from simulation.schedule import Schedule
from simulation.world import Process, World


class RealStorage(SimulatedStorage):
    """A real storage as one process sees it: each write is a step, and may fail as one."""

    def __init__(self, world: World, process: Process, url: str) -> None:
        cached: Any = open_storage(url, to_write=True)
        self._own = cached._backend
        store: Any = SimpleNamespace(
            data=cached,
            apply=lambda name, *arguments: getattr(cached, name)(*arguments),
            swap=self._own.swap,
        )
        super().__init__(world, process, store)

    def fence(
        self, study_id: int, keys: Sequence[str], judge: Callable[[Mapping[str, Any]], None]
    ) -> Any:
        fence = self._own.fence(study_id, keys, judge)

        def writer(key: str, value: Callable[[], Any]) -> Any:
            write, close = fence.writer(key, value)
            return lambda: self._transact(f"notes {key}", write), close

        return SimpleNamespace(put_up=fence.put_up, writer=writer)


def _passed_on(name: str) -> Any:
    """A method that is one step, in which the real client does what it is asked."""

    def method(self: "RealClient", *arguments: Any, **named: Any) -> Any:
        return self._do(name, lambda: getattr(self.real, name)(*arguments, **named))

    return method


class RealClient(SimulatedClient):
    """A real client for one process: its steps are those of the simulated one."""

    def __init__(
        self, world: World, process: Process, store: MlflowStore, drive: Drive, folder: Path
    ) -> None:
        super().__init__(world, process, store, drive)
        self.real, self._folder = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}"), folder

    get_experiment_by_name = _passed_on("get_experiment_by_name")
    set_experiment_tag = _passed_on("set_experiment_tag")
    update_run = _passed_on("update_run")
    set_tag = _passed_on("set_tag")
    log_inputs = _passed_on("log_inputs")
    delete_run = _passed_on("delete_run")
    restore_run = _passed_on("restore_run")
    set_model_version_tag = _passed_on("set_model_version_tag")
    delete_model_version_tag = _passed_on("delete_model_version_tag")
    set_registered_model_alias = _passed_on("set_registered_model_alias")
    get_model_version_by_alias = _passed_on("get_model_version_by_alias")

    def create_experiment(self, name: str, location: str | None, tags: Any = None) -> str:
        assert location is None, "a simulated project has no folder of artifacts"
        where = (self._folder / "artifacts" / name).as_uri()

        def make() -> str:
            return str(self.real.create_experiment(name, where, tags))

        return str(self._do("create_experiment", make))

    def search_experiments(self) -> Any:
        return self.real.search_experiments()

    def _make_run(
        self, experiment: str, started: int, tags: dict[str, str], name: str | None
    ) -> SimpleNamespace:
        known = self.real.search_runs([experiment], run_view_type=ViewType.ALL)
        counted = SimpleNamespace(hex=f"r{len(known)}")
        with mock.patch.object(sqlalchemy_store.uuid, "uuid4", return_value=counted):
            return _shown(self.real.create_run(experiment, started, tags, name))

    def get_run(self, run: str) -> SimpleNamespace:
        return self._do("get_run", lambda: _shown(self.real.get_run(run)))  # type: ignore[no-any-return]

    def search_runs(self, *arguments: Any, **named: Any) -> Any:
        def search() -> Any:
            found = self.real.search_runs(*arguments, **named)
            found[:] = map(_shown, found)
            return found

        return self._do("search_runs", search)

    def set_terminated(self, run: str, status: str = "FINISHED", end: int | None = None) -> None:
        self._do(
            "set_terminated", lambda: self.real.set_terminated(run, status, end or self._now())
        )

    def log_batch(
        self, run: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Any = ()
    ) -> None:
        """In steps, as MLflow writes one kind of them after the other."""
        for given in ({"params": params}, {"metrics": metrics}, {"tags": tags}):
            if any(given.values()):
                self._do("log_batch", functools.partial(self.real.log_batch, run, **given))

    def _put(self, run: str, name: str, content: Any) -> None:
        self._do("begins", lambda: self._write_artifact(run, name, b""))
        self._do("ends", lambda: self._write_artifact(run, name, content))

    def _write_artifact(self, run: str, name: str, content: Any) -> None:
        if not isinstance(content, bytes):
            self.real.log_dict(run, content, name)
            return
        file = self._folder / name
        file.write_bytes(content)
        self.real.log_artifact(run, str(file))

    def list_artifacts(self, run: str) -> Any:
        return self.real.list_artifacts(run)

    def delete_artifact(self, run: str, name: str) -> None:
        self._do("drops", lambda: mlflow_internals.delete_artifact(self.real, run, name))

    def register(self, model: str, run: str) -> str:
        def make() -> str:
            if not self.real.search_registered_models(f"name = '{model}'"):
                self.real.create_registered_model(model)
            source = f"runs:/{run}/model.keras"
            return str(self.real.create_model_version(model, source, run).version)

        return str(self._do("registers", make))

    def get_model_version(self, model: str, number: str) -> Any:
        return self.real.get_model_version(model, number)

    def search_model_versions(self, filter_string: str) -> Any:
        return self.real.search_model_versions(filter_string)


def _shown(run: Any) -> SimpleNamespace:
    """A run whose files are not to be looked for on a disk, as those of a server."""
    info = {each: getattr(run.info, each) for each in (
        "run_id", "run_name", "experiment_id", "status", "start_time", "end_time",
        "lifecycle_stage",
    )}  # fmt: skip
    about = SimpleNamespace(**info, artifact_uri=f"simulated:/{run.info.run_id}")
    return SimpleNamespace(info=about, data=run.data, inputs=run.inputs)


def prepare(folder: Path, database: Path) -> None:
    """Puts an empty MLflow database into the folder of a world's stores."""
    shutil.copyfile(database, folder / "mlflow.db")
    # MLflow remembers where the files of a run are, and runs of other worlds have the same ids
    utils._artifact_repos_cache.clear()


class RealSimulation(Simulation):
    """A simulation with stores in a folder; see `prepare`."""

    def __init__(self, schedule: Schedule, folder: Path) -> None:
        super().__init__(schedule)
        self.folder, self._url = folder, f"sqlite:///{folder / 'optuna.db'}"
        self._looked_at = open_storage(self._url)

    def storage_of(self, process: Process) -> SimulatedStorage:
        return RealStorage(self.world, process, self._url)

    def client_of(self, process: Process, drive: Drive) -> SimulatedClient:
        return RealClient(self.world, process, self.runs, drive, self.folder)

    def study(self) -> optuna.Study | None:
        with contextlib.suppress(KeyError):
            return optuna.load_study(study_name=NAME, storage=self._looked_at)
        return None

    def _look_at_the_end(self) -> None:
        read_into(self.runs, self.folder)
        super()._look_at_the_end()


def read_into(store: MlflowStore, folder: Path) -> None:
    """Reads all that a real MLflow holds, as a simulated one would hold it."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    store.experiments = {
        each.name: each.experiment_id
        for each in sorted(client.search_experiments(), key=lambda each: int(each.experiment_id))
    }
    found = client.search_runs([*store.experiments.values()], run_view_type=ViewType.ALL)
    runs = [_read(client, run, folder) for run in found]
    store.runs = {run.id: run for run in sorted(runs, key=lambda run: run.number)}
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name = '{model.name}'")
        versions = sorted(versions, key=lambda each: int(each.version))
        store.versions[model.name] = [
            Version(int(each.version), str(each.run_id), dict(each.tags)) for each in versions
        ]
        for alias, number in model.aliases.items():
            store.aliases[model.name, alias] = int(number)


def contents(store: MlflowStore) -> dict[str, Any]:
    """All that MLflow holds; of inputs what tells them apart, as MLflow gives them an id."""
    runs = {
        run.id: vars(run)
        | {"inputs": [(each.dataset.name, each.dataset.digest) for each in run.inputs]}
        for run in store.runs.values()
    }
    versions = {name: [vars(each) for each in found] for name, found in store.versions.items()}
    return {"runs": runs, "versions": versions, "aliases": store.aliases}


def _read(client: MlflowClient, run: Any, folder: Path) -> Run:
    info, tags = run.info, dict(run.data.tags)
    tags.pop("mlflow.runName")  # the run's name once more, which MLflow adds
    files = (folder / "artifacts").glob(f"*/{info.run_id}/artifacts/*")
    contents = {file.name: file.read_bytes() for file in files}
    return Run(
        info.run_id,
        int(info.run_id.removeprefix("r")),
        info.experiment_id,
        info.run_name,
        info.start_time,
        info.status,
        info.end_time,
        info.lifecycle_stage == "deleted",
        tags,
        dict(run.data.params),
        {
            key: {
                (each.step, each.timestamp, each.value)
                for each in client.get_metric_history(info.run_id, key)
            }
            for key in run.data.metrics
        },
        {
            name: json.loads(content) if name.endswith(".json") and content else content
            for name, content in contents.items()
        },
        list(run.inputs.dataset_inputs),
    )
