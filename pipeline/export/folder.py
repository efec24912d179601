"""The folder of an export: which files it has, their sums, and what may be overwritten."""

import errno
import hashlib
import os
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import remove_leftovers, write_atomically
from pipeline.formats import writing
from pipeline.paths import display_path

MODEL_FILE = writing.KERAS_FILE
SCRIPT_FILE = "predict.py"  # of a table alone
CARD_FILE, SUMS_FILE = "MODEL_CARD.md", "SHA256SUMS"
RELIABILITY_FILE = "reliability.svg"  # of classes alone
PICTURES_FILE, ROWS_FILE = "mistakes.png", "mistakes.csv"  # one of them, if there are mistakes
DETAIL_FILES = (RELIABILITY_FILE, PICTURES_FILE, ROWS_FILE)
FILES = (
    *(MODEL_FILE, SCRIPT_FILE, "hyperparameters.json", "metrics.json", CARD_FILE, SUMS_FILE),
    *DETAIL_FILES,
)
# With what Python leaves beside a script that was imported; the last is of before version 0.7.
_ANY_FILES = {*FILES, *writing.FILES, "__pycache__", "README.md"}


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
    if is_file or (there and not (MODEL_FILE in there and there <= _ANY_FILES)):
        raise PipelineError(
            f"{display_path(folder)} is not an earlier export: choose another folder"
        )
    if there and not force:
        raise PipelineError(f"{display_path(folder)} exists; overwrite it with --force")
    if not os.access(above, os.W_OK):  # before the test set is looked at for nothing
        raise PipelineError(f"{display_path(folder)} cannot be exported to: {above} is read-only")
    return folder


def write_sums(folder: Path) -> None:
    """Writes the SHA-256 of every file, as `sha256sum --check` reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files
    ]
    write_atomically(folder / SUMS_FILE, "".join(lines))
