"""The doctor on real stores, damaged in one way at a time: what it says, and that it mends it."""

import contextlib
import fcntl
import functools
import io
import itertools
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import empty_mlflow
import mlflow
import optuna
import pytest
from killing import killed_at
from mlflow.entities import LoggedModelStatus, ViewType
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from optuna.trial import TrialState
from scripted import Killed, ScriptedExecutor, SilentProgress, make_spec

from pipeline.data import datasets, fashion_mnist
from pipeline.doctor import __main__ as doctor_command
from pipeline.doctor import apply, model_checks, store_checks
from pipeline.doctor.plan import Repair
from pipeline.errors import run_command
from pipeline.files import leftovers, write_atomically
from pipeline.names import state_file
from pipeline.paths import Project
from pipeline.provenance import collect_provenance
from pipeline.reading.column import Dialect
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import lease, liveness, optuna_internals, paused, studies, study_store
from pipeline.storage.paused import FolderOfStates
from pipeline.study import assignment
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial
from pipeline.tracking import aliases, reader, registry
from pipeline.tracking.delivery import open_client
from pipeline.tracking.outbox import Outbox
from pipeline.tracking.run_writer import RunWriter
from pipeline.training.job import EpochEnd, Event, Job

# Trial 1 is interrupted, and is run again as trial 2.
PLAYED: dict[int, list[float] | str] = {
    0: [0.5, 0.6], 1: [0.7, 0.8], 2: [0.7, 0.8], 3: "no luck", 4: [0.1, 0.1], 5: [0.6, 0.7],
    6: [0.6, 0.5],
}  # fmt: skip
DATA = datasets.fingerprint("fashion_mnist")
FIRST, INTERRUPTED, CHAMPION, FAILED, PRUNED, LAST = range(6)
NAME = "scripted"  # as `make_spec` has it
HEALTHY = f"study {NAME}: 6 trials, 6 runs, 2 models: all in order\n"
N_TRIALS = 5  # that count


class Player(ScriptedExecutor):
    """Plays values by the number of the trial; its models are zip files, as Keras's are."""

    def __init__(self, played: dict[int, list[float] | str] = PLAYED) -> None:
        super().__init__(lambda job: played[job.trial])
        self.called: list[tuple[object, ...]] = []

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        self.called.append((function, *arguments))

    def _play(self, job: Job) -> Iterator[Event]:
        for event in super()._play(job):
            if isinstance(event, EpochEnd) and event.model:
                yield replace(event, model=model_file())
            else:
                yield event


def model_file() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        # with a time of its own, for all that are made are to be the same
        file.writestr(zipfile.ZipInfo("model.weights.h5"), bytes(range(256)) * 40)
    return content.getvalue()


def spec(n_trials: int = N_TRIALS) -> StudySpec:
    return make_spec(budget={"trials": n_trials}, pruner={"type": "ThresholdPruner", "lower": 0.2})


def writer(project: Project, study: optuna.Study) -> RunWriter:
    opened = RunWriter.open(project, NAME, note_run=functools.partial(study_store.note_run, study))
    opened.open_study("Tests.", {"dataset": "fashion_mnist"}, DATA)
    return opened


def supervisor(
    project: Project, executor: ScriptedExecutor, n_trials: int, tracker: RunWriter | None = None
) -> Supervisor:
    study = studies.open_study(project, spec(n_trials))
    study.set_user_attr(study_store.N_MODELS, 0)  # as before: of each that was the best
    study.set_user_attr(study_store.VERSIONS, collect_provenance())
    study.set_user_attr(study_store.DATA_FINGERPRINT, DATA)
    tracker = tracker or writer(project, study)
    return Supervisor(spec(n_trials), study, executor, tracker, SilentProgress())


