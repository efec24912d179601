"""Where everything lies: the one module that spells a path."""

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.environment import STAND_IN_HOME
from pipeline.errors import PipelineError, UsageError
from pipeline.names import NAME_RULE, existing_file, is_name, normalize
from pipeline.outside import SYSTEM, Outside
from pipeline.store_url import StoreUrl, mlflow_store, optuna_store, refuse_where_mlflow_is

DEFAULT_STUDY = "fashion_mnist"
_CACHE = "keras-search-pipeline"
BUSY_SECONDS = 60.0  # how long a store's file may be locked, by a backup say
# MLflow unquotes paths once too often; and text that is no UTF-8 is not taken by SQLite.
_NOT_IN_A_PATH = re.compile("%[0-9A-Fa-f]{2}|[\ud800-\udfff]")


@dataclass(frozen=True)
class Project:
    """A folder with `studies/`, `mlruns/` and `exports/`: the one a command is started in.

    Attributes:
        root: the folder.
        outside: of the process that uses it.
    """

    root: Path
    outside: Outside = field(default=SYSTEM, repr=False, compare=False)

    @classmethod
    def here(cls) -> "Project":
        """Returns the project in the current folder.

        Raises:
            PipelineError: somebody has removed that folder.
            UsageError: MLflow would take the folder's name for another.
        """
        try:
            root = Path.cwd()
        except FileNotFoundError:
            raise PipelineError("the current folder is gone; go to the project's folder") from None
        if found := _NOT_IN_A_PATH.search(str(root)):
            raise UsageError(
                f"{root}: found {found[0]!r} in the project's path, allowed is all else: MLflow "
                "would look for its files elsewhere; rename the folder"
            )
        return cls(root)

    @property
    def runs_dir(self) -> Path:
        """The folder of both stores and of MLflow's artifacts."""
        return self.root / "mlruns"

    @property
    def artifacts_dir(self) -> Path:
        """Where MLflow keeps artifacts when its store is a local database."""
        return self.runs_dir / "artifacts"

    @property
    def optuna_url(self) -> StoreUrl:
        """Optuna's storage: `PIPELINE_STORAGE`, else a SQLite file in `mlruns/`.

        Raises:
            UsageError: the environment's is no URL of a database, or of one in memory.
        """
        chosen = optuna_store(_from_environment("PIPELINE_STORAGE"))
        return chosen or StoreUrl.of(self.runs_dir / "optuna.db")

    @property
    def mlflow_uri(self) -> StoreUrl:
        """MLflow's store: `MLFLOW_TRACKING_URI`, else a SQLite file in `mlruns/`.

        Raises:
            UsageError: the environment's is no URL of a database or server (a folder, say), or
                of a database in memory; or MLflow is installed where it can use no database.
        """
        chosen = mlflow_store(_from_environment("MLFLOW_TRACKING_URI"))
        url = chosen or StoreUrl.of(self.runs_dir / "mlflow.db")
        refuse_where_mlflow_is(url)
        return url

    def supervisor_lock(self, study: str) -> Path:
        """Names the lock that the one supervisor of a study holds."""
        return self.runs_dir / f"{study}.lock"

    def lease_note(self, study: str) -> Path:
        """Names the file beside the lock that says who holds the lock, and since when."""
        return self.runs_dir / f"{study}.lock.json"

    def workers_log(self, study: str) -> Path:
        """Names the file to which the workers of a study print."""
        return self.runs_dir / f"{study}.workers.log"

    def scratch_dir(self, study: str) -> Path:
        """Names the folder where the workers of a study keep files for a moment."""
        return self.runs_dir / f".{study}.scratch"

    def paused_dir(self, study: str) -> Path:
        """Names the folder of what paused trials of a study need to go on."""
        return self.runs_dir / f"{study}.paused"

    def outbox(self, study: str) -> Path:
        """Names the folder of the writes that MLflow has not got yet."""
        return self.runs_dir / f"{study}.outbox"

    def study_file(self, study: str) -> Path:
        """Finds the file of a study that is given by name or by path.

        Raises:
            UsageError: there is no such file; the message lists the studies there are.
        """
        is_path = study.endswith(".toml") or os.sep in study
        path = Path(study) if is_path else self.root / "studies" / f"{study}.toml"
        if not (found := existing_file(path)):
            files = (self.root / "studies").glob("*.toml")
            known = sorted({normalize(file.stem) for file in files if file.is_file()})
            known = [name for name in known if is_name(name)]
            raise UsageError(
                f"{display_path(path)}: no such study file; "
                f"the studies here are: {', '.join(known) or 'none'}"
            )
        return found

    def report_dir(self, study: str) -> Path:
        """Names the folder to which `report` writes."""
        return self.root / "studies" / study

    def export_dir(self, study: str) -> Path:
        """Names the folder to which `best --export` writes unless told otherwise."""
        return self.root / "exports" / study


def study_name(file: Path) -> str:
    """Derives a study's name from its file; folders, an experiment and a model bear that name.

    Raises:
        UsageError: the name would not do as a folder's.
    """
    name = normalize(file.stem)
    if not is_name(name):
        raise UsageError(
            f"{display_path(file)}: the file's name is the study's name, found {name!r}, "
            f"allowed are {NAME_RULE}"
        )
    return name


def parse_study_name(study: str) -> str:
    """Returns the name of a study that is given by name or by path; the file need not exist.

    Raises:
        UsageError: it is neither.
    """
    if study.endswith(".toml"):
        return study_name(Path(study))
    name = normalize(study)
    if not is_name(name):
        raise UsageError(
            f"study: found {name!r}, allowed is a name of a file in studies/: {NAME_RULE}"
        )
    return name


def data_dir() -> Path:
    """Names the cache of data sets: `PIPELINE_DATA_DIR`, else one in the user's cache folder.

    Whoever has no home, or none that could be written to, has the cache in the project.

    Raises:
        UsageError: the environment's is no path.
        PipelineError: there is neither a home nor a current folder.
    """
    if chosen := _from_environment("PIPELINE_DATA_DIR"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError:  # ~somebody, who has no home
            raise UsageError(
                f"PIPELINE_DATA_DIR: found {chosen!r}, allowed is a folder; there is no such user"
            ) from None
    from platformdirs import user_cache_path

    with contextlib.suppress(RuntimeError):  # no home
        folder = user_cache_path(_CACHE)
        if _can_be_made(folder):
            return folder
    return Project.here().root / STAND_IN_HOME / ".cache" / _CACHE


def _can_be_made(folder: Path) -> bool:
    """Tells whether a folder is there, or what it would lie in can be written to."""
    there = next(each for each in (folder, *folder.parents) if os.access(each, os.F_OK))
    return there == folder or (there.is_dir() and os.access(there, os.W_OK | os.X_OK))


def _from_environment(name: str) -> str:
    """Returns a variable's value, "" if the variable is not set.

    Raises:
        UsageError: a terminal, a log or a URL would not show it as it is.
    """
    value = os.environ.get(name, "")
    if not value.isprintable():
        raise UsageError(f"{name}: found {value!r}, allowed is text without control characters")
    return value


def display_path(path: Path) -> str:
    """Shortens a path for a message: in a line, relative to the current folder where shorter."""
    text = str(path)
    with contextlib.suppress(ValueError, OSError):  # elsewhere, or the current folder is gone
        text = str(path.relative_to(Path.cwd()))
    return text if text.isprintable() else repr(text)[1:-1]
