"""Trials that are paused: RUNNING in Optuna, with a note; their training's state lies in files."""

import contextlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.disk import SYSTEM_DISK, Disk
from pipeline.files import remove_leftovers, write_atomically
from pipeline.names import state_file
from pipeline.storage.study_store import INTERRUPTED

_NAME = re.compile(r"(\d+)\.(\d+)\.\w+")  # of a trial's state or model after an epoch
PAUSED = "paused"  # user attribute of a trial: the epoch after which it was last


def note(trial: optuna.Trial, epoch: int) -> None:
    """Notes that a running trial is paused after an epoch; one that goes on goes back to there."""
    trial.set_user_attr(PAUSED, epoch)


def paused_after(frozen: FrozenTrial, states: "States") -> int:
    """Says after which epoch a trial is paused that nobody trains; 0 if it is not."""
    epoch = int(frozen.user_attrs.get(PAUSED, 0))
    is_open = frozen.state == TrialState.RUNNING and not frozen.user_attrs.get(INTERRUPTED)
    return epoch if is_open and states.has(frozen.number, epoch) else 0


class States(Protocol):
    """Where the states of trainings are kept, and the best model of each that is paused.

    A trial has one after each epoch at which it was, or may have been, paused: one that goes on
    leaves another, and the earlier one is removed when that one is noted.
    """

    def folder_of(self, trial: int, epochs: Collection[int]) -> str:
        """Names the folder in which a worker leaves a training's states after these epochs."""
        ...

    def has(self, trial: int, epoch: int) -> bool:
        """Tells whether there is one after an epoch."""
        ...

    def keep(self, trial: int, epoch: int, model: bytes | None) -> None:
        """Keeps a state, and beside it the model of the best epoch, if it may be wanted.

        Raises:
            OSError: the disk does not take it.
        """
        ...

    def model(self, trial: int, epoch: int) -> bytes | None:
        """Returns that model; None if none was kept."""
        ...

    def remove(self, trial: int, but: int = 0) -> None:
        """Removes all of a trial, but what it has after an epoch."""
        ...

    def remove_others(self, kept: Mapping[int, int]) -> None:
        """Removes all but what these trials have after these epochs."""
        ...

    def size(self) -> int:
        """Counts the bytes of all that is kept."""
        ...


class Nowhere:
    """Keeps none: no trial can be paused."""

    def folder_of(self, trial: int, epochs: Collection[int]) -> str:
        """Names none."""
        return ""

    def has(self, trial: int, epoch: int) -> bool:
        """Tells that there is none."""
        return False

    def keep(self, trial: int, epoch: int, model: bytes | None) -> None:
        """Does nothing."""

    def model(self, trial: int, epoch: int) -> bytes | None:
        """Returns None."""
        return None

    def remove(self, trial: int, but: int = 0) -> None:
        """Does nothing."""

    def remove_others(self, kept: Mapping[int, int]) -> None:
        """Does nothing."""

    def size(self) -> int:
        """Returns 0."""
        return 0


class FolderOfStates:
    """Keeps them in a folder, which is there as long as something is in it.

    Args:
        folder: of one study.
        disk: on which it is.
    """

    def __init__(self, folder: Path, disk: Disk = SYSTEM_DISK) -> None:
        self._folder, self._disk = folder, disk
        self._epochs: dict[int, set[int]] | None = None  # after which a trial may have left some
        self._sizes: dict[int, int] = {}  # in bytes, of what is kept, by trial

    def folder_of(self, trial: int, epochs: Collection[int]) -> str:
        """Names the folder, which is made."""
        self._known().setdefault(trial, set()).update(epochs)
        self._disk.make_folder(self._folder, parents=False)
        return str(self._folder)

    def has(self, trial: int, epoch: int) -> bool:
        """Tells whether there is one after an epoch."""
        return self._disk.is_file(self._state(trial, epoch))

    def keep(self, trial: int, epoch: int, model: bytes | None) -> None:
        """Keeps a state and a model; raises what `States` says."""
        if model is not None:
            write_atomically(self._model(trial, epoch), model, self._disk)
        self._sizes[trial] = self._size(trial, epoch)

    def model(self, trial: int, epoch: int) -> bytes | None:
        """Returns that model; None if none was kept."""
        try:
            return self._disk.read(self._model(trial, epoch))
        except FileNotFoundError:
            return None

    def remove(self, trial: int, but: int = 0) -> None:
        """Removes all of a trial but what it has after an epoch, and the folder with the last."""
        known = self._known()
        for epoch in known.pop(trial, set()) - {but}:
            self._unlink(self._state(trial, epoch))
            self._unlink(self._model(trial, epoch))
        if but:
            known[trial] = {but}
        else:
            self._sizes.pop(trial, None)
        with contextlib.suppress(OSError):  # not empty, or not there
            self._disk.remove_folder(self._folder)

    def remove_others(self, kept: Mapping[int, int]) -> None:
        """Removes all but what is named, and what a kill has left half-written."""
        self._epochs = {trial: {epoch} for trial, epoch in kept.items()}
        self._sizes = {trial: self._size(trial, epoch) for trial, epoch in kept.items()}
        if not kept:
            self._disk.remove_tree(self._folder)
            return
        for file in self.others(kept):
            self._unlink(file)
        remove_leftovers(self._folder, self._disk)

    def others(self, kept: Mapping[int, int]) -> list[Path]:
        """Lists all files but what these trials have after these epochs."""
        known = {file(*each) for each in kept.items() for file in (self._state, self._model)}
        return [file for file in self._files() if file not in known]

    def size(self) -> int:
        """Counts the bytes of what is kept."""
        return sum(self._sizes.values())

    def _size(self, trial: int, epoch: int) -> int:
        total = 0
        for file in (self._state(trial, epoch), self._model(trial, epoch)):
            with contextlib.suppress(FileNotFoundError):
                total += self._disk.size(file)
        return total

    def _known(self) -> dict[int, set[int]]:
        """Lists the folder once: each time would take long where thousands are paused."""
        if self._epochs is None:
            self._epochs = {}
            for found in map(_NAME.fullmatch, (file.name for file in self._files())):
                if found:  # else it is half-written, or somebody else's
                    self._epochs.setdefault(int(found[1]), set()).add(int(found[2]))
        return self._epochs

    def _files(self) -> list[Path]:
        found = self._disk.list(self._folder) if self._disk.is_folder(self._folder) else []
        return [each for each in found if not self._disk.is_folder(each)]

    def _unlink(self, file: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(file)

    def _state(self, trial: int, epoch: int) -> Path:
        return self._folder / state_file(trial, epoch)

    def _model(self, trial: int, epoch: int) -> Path:
        return self._folder / f"{trial}.{epoch}.keras"
