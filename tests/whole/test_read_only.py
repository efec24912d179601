"""Stores that cannot be written: what reads says what it would of a copy, what writes refuses.

Real permissions, which root is made to heed; `test_trouble.py` has a disk that is read-only.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import empty_mlflow
import pytest
import recorded
import torture

from pipeline import snapshot, ui
from pipeline.paths import Project
from pipeline.store_url import StoreUrl

DEADLINE_SECONDS = 300.0
# Dies in the middle of a study's search, as far as SQLite is concerned: a row is committed, and is
# in the log; or is half written, and what it was before is in the journal.
WRITE_AND_DIE = """
import os, sqlite3, sys
file, mode, sql = sys.argv[1:]
database = sqlite3.connect(file, isolation_level=None)
database.execute(f"PRAGMA journal_mode={mode}")
database.execute("PRAGMA cache_size=1")
database.execute("BEGIN")
database.execute(sql)
if mode == "WAL":
    database.execute("COMMIT")
else:
    database.execute("CREATE TABLE filler AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT randomblob(1000) FROM n")
os._exit(0)
"""
OTHER_SEED = "UPDATE trial_user_attributes SET value_json = '4711' WHERE key = 'seed'"
OTHER_NAME = "UPDATE experiments SET name = 'half written'"
BESIDE = {
    "with no log": [],
    "with log and index": ["optuna.db-shm", "optuna.db-wal"],
    "with the log alone": ["optuna.db-wal"],
    "with a journal": ["mlflow.db-journal", "optuna.db-journal"],
}


@pytest.fixture(params=BESIDE)
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(recorded_study: Project, shape: str, empty_database: Path) -> Project:
    """A project with both stores, as a search or its death leaves them."""
    empty_mlflow.copy_into(recorded_study.root, empty_database)
    optuna, mlflow = (recorded_study.runs_dir / name for name in ("optuna.db", "mlflow.db"))
    if shape == "with a journal":
        write_and_die(optuna, "DELETE", OTHER_SEED)
        write_and_die(mlflow, "DELETE", OTHER_NAME)
    elif shape == "with no log":
        database = sqlite3.connect(optuna)  # the last one to close it removes the log
        database.execute("PRAGMA journal_mode=WAL")
        database.close()
    else:
        write_and_die(optuna, "WAL", OTHER_SEED)
        if shape == "with the log alone":
            optuna.with_name("optuna.db-shm").unlink()
    assert names(recorded_study.runs_dir) == sorted(["mlflow.db", "optuna.db", *BESIDE[shape]])
    return recorded_study


def write_and_die(file: Path, mode: str, sql: str) -> None:
    subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(file), mode, sql], check=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def make_read_only(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        path.chmod(path.stat().st_mode & ~0o222)


def ordinary_user() -> list[str]:
    """What makes a command heed permissions, whoever runs the tests."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root heeds no permission, and there is no setpriv")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def run(
    folder: Path, module: str, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*ordinary_user(), sys.executable, "-m", f"pipeline.{module}", *arguments],
        cwd=folder,
        env=torture.environment(**variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )


def same_as_of_a_copy(project: Project, *command: str) -> str:
    """Runs a command where nothing can be written and where all can, and returns what it says."""
    other = Path(shutil.copytree(project.root, project.root.with_name("another")))
    make_read_only(project.runs_dir)
    before = contents(project.runs_dir)
    there, here = run(other, *command), run(project.root, *command)
    told = [
        (done.returncode, done.stdout.replace(str(folder), ""), done.stderr)
        for done, folder in ((there, other), (here, project.root))
    ]
    assert told[1] == told[0]
    assert "Traceback" not in here.stderr
    assert contents(project.runs_dir) == before
    return here.stdout


def test_the_champion_is_shown_as_the_log_has_it(project: Project, shape: str) -> None:
    said = same_as_of_a_copy(project, "best", recorded.NAME)
    assert "study recorded: champion is trial 9" in said
    assert ("seed 4711" in said) == ("optuna.db-wal" in BESIDE[shape])


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["with the log alone"], indirect=True)
def test_a_report_is_written(project: Project) -> None:
    same_as_of_a_copy(project, "report", recorded.NAME)
    written = ["report.html", "report.json", "report.md", "trials.csv"]
    assert names(project.report_dir(recorded.NAME)) == written


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["with no log", "with a journal"], indirect=True)
def test_the_doctor_examines_without_its_lock(project: Project) -> None:
    assert "study recorded: " in same_as_of_a_copy(project, "doctor")


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["with no log"], indirect=True)
def test_what_writes_refuses_in_one_sentence(project: Project) -> None:
    make_read_only(project.runs_dir)
    before, folder = contents(project.root), project.root
    found = {
        command: run(folder, *command)
        for command in (
            ("search", recorded.NAME, "--trials", "99"),
            ("doctor", recorded.NAME, "--fix"),
            ("best", recorded.NAME, "--export"),
        )
    }
    search, doctor, best = found.values()
    locked = (
        "error: mlruns/recorded.lock: Permission denied, and who searches or mends a study locks "
        f"it: {snapshot.CURE}\n"
    )
    assert (search.returncode, search.stderr) == (1, locked)
    assert (doctor.returncode, doctor.stderr) == (1, locked)
    assert (best.returncode, best.stderr) == (
        1,
        "error: mlruns is read-only for this user, and an export records there that it looks at "
        f"the test set: {snapshot.CURE}\n",
    )
    assert contents(folder) == before