@pytest.fixture(scope="module")
def searched_folder(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A study that was interrupted, went on and came to its end; with a registered champion."""
    project = Project(empty_mlflow.copy_into(tmp_path_factory.mktemp("searched"), empty_database))
    executor = Player()
    first = supervisor(project, executor, N_TRIALS)
    executor.on_events = lambda: first.interrupt() if len(executor.jobs) == 2 else None
    assert first.run() is SearchEnd.INTERRUPTED
    tracker = writer(project, stored(project))
    second = supervisor(project, Player(), N_TRIALS, tracker)
    assert second.run() is SearchEnd.BUDGET_USED
    register(project, by_number(project)[CHAMPION])
    tracker.close_study("FINISHED")
    return project.root


@pytest.fixture
def project(project_folder: Path, searched_folder: Path) -> Project:
    """A copy of it in the current folder, whose artifacts are its own."""
    shutil.copytree(searched_folder, project_folder, dirs_exist_ok=True)
    copy = Project(project_folder)
    moved = (searched_folder.as_uri(), project_folder.as_uri())
    with changed(copy, "mlflow") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", moved)
    _artifact_repos_cache.clear()  # of this process, which knows where they were
    return copy


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command and returns its exit code, stdout and stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["doctor", *arguments])
        capsys.readouterr()  # of what was done before
        code = run_command(doctor_command.main)
        said, complaints = capsys.readouterr()
        return code, said, complaints

    return command


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Player:
    """What the doctor trains with."""
    player = Player()
    monkeypatch.setattr(model_checks, "_workers", lambda _: contextlib.nullcontext(player))
    return player


@contextlib.contextmanager
def changed(project: Project, store: str) -> Iterator[sqlite3.Connection]:
    path = project.runs_dir / f"{store}.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        yield database


def client(project: Project) -> Any:
    return mlflow.MlflowClient(project.mlflow_uri)


def experiment(project: Project) -> str:
    return str(client(project).get_experiment_by_name(NAME).experiment_id)


def register(project: Project, run_id: str) -> None:
    with contextlib.suppress(mlflow.exceptions.MlflowException):
        client(project).create_registered_model(NAME)
    version = client(project).create_model_version(NAME, f"runs:/{run_id}/model.keras", run_id)
    client(project).set_registered_model_alias(NAME, "champion", version.version)


def stored(project: Project) -> optuna.Study:
    return studies.stored_study(project, NAME).study


def ended(project: Project) -> list[Trial]:
    return study_store.read_trials(stored(project))


def by_number(project: Project) -> dict[int, str]:
    """The run of each trial, as Optuna has it."""
    return {trial.number: trial.run_id for trial in ended(project)}


def shown(project: Project) -> dict[str, Any]:
    """All that MLflow shows, but for times."""
    found = client(project).search_runs([experiment(project)])
    return {
        each.info.run_id: (each.info.status, each.data.tags, each.data.params, each.data.metrics)
        for each in found
    }


def epochs(project: Project, run_id: str) -> list[tuple[int, float]]:
    history = client(project).get_metric_history(run_id, "val_accuracy")
    return [(point.step, point.value) for point in history]


def model_of(project: Project, number: int) -> Path:
    folder = project.artifacts_dir / NAME / by_number(project)[number] / "artifacts"
    return folder / "model.keras"


def is_mended(project: Project, run: Any, found: str, cure: str) -> None:
    """The damage is found and left, then found and mended, then there is none."""
    code, said, complaints = run()
    assert (code, complaints) == (1, "")
    assert found in said
    assert f"  with --fix: {cure}" in said
    assert said.splitlines()[-1] == (
        "mend what can be mended with: .venv/bin/python -m pipeline.doctor --fix"
    )
    assert run() == (code, said, complaints), "looking changes nothing"
    code, said, _ = run("--fix")
    assert code == 0, said
    assert found in said
    assert f"  mended: {cure}" in said
    assert "not mended" not in said
    code, said, _ = run()
    assert (code, said.rpartition(": ")[2]) == (0, "all in order\n"), said


# In order


@pytest.mark.parametrize("arguments", [[], [NAME], ["--fix"], [NAME, "--fix"]])
def test_a_healthy_project_is_said_to_be_so_and_left_as_it_is(
    project: Project, run: Any, arguments: list[str]
) -> None:
    before = (shown(project), ended(project))
    assert run(*arguments) == (0, HEALTHY, "")
    assert (shown(project), ended(project)) == before
    # SQLite's own files are there as long as this process reads
    names = {path.name for path in project.runs_dir.iterdir() if "-" not in path.name}
    assert names == {"artifacts", "mlflow.db", "optuna.db", f"{NAME}.lock"}


def test_runs_are_read_page_by_page(
    project: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAGE", 2)
    assert run() == (0, HEALTHY, "")


def test_nothing_searched_is_in_order(project_folder: Path, run: Any) -> None:
    assert run() == (0, "no study has been searched yet: all in order\n", "")
    assert list(project_folder.iterdir()) == []


def test_an_interrupted_trial_needs_no_run(project: Project, run: Any) -> None:
    client(project).delete_run(by_number(project)[INTERRUPTED])
    assert run() == (0, HEALTHY.replace("6 runs", "5 runs"), "")


def test_a_study_that_is_searched_is_left_alone(project: Project, run: Any) -> None:
    scratch = project.runs_dir / f".{NAME}.scratch"
    scratch.mkdir()
    with lease.lock(project, NAME):
        note = project.supervisor_lock(NAME).with_suffix(".lock.json")
        before = note.read_text()
        code, said, complaints = run("--fix")
        assert note.read_text() == before
    assert (code, complaints) == (0, "")
    assert said.startswith(f"study {NAME} is being searched already, by process ")
    assert said.endswith(": it was not examined\n")
    assert len(said.splitlines()) == 1
    assert scratch.exists()


def test_whoever_mends_shows_that_he_lives(
    project: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.05)
    ticks, seen, mend = itertools.count(), [], apply.apply
    monkeypatch.setattr(lease, "now", lambda *_: str(next(ticks)))

    def slow(*arguments: Any) -> None:
        """Trains a model again, say, which takes minutes."""
        study = stored(project)
        before = study.user_attrs[lease.HEARTBEAT]
        for _ in range(3000):
            if study.user_attrs[lease.HEARTBEAT] != before:
                seen.append(arguments)
                break
            time.sleep(0.01)
        mend(*arguments)

    monkeypatch.setattr(apply, "apply", slow)
    kept = {"trial": LAST, "run": by_number(project)[LAST], "metrics": [], "tags": {}}
    Outbox(project.outbox(NAME)).add({"what": "log", **kept})
    assert run("--fix")[0] == 0
    assert len(seen) == 1


# What a killed search leaves


def test_what_a_killed_search_left_running(
    project: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Player()
    n_calls = itertools.count(1)

    def kill() -> None:
        if next(n_calls) == 3:  # after the first epoch
            raise Killed

    executor.on_events = kill
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        with pytest.raises(Killed):
            supervisor(project, executor, N_TRIALS + 1).run()
    before = ended(project)
    (left,) = stored(project).get_trials(states=(TrialState.RUNNING,))
    assert left.number == 6
    is_mended(
        project,
        run,
        "Optuna calls trial 6 RUNNING, but nothing searches the study",
        "queued again with the same hyperparameters and seed",
    )
    again, *more = stored(project).get_trials(states=(TrialState.WAITING,))
    assert more == []
    for key in (assignment.HYPERPARAMETERS, assignment.SEED):
        assert again.user_attrs[key] == left.user_attrs[key]
    assert again.user_attrs[assignment.RETRY_OF] == 6
    assert ended(project)[:6] == before
    status, tags, *_ = shown(project)[left.user_attrs[study_store.RUN_ID]]
    assert (status, tags["state"]) == ("KILLED", "FAIL")
    assert "RUNNING" not in {status for status, *_ in shown(project).values()}


def test_a_paused_trial_waits_for_the_next_search_as_long_as_its_state_is_there(
    project: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, n_calls = Player(), itertools.count(1)

    def kill() -> None:
        if next(n_calls) == 3:  # after the first epoch
            raise Killed

    executor.on_events = kill
    killed = supervisor(project, executor, N_TRIALS + 1)
    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "_interrupt_running", lambda self: None)
        with pytest.raises(Killed):
            killed.run()
    study = stored(project)
    (left,) = study.get_trials(states=(TrialState.RUNNING,))
    paused.note(optuna_internals.writable(study, left), 1)
    client = open_client(project.mlflow_uri)
    client.update_run(left.user_attrs[study_store.RUN_ID], "SCHEDULED")
    states = FolderOfStates(project.paused_dir(NAME))
    (Path(states.folder_of(left.number, (1,))) / state_file(left.number, 1)).write_bytes(b"state")
    code, said, _ = run("--fix")
    assert code == 0
    assert "trial 6" not in said
    assert stored(project).get_trials(states=(TrialState.RUNNING,)) != []
    beside = stored(project).ask()
    given = assignment.Assignment.read(left.user_attrs)
    assert given
    study_store.write(beside, given)
    is_mended(project, run, "Optuna calls trial 7 RUNNING", "queued again with the same")
    (still,) = stored(project).get_trials(states=(TrialState.RUNNING,))
    assert still.number == left.number, "what is paused is not queued again with others"
    states.remove(left.number)
    is_mended(project, run, "Optuna calls trial 6 RUNNING", "queued again with the same")


def test_a_run_left_running_by_a_kill_after_optuna_was_told(project: Project, run: Any) -> None:
    before, run_id = shown(project), by_number(project)[PRUNED]
    with changed(project, "mlflow") as database:
        database.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", [run_id])
        database.execute(
            "UPDATE tags SET value = 'RUNNING' WHERE key = 'state' AND run_uuid = ?", [run_id]
        )
    is_mended(project, run, "MLflow calls the run of trial 4 RUNNING", "ended as Optuna has it")
    assert shown(project) == before


def test_a_scratch_folder(project: Project, run: Any) -> None:
    scratch = project.runs_dir / f".{NAME}.scratch"
    scratch.mkdir()
    (scratch / "tmp123").write_bytes(b"half a model")
    found = f"mlruns/.{NAME}.scratch is left of a search that was killed"
    is_mended(project, run, found, "removed")
    assert not scratch.exists()


def test_what_killed_commands_left_of_reports_and_exports(project: Project, run: Any) -> None:
    report, export = project.report_dir(NAME) / "report.md", project.export_dir(NAME)
    for file in (report, export):
        killed_at(os, "fsync", functools.partial(write_atomically, file, ""))
    (left,), (other,) = leftovers(report.parent), leftovers(export.parent)
    lives = export.parent / f".{NAME}.12345678.pipeline-scratch"
    lives.mkdir()
    lock = os.open(lives, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = (
            f"{left.relative_to(project.root)} and {other.relative_to(project.root)} "
            "are left of a command that was killed"
        )
        is_mended(project, run, found, "removed")
    finally:
        os.close(lock)
    assert list(report.parent.iterdir()) == []
    assert list(export.parent.iterdir()) == [lives]


def test_what_a_kill_left_in_an_outbox_in_which_nothing_waits(project: Project, run: Any) -> None:
    outbox = project.outbox(NAME)
    (outbox / ".writes.jsonl.12345678.pipeline-scratch").mkdir(parents=True)
    (outbox / "0-1234abcd").write_bytes(b"half a model")
    assert run() == (0, HEALTHY, "")
    assert not outbox.exists()


def test_temporary_files_of_a_doctor_that_mends_are_in_the_project(
    project: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[Path] = set()

    def look(_: object) -> list[Repair]:
        used.add(Path(tempfile.gettempdir()))
        return []

    monkeypatch.setattr(store_checks, "moved", look)
    run("--fix")
    (folder,) = used
    assert folder.parent == project.runs_dir
    assert not folder.exists()


@pytest.mark.parametrize("places", [("note",), ("store",), ("note", "store")])
def test_a_claim_of_a_dead_supervisor(project: Project, run: Any, places: tuple[str, ...]) -> None:
    lock = project.supervisor_lock(NAME)
    note = lock.with_suffix(".lock.json")
    claim = {"host": platform.node(), "process": "77", "since": "yesterday", "lock": str(lock)}
    if "note" in places:
        note.write_text(json.dumps(claim))
    if "store" in places:
        stored(project).set_user_attr(lease.LEASE, claim)
    found = f"process 77 on {platform.node()} as its supervisor, which is no more"
    is_mended(project, run, found, "removed")
    assert not note.exists()
    assert not stored(project).user_attrs.get(lease.LEASE)


def test_writes_that_were_not_sent(project: Project, run: Any) -> None:
    run_id = by_number(project)[LAST]
    before = shown(project)
    write = {"what": "log", "trial": LAST, "run": run_id, "metrics": [], "tags": {"late": "yes"}}
    Outbox(project.outbox(NAME)).add(write)
    found = f"mlruns/{NAME}.outbox keeps 1 write that MLflow has not got yet"
    is_mended(project, run, found, "sent")
    assert shown(project)[run_id][1].pop("late") == "yes"
    before[run_id][1]["late"] = "yes"
    assert shown(project) == before
    assert not project.outbox(NAME).exists()


@pytest.mark.parametrize("arguments", [[], ["--fix"]])
def test_unsent_writes_that_cannot_be_read_are_left_to_the_user(
    project: Project, run: Any, arguments: list[str]
) -> None:
    project.outbox(NAME).mkdir()
    (project.outbox(NAME) / "writes.jsonl").write_text("\0\0\0\n")
    code, said, complaints = run(*arguments)
    assert (code, complaints) == (1, "")
    assert f"mlruns/{NAME}.outbox cannot be read" in said
    assert "  to do: move the folder away; then --fix writes anew" in said
    assert (project.outbox(NAME) / "writes.jsonl").read_text() == "\0\0\0\n"


# Trials and runs


def test_a_deleted_run_is_restored_with_all_that_belongs_to_it(project: Project, run: Any) -> None:
    before = shown(project)
    client(project).delete_run(by_number(project)[CHAMPION])
    is_mended(project, run, "the run of trial 2 is deleted in MLflow", "restored")
    assert shown(project) == before


def test_the_studys_own_run_is_restored(project: Project, run: Any) -> None:
    before = shown(project)
    own = own_run(project)
    client(project).delete_run(own)
    is_mended(project, run, f"the study's own run {own} is deleted in MLflow", "restored")
    assert shown(project) == before


def remove_for_good(project: Project, run_id: str) -> None:
    """As `mlflow gc` does, but for the artifacts."""
    client(project)._tracking_client.store._hard_delete_run(run_id)


def own_run(project: Project) -> str:
    (own,) = (run for run, (_, tags, *_) in shown(project).items() if tags.get("role") == "study")
    return own


def test_the_studys_own_run_that_is_gone_for_good_is_written_anew_above_the_others(
    project: Project, run: Any
) -> None:
    remove_for_good(project, own_run(project))
    is_mended(project, run, "MLflow has no run of the study itself", "written anew")
    own, found = own_run(project), shown(project)
    assert {tags.get("mlflow.parentRunId") for _, tags, *_ in found.values()} == {None, own}
    assert found[own][0] == "FINISHED"
    curve = client(project).get_metric_history(own, "best_val_accuracy")
    assert [(point.step, point.value) for point in curve] == [(FIRST, 0.6), (CHAMPION, 0.8)]


def test_the_studys_own_run_ends_as_its_search_did(project: Project, run: Any) -> None:
    client(project).update_run(own_run(project), status="RUNNING")
    found = "MLflow calls the study's own run RUNNING"
    is_mended(project, run, found, "ended as the search was")
    assert shown(project)[own_run(project)][0] == "FINISHED"


def test_a_run_that_is_gone_for_good_is_written_anew(project: Project, run: Any) -> None:
    before, runs_before = shown(project), by_number(project)
    old = runs_before[FIRST]
    remove_for_good(project, old)
    is_mended(project, run, "trial 0 has no run in MLflow", "written anew")
    new = by_number(project)[FIRST]
    assert new != old
    assert by_number(project) == {**runs_before, FIRST: new}
    status, tags, params, metrics = shown(project)[new]
    assert tags.pop("written_anew") == "true"
    assert (status, tags, params, metrics) == before[old]
    assert epochs(project, new) == [(1, 0.5), (2, 0.6)]
    assert model_of(project, FIRST).read_bytes() == model_file(), "its file lay there still"
    inputs = client(project).get_run(new).inputs.dataset_inputs
    assert [each.dataset.name for each in inputs] == ["fashion_mnist"]


def test_a_failed_trials_run_is_written_anew_with_its_reason(project: Project, run: Any) -> None:
    remove_for_good(project, by_number(project)[FAILED])
    is_mended(project, run, "trial 3 has no run in MLflow", "written anew")
    status, tags, _, metrics = shown(project)[by_number(project)[FAILED]]
    assert (status, tags["state"], tags["reason"], metrics) == ("FAILED", "FAIL", "no luck", {})


def test_all_runs_are_written_anew(
    project: Project, run: Any, workers: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the champion is registered, for Optuna knows that the search has come to its end."""
    monkeypatch.setattr(workers, "call", lambda _, *arguments: register(project, arguments[2]))
    for run_id in shown(project):
        remove_for_good(project, run_id)
    code, said, _ = run()
    assert code == 1
    assert "MLflow has no run of the study itself" in said
    assert "trials 0, 2, 3, 4 and 5 have no run in MLflow" in said
    assert run("--fix")[0] == 0
    assert run() == (0, HEALTHY.replace("6 runs", "5 runs"), "")
    found = shown(project)
    (own,) = (run_id for run_id, (_, tags, *_) in found.items() if tags.get("role") == "study")
    parents = {tags.get("mlflow.parentRunId") for _, tags, *_ in found.values()}
    assert parents == {None, own}
    assert found[own][0] == "FINISHED"
    assert (
        client(project).get_model_version_by_alias(NAME, "champion").run_id
        == (by_number(project)[CHAMPION])
    )


def test_a_lost_mlflow_store_is_written_anew_with_its_champion(
    project: Project,
    run: Any,
    workers: Player,
    monkeypatch: pytest.MonkeyPatch,
    empty_database: Path,
) -> None:
    empty_mlflow.copy_into(project.root, empty_database)  # as after its removal
    _artifact_repos_cache.clear()
    before = model_of(project, CHAMPION).read_bytes()
    monkeypatch.setattr(workers, "call", lambda _, *arguments: register(project, arguments[2]))
    assert run("--fix")[0] == 0
    assert run() == (0, HEALTHY.replace("6 runs", "5 runs"), "")
    found = client(project).get_model_version_by_alias(NAME, "champion")
    assert found.run_id == by_number(project)[CHAMPION]
    assert model_of(project, CHAMPION).read_bytes() == before
    assert workers.jobs == []


@pytest.mark.parametrize("content", [None, "{", '{"units": [1]}'])
def test_a_file_of_hyperparameters_is_written_anew(
    project: Project, run: Any, content: str | None
) -> None:
    file = model_of(project, LAST).with_name("hyperparameters.json")
    before = json.loads(file.read_bytes())
    file.unlink()
    if content:
        file.write_text(content)
    found = "hyperparameters.json of trial 5 is missing or says something else"
    is_mended(project, run, found, "written anew from what Optuna holds")
    assert json.loads(file.read_bytes()) == before


def test_of_an_unfinished_search_no_champion_is_registered(
    project: Project, run: Any, workers: Player
) -> None:
    stored(project).set_user_attr(study_store.SPEC, spec(n_trials=99).model_dump_json())
    for run_id in shown(project):
        remove_for_good(project, run_id)
    assert run("--fix")[0] == 0
    assert run()[0] == 0
    assert workers.called == []


def test_a_run_that_optuna_does_not_know_is_found_by_its_tags(project: Project, run: Any) -> None:
    before, found = by_number(project), shown(project)
    with changed(project, "optuna") as database:
        database.execute(
            "DELETE FROM trial_user_attributes WHERE key = 'run_id' AND trial_id = "
            "(SELECT trial_id FROM trials WHERE number = ?)",
            [LAST],
        )
    assert by_number(project)[LAST] == ""
    is_mended(project, run, "Optuna does not know the run of trial 5 in MLflow", "found by")
    assert (by_number(project), shown(project)) == (before, found)


@pytest.mark.parametrize("number", [77, LAST])
def test_a_run_without_a_trial_is_set_aside(project: Project, run: Any, number: int) -> None:
    before = shown(project)
    tags = {"trial": str(number), "state": "RUNNING"}
    stranger = client(project).create_run(experiment(project), tags=tags).info.run_id
    found = f"run {stranger} in MLflow belongs to no trial in Optuna"
    is_mended(project, run, found, "tagged as orphan and deleted; MLflow keeps what is deleted")
    assert shown(project) == before
    deleted = client(project).search_runs(
        [experiment(project)], run_view_type=ViewType.DELETED_ONLY
    )
    assert [each.info.run_id for each in deleted] == [stranger]
    assert (deleted[0].data.tags["orphan"], deleted[0].info.status) == ("true", "KILLED")
    client(project).restore_run(stranger)
    assert run()[0] == 0, "who restores it, wants it"


DAMAGES = {
    "state FAIL, not COMPLETE": ["UPDATE tags SET value = 'FAIL' WHERE key = 'state' AND {run}"],
    "status KILLED, not FINISHED": ["UPDATE runs SET status = 'KILLED' WHERE {run}"],
    "1 of 2 epochs": [
        "DELETE FROM metrics WHERE step = 2 AND {run}",
        "UPDATE latest_metrics SET step = 1 WHERE step = 2 AND {run}",
    ],
    "0 of 2 epochs": [
        "DELETE FROM metrics WHERE step > 0 AND {run}",
        "DELETE FROM latest_metrics WHERE step > 0 AND {run}",
    ],
    "without its best value": [
        "DELETE FROM metrics WHERE key = 'best_val_accuracy' AND {run}",
        "DELETE FROM latest_metrics WHERE key = 'best_val_accuracy' AND {run}",
    ],
}


@pytest.mark.parametrize("found", DAMAGES)
def test_a_run_that_says_something_else_is_sent_again(
    project: Project, run: Any, found: str
) -> None:
    before, run_id = shown(project), by_number(project)[LAST]
    with changed(project, "mlflow") as database:
        for statement in DAMAGES[found]:
            database.execute(statement.format(run=f"run_uuid = '{run_id}'"))
    expected = f"MLflow does not say what Optuna holds: trial 5: {found}"
    is_mended(project, run, expected, "sent again")
    assert shown(project) == before
    assert epochs(project, run_id) == [(1, 0.6), (2, 0.7)]


# Models


@pytest.mark.parametrize(
    ("content", "trouble"),
    [(None, "missing"), (b"", "damaged"), (model_file()[:5_000], "damaged")],
)
def test_a_models_trial_is_trained_again(
    project: Project, run: Any, workers: Player, content: bytes | None, trouble: str
) -> None:
    before, path = shown(project), model_of(project, CHAMPION)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found = f"the model of trial 2, which is kept: {path.relative_to(project.root)} is {trouble}"
    is_mended(project, run, found, "trained again with the same hyperparameters and seed")
    assert path.read_bytes() == model_file()
    assert shown(project) == before
    (job,) = workers.jobs
    champion = ended(project)[CHAMPION]
    assert (job.hyperparameters, job.seed) == (champion.hyperparameters, champion.seed)
    assert job.to_beat is None, "else a model that is no better would not be sent"


@pytest.mark.parametrize("played", [[0.7, 0.79], "no memory"])
def test_a_model_that_does_not_come_out_the_same_is_not_stored(
    project: Project, run: Any, monkeypatch: pytest.MonkeyPatch, played: list[float] | str
) -> None:
    player = Player({CHAMPION: played})
    monkeypatch.setattr(model_checks, "_workers", lambda _: contextlib.nullcontext(player))
    model_of(project, CHAMPION).unlink()
    code, said, _ = run("--fix")
    assert code == 1
    assert "  not mended: trial 2 " in said
    wanted = "no memory" if isinstance(played, str) else "0.7900, not its recorded 0.8000"
    assert wanted in said
    assert not model_of(project, CHAMPION).exists()


def test_trials_that_set_no_record_need_no_model(project: Project, run: Any) -> None:
    assert not model_of(project, LAST).exists()
    assert run()[0] == 0


def test_each_of_the_best_few_needs_its_model(project: Project, run: Any, workers: Player) -> None:
    stored(project).set_user_attr(study_store.N_MODELS, 2)
    path = model_of(project, LAST)
    found = f"the model of trial 5, which is kept: {path.relative_to(project.root)} is missing"
    is_mended(project, run, found, "trained again with the same hyperparameters and seed")
    assert model_of(project, LAST).read_bytes() == model_file()


@pytest.mark.parametrize("registered", [None, FIRST])
def test_the_champion_is_registered(
    project: Project,
    run: Any,
    workers: Player,
    monkeypatch: pytest.MonkeyPatch,
    registered: int | None,
) -> None:
    champion = by_number(project)[CHAMPION]
    if registered is None:
        client(project).delete_registered_model_alias(NAME, "champion")
        found = f"the model of the best trial, 2, is not registered as models:/{NAME}@champion"
    else:
        first = by_number(project)[registered]
        register(project, first)
        found = f"models:/{NAME}@champion is the model of run {first}, not that of the best"
    calls: list[tuple[object, ...]] = []

    def publish(function: Callable[..., None], *arguments: object) -> None:
        calls.append((function, *arguments))
        register(project, champion)

    monkeypatch.setattr(workers, "call", publish)
    is_mended(project, run, found, "registered")
    arguments = (project.mlflow_uri, NAME, champion, 2, fashion_mnist.SOURCE.task, Dialect())
    assert calls == [(registry.publish_champion, *arguments)]


def test_what_was_rolled_back_is_not_registered_again(project: Project, run: Any) -> None:
    register(project, by_number(project)[FIRST])
    aliases.promote(client(project), NAME, "1")
    assert run() == (0, HEALTHY, "")
    aliases.roll_back(client(project), NAME)
    code, said, complaints = run("--fix")
    assert (code, said) == (0, HEALTHY)
    assert complaints.startswith(f"models:/{NAME}@champion stays as it was rolled back; ")
    assert aliases.champion_run(client(project), NAME) == by_number(project)[FIRST]


# What somebody would load


@pytest.fixture
def logged(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the champion's registered model, as MLflow's Keras flavour keeps them."""
    version, folder = log_model(project, by_number(project)[CHAMPION], monkeypatch)
    client(project).set_registered_model_alias(NAME, "champion", version)
    return folder


def log_model(project: Project, run: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """Registers a model with files; returns its version, and where they are."""
    made = client(project).create_logged_model(experiment(project), "model", run)
    client(project).finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", project.mlflow_uri)  # MLflow's registry reads it
        version = client(project).create_model_version(NAME, f"models:/{made.model_id}", run)
    folder = project.artifacts_dir / NAME / "models" / str(made.model_id) / "artifacts"
    publish_files(folder)
    return str(version.version), folder


DESCRIPTION = """\
flavors:
  keras:
    data: data
    save_exported_model: false
  python_function:
    loader_module: mlflow.keras
signature:
  inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 10]}}]'
