"""The folder of an export: which files it has, and what may be overwritten."""

import errno
import os
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import remove_leftovers
from pipeline.paths import display_path

MODEL_FILE = "model.keras"
SCRIPT_FILE = "predict.py"  # of a table alone
RELIABILITY_FILE = "reliability.svg"  # of classes alone
PICTURES_FILE, ROWS_FILE = "mistakes.png", "mistakes.csv"  # one of them, if there are mistakes
DETAIL_FILES = (RELIABILITY_FILE, PICTURES_FILE, ROWS_FILE)
FILES = (
    *(MODEL_FILE, SCRIPT_FILE, "hyperparameters.json", "metrics.json", "README.md"),
    *DETAIL_FILES,
)


def check_folder(folder: Path, force: bool) -> Path:
    """The folder, behind links, unless what is there would be lost by an export.

    An earlier export may be overwritten with --force, anything else never. What an export that
    was killed has left beside it is removed.

    Raises:
        PipelineError: the text says what is there.
    """
    try:
        folder = folder.resolve()
        remove_leftovers(folder.parent)
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        is_file = folder.exists() and not folder.is_dir()
        above = next((path for path in folder.parents if path.exists()), folder)
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{display_path(above)} is no folder")
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise PipelineError(f"{display_path(folder)} cannot be exported to: {reason}") from None
    if is_file or (there and not (MODEL_FILE in there and there <= {*FILES})):
        raise PipelineError(
            f"{display_path(folder)} is not an earlier export: choose another folder"
        )
    if there and not force:
        raise PipelineError(f"{display_path(folder)} exists; overwrite it with --force")
    if not os.access(above, os.W_OK):  # before the test set is looked at for nothing
        raise PipelineError(f"{display_path(folder)} cannot be exported to: {above} is read-only")
    return folder
