"""Writes to MLflow that get there, now or later, once.

A search goes on without MLflow: what cannot be sent is kept on disk, in its order, and sent when
MLflow answers again, or by whoever opens the study next.
"""

import contextlib
import errno
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
from mlflow.entities import DatasetInput, Run
from mlflow.exceptions import MlflowException, RestException

from pipeline import paths, write_ahead
from pipeline.errors import PipelineError, first_line
from pipeline.outside import SYSTEM, Outside
from pipeline.paths import Project, display_path
from pipeline.store_url import StoreUrl
from pipeline.tracking import mlflow_internals, writes
from pipeline.tracking.outbox import Outbox, Write
from pipeline.wording import count_noun, inflect

for _name in ("alembic", "mlflow"):  # they tell of every table that they create
    logging.getLogger(_name).setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors reach us anyway

MODEL_ARTIFACT = "model.keras"
WRITTEN_ANEW = "written_anew"  # tag of a run that the doctor has written
RETRY_SECONDS = 15.0  # between two attempts to reach MLflow
# What MLflow says of a run that somebody has deleted meanwhile: trying again would not help.
_REFUSED = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE")
_OF_A_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)  # without a file's name
OUT_OF_REACH = (MlflowException, OSError)  # among the latter what goes wrong with HTTP


def client_of(project: Project, uri: str) -> mlflow.MlflowClient:
    """Opens a client of a project's store, as `open_client`; of another one where that is given.

    Args:
        project: whose store it is.
        uri: the store's, or that of a copy of it.
    """
    return project.outside.mlflow() if project.outside.mlflow else open_client(uri)


def open_client(uri: str) -> mlflow.MlflowClient:
    """Opens a client of a store, and creates the store's file if there is none.

    Raises:
        Exception: the store cannot be opened; SQLAlchemy, HTTP and MLflow have their own.
    """
    if file := StoreUrl(uri).file:
        # MLflow makes its tables in many steps, and cannot open what a kill has left of them
        write_ahead.create_whole(file, mlflow_internals.create_tables)
        # MLflow itself would try for minutes to open what it cannot
        with contextlib.closing(sqlite3.connect(file, timeout=paths.BUSY_SECONDS)) as database:
            database.execute("SELECT count(*) FROM sqlite_master")
    return mlflow.MlflowClient(uri)


def open_experiment(client: mlflow.MlflowClient, project: Project, study: str) -> str:
    """Finds the experiment of a study, or creates it, and returns its id.

    Args:
        client: of the project's store.
        project: where artifacts lie, unless the store is a server.
        study: name of the study, and so of the experiment.
    """
    known = client.get_experiment_by_name(study)
    if known is not None:
        if known.lifecycle_stage == "deleted":
            client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)
    location = (project.artifacts_dir / study).as_uri() if project.mlflow_uri.is_sqlite else None
    kind = {"mlflow.experimentKind": "custom_model_development"}  # which pages the UI shows
    return str(client.create_experiment(study, location, tags=kind))


def unusable(uri: str, error: Exception) -> PipelineError:
    """Says of a store that it cannot be used, and why."""
    where = StoreUrl(uri).display
    return PipelineError(f"MLflow's store {where} cannot be used: {diagnose(error)[1]}")


def diagnose(error: BaseException) -> tuple[str, str]:
    """Says what keeps MLflow from taking a write: a disk, a database, a server, or silence.

    Returns:
        A sentence of ours, and the reason as the system or the library gives it.
    """
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and (cause.filename or cause.errno in _OF_A_FULL_DISK):
            where = f"{display_path(Path(str(cause.filename)))}: " if cause.filename else ""
            return "MLflow's files cannot be written", f"{where}{cause.strerror}"
        if isinstance(cause, sqlite3.Error):
            return "MLflow's database cannot be used", first_line(cause)
        if isinstance(cause, RestException) or getattr(cause, "response", None) is not None:
            return "MLflow's server answers with an error", first_line(cause)
        cause = cause.__cause__ or cause.__context__
    return "MLflow does not answer", first_line(error)


