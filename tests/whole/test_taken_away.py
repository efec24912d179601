"""What a search relies on is deleted under its hands: one sentence, and nothing made in its place.

The command itself, with real stores; curves are computed.
"""

import itertools
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
import small

from benchmarks.growth import Playback
from pipeline.data import datasets
from pipeline.errors import PipelineError, run_command
from pipeline.execution import local
from pipeline.paths import Project
from pipeline.provenance import collect_provenance
from pipeline.search import __main__ as search_command
from pipeline.search import run_study
from pipeline.storage import lease, liveness
from pipeline.tracking.run_writer import RunWriter
from pipeline.training.job import Event

REPLACED = (
    "error: study small was deleted or replaced in Optuna, or its attributes were, while it was "
    "searched or mended, which has stopped: nothing more is written, and the same command begins "
    "with what is there now"
)
ENDED = (
    "error: a trial of the study 'small' was ended, changed or deleted in Optuna by another "
    "program while it was trained, so the search has stopped; the same command goes on"
)
Search = Callable[[Callable[[], None]], tuple[int, str]]


@pytest.fixture
def project(project_with_mlflow: Path) -> Project:
    (project_with_mlflow / "studies").mkdir()
    (project_with_mlflow / "studies" / f"{small.NAME}.toml").write_text(small.STUDY)
    return Project(project_with_mlflow)


@pytest.fixture(params=[1, 3, 7], ids="at event {}".format)
def search(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Search:
    """Runs the command, does something in its middle, and returns exit code and last line."""

    def run(damage: Callable[[], None]) -> tuple[int, str]:
        class Damaging(Playback):
            n_asked = 0
            n_workers = 2

            def events(self, timeout_seconds: float) -> list[Event]:
                self.n_asked += 1
                if self.n_asked == request.param:
                    damage()
                return super().events(timeout_seconds)

        monkeypatch.setattr(datasets, "fetch", lambda _: None)
        monkeypatch.setattr(local, "LocalExecutor", lambda *_, **__: Damaging())
        monkeypatch.setattr(sys, "argv", ["search", small.NAME])
        code = run_command(search_command.main)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert said.count("error: ") == 1
        return code, said.splitlines()[-1]

    return run


@pytest.mark.parametrize("search", [1], indirect=True)  # nothing happens at an event
def test_a_search_shows_that_it_lives_before_its_first_trial_and_after_its_last(
    project: Project, monkeypatch: pytest.MonkeyPatch, search: Search
) -> None:
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.05)
    ticks, seen = itertools.count(), []
    monkeypatch.setattr(lease, "now", lambda *_: str(next(ticks)))

    def waits_for_beat(function: Callable[..., Any]) -> Callable[..., Any]:
        def waiting(*arguments: Any) -> Any:
            study = optuna.load_study(study_name=small.NAME, storage=project.optuna_url)
            before = study.user_attrs[lease.HEARTBEAT]
            for _ in range(3000):
                if study.user_attrs[lease.HEARTBEAT] != before:
                    seen.append(function.__name__)
                    break
                time.sleep(0.01)
            return function(*arguments)

        return waiting

    def no_champion(*_: Any) -> None:
        raise PipelineError("the end of this test")

    monkeypatch.setattr(run_study, "_champion", waits_for_beat(no_champion))
    monkeypatch.setattr(run_study, "collect_provenance", waits_for_beat(collect_provenance))
    assert search(lambda: None) == (1, "error: the end of this test")
    assert seen == ["collect_provenance", "no_champion"]


def statuses(project: Project) -> set[str]:
    """Of all runs in MLflow."""
    database = sqlite3.connect(project.runs_dir / "mlflow.db")
    found = {status for (status,) in database.execute("SELECT status FROM runs")}
    database.close()
    return found


def n_running(project: Project) -> int:
    study = optuna.load_study(study_name=small.NAME, storage=project.optuna_url)
    return len(study.get_trials(states=(optuna.trial.TrialState.RUNNING,)))


