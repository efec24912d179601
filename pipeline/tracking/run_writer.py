"""Writes a study to MLflow: the wording of its runs, not the sending (see `delivery`).

One experiment for a study, one parent run for the study itself, one child run for each trial, one
registered model whose alias `champion` is the best so far. Runs are addressed by id throughout:
MLflow's notion of an active run is a thread's own and would outlive nothing.
"""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import mlflow
from mlflow.entities import Dataset, DatasetInput, Metric

from pipeline.paths import Project
from pipeline.provenance import collect_provenance
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.tracking import delivery, orphans, relocation, run_names, story, study_run, writes
from pipeline.tracking.curves import Curves
from pipeline.tracking.tracker import END_OF_INTERRUPTED, STATUS, End
from pipeline.tracking.version_story import NOTE


class RunWriter:
    """Writes the runs of a study to MLflow, as a `Tracker`.

    Args:
        client: of the store.
        project: whose store it is.
        study: name of the study, and so of the experiment and of the registered model.
        say: told when MLflow is out of reach, and when it is back.
        note_run: told the number of a trial and its run, if the run could only be created after
            `start_trial` had returned.
        check: called before each write; raises where nothing may be written any more.

    Raises:
        PipelineError: the store cannot be used; the text says which and why.
    """

    def __init__(
        self,
        client: mlflow.MlflowClient,
        project: Project,
        study: str,
        say: Callable[[str], None] = lambda _: None,
        note_run: Callable[[int, str], None] = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._uri, self._study = client, project.mlflow_uri, study
        self._check = check
        self._clock = project.outside.clock
        self._curves = Curves(self._clock, self._send_curve)
        try:
            self._experiment = delivery.open_experiment(client, project, study)
        except Exception as error:  # SQLAlchemy's, HTTP's and MLflow's own
            raise delivery.unusable(self._uri, error) from None
        self._delivery = delivery.Delivery(
            client, self._experiment, project.outbox(study), say, note_run, check, project.outside
        )
        self._parent = ""
        self._about: dict[str, str] = {}
        self._tags: dict[int | None, Mapping[str, str]] = {}  # of runs that were started here

    @classmethod
    def open(
        cls,
        project: Project,
        study: str,
        say: Callable[[str], None] = lambda _: None,
        note_run: Callable[[int, str], None] = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> Self:
        """Opens a project's store, creates it if it is not there, and returns its writer.

        Arguments are those of the class.

        Raises:
            PipelineError: the store cannot be opened; the text says which and why.
        """
        project.outside.disk.make_folder(project.runs_dir)
        try:
            client = delivery.client_of(project, project.mlflow_uri)
            relocation.relocate(project, say)
        except Exception as error:  # SQLAlchemy's, HTTP's and MLflow's own
            raise delivery.unusable(project.mlflow_uri, error) from None
        return cls(client, project, study, say, note_run, check)

    def writing_much(self) -> contextlib.AbstractContextManager[None]:
        """Has few writes of a `with` wait for the disk, where the store is a file of SQLite.

        If the power fails, what was flushed is safe; what has ended since is ended again.
        """
        return self._delivery.writing_much(self._uri.file)

    def open_study(
        self,
        goal: str,
        tags: Mapping[str, str],
        data_fingerprint: str,
        views: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Starts the study's own run, or takes it up again, and sends what an earlier one kept.

        Args:
            goal: shown as the description of experiment and run.
            tags: of the study's run; `dataset` is one of them.
            data_fingerprint: SHA-256 of the data; noted in every run.
            views: how MLflow's UI is to show the trials, by `view.tags`.

        Raises:
            PipelineError: MLflow does not take it.
        """
        self._about = {
            "study": self._study,
            "data_fingerprint": data_fingerprint,
            **collect_provenance(),
        }
        dataset = Dataset(
            name=tags["dataset"],
            digest=data_fingerprint[:8],
            source_type="local",
            source=json.dumps({"uri": tags["dataset"]}),
        )
        self._delivery.inputs = [DatasetInput(dataset, [])]
        self._delivery.send_kept()
        self._check()
        note = story.begin(self._client, self._experiment, self._study, goal, views)
        about = writes.as_tags({"role": "study", NOTE: note, **self._about, **tags})
        opened = (self._client, self._experiment, self._study, about, self._delivery.inputs)
        try:
            self._parent = study_run.open_run(*opened)
        except delivery.OUT_OF_REACH as error:
            raise delivery.unusable(self._uri, error) from None

    def join_study(self, data_fingerprint: str, versions: Mapping[str, str]) -> bool:
        """Takes the study's own run as the parent of others and leaves it as it is.

        Args:
            data_fingerprint: SHA-256 of the data; noted in every run.
            versions: of what the trials were trained with; noted in every run.

        Returns:
            Whether there is such a run.

        Raises:
            PipelineError: MLflow is out of reach.
        """
        self._about = {"study": self._study, "data_fingerprint": data_fingerprint, **versions}
        try:
            found = orphans.find_study_run(self._client, self._experiment)
        except delivery.OUT_OF_REACH as error:
            raise delivery.unusable(self._uri, error) from None
        if found:
            self._parent = found.info.run_id
            self._delivery.inputs = list(found.inputs.dataset_inputs)
        return bool(found)

    def close_study(self, status: str) -> None:
        """Ends the study's own run as FINISHED, FAILED or KILLED."""
        self.flush()
        self._end(None, status)

    @property
    def trouble(self) -> str:
        """Says what keeps MLflow from taking what is kept; "" if nothing does."""
        return self._delivery.trouble

    def settle(self) -> int:
        """Tries to send all that is noted or kept; returns how many writes are still kept."""
        self.flush()
        self._delivery.send_kept()
        return len(self._delivery)

    def start_trial(
        self,
        trial: int,
        hyperparameters: Hyperparameters | None,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> str:
        """Creates a trial's run and returns the run's id, or ""; arguments as in `Tracker`."""
        about = {"trial": str(trial), "state": "RUNNING", **self._about, **tags}
        values = {**(hyperparameters.flat() if hyperparameters else {}), **params}
        self._tags[trial] = about
        self._delivery.send(
            {
                "what": "start",
                **self._run_of(trial),
                "started": self._now(),
                "tags": {"mlflow.parentRunId": self._parent, **about},
                "params": {key: str(value) for key, value in values.items()},
                "hyperparameters": hyperparameters.as_dict() if hyperparameters else None,
            }
        )
        return self._delivery.runs.get(trial, "")

    @contextlib.contextmanager
    def resume_trial(self, trial: int, run: str) -> Iterator[None]:
        """Sends what is written of a trial to a run that exists already."""
        self._delivery.runs[trial] = run
        try:
            yield
        finally:
            self._delivery.runs.pop(trial, None)  # so that `start_trial` creates another

    def log_epoch(self, trial: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Notes the metrics of an epoch and sends them in batches; arguments as in `Tracker`."""
        self._curves.note(trial, metrics, epoch, self._now())

    def flush(self, trial: int | None = None) -> None:
        """Sends what was noted, or keeps that on disk; arguments as in `Tracker`."""
        self._curves.flush(trial)
        self._delivery.wait_for_disk()

    def store_model(self, trial: int, model: bytes) -> None:
        """Keeps the model of a trial that is one of the best, as an artifact of its run."""
        self._delivery.send({"what": "model", **self._run_of(trial)}, model)

    def drop_model(self, trial: int, run: str) -> None:
        """Removes the model of a trial that is none of the best; arguments as in `Tracker`."""
        self._delivery.send({"what": "drop", "trial": trial, "run": run or None})

    def set_paused(self, trial: int, run: str, *, is_paused: bool) -> None:
        """Shows that a trial is paused, or goes on; arguments as in `Tracker`."""
        self._delivery.runs |= {trial: run} if run else {}
        noted = {"state": "PAUSED" if is_paused else "RUNNING"}
        status = {"status": "SCHEDULED" if is_paused else "RUNNING"}
        logged = {"metrics": [], "tags": noted, "name": self._name(trial, noted)}
        self._delivery.send({"what": "status", **self._run_of(trial), **status, **logged})

    def finish_trial(
        self, trial: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]
    ) -> None:
        """Ends a trial's run, with metrics and tags; arguments as in `Tracker`."""
        self._curves.drop(trial)  # flushed before Optuna was told, unless interrupted
        noted = {"state": "FAIL" if state == "KILLED" else state, **tags}
        now = self._now()
        values = [(key, metrics[key], now, 0) for key in metrics]
        logged = {"metrics": values, "tags": noted, "name": self._name(trial, noted)}
        self._end(trial, STATUS.get(state, "KILLED"), logged)
        self._tags.pop(trial, None)

    def log_incumbent(self, trial: int, metric: str, value: float) -> None:
        """Adds a point to the curve of the best values; arguments as in `Tracker`."""
        self._curves.note(None, {f"best_{metric}": value}, trial, self._now())

    def mend(
        self, ends: Mapping[int, End], runs: Mapping[int, str], paused: Collection[int] = ()
    ) -> int:
        """Ends child runs that are RUNNING though no trial is; arguments as in `Tracker`."""
        self._delivery.runs |= {trial: runs[trial] for trial in paused if runs[trial]}
        found = []
        try:
            for run in self._delivery.left_open():
                trial, status = int(run.data.tags["trial"]), run.info.status
                if trial in paused and status == "SCHEDULED":
                    continue
                found.append(trial)
                if runs.get(trial, "") not in ("", run.info.run_id):  # MLflow made two of one
                    self._check()
                    orphans.set_aside(self._client, run.info.run_id, status)
                    continue
                self._delivery.runs[trial] = run.info.run_id
                state, metrics, tags = ends.get(trial, END_OF_INTERRUPTED)
                is_told = "best_epoch" in run.data.metrics  # killed before the last step
                if trial in paused:
                    self.set_paused(trial, run.info.run_id, is_paused=True)
                else:
                    self.finish_trial(trial, state, {} if is_told else metrics, tags)
        except delivery.OUT_OF_REACH as error:
            raise delivery.unusable(self._uri, error) from None
        return len(found)

    def _send_curve(self, trial: int | None, metrics: Sequence[Metric]) -> None:
        values = [(each.key, each.value, each.timestamp, each.step) for each in metrics]
        noted = {"metrics": values, "tags": {}}
        self._delivery.send({"what": "log", **self._run_of(trial), **noted})

    def _end(
        self, trial: int | None, status: str, logged: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        end = {"status": status, "ended": self._now(), **logged}
        self._delivery.send({"what": "end", **self._run_of(trial), **end})

    def _name(self, trial: int, noted: Mapping[str, str]) -> str:
        """Names the run of a trial by what is noted of it now; "" of one started by another."""
        known = self._tags.get(trial)
        return run_names.name_of({**known, **noted}) if known else ""

    def _run_of(self, trial: int | None) -> dict[str, Any]:
        """Says in a write whose run it is for: a trial's, or the study's own."""
        run = self._parent if trial is None else self._delivery.runs.get(trial)
        return {"trial": trial, "run": run}

    def _now(self) -> int:
        """Milliseconds since 1970."""
        return int(self._clock.time() * 1000)