class Delivery:
    """Sends writes about the runs of one experiment, in their order.

    A write is a mapping that JSON can hold. Its `what` is "start" (of a trial's run), "log",
    "model", "drop" (the model), "status" or "end"; its `run` is None as long as the
    trial's run has not been created.

    Args:
        client: of the store.
        experiment: id of the experiment.
        folder: where is kept what cannot be sent.
        say: told when MLflow is out of reach, and when it is back.
        note_run: told the number of a trial and its run, if that was created late.
        check: called before each write; raises where nothing may be written any more.
        outside: of this process.
    """

    def __init__(
        self,
        client: mlflow.MlflowClient,
        experiment: str,
        folder: Path,
        say: Callable[[str], None],
        note_run: Callable[[int, str], None],
        check: Callable[[], None] = lambda: None,
        outside: Outside = SYSTEM,
    ) -> None:
        self.runs: dict[int, str] = {}  # of trials under way
        self.inputs: list[DatasetInput] = []  # of every run
        self.trouble = ""  # what keeps MLflow from taking what is kept
        self._client, self._experiment, self._folder = client, experiment, folder
        self._say, self._note_run, self._check = say, note_run, check
        self._clock, self._disk = outside.clock, outside.disk
        self._outbox = Outbox(folder, outside.disk)
        self._retry_at = 0.0
        self.wait_for_disk: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        """Counts the writes that are kept."""
        return len(self._outbox)

    @contextlib.contextmanager
    def writing_much(self, file: Path | None) -> Iterator[None]:
        """Has few writes of a `with` wait for the disk; else it is `wait_for_disk` that does.

        Args:
            file: of SQLite that is the store; None if it is no file.
        """
        with mlflow_internals.writing_ahead(self._client, file) as self.wait_for_disk:
            try:
                yield
            finally:
                self.wait_for_disk = lambda: None

    def send(self, write: Write, attachment: bytes | None = None) -> None:
        """Delivers a write; keeps the write if MLflow is out of reach or earlier ones wait.

        Raises:
            PipelineError: the disk does not take it either.
        """
        self._check()
        if self._outbox and self._clock.monotonic() > self._retry_at:
            self.send_kept()
        if not self._outbox:
            try:
                self._deliver(write, attachment)
            except OUT_OF_REACH as error:
                self._note_trouble(error)
            else:
                return
        try:
            self._outbox.add(write, attachment)
        except OSError as error:
            raise PipelineError(
                f"{display_path(self._folder)}: cannot be written: {error.strerror}"
            ) from None

    def send_kept(self) -> None:
        """Sends the writes that are kept, in their order; what MLflow does not take stays."""
        n_kept = len(self._outbox)
        try:
            self._outbox.deliver(self._deliver_again)
        except OUT_OF_REACH as error:
            self._note_trouble(error)
        else:
            self.trouble = ""
            if n_kept:
                self._say(
                    f"MLflow answers, and has got the {count_noun(n_kept, 'write')} that "
                    f"{inflect('was', n_kept, 'were')} kept for it"
                )

    def left_open(self) -> Iterator[Run]:
        """Yields runs of trials that have not ended: those that a killed supervisor left, say.

        Raises:
            MlflowException, OSError: MLflow is out of reach.
        """
        found: list[Run] = []
        for status in ("RUNNING", "SCHEDULED"):  # the latter are paused
            token, of_trials = None, f"attributes.status = '{status}' and tags.trial != ''"
            while len(self) == 0:  # else what ends them waits, and they would stay
                page = self._client.search_runs([self._experiment], of_trials, page_token=token)
                found += page
                if not (token := page.token):
                    break
        yield from found

    def _note_trouble(self, error: Exception) -> None:
        """Says what keeps MLflow from taking a write, unless that was said last."""
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        before, (self.trouble, reason) = self.trouble, diagnose(error)
        if self.trouble != before:
            where = display_path(self._folder)
            self._say(f"{self.trouble}: what it misses is kept in {where} ({reason})")

    def _deliver_again(self, write: Write, attachment: bytes | None) -> None:
        """Delivers what may have been delivered before, if the answer to it was lost."""
        trial = write["trial"]
        self._check()
        if trial is not None and not write["run"] and trial not in self.runs:
            self._find_run(trial, write)
        self._deliver(write, attachment)
        if write["what"] == "start" and trial in self.runs:  # unless MLflow refuses it
            self._note_run(trial, self.runs[trial])

    def _find_run(self, trial: int, write: Write) -> None:
        """Takes up the newest run of a trial; for its start only one that is of that start.

        Or that was written anew meanwhile, of what Optuna holds of the same training.
        """
        found = self._client.search_runs(
            [self._experiment],
            f"tags.trial = '{trial}'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        if not found:
            return
        info, data = found[0].info, found[0].data
        is_anew = WRITTEN_ANEW in data.tags and (
            data.params.get("seed") == write.get("params", {}).get("seed")
        )
        # another study of this name, deleted meanwhile, may have had a trial of this number
        if is_anew or write.get("started") in (None, info.start_time):
            self.runs[trial] = info.run_id

    def _deliver(self, write: Write, attachment: bytes | None) -> None:
        """Does what a write says; doing it twice does no more than doing it once.

        Raises:
            MlflowException, OSError: MLflow is out of reach.
        """
        client, trial = self._client, write["trial"]
        run = write["run"] or self.runs.get(trial, "")
        try:
            match write["what"]:
                case "start":
                    known = (self._experiment, self.runs.get(trial, ""))
                    self.runs[trial] = writes.start(client, *known, write, self.inputs)
                case "model":
                    with self._disk.temporary_folder() as folder:
                        self._disk.write(folder / MODEL_ARTIFACT, attachment or b"")
                        client.log_artifact(run, str(folder / MODEL_ARTIFACT))
                case "drop":
                    mlflow_internals.delete_artifact(client, run, MODEL_ARTIFACT)
                case "log" | "status" | "end":
                    writes.tell(client, run, write)
                    if write.get("ended") is not None:
                        self.runs.pop(trial, None)
        except MlflowException as error:
            if error.error_code not in _REFUSED:
                raise
            whom = f"trial {trial}" if trial is not None else "the study"
            self._say(f"MLflow refuses what it is told of {whom}: {first_line(error)}")