def test_the_study_in_optuna(search: Search, project: Project) -> None:
    def delete() -> None:
        optuna.delete_study(study_name=small.NAME, storage=project.optuna_url)

    code, said = search(delete)
    assert (code, said) == (
        1,
        "error: the study 'small' was deleted in Optuna while it was searched, and its trials "
        "with it; start anew under another name, or delete its experiment in MLflow first",
    )
    assert optuna.get_all_study_names(project.optuna_url) == []
    assert "RUNNING" not in statuses(project)


def test_the_study_in_optuna_and_another_made_in_its_place(
    search: Search, project: Project
) -> None:
    def replace() -> None:
        optuna.delete_study(study_name=small.NAME, storage=project.optuna_url)
        optuna.create_study(
            study_name=small.NAME, storage=project.optuna_url, direction="maximize"
        )

    assert search(replace) == (1, REPLACED)
    (made,) = optuna.get_all_study_summaries(project.optuna_url)
    assert (made.n_trials, made.user_attrs) == (0, {}), "nothing is written there"
    assert "RUNNING" not in statuses(project)


def test_the_study_in_optuna_and_one_that_somebody_else_searches_in_its_place(
    search: Search, project: Project
) -> None:
    claim = {"host": "there", "process": "7", "since": "today", "lock": "/x.lock"}

    def replace() -> None:
        optuna.delete_study(study_name=small.NAME, storage=project.optuna_url)
        made = optuna.create_study(
            study_name=small.NAME, storage=project.optuna_url, direction="maximize"
        )
        made.set_user_attr(lease.N_LEASES, 1)  # its first, as the deleted one's was
        made.set_user_attr(lease.LEASE, {**claim, "number": 1})

    assert search(replace) == (1, REPLACED)
    (made,) = optuna.get_all_study_summaries(project.optuna_url)
    assert made.n_trials == 0
    assert made.user_attrs == {lease.N_LEASES: 1, lease.LEASE: {**claim, "number": 1}}


def test_what_is_noted_of_the_study_in_optuna(search: Search, project: Project) -> None:
    assert search(sql(project, "DELETE FROM study_user_attributes")) == (1, REPLACED)
    assert "RUNNING" not in statuses(project)


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED", "FAIL"])
def test_a_running_trial_that_is_ended_in_optuna(
    state: str, search: Search, project: Project
) -> None:
    def tell() -> None:
        study = optuna.load_study(study_name=small.NAME, storage=project.optuna_url)
        running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))[-1]
        value = 0.5 if state == "COMPLETE" else None
        study.tell(running.number, value, optuna.trial.TrialState[state])
        told.append(running.number)

    told: list[int] = []
    assert search(tell) == (1, ENDED)
    assert n_running(project) == 0
    assert "RUNNING" not in statuses(project)
    study = optuna.load_study(study_name=small.NAME, storage=project.optuna_url)
    assert study.trials[told[0]].state.name == state
    retried = [trial.user_attrs.get("retry_of") for trial in study.trials]
    assert told[0] not in retried, "it has come to its end"


def test_a_running_trial_that_is_set_to_wait(search: Search, project: Project) -> None:
    change = "UPDATE trials SET state = 'WAITING' WHERE state = 'RUNNING'"
    assert search(sql(project, change)) == (1, ENDED)
    assert n_running(project) == 0
    assert "RUNNING" not in statuses(project)


def test_a_running_trial_that_is_deleted(search: Search, project: Project) -> None:
    change = "DELETE FROM trials WHERE state = 'RUNNING'"
    assert search(sql(project, change)) == (1, ENDED)
    assert n_running(project) == 0
    assert "RUNNING" not in statuses(project)


def sql(project: Project, change: str) -> Callable[[], None]:
    def execute() -> None:
        database = sqlite3.connect(project.runs_dir / "optuna.db")
        database.execute(change)
        database.commit()
        database.close()

    return execute


