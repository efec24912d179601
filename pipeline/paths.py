"""Where everything lies: the one module that spells a path or a store's URL."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError, UsageError

DEFAULT_STUDY = "fashion_mnist"
BUSY_SECONDS = 60.0  # how long a store's file may be locked, by a backup say
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_URL = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)
_SQLITE = "sqlite:///"
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@/]*(?=@)")


class StoreUrl(str):
    """The URL of a store, a string as Optuna, MLflow and SQLAlchemy take it."""

    __slots__ = ()

    @classmethod
    def of(cls, file: Path) -> "StoreUrl":
        """Makes the URL of a SQLite file."""
        return cls(f"{_SQLITE}{file}")

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is SQLite, with whatever driver."""
        return self.startswith("sqlite")

    @property
    def file(self) -> Path | None:
        """The SQLite file; None if the store is none."""
        return Path(self.removeprefix(_SQLITE)) if self.startswith(_SQLITE) else None

    @property
    def missing_file(self) -> Path | None:
        """The SQLite file if it does not exist, so that opening the store would create it."""
        file = self.file
        return file if file and not file.exists() else None

    @property
    def display(self) -> str:
        """The URL as people get to see it: without the password."""
        return _PASSWORD.sub(r"\1:***", self)


@dataclass(frozen=True)
class Project:
    """A folder with `studies/`, `mlruns/` and `exports/`: the one a command is started in."""

    root: Path

    @classmethod
    def here(cls) -> "Project":
        """Returns the project in the current folder.

        Raises:
            PipelineError: somebody has removed that folder.
        """
        try:
            return cls(Path.cwd())
        except FileNotFoundError:
            raise PipelineError("the current folder is gone; go to the project's folder") from None

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
            UsageError: the environment's is no URL.
        """
        chosen = _from_environment("PIPELINE_STORAGE")
        if chosen and not _URL.match(chosen):
            raise UsageError(
                f"PIPELINE_STORAGE: found {chosen!r}, allowed is a URL such as "
                "sqlite:///mlruns/optuna.db"
            )
        return StoreUrl(chosen) if chosen else StoreUrl.of(self.runs_dir / "optuna.db")

    @property
    def mlflow_uri(self) -> StoreUrl:
        """MLflow's store: `MLFLOW_TRACKING_URI`, else a SQLite file in `mlruns/`.

        Raises:
            UsageError: there are characters in the environment's that no URI has.
        """
        chosen = _from_environment("MLFLOW_TRACKING_URI")
        return StoreUrl(chosen) if chosen else StoreUrl.of(self.runs_dir / "mlflow.db")

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
        try:
            is_there = path.is_file()
        except (OSError, ValueError):  # a name longer than a disk allows, or with a NUL in it
            is_there = False
        if not is_there:
            files = (self.root / "studies").glob("*.toml")
            known = sorted(file.stem for file in files if file.is_file())
            raise UsageError(
                f"{display_path(path)}: no such study file; "
                f"the studies here are: {', '.join(known) or 'none'}"
            )
        return path

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
    if not _NAME.fullmatch(file.stem):
        raise UsageError(
            f"{display_path(file)}: the file's name is the study's name, found {file.stem!r}, "
            "allowed are letters, digits, '_', '-' and '.', at most 100, a letter or digit first"
        )
    return file.stem


def parse_study_name(study: str) -> str:
    """Returns the name of a study that is given by name or by path; the file need not exist.

    Raises:
        UsageError: it is neither.
    """
    if study.endswith(".toml"):
        return study_name(Path(study))
    if not _NAME.fullmatch(study):
        raise UsageError(f"study: found {study!r}, allowed is a name of a file in studies/")
    return study


def data_dir() -> Path:
    """Names the cache of data sets: `PIPELINE_DATA_DIR`, else the user's cache folder.

    Raises:
        UsageError: the environment's is no path.
    """
    if chosen := _from_environment("PIPELINE_DATA_DIR"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError:  # ~somebody, who has no home
            raise UsageError(
                f"PIPELINE_DATA_DIR: found {chosen!r}, allowed is a folder; there is no such user"
            ) from None
    from platformdirs import user_cache_path

    return user_cache_path("keras-search-pipeline")


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


def write_atomically(path: Path, content: bytes | str) -> None:
    """Writes a file whole or not at all: after a crash there is the old file or the new one."""
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(0o666 & ~_umask())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