utc_time_created: '2026-01-01 00:00:00'
"""


def publish_files(folder: Path) -> None:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(DESCRIPTION)
    (folder / "data" / "model.keras").write_bytes(model_file())


def other_model() -> bytes:
    """Whole, but of other weights."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(zipfile.ZipInfo("model.weights.h5"), b"others")
    return content.getvalue()


@pytest.mark.parametrize(
    ("file", "content", "found"),
    [
        ("MLmodel", None, "MLmodel is missing"),
        ("MLmodel", b"", "MLmodel is damaged"),
        ("MLmodel", b"\xff" + DESCRIPTION.encode(), "MLmodel is damaged"),
        *(
            ("MLmodel", DESCRIPTION[: DESCRIPTION.index(end)].encode(), "MLmodel is damaged")
            for end in ("data: data", "python_function:", "signature:", "type", "utc_time")
        ),
        *(
            ("MLmodel", DESCRIPTION.replace(old, new).encode(), "MLmodel is damaged")
            for old, new in (
                ("  keras:", "  torch:"),
                ("data: data", "data: elsewhere"),
                ("loader_module: mlflow.keras", "loader_module: os"),
                ("exported_model: false", "exported_model: true"),
                ('"type"', '"typo"'),
                (DESCRIPTION, "- flavors\n"),
            )
        ),
        ("data/model.keras", None, "model.keras is missing"),
        ("data/model.keras", b"PK", "model.keras is damaged"),
    ],
)
def test_a_registered_model_that_cannot_be_loaded_is_written_again(
    project: Project,
    run: Any,
    workers: Player,
    logged: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    content: bytes | None,
    found: str,
) -> None:
    assert run()[0] == 0
    (logged / file).unlink()
    if content is not None:
        (logged / file).write_bytes(content)
    calls: list[tuple[object, ...]] = []

    def publish(function: Callable[..., None], *arguments: object) -> None:
        calls.append((function, *arguments))
        publish_files(logged)

    monkeypatch.setattr(workers, "call", publish)
    is_mended(project, run, found, "written again from the model of its run")
    champion = by_number(project)[CHAMPION]
    arguments = (
        project.mlflow_uri, champion, logged.parent.name, fashion_mnist.SOURCE.task, Dialect()
    )  # fmt: skip
    assert calls == [(registry.write_model_again, *arguments)]


