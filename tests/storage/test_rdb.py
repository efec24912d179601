"""Optuna's storage as this package reads and writes it, held against Optuna's own."""

import contextlib
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
import recorded
import sqlalchemy as sql
from killing import killed_at
from optuna.trial import TrialState
from sqlite_files import journal_mode, noted_syncs

from pipeline.doctor import __main__ as doctor
from pipeline.doctor import examine
from pipeline.paths import Project
from pipeline.storage import optuna_internals, rdb, studies, study_store
from pipeline.storage.rdb import open_storage


def with_every_kind_of_trial(url: str) -> optuna.Study:
    """Trials in all states, values that SQL has no number for, and another study beside."""
    optuna.create_study(storage=url, study_name="other").enqueue_trial({"x": 7})
    study = optuna.create_study(storage=url, study_name="mixed")
    for value in (0.5, math.inf, -math.inf):
        trial = study.ask()
        trial.suggest_float("x", 1e-3, 1, log=True)
        trial.suggest_int("a", 1, 4)
        trial.suggest_categorical("c", [None, "é", 1.5, True])
        trial.set_user_attr("history", {"loss": [0.1, math.nan]})
        for step, reported in enumerate((math.inf, math.nan, 0.25), start=1):
            trial.report(reported, step)
        study.tell(trial, value)
    study.tell(study.ask(), state=TrialState.FAIL)
    pruned = study.ask()
    pruned.report(0.1, 1)
    study.tell(pruned, state=TrialState.PRUNED)
    study.enqueue_trial({"x": 0.5}, {"seed": 3})
    study.enqueue_trial({"x": 0.6})
    study.ask().suggest_float("x", 1e-3, 1, log=True)
    return study


def as_text(found: list[optuna.trial.FrozenTrial]) -> list[str]:
    """All that is in trials, as NaN is not equal to itself; the order of rows may differ."""

    def ordered(value: object) -> object:
        return sorted(value.items(), key=str) if isinstance(value, dict) else value

    return [repr({key: ordered(value) for key, value in vars(t).items()}) for t in found]


def test_trials_are_read_as_optuna_reads_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = with_every_kind_of_trial(url)
    known = optuna.storages.RDBStorage(url).get_all_trials(study._study_id)
    assert {trial.state for trial in known} == set(TrialState)
    storage = open_storage(url)
    assert as_text(storage.get_all_trials(study._study_id)) == as_text(known)
    assert [list(t.params) for t in storage.get_all_trials(study._study_id)] == [
        list(t.params) for t in known
    ]
    for trial in known:
        assert as_text([storage.get_trial(trial._trial_id)]) == as_text([trial])
        assert storage.get_trial_system_attrs(trial._trial_id) == trial.system_attrs


