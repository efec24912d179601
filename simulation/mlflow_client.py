"""What the pipeline asks of MLflow's client, for one simulated process."""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from simulation.disk import end_after
from simulation.drive import Drive
from simulation.faults import Kind, What
from simulation.mlflow_store import MlflowStore, Page, Run, Version
from simulation.world import Process, SimulatedClock, World

_CLAUSE = re.compile(r"(tags|attributes)\.([\w.]+) (=|!=) '([^']*)'")


class SimulatedClient:
    """What the pipeline uses of `mlflow.MlflowClient`, for one process."""

    tracking_uri = "simulated:"

    def __init__(self, world: World, process: Process, store: MlflowStore, drive: Drive) -> None:
        self._world, self._process, self._store, self._drive = world, process, store, drive

    def _do(self, what: str, do: Callable[[], Any]) -> Any:
        fault = self._world.step(self._process, Kind.MLFLOW, what)
        if fault and fault.what is What.OUTAGE:
            self._store.out_until = self._world.seconds + fault.seconds
        if fault and fault.what is What.FLAKY:
            self._store.flaky_until = self._world.seconds + fault.seconds
            fault = None
        if self._world.seconds < self._store.flaky_until:
            self._store.n_asked += 1
            if self._store.n_asked % 3 == 0:
                raise MlflowException("simulated: out of reach", INTERNAL_ERROR)
        if self._world.seconds < self._store.out_until:
            raise MlflowException("simulated: out of reach", INTERNAL_ERROR)
        if fault is None:
            return do()
        match fault.what:
            case What.REFUSED:
                raise MlflowException("simulated: out of reach", INTERNAL_ERROR)
            case What.LOST:
                do()
                raise MlflowException("simulated: no answer", INTERNAL_ERROR)
            case What.TWICE:
                do()
                return do()
            case What.LATE:
                done = do()
                self._world.advance(self._process, 60.0)
                return done
        done = do()
        end_after(self._world, self._process, fault)
        return done

    def _run(self, run: str) -> Run:
        found = self._store.runs.get(run)
        if found is None:
            code = RESOURCE_DOES_NOT_EXIST if run else INVALID_PARAMETER_VALUE
            raise MlflowException(f"simulated: no run {run!r}", code)
        return found

    def _active(self, run: str) -> Run:
        """Finds a run that may be written: one that is not deleted."""
        found = self._run(run)
        if found.is_deleted:
            raise MlflowException(f"simulated: {run} is deleted", INVALID_PARAMETER_VALUE)
        return found

    def _now(self) -> int:
        return int(1000 * SimulatedClock(self._world, self._process).time())

    # Experiments

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        def find() -> SimpleNamespace | None:
            return next((each for each in self.search_experiments() if each.name == name), None)

        return self._do("asks for the experiment", find)  # type: ignore[no-any-return]

    def create_experiment(self, name: str, location: str | None, tags: Any = None) -> str:
        def make() -> str:
            known = self._store.experiments
            if name in known:
                raise MlflowException(f"simulated: there is {name}", RESOURCE_ALREADY_EXISTS)
            return known.setdefault(name, str(len(known)))

        return str(self._do("makes the experiment", make))

    def set_experiment_tag(self, experiment: str, key: str, value: str) -> None:
        self._do("tags the experiment", lambda: None)

    def search_experiments(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(experiment_id=number, name=name, lifecycle_stage="active")
            for name, number in reversed(self._store.experiments.items())
        ]

    # Runs

    def create_run(
        self,
        experiment: str,
        start_time: int | None = None,
        tags: Mapping[str, str] | None = None,
        run_name: str | None = None,
    ) -> SimpleNamespace:
        def make() -> SimpleNamespace:
            started = self._now() if start_time is None else start_time
            return self._make_run(experiment, started, dict(tags or {}), run_name)

        return self._do(f"makes run {run_name!r}", make)  # type: ignore[no-any-return]

    def _make_run(
        self, experiment: str, started: int, tags: dict[str, str], name: str | None
    ) -> SimpleNamespace:
        return self._store.make(experiment, started, tags, name or "").shown()

    def get_run(self, run: str) -> SimpleNamespace:
        return self._do(f"reads {run}", lambda: self._run(run).shown())  # type: ignore[no-any-return]

    def search_runs(
        self,
        experiments: Sequence[str],
        filter_string: str = "",
        run_view_type: int = ViewType.ACTIVE_ONLY,
        max_results: int = 1000,
        order_by: Any = None,
        page_token: str | None = None,
    ) -> Page:
        def find() -> Page:
            clauses = _CLAUSE.findall(filter_string)
            assert len(clauses) == (filter_string.count(" and ") + 1 if filter_string else 0)
            found = [
                run
                for run in self._store.runs.values()
                if run.experiment in experiments
                and run_view_type in (ViewType.ALL, run.view)
                and all(_meets(run, *clause) for clause in clauses)
            ]
            found.sort(key=lambda run: (-run.started, run.number))
            return Page(run.shown() for run in found[:max_results])

        return self._do(f"searches runs {filter_string}", find)  # type: ignore[no-any-return]

    def update_run(self, run: str, status: str) -> None:
        def update() -> None:
            self._active(run).status = status

        self._do(f"{run} is {status}", update)

    def set_terminated(self, run: str, status: str = "FINISHED", end: int | None = None) -> None:
        def update() -> None:
            found = self._active(run)
            found.status, found.ended = status, end or self._now()

        self._do(f"{run} is {status}", update)

    def log_batch(
        self, run: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Any = ()
    ) -> None:
        def log_params() -> None:
            known = self._active(run).params
            for each in params:
                if known.get(each.key, each.value) != each.value:
                    said = f"simulated: {each.key} of {run} is fixed"
                    raise MlflowException(said, INVALID_PARAMETER_VALUE)
            known.update({each.key: each.value for each in params})

        def log_metrics() -> None:
            known = self._active(run).metrics
            for each in metrics:
                value = (each.step, each.timestamp, float(each.value))
                known.setdefault(each.key, set()).add(value)

        if params:
            self._do(f"params of {run}", log_params)
        if metrics:
            self._do(f"metrics of {run}", log_metrics)
        if tags:
            new = {each.key: each.value for each in tags}
            self._do(f"tags of {run}", lambda: self._active(run).tags.update(new))

    def set_tag(self, run: str, key: str, value: str) -> None:
        def put() -> None:
            found = self._active(run)
            if key == MLFLOW_RUN_NAME:
                found.name = value
            else:
                found.tags[key] = value

        self._do(f"tag {key} of {run}", put)

    def log_inputs(self, run: str, inputs: Sequence[Any]) -> None:
        def add() -> None:
            known = self._active(run).inputs
            known += [each for each in inputs if each not in known]

        self._do(f"inputs of {run}", add)

    def log_artifact(self, run: str, path: str) -> None:
        content = self._drive.files[Path(path)].content
        self._put(run, Path(path).name, content)

    def log_dict(self, run: str, values: Mapping[str, Any], name: str) -> None:
        self._put(run, name, copy.deepcopy(dict(values)))

    def _put(self, run: str, name: str, content: Any) -> None:
        def put(content: Any) -> None:
            self._run(run).artifacts[name] = content

        self._do(f"begins {name} of {run}", lambda: put(b""))
        self._do(f"ends {name} of {run}", lambda: put(content))

    def list_artifacts(self, run: str) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(path=name, file_size=len(content))
            for name, content in self._run(run).artifacts.items()
        ]

    def delete_artifact(self, run: str, name: str) -> None:
        self._do(f"drops {name} of {run}", lambda: self._run(run).artifacts.pop(name, None))

    def delete_run(self, run: str) -> None:
        self._do(f"deletes {run}", lambda: setattr(self._run(run), "is_deleted", True))

    def restore_run(self, run: str) -> None:
        self._do(f"restores {run}", lambda: setattr(self._run(run), "is_deleted", False))

    # Registered models

    def register(self, model: str, run: str) -> str:
        """Makes a version of a run's model, as `mlflow.models.Model.log` does in the end."""

        def make() -> str:
            versions = self._store.versions.setdefault(model, [])
            versions.append(Version(len(versions) + 1, self._run(run).id))
            return str(versions[-1].number)

        return str(self._do(f"registers the model of {run}", make))

    def _version(self, model: str, number: str) -> Version:
        found = self._store.versions.get(model, [])
        if int(number) > len(found):
            said = f"simulated: no version {number} of {model!r}"
            raise MlflowException(said, RESOURCE_DOES_NOT_EXIST)
        return found[int(number) - 1]

    def get_model_version(self, model: str, number: str) -> SimpleNamespace:
        return self._version(model, number).shown()

    def get_model_version_by_alias(self, model: str, alias: str) -> SimpleNamespace:
        def find() -> SimpleNamespace:
            number = self._store.aliases.get((model, alias))
            if number is None:
                is_known = model in self._store.versions
                code = INVALID_PARAMETER_VALUE if is_known else RESOURCE_DOES_NOT_EXIST
                raise MlflowException("simulated: no such alias", code)
            return self._version(model, str(number)).shown()

        return self._do(f"asks who is {alias}", find)  # type: ignore[no-any-return]

    def search_model_versions(self, filter_string: str) -> list[SimpleNamespace]:
        model = filter_string.split("'")[1]
        return [each.shown() for each in self._store.versions.get(model, ())]

    def set_model_version_tag(self, model: str, number: str, key: str, value: str) -> None:
        new, what = {key: value}, f"tag {key} of version {number}"
        self._do(what, lambda: self._version(model, number).tags.update(new))

    def delete_model_version_tag(self, model: str, number: str, key: str) -> None:
        what = f"no tag {key} of version {number}"
        self._do(what, lambda: self._version(model, number).tags.pop(key, None))

    def set_registered_model_alias(self, model: str, alias: str, number: str) -> None:
        def point() -> None:
            self._store.aliases[model, alias] = self._version(model, number).number

        self._do(f"version {number} is {alias}", point)


def _meets(run: Run, where: str, key: str, operator: str, value: str) -> bool:
    found = run.tags.get(key) if where == "tags" else getattr(run, key)
    if operator == "=":
        return bool(found == value)
    return found is not None and bool(found != value)