@pytest.mark.parametrize("is_wrong", ["own", "registered"])
def test_of_two_models_that_differ_the_one_that_was_trained_is_kept(
    project: Project,
    run: Any,
    workers: Player,
    logged: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_wrong: str,
) -> None:
    own, registered = model_of(project, CHAMPION), logged / "data" / "model.keras"
    (own if is_wrong == "own" else registered).write_bytes(other_model())
    code, said, _ = run()
    assert (code, "it has other weights than the registered version" in said) == (1, True)
    calls: list[object] = []

    def publish(*arguments: object) -> None:
        calls.append(arguments)
        publish_files(logged)

    monkeypatch.setattr(workers, "call", publish)
    assert run("--fix")[0] == 0
    assert own.read_bytes() == registered.read_bytes() == model_file()
    assert [job.trial for job in workers.jobs] == [CHAMPION]
    assert len(calls) == (1 if is_wrong == "registered" else 0)
    assert run()[0] == 0


def test_a_champion_whose_logged_model_is_deleted_is_registered_anew(
    project: Project, run: Any, workers: Player, logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(project).delete_logged_model(logged.parent.name)
    champion = by_number(project)[CHAMPION]
    monkeypatch.setattr(workers, "call", lambda *_: register(project, champion))
    is_mended(project, run, "its logged model", "registered")


def test_of_a_rollback_to_what_cannot_be_loaded_that_is_registered_anew(
    project: Project, run: Any, workers: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, own = by_number(project)[FIRST], client(project)
    version, folder = log_model(project, first, monkeypatch)
    own.set_registered_model_alias(NAME, "previous", version)
    aliases.roll_back(own, NAME)
    own.delete_logged_model(folder.parent.name)
    monkeypatch.setattr(workers, "call", lambda *given: register(project, str(given[3])))
    code, said, _ = run("--fix")
    assert (code, f"models:/{NAME}@champion cannot be loaded: its logged model" in said) == (
        0,
        True,
    )
    assert aliases.champion_run(own, NAME) == first


def test_a_model_that_was_made_of_trials_is_written_again_from_its_own_run(
    project: Project, run: Any, workers: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, own = by_number(project)[CHAMPION], client(project)
    file = project.root / "model.keras"
    file.write_bytes(other_model())
    apart = registry.store_apart(own, champion, "refit", file)
    version, folder = log_model(project, apart, monkeypatch)
    (folder / "data" / "model.keras").write_bytes(other_model())
    aliases.tag_version(own, NAME, version, champion, {"run_id": champion, "refit": "3"})
    aliases.promote(own, NAME, version)
    assert run() == (0, HEALTHY, ""), "neither the run nor the alias is wrong"
    (folder / "MLmodel").unlink()
    calls: list[object] = []

    def publish(_: Callable[..., None], uri: str, of_run: str, model_id: str, *__: object) -> None:
        calls.append((of_run, model_id))
        (folder / "MLmodel").write_text(DESCRIPTION)

    monkeypatch.setattr(workers, "call", publish)
    found = f"models:/{NAME}/{version} (@champion) cannot be loaded"
    is_mended(project, run, found, "written again from the model of its run")
    assert calls == [(apart, folder.parent.name)]


def test_a_version_that_somebody_else_registered_is_left_alone(project: Project, run: Any) -> None:
    made = client(project).create_model_version(NAME, "/nowhere/at/all", None)
    assert run() == (0, HEALTHY, "")
    assert client(project).get_model_version(NAME, made.version).source == "/nowhere/at/all"


# Stores


@pytest.mark.parametrize("arguments", [[], [NAME], ["--fix"]])
@pytest.mark.parametrize("what", ["store", "study"])
def test_runs_of_a_study_that_optuna_does_not_know_are_not_in_order(
    project: Project, run: Any, what: str, arguments: list[str]
) -> None:
    if what == "store":
        (project.runs_dir / "optuna.db").unlink()
    else:
        optuna.delete_study(study_name=NAME, storage=project.optuna_url)
    before = shown(project)
    code, said, _ = run(*arguments)
    assert code == 1
    assert f"MLflow has 6 runs of study {NAME}, and Optuna's store" in said
    assert "to do: put a copy of Optuna's store in its place" in said
    assert "--fix" not in said, "which would not help"
    assert "in order" not in said
    assert shown(project) == before
    client(project).delete_experiment(experiment(project))
    assert run()[0] == 0, "what is advised helps"


def test_a_project_that_was_moved_is_said_to_be_so(
    project: Project, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Project(project.root.with_name("new"))
    project.root.rename(new.root)
    monkeypatch.chdir(new.root)
    _artifact_repos_cache.clear()
    found = f"the project was moved or copied from {project.root} to {new.root}, and MLflow's"
    is_mended(new, run, found, "made to name this folder")
    assert not project.root.exists()


def damage(path: Path) -> bytes:
    """Fills all pages of a database but the first with rubbish; returns what is there then."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    content = path.read_bytes()
    page = int.from_bytes(content[16:18])  # its size
    path.write_bytes(content[:page] + b"\x55" * (len(content) - page))
    return path.read_bytes()


@pytest.mark.parametrize("arguments", [[], ["--fix"]])
@pytest.mark.parametrize("store", ["optuna", "mlflow"])
def test_a_damaged_database_is_left_to_the_user(
    recorded_study: Project, run: Any, store: str, arguments: list[str]
) -> None:
    path = recorded_study.runs_dir / f"{store}.db"
    if store == "mlflow":
        shutil.copy(recorded_study.runs_dir / "optuna.db", path)
    content = damage(path)
    code, said, complaints = run(*arguments)
    assert (code, complaints) == (1, "")
    assert said.startswith(f"mlruns/{store}.db is damaged: ")
    assert said.splitlines()[1].startswith("  to do: ")
    assert len(said.splitlines()) == 2
    assert path.read_bytes() == content


def test_a_file_that_is_no_database(recorded_study: Project, run: Any) -> None:
    (recorded_study.runs_dir / "mlflow.db").write_bytes(b"something else " * 1000)
    code, said, _ = run()
    assert code == 1
    assert said.startswith("mlruns/mlflow.db is damaged: file is not a database\n")


def test_a_store_that_cannot_be_opened_is_one_line(
    project_folder: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_STORAGE", "postgresql+nonsense://somewhere/store")
    code, said, complaints = run()
    assert (code, said) == (1, "")
    where = "postgresql+nonsense://somewhere/store"
    assert complaints.startswith(f"error: Optuna's store {where} cannot be used")
    assert len(complaints.splitlines()) == 1


def test_an_unknown_study_is_one_line(project: Project, run: Any) -> None:
    code, said, complaints = run("absent")
    assert (code, said) == (1, "")
    assert "no study 'absent' yet" in complaints
    assert len(complaints.splitlines()) == 1


def test_a_name_that_leaves_the_folder_is_bad_usage(project_folder: Path, run: Any) -> None:
    code, said, complaints = run("../elsewhere")
    assert (code, said) == (2, "")
    assert len(complaints.splitlines()) == 1
    assert list(project_folder.iterdir()) == []
