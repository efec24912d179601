"""Data of one's own, made ready once: read, split, encoded, and kept as arrays in the cache.

The arrays are mapped into memory, so that all processes share one copy; the supervisor reads
`about.json` alone. An entry is named after the content of the data, how they are read and split,
and `RECIPE`. The test rows are in no entry: they are read from the file at an export.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, UsageError
from pipeline.files import create_whole, remove_leftovers
from pipeline.paths import data_dir, display_path
from pipeline.preparation import building
from pipeline.preparation.materials import material_of
from pipeline.reading.column import Dialect, RawTable
from pipeline.reading.content import fingerprint_of
from pipeline.task.dataset import Dataset
from pipeline.task.source import DataSpec, Examples
from pipeline.task.task import Task

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RECIPE = "3"  # of reading, splitting and encoding; changed when the arrays become others
LAYOUT = "2"  # of an entry; changed when it gets other files, of the same arrays
KEPT_DAYS = 60  # since an entry of the cache was last used
_ABOUT, _PARTS = "about.json", ("train", "validation")
# Environment of who has an entry and not what it was made of: JSON of a `dataset` and fingerprint.
_ELSEWHERE = "PIPELINE_DATA_ELSEWHERE"


@dataclass(frozen=True)
class About:
    """What is known of data that are ready.

    Attributes:
        tasks: what is learned, of each fold or of the one split: what is fitted differs.
        remarks: what was found out, and what was left out, for people.
        warnings: what a reader of results has to know.
        sizes: bytes of each file of the entry, by its path there; by them a damaged one is seen.
        dialect: how the file is written, so that who is handed a model reads others alike.
    """

    tasks: tuple[Task, ...]
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]
    sizes: Mapping[str, int]
    dialect: Dialect


@dataclass(frozen=True)
class Prepared:
    """Data that are ready, and where.

    Attributes:
        folder: an entry of the cache.
        about: what is known of them.
    """

    folder: Path
    about: About

    @property
    def task(self) -> Task:
        """What is learned."""
        return self.about.tasks[0]


@functools.cache
def prepare(data: DataSpec) -> Prepared:
    """Makes data ready, unless that was done; an entry of which a file is damaged is made anew.

    Raises:
        UsageError: they cannot be read, split or learned from; the text says where and why.
        PipelineError: the cache cannot be written.
    """
    entries = data_dir() / "own"
    folder = entries / _key(data)
    remove_leftovers(entries)
    if (about := _read(folder)) is None:
        try:
            _remove_unused(entries)
            create_whole(folder, functools.partial(_make, data), lambda path: bool(_read(path)))
        except OSError as error:
            raise _unwritable(entries, error.strerror or str(error)) from None
        if (about := _read(folder)) is None:
            raise _unwritable(entries, "what was written cannot be read")
    with contextlib.suppress(OSError):  # a cache that may only be read is as good
        (folder / _ABOUT).touch()  # it was used
    return Prepared(folder, about)


def load(data: DataSpec) -> tuple[Dataset, ...]:
    """Maps data that are ready into memory: a `Dataset` for each fold, or one.

    Raises:
        UsageError: as `prepare`.
        PipelineError: as `prepare`.
    """
    prepared = prepare(data)
    return tuple(
        Dataset(
            name=Path(data.dataset).name,
            task=task,
            fingerprint=fingerprint(data),
            **arrays_in(prepared.folder / str(i)),
        )
        for i, task in enumerate(prepared.about.tasks)
    )


def arrays_in(folder: Path) -> dict[str, Any]:
    """Maps the arrays of one split into memory, by the names that a `Dataset` has for them."""
    names = [f"{part}_{what}" for part in _PARTS for what in ("inputs", "targets", "weights")]
    names += ["train_counts", "validation_groups"]
    return {name: building.mapped(folder, name) for name in names}


def raw_validation(data: DataSpec) -> tuple[Examples, ...]:
    """Reads the validation rows as a model that is handed over takes them, for each fold."""
    prepared = prepare(data)
    material = material_of(building.read(data), data)
    return tuple(
        building.raw_examples(material, task, prepared.folder / str(i))
        for i, task in enumerate(prepared.about.tasks)
    )


def raw_test(data: DataSpec) -> Examples:
    """Reads the test rows as a model that is handed over takes them."""
    prepared = prepare(data)
    raw = building.read(data)
    return building.raw_test(raw, data, prepared.task, prepared.folder)


@functools.cache
def fingerprint(data: DataSpec) -> str:
    """Identifies the content of the data, and the recipe by which they are made ready."""
    return _elsewhere().get(data.dataset) or _fingerprint_now(data)


def note_elsewhere(data: DataSpec, fingerprint: str) -> None:
    """Has this process, and all that it starts, know data whose file is on another machine.

    Args:
        data: made ready there; the entry is in this machine's cache, too.
        fingerprint: as `fingerprint` gives it there.
    """
    os.environ[_ELSEWHERE] = json.dumps({data.dataset: fingerprint})


def is_elsewhere(data: DataSpec) -> bool:
    """Tells whether the file or folder of data is on another machine."""
    return data.dataset in _elsewhere()


def _elsewhere() -> dict[str, str]:
    found: dict[str, str] = json.loads(os.environ.get(_ELSEWHERE, "{}"))
    return found


def _fingerprint_now(data: DataSpec) -> str:
    return hashlib.sha256(f"{RECIPE} {fingerprint_of(data.dataset)}".encode()).hexdigest()


def _key(data: DataSpec) -> str:
    asked = f"{LAYOUT} {fingerprint(data)} {data.target} {data.options}"
    return hashlib.sha256(asked.encode()).hexdigest()[:32]


def _make(data: DataSpec, folder: Path) -> None:
    """Makes an entry.

    Raises:
        UsageError: as `prepare`; or the data are others than those that the entry is named after.
        OSError: the entry cannot be written.
    """
    folder.mkdir()
    raw = building.read(data)
    if _fingerprint_now(data) != fingerprint(data):
        raise UsageError(
            f"{display_path(Path(data.dataset))}: was changed while it was read; run the same "
            "command again when it is whole"
        )
    tasks, remarks, warnings = building.build(raw, data, folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    dialect = raw.dialect if isinstance(raw, RawTable) else Dialect()
    about = About(tasks, remarks, warnings, sizes, dialect)
    (folder / _ABOUT).write_bytes(_adapter().dump_json(about))


def _read(folder: Path) -> About | None:
    """Reads what is known of an entry; None if there is none, or one of its files is damaged."""
    try:
        about = _adapter().validate_json((folder / _ABOUT).read_bytes())
        sizes = {name: (folder / name).stat().st_size for name in about.sizes}
    except (OSError, ValueError):
        return None
    return about if sizes == about.sizes else None


def _unwritable(entries: Path, reason: str) -> PipelineError:
    return PipelineError(
        f"{display_path(entries)}: cannot be written ({reason}); choose another folder with "
        "PIPELINE_DATA_DIR"
    )


@functools.cache
def _adapter() -> "TypeAdapter[About]":
    from pydantic import TypeAdapter

    return TypeAdapter(About)


def _remove_unused(entries: Path) -> None:
    """Removes entries that nobody has used for long; who has them mapped keeps what they had."""
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for about in entries.glob(f"*/{_ABOUT}"):
        with contextlib.suppress(FileNotFoundError):  # another process removes it, too
            if about.stat().st_mtime < oldest:
                shutil.rmtree(about.parent, ignore_errors=True)
