"""Trials that are paused: RUNNING in Optuna, with a note; their training's state lies in files."""

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.files import write_atomically

PAUSED = "paused"  # user attribute of a trial: the epoch after which it is; 0 if it goes on


def note(trial: optuna.Trial, epoch: int) -> None:
    """Notes that a running trial is paused after an epoch, or, with 0, that it goes on."""
    trial.set_user_attr(PAUSED, epoch)


def is_paused(frozen: FrozenTrial) -> bool:
    """Tells whether a trial is paused, as far as Optuna knows."""
    return frozen.state == TrialState.RUNNING and bool(frozen.user_attrs.get(PAUSED))


class States(Protocol):
    """Where the states of trainings are kept, and the best model of each that is paused."""

    def file(self, trial: int) -> str:
        """Names the file in which a worker leaves the state of a trial's training."""
        ...

    def has(self, trial: int) -> bool:
        """Tells whether there is one."""
        ...

    def keep_model(self, trial: int, model: bytes | None) -> None:
        """Keeps the model of the best epoch beside it, if it may be wanted.

        Raises:
            OSError: the disk does not take it.
        """
        ...

    def model(self, trial: int) -> bytes | None:
        """Returns that model; None if none was kept."""
        ...

    def remove(self, trial: int) -> None:
        """Removes both."""
        ...

    def remove_others(self, trials: Collection[int]) -> None:
        """Removes all but those of these trials."""
        ...

    def size(self) -> int:
        """Counts the bytes of all."""
        ...


class Nowhere:
    """Keeps none: no trial can be paused."""

    def file(self, trial: int) -> str:
        """Names none."""
        return ""

    def has(self, trial: int) -> bool:
        """Tells that there is none."""
        return False

    def keep_model(self, trial: int, model: bytes | None) -> None:
        """Does nothing."""

    def model(self, trial: int) -> bytes | None:
        """Returns None."""
        return None

    def remove(self, trial: int) -> None:
        """Does nothing."""

    def remove_others(self, trials: Collection[int]) -> None:
        """Does nothing."""

    def size(self) -> int:
        """Returns 0."""
        return 0


class FolderOfStates:
    """Keeps them in a folder, which is there as long as something is in it.

    Args:
        folder: of one study.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, trial: int) -> str:
        """Names the file of a trial's state; the folder is made."""
        self._folder.mkdir(exist_ok=True)
        return str(self._state(trial))

    def has(self, trial: int) -> bool:
        """Tells whether there is one."""
        return self._state(trial).is_file()

    def keep_model(self, trial: int, model: bytes | None) -> None:
        """Keeps the model of the best epoch; raises what `States` says."""
        if model is not None:
            write_atomically(self._model(trial), model)

    def model(self, trial: int) -> bytes | None:
        """Returns that model; None if none was kept."""
        try:
            return self._model(trial).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, trial: int) -> None:
        """Removes state and model, and the folder with the last of them."""
        for file in (self._state(trial), self._model(trial)):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or not there
            self._folder.rmdir()

    def remove_others(self, trials: Collection[int]) -> None:
        """Removes all but those of these trials, and what a kill has left half-written."""
        if not trials:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        known = {file(trial) for trial in trials for file in (self._state, self._model)}
        for file in self._folder.iterdir() if self._folder.is_dir() else ():
            if file not in known:
                file.unlink(missing_ok=True)

    def size(self) -> int:
        """Counts the bytes of all files, while workers write others and rename them."""
        total = 0
        for file in self._folder.iterdir() if self._folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                total += file.stat().st_size
        return total

    def _state(self, trial: int) -> Path:
        return self._folder / f"{trial}.npz"

    def _model(self, trial: int) -> Path:
        return self._folder / f"{trial}.keras"
