"""Whether the files of the stores are still those that were opened.

A database whose file somebody deletes takes writes as before, and they are gone with the process;
where it is opened anew, there is an empty one.
"""

from pathlib import Path
from typing import Self

from pipeline.errors import PipelineError
from pipeline.paths import Project, display_path


class Presence:
    """Knows the files of the stores from the moment on at which it is built.

    Args:
        optuna: the file of Optuna's store, None if it is none.
        mlflow: the file of MLflow's.
    """

    def __init__(self, optuna: Path | None = None, mlflow: Path | None = None) -> None:
        self._optuna, self._mlflow = optuna, mlflow
        self._known = {file: _identity(file) for file in (optuna, mlflow) if file}

    @classmethod
    def of(cls, project: Project) -> Self:
        """Looks at the stores of a project, which are there."""
        return cls(project.optuna_url.file, project.mlflow_uri.file)

    @property
    def has_optuna(self) -> bool:
        """Whether what is told Optuna is kept."""
        return self._is_there(self._optuna)

    @property
    def has_mlflow(self) -> bool:
        """Whether what is told MLflow is kept."""
        return self._is_there(self._mlflow)

    def check(self) -> None:
        """Looks whether the stores are there.

        Raises:
            PipelineError: one is not; the text says which, and what to do.
        """
        if not self.has_optuna:
            assert self._optuna
            raise PipelineError(
                f"{display_path(self._optuna)} was deleted or replaced during the search, which "
                "has stopped: put it back if you have it; without it, start anew under another "
                "name, or delete the study's experiment in MLflow first"
            )
        if not self.has_mlflow:
            assert self._mlflow
            raise PipelineError(
                f"{display_path(self._mlflow)} was deleted or replaced during the search, which "
                "has stopped: put it back, or have all runs written anew with: "
                ".venv/bin/python -m pipeline.doctor --fix"
            )

    def _is_there(self, file: Path | None) -> bool:
        return file is None or _identity(file) == self._known[file]


def _identity(file: Path) -> tuple[int, int] | None:
    """Returns what tells a file from another of its name; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