def test_the_folder_of_the_stores(search: Search, project: Project) -> None:
    code, said = search(lambda: shutil.rmtree(project.runs_dir))
    assert code == 1
    assert said.startswith("error: mlruns/optuna.db was deleted or replaced during the search")
    assert not project.runs_dir.exists()


def test_the_folder_renamed_and_another_in_its_place(search: Search, project: Project) -> None:
    def move() -> None:
        project.runs_dir.rename(project.root / "kept")
        project.runs_dir.mkdir()

    code, said = search(move)
    assert code == 1
    assert said.startswith("error: mlruns/optuna.db was deleted or replaced during the search")
    assert list(project.runs_dir.iterdir()) == []


def test_optunas_file(search: Search, project: Project) -> None:
    code, said = search((project.runs_dir / "optuna.db").unlink)
    assert code == 1
    assert said.startswith("error: mlruns/optuna.db was deleted or replaced during the search")
    assert not (project.runs_dir / "optuna.db").exists()
    assert "RUNNING" not in statuses(project)


def test_mlflows_file(search: Search, project: Project) -> None:
    code, said = search((project.runs_dir / "mlflow.db").unlink)
    assert code == 1
    assert said.startswith("error: mlruns/mlflow.db was deleted or replaced during the search")
    assert "pipeline.doctor --fix" in said
    assert not (project.runs_dir / "mlflow.db").exists()
    assert n_running(project) == 0


def writes_a_trial(project: Project, state: str = "COMPLETE") -> mlflow.MlflowClient:
    """As a search does whose trials Optuna has lost since."""
    writer = RunWriter.open(project, small.NAME)
    writer.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    writer.start_trial(0, None, {"seed": 1}, {})
    writer.finish_trial(0, state, {}, {})
    assert writer.settle() == 0
    return mlflow.MlflowClient(project.mlflow_uri)


@pytest.mark.parametrize("search", [1], indirect=True)  # there is no event
@pytest.mark.parametrize("lost", ["file", "study", "trials"])
def test_optunas_trials_before_the_search(
    project: Project, search: Search, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    writes_a_trial(project)
    url = project.optuna_url
    if lost != "file":
        optuna.create_study(study_name="another", storage=url).add_trial(
            optuna.trial.create_trial(value=1.0)
        )
    if lost == "trials":
        optuna.create_study(study_name=small.NAME, storage=url)
    before = statuses(project)
    code, said = search(lambda: pytest.fail("a trial was begun"))
    assert code == 1
    assert said.startswith(f"error: MLflow has finished trials of study {small.NAME}, and Optuna")
    assert "put a copy of that store in its place" in said
    assert "copy the study file to a new name" in said
    assert (project.runs_dir / "optuna.db").exists() is (lost != "file")
    assert statuses(project) == before
    if lost == "study":
        assert optuna.get_all_study_names(url) == ["another"]


def goes_on(project: Project) -> bool:
    try:
        run_study._refuse_if_lost(project, small.NAME)
    except PipelineError:
        return False
    return True


def test_what_lets_a_search_begin_although_mlflow_has_its_runs(project: Project) -> None:
    assert goes_on(project), "nothing is there"
    client = writes_a_trial(project, "KILLED")
    assert goes_on(project), "nothing that was finished"
    writes_a_trial(project, "PRUNED")
    assert not goes_on(project)
    experiment = client.get_experiment_by_name(small.NAME)
    assert experiment
    client.delete_experiment(experiment.experiment_id)
    assert goes_on(project), "what is advised helps"
    client.restore_experiment(experiment.experiment_id)
    assert not goes_on(project)
    study = optuna.create_study(study_name=small.NAME, storage=project.optuna_url)
    assert not goes_on(project)
    study.ask()
    assert goes_on(project), "a search that was begun goes on"