def test_what_goes_on_elsewhere_is_seen(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = with_every_kind_of_trial(url)
    storage = open_storage(url)
    storage.get_all_trials(study._study_id)  # now they are in its cache
    (running,) = study.get_trials(states=(TrialState.RUNNING,))
    study.tell(running.number, 0.125)
    study.ask()
    study.ask()
    known = optuna.storages.RDBStorage(url).get_all_trials(study._study_id)
    assert as_text(storage.get_all_trials(study._study_id)) == as_text(known)
    waiting = storage.get_all_trials(study._study_id, states=(TrialState.WAITING,))
    assert [trial.number for trial in waiting] == []


def test_a_trial_that_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        open_storage(f"sqlite:///{tmp_path / 'optuna.db'}").get_trial(1)


@pytest.mark.parametrize(("direction", "best"), [("maximize", 2), ("minimize", 3)])
def test_of_equal_trials_the_one_that_ended_first_is_the_best(
    tmp_path: Path, direction: Literal["maximize", "minimize"], best: int
) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    study = optuna.create_study(storage=storage, direction=direction)
    with pytest.raises(ValueError, match="does not exist"):
        _ = study.best_trial
    numbers = [study.ask().number for _ in range(4)]
    for number, value in zip(reversed(numbers), [0.5, 0.9, 0.9, 0.5], strict=True):
        study.tell(number, value)
    assert study.best_trial.number == best


def test_a_killed_writer_loses_nothing(project_folder: Path) -> None:
    """Not even what the database has not moved from its log to its file."""
    script = """if True:
        import os, optuna
        from pipeline.storage.rdb import open_storage
        storage = open_storage("sqlite:///optuna.db", to_write=True)
        study = optuna.create_study(storage=storage, study_name="killed")
        trial = study.ask()
        trial.report(0.5, 1)
        study.tell(trial, 0.5)
        study.ask().set_user_attr("seed", 3)
        os.kill(os.getpid(), 9)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -9
    assert (project_folder / "optuna.db-wal").stat().st_size > 0
    study = optuna.load_study(storage="sqlite:///optuna.db", study_name="killed")
    first, second = study.get_trials()
    assert (first.state, first.value, first.intermediate_values) == (
        TrialState.COMPLETE, 0.5, {1: 0.5},
    )  # fmt: skip
    assert (second.state, second.user_attrs) == (TrialState.RUNNING, {"seed": 3})


def test_at_the_end_all_is_in_one_file(project_folder: Path) -> None:
    script = """if True:
        import optuna
        from pipeline.storage.rdb import open_storage
        storage = open_storage("sqlite:///optuna.db", to_write=True)
        study = optuna.create_study(storage=storage, study_name="ended")
        study.tell(study.ask(), 0.5)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert [file.name for file in project_folder.iterdir()] == ["optuna.db"]


def test_the_beginning_and_the_end_of_a_trial_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power failure could take back a finished trial, or one that MLflow was told of."""
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}", to_write=True)
    study = optuna.create_study(storage=storage)
    synced = noted_syncs(monkeypatch)
    trial = study.ask()
    trial.report(0.5, 1)
    assert synced == ["optuna.db-wal"]
    study.tell(trial, 0.5)
    assert synced == ["optuna.db-wal"] * 2
    study.enqueue_trial({})
    assert synced == ["optuna.db-wal"] * 3
    study.ask()  # takes the one that waits
    assert synced == ["optuna.db-wal"] * 4


def test_a_search_writes_ahead_and_a_report_leaves_a_store_as_it_is(
    recorded_study: Project,
) -> None:
    file = recorded_study.runs_dir / "optuna.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    study_store.read_trials(studies.stored_study(recorded_study, recorded.NAME).study)
    assert journal_mode(file) == "delete"
    spec = studies.stored_study(recorded_study, recorded.NAME).spec
    studies.open_study(recorded_study, spec)
    assert journal_mode(file) == "wal"


def open_files(folder: Path) -> list[str]:
    """What this process has open in a folder."""
    links = [Path(link) for link in Path("/proc/self/fd").iterdir()]
    found = [str(link.readlink()) for link in links if link.is_symlink()]
    return [path for path in found if path.startswith(str(folder))]


@pytest.mark.parametrize("is_as_known", [True, False])
@pytest.mark.parametrize("to_write", [True, False])
def test_who_drops_a_store_closes_it(
    is_as_known: bool, to_write: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_internals, "is_as_known", lambda: is_as_known)
    for number in range(3):
        url = f"sqlite:///{tmp_path / str(number)}.db"
        study = optuna.create_study(storage=open_storage(url, to_write=to_write))
        study.tell(study.ask(), 0.5)
        assert open_files(tmp_path)
        del study
        assert open_files(tmp_path) == []


def test_a_command_over_many_studies_keeps_none_open(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = recorded.open_stored(recorded_study).spec
    for number in range(6):
        studies.open_study(recorded_study, spec.model_copy(update={"name": f"s{number}"}))
    monkeypatch.setattr(sys, "argv", ["doctor"])
    most = 0
    examined = examine.examine

    def counted(*about: Any) -> Any:
        nonlocal most
        most = max(most, len(open_files(recorded_study.runs_dir)))
        return examined(*about)

    monkeypatch.setattr(examine, "examine", counted)
    doctor.main()
    assert most < 6


AT_ONCE = """
import sys, time
from pathlib import Path
import optuna
from pipeline.paths import Project
from pipeline.storage import studies, study_store
from scripted import make_spec

print("ready", flush=True)
sys.stdin.readline()
spec = make_spec().model_copy(update={"name": sys.argv[1]})
study = studies.open_study(Project.here(), spec)
study.tell(study.ask(), 0.5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["", "sqlite+pysqlite:///chosen.db?timeout=60"])
def test_studies_that_are_begun_at_once_in_a_fresh_folder(
    storage: str, project_folder: Path
) -> None:
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests" / "support")]),
        "PIPELINE_STORAGE": storage,
    }
    names = [f"s{number}" for number in range(4)]
    with contextlib.ExitStack() as opened:
        begun = [
            opened.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", AT_ONCE, name],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for name in names
        ]
        for each in begun:
            assert each.stdout is not None
            assert each.stdout.readline() == b"ready\n"
        for each in begun:
            assert each.stdin is not None
            each.stdin.close()
        assert [each.wait() for each in begun] == [0] * 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_STORAGE", storage)
        assert studies.stored_names(Project(project_folder)) == names


@pytest.mark.parametrize(
    ("raised", "n_attempts"),
    [
        (sql.exc.IntegrityError("INSERT", {}, Exception("UNIQUE: alembic_version")), 3),
        (sql.exc.ProgrammingError("CREATE", {}, Exception('relation "x" already exists')), 3),
        (sql.exc.OperationalError("CREATE", {}, Exception("table x already exists")), 3),
        (sql.exc.OperationalError("SELECT", {}, Exception("connection refused")), 1),
    ],
)
def test_tables_that_somebody_else_makes_meanwhile_are_waited_for(
    raised: Exception, n_attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    class Storage:
        def __init__(self, url: str, _: object) -> None:
            attempts.append(url)
            raise raised

    monkeypatch.setattr(rdb, "SECONDS_TO_MAKE_TABLES", 0.0)
    monkeypatch.setattr("pipeline.storage.one_transaction.StorageOfSoleWriter", Storage)
    with pytest.raises(type(raised)):
        open_storage("postgresql://somewhere/optuna")
    assert attempts == ["postgresql://somewhere/optuna"] * n_attempts


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (optuna.storages.RDBStorage, "__init__"), (Path, "replace"),
        (shutil, "rmtree"), (Path, "unlink"),
    ],
)  # fmt: skip
def test_what_a_kill_left_of_a_new_store_is_removed_when_the_store_is_opened(
    owner: object, step: str, tmp_path: Path
) -> None:
    """Also where the kill came when the store was there already."""
    file = tmp_path / "optuna.db"
    url = f"sqlite:///{file}"
    killed_at(owner, step, lambda: open_storage(url))
    assert {*tmp_path.iterdir()} > ({file} if step in ("rmtree", "unlink") else set())
    open_storage(url).get_all_studies()
    assert [path.name for path in tmp_path.iterdir()] == ["optuna.db"]
