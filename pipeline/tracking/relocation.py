"""A project that was moved or copied: MLflow's store is made to say where its artifacts lie now.

MLflow notes of every experiment, run and model where its files are, as an absolute path. This
module rewrites those that it once had in `mlruns/` of a project elsewhere, and no others. It reads
MLflow's tables itself, for MLflow has no call for that, and takes seconds to import.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from pipeline import files, paths, snapshot
from pipeline.paths import Project, display_path
from pipeline.wording import join_names

# Where MLflow 3.17 keeps such a path; what another version does not have is passed over.
_COLUMNS = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"), ("model_versions", "source"),
    ("model_versions", "storage_location"),
)  # fmt: skip
# Artifacts of a study, or of an experiment that MLflow has made itself and named by a number.
_OURS = re.compile(r"(?P<root>.*)/mlruns/(?P<rest>(?:artifacts/(?P<study>[^/]+)|\d+)(?:/.*)?)")

Old = tuple[str, str]  # the folder of a project elsewhere, and a study


def local_path(project: Project, uri: str) -> Path | None:
    """Finds the files of an artifact on this disk; None if they are on no disk.

    Args:
        project: if that was moved, the files are looked for where they are now.
        uri: as MLflow has it.
    """
    path = _path(uri)
    if path is None:
        return None
    found = _OURS.fullmatch(path)
    if found and found["study"] and _is_moved(project, found["root"], found["study"]):
        return project.runs_dir / found["rest"]
    return Path(path)


def old_places(project: Project, study: str | None = None) -> list[str]:
    """Lists the folders that the project was in before, as far as MLflow's store names them.

    Args:
        project: whose store is read.
        study: whose artifacts alone are asked for; None: anybody's.

    Raises:
        sqlite3.Error: the store cannot be read.
    """
    file = snapshot.readable(project.mlflow_uri).file
    if file is None or not file.is_file():
        return []
    # which creates no file, may roll back what a kill has left, and reads where it may not write
    url = f"{file.absolute().as_uri()}?mode=rw"
    with contextlib.closing(
        sqlite3.connect(url, timeout=paths.BUSY_SECONDS, uri=True)
    ) as database:
        return sorted({old[0] for old in _olds(project, database) if study in (None, old[1])})


def relocate(project: Project, say: Callable[[str], None]) -> None:
    """Makes MLflow's store name the project's own folder, all rows or none, and says so.

    Args:
        project: whose store is written, if need be.
        say: told what was done, if anything was.

    Raises:
        sqlite3.Error: the store cannot be read or written.
    """
    places = old_places(project)
    file = project.mlflow_uri.file
    if not places or file is None:
        return
    with contextlib.closing(
        sqlite3.connect(file, timeout=paths.BUSY_SECONDS, isolation_level=None)
    ) as database:
        database.execute("BEGIN IMMEDIATE")
        olds = _olds(project, database)  # another process may have been faster
        for table, column, row, value in _values(database):
            if (new := _moved(project, value, olds)) is not None:
                update = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
                database.execute(update, (new, row))
                _rewrite_description(value, new)
        database.execute("COMMIT")
    if olds:
        say(f"{describe(project, places)}: MLflow's store now says so")


def relocate_if_writable(project: Project, say: Callable[[str], None]) -> None:
    """Does as `relocate` if the store can be written, else says that this could not be done."""
    try:
        relocate(project, say)
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            if places := old_places(project):
                say(
                    f"{describe(project, places)}, and MLflow's store does not say so, as it "
                    f"cannot be written: {error}"
                )


def describe(project: Project, places: list[str]) -> str:
    """Says where the project was, and where it is."""
    shown = join_names([display_path(Path(each)) for each in places])
    return f"the project was moved or copied from {shown} to {project.root}"


def _olds(project: Project, database: sqlite3.Connection) -> set[Old]:
    """Finds which studies have artifacts noted under which folder that the project left."""
    if not _has(database, "experiments", "artifact_location"):
        return set()
    experiments = database.execute("SELECT experiment_id, name FROM experiments")
    studies = {str(each) for row in experiments for each in row}
    found = (_OURS.fullmatch(_path(value) or "") for *_, value in _values(database))
    pairs = {(each["root"], each["study"]) for each in found if each}
    return {pair for pair in pairs if pair[1] in studies and _is_moved(project, *pair)}


def is_own_store(project: Project) -> bool:
    """Tells whether MLflow's store is a file in the project: of no other project, then."""
    file = project.mlflow_uri.file
    folders = (project.root.resolve(), project.runs_dir.resolve())  # which may be a link
    return bool(file and any(file.resolve().is_relative_to(each) for each in folders))


def _is_moved(project: Project, root: str, study: str) -> bool:
    """Tells whether artifacts noted under another project's folder are this project's now.

    They are not if somebody has put them there on purpose: they are there, and nothing is here.
    """
    old, own = Path(root) / "mlruns", project.runs_dir
    if old == own or _is_same(old, own):
        return False  # or the same folder, by another way
    file = project.mlflow_uri.file
    if file is None:
        return False
    is_here = os.path.exists(own / "artifacts" / study)  # noqa: PTH110, False without permission
    is_there = os.path.exists(old / "artifacts" / study)  # noqa: PTH110
    file_there = Path(root) / os.path.relpath(file, project.root)
    is_copy = os.path.exists(file_there) and not _is_same(file_there, file)  # noqa: PTH110
    if not is_own_store(project):  # a store of several projects, perhaps
        return is_here and (is_copy or not is_there)
    return is_here or is_copy or not is_there


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _moved(project: Project, value: str, olds: set[Old]) -> str | None:
    """Rewrites a path or URI in its own style; None if it is not to be."""
    found = _OURS.fullmatch(_path(value) or "")
    if not found:
        return None
    root, study = found["root"], found["study"]
    if not ((root, study) in olds if study else any(root == each for each, _ in olds)):
        return None
    new = project.runs_dir / found["rest"]
    return new.as_uri() if value.startswith("file:") else str(new)


def _rewrite_description(value: str, new: str) -> None:
    """Makes the `MLmodel` in a folder name that folder, if it is a model's; for people to read."""
    file = Path(_path(new) or "") / "MLmodel"
    with contextlib.suppress(OSError, ValueError):
        text = file.read_text(encoding="utf-8")
        files.write_atomically(
            file, text.replace(f"artifact_path: {value}\n", f"artifact_path: {new}\n")
        )


def _values(database: sqlite3.Connection) -> Iterator[tuple[str, str, int, str]]:
    """Yields table, column, row and text of all that may be a path."""
    for table, column in _COLUMNS:
        if _has(database, table, column):
            select = f"SELECT rowid, {column} FROM {table} WHERE {column} LIKE '%/mlruns/%'"
            for row, value in database.execute(select).fetchall():
                yield table, column, row, value


def _has(database: sqlite3.Connection, table: str, column: str) -> bool:
    return any(each[1] == column for each in database.execute(f"PRAGMA table_info({table})"))


def _path(uri: str) -> str | None:
    """Returns the path of a file's URI, or of what is a path already; None of all else."""
    if uri.startswith("file:"):
        return url2pathname(urlparse(uri).path)
    return uri if uri.startswith("/") else None