@pytest.mark.parametrize("shape", ["with no log"], indirect=True)
@pytest.mark.parametrize("store", ["optuna.db", "mlflow.db"])
def test_a_search_refuses_a_read_only_file_before_it_starts_anything(
    project: Project, store: str
) -> None:
    (project.runs_dir / store).chmod(0o444)
    before = contents(project.runs_dir)
    done = run(project.root, "search", recorded.NAME, "--trials", "99")
    assert (done.returncode, done.stderr) == (
        1,
        f"error: mlruns/{store} is read-only for this user, and a search writes it: "
        f"{snapshot.CURE}\n",
    )
    after = contents(project.runs_dir)
    after.pop("recorded.lock")  # which stays after every search
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["with no log"], indirect=True)
def test_a_project_that_is_read_only_gets_no_report_and_no_export(project: Project) -> None:
    make_read_only(project.root)
    report = run(project.root, "report", recorded.NAME)
    assert (report.returncode, report.stderr) == (
        1,
        "error: studies/recorded: the report cannot be written there: Permission denied\n",
    )
    best = run(project.root, "best", recorded.NAME, "--export")
    assert best.returncode == 1
    assert f"cannot be exported to: {project.root} is read-only\n" in best.stderr
    assert run(project.root, "best", recorded.NAME).returncode == 0


@pytest.mark.parametrize("shape", ["with the log alone"], indirect=True)
def test_a_store_elsewhere_is_read_too(project: Project, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    make_read_only(project.runs_dir)
    done = run(
        own, "best", recorded.NAME, PIPELINE_STORAGE=f"sqlite:///{project.runs_dir}/optuna.db"
    )
    assert (done.returncode, done.stderr) == (0, "")


# The copy, where this process could write all the same


@pytest.fixture
def unreadable_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "is_writable", lambda _: False)
    monkeypatch.setattr(snapshot, "_can_be_read", lambda _: False)


@pytest.mark.parametrize("shape", ["with the log alone"], indirect=True)
@pytest.mark.usefixtures("unreadable_in_place")
def test_a_copy_takes_no_write_from_anybody_and_is_made_once(project: Project) -> None:
    before = contents(project.runs_dir)
    url = snapshot.readable(project.optuna_url)
    assert url.file
    assert url.file != project.optuna_url.file
    assert snapshot.readable(project.optuna_url) == url
    database = sqlite3.connect(url.file)
    try:
        query = "SELECT DISTINCT value_json FROM trial_user_attributes WHERE key = 'seed'"
        assert database.execute(query).fetchall() == [("4711",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly database"):
            database.execute("DELETE FROM studies")
    finally:
        database.close()
    assert contents(project.runs_dir) == before


def test_who_may_write_reads_the_store_itself(recorded_study: Project) -> None:
    assert snapshot.readable(recorded_study.optuna_url) == recorded_study.optuna_url
    server = StoreUrl("postgresql://somewhere/store")
    assert snapshot.readable(server) == server


@pytest.mark.parametrize("shape", ["with no log"], indirect=True)
@pytest.mark.parametrize("which", ["optuna", "mlflow"])
@pytest.mark.usefixtures("unreadable_in_place")
def test_a_server_shows_a_copy_and_says_so(
    project: Project,
    which: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown: list[Any] = []

    def serve(*arguments: Any) -> int:
        shown.extend(each for each in arguments if isinstance(each, StoreUrl))
        return 0

    monkeypatch.setattr(ui, f"serve_{which}", serve)
    monkeypatch.setattr(ui, "check_port", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["ui", which, "--port", "5123"])
    assert ui.main() == 0
    (url,) = shown
    assert url.file.is_file()
    assert url.file.parent != project.runs_dir
    assert (
        f"{which}.db is read-only: shown is a copy of it, as of now\n" in capsys.readouterr().err
    )
