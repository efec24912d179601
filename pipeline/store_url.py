"""URLs of stores: what they say, and which of them the environment may choose."""

import functools
import importlib.util
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from pipeline.errors import UsageError
from pipeline.masking import mask

_DATABASES = r"(sqlite|postgresql|mysql|mssql)(\+\w+)?://"  # what both libraries take
_DATABASE_URL = re.compile(_DATABASES)
_MLFLOW_URL = re.compile(rf"{_DATABASES}|https?://|(databricks(-uc)?|uc)(://|$)")
_SQLITE, _PYSQLITE = "sqlite:///", "sqlite+pysqlite:///"
_PSYCOPG = ("postgresql://", "postgresql+psycopg://")  # by this driver, as SQLAlchemy has it
_NOT_AS_IT_IS = re.compile("[%?{}]")  # in a URL: braces are a template of Optuna


class StoreUrl(str):
    """The URL of a store, a string as Optuna, MLflow and SQLAlchemy take it."""

    __slots__ = ()

    @classmethod
    def of(cls, file: Path) -> "StoreUrl":
        """Makes the URL of a SQLite file, whatever characters are in the names of its folders.

        With the driver's name where something is quoted: of other URLs MLflow takes the path as it
        stands there, and makes its folders.
        """
        path = _NOT_AS_IT_IS.sub(lambda each: f"%{ord(each[0]):02X}", str(file))
        return cls(f"{_SQLITE if path == str(file) else _PYSQLITE}{path}")

    @property
    def is_database(self) -> bool:
        """Whether the store is a database, and no server of MLflow's in front of one."""
        return bool(_DATABASE_URL.match(self))

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is SQLite, with whatever driver."""
        return self.startswith("sqlite")

    @property
    def file(self) -> Path | None:
        """The SQLite file; None if the store is none."""
        for prefix in (_SQLITE, _PYSQLITE):
            if self.startswith(prefix):
                path, _, _ = self.removeprefix(prefix).partition("?")  # what follows are options
                return None if path.startswith("file:") else Path(unquote(path))
        return None

    @property
    def is_in_memory(self) -> bool:
        """Whether the store is SQLite without a file, and gone when the process ends."""
        if not self.is_sqlite:
            return False
        path, _, options = self.partition("://")[2].partition("?")
        name = unquote(path).strip("/")
        return name in ("", ":memory:", "file:", "file::memory:") or (
            "mode=memory" in options.split("&")
        )

    @property
    def is_plain(self) -> bool:
        """Whether it has no URI and no option of SQLite's own, if it is a SQLite file.

        They may put a store into memory, or be dropped with a warning.
        """
        if not self.startswith((_SQLITE, _PYSQLITE)):
            return True
        options = parse_qsl(self.partition("?")[2], keep_blank_values=True)
        return self.file is not None and {key for key, _ in options} <= {"timeout"}

    @property
    def missing_file(self) -> Path | None:
        """The SQLite file if it does not exist, so that opening the store would create it."""
        file = self.file
        return file if file and not file.exists() else None

    @property
    def display(self) -> str:
        """The URL as people get to see it: without the password."""
        return mask(self, self)


def optuna_store(chosen: str) -> StoreUrl | None:
    """Returns what `PIPELINE_STORAGE` says; None if it says nothing.

    Raises:
        UsageError: it is no URL of a database, or of one in memory, or with options.
    """
    such_as = "sqlite:///mlruns/optuna.db, of sqlite, postgresql, mysql or mssql"
    return _kept("PIPELINE_STORAGE", chosen, _DATABASE_URL, such_as)


def mlflow_store(chosen: str) -> StoreUrl | None:
    """Returns what `MLFLOW_TRACKING_URI` says; None if it says nothing.

    Raises:
        UsageError: as above, or a folder.
    """
    such_as = (
        "sqlite:///mlruns/mlflow.db or http://127.0.0.1:5000, of sqlite, postgresql, mysql, "
        "mssql, http, https or databricks"
    )
    return _kept("MLFLOW_TRACKING_URI", chosen, _MLFLOW_URL, such_as)


def refuse_where_mlflow_is(url: StoreUrl) -> None:
    """Refuses a database for an MLflow whose path its maker of tables takes for a template.

    Raises:
        UsageError: MLflow is in such a folder.
    """
    if _DATABASE_URL.match(url) and "%" in (folder := _folder_of_mlflow()):
        raise UsageError(
            f"{folder}: found '%' in the path of MLflow itself, allowed is all else: it can make "
            "no tables from there; rename the folder, or install the packages elsewhere"
        )


@functools.cache
def _folder_of_mlflow() -> str:
    """Finds where MLflow is installed, without importing it; "" if it is not."""
    spec = importlib.util.find_spec("mlflow")
    return str(Path(spec.origin).parent) if spec and spec.origin else ""


def _kept(name: str, chosen: str, allowed: re.Pattern[str], such_as: str) -> StoreUrl | None:
    """Returns the URL of a store that outlives the process.

    Args:
        name: of the variable in which it stands.
        chosen: the variable's value.
        allowed: how a URL begins.
        such_as: what it can be, beginning with a SQLite file.

    Raises:
        UsageError: it is no such URL, or the store is in memory, or has options, or its driver is
            not installed.
    """
    if not chosen:
        return None
    url, example, found = StoreUrl(chosen), such_as.split()[0].strip(","), f"found {chosen!r}"
    if not allowed.match(url):
        raise UsageError(f"{name}: {found}, allowed is a URL such as {such_as}")
    if url.is_in_memory:
        raise UsageError(
            f"{name}: {found}, a store in memory, which no other process sees and which is gone "
            f"when this one ends; allowed is a file, such as {example}"
        )
    if not url.is_plain:
        raise UsageError(
            f"{name}: {found}, allowed is the path of a file, such as {example}, and no option "
            "but timeout; a '?' in a name is spelt %3F"
        )
    if url.startswith(_PSYCOPG) and importlib.util.find_spec("psycopg") is None:
        raise UsageError(
            f"{name}: {found}, for which the package psycopg is missing; it comes with: "
            'pip install "keras-search-pipeline[cluster]"'
        )
    return url
