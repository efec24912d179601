"""Entries of the cache of prepared data: made once, whole or not at all, and known by content."""

import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from killing import killed_at_every_step

from pipeline.errors import PipelineError, UsageError
from pipeline.paths import Project
from pipeline.preparation import building, cache
from pipeline.preparation.cache import fingerprint, load, prepare
from pipeline.reading.column import RawArrays, RawTable
from pipeline.storage import studies
from pipeline.study.load import parse
from pipeline.task.source import DataSpec

N_ROWS = 2_000


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where entries of the cache are made; this process has seen none yet, and keeps none."""
    monkeypatch.setenv("PIPELINE_DATA_DIR", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache" / "own"
    forget()


@pytest.fixture
def data(tmp_path: Path) -> DataSpec:
    return DataSpec(str(write(tmp_path / "houses.csv")), "price")


def write(file: Path, first: int = 0) -> Path:
    """Writes a table; its content depends on a number, and its size does not."""
    lines = [f"{10 + (first + i) % 80},{'abc'[i % 3]},{100 + 7 * i % 900}" for i in range(N_ROWS)]
    file.write_text("\n".join(["size,kind,price", *lines]))
    return file


def forget() -> None:
    """Makes this process look at files as a new one does."""
    prepare.cache_clear()
    fingerprint.cache_clear()


def whole(entries: Path) -> list[str]:
    """Lists what an entry consists of, and holds that there is nothing else in the cache."""
    entry, *others = entries.iterdir()
    assert others == []
    return sorted(path.relative_to(entry).as_posix() for path in entry.rglob("*"))


FILES = [
    "0", "0/rows.npy", "0/train_inputs.npy", "0/train_targets.npy", "0/validation_inputs.npy",
    "0/validation_targets.npy", "about.json", "rows.npy",
]  # fmt: skip


# What the data are


def test_the_same_content_is_the_same_wherever_and_whenever(
    entries: Path, data: DataSpec, tmp_path: Path
) -> None:
    first = fingerprint(data)
    os.utime(data.dataset, (1, 1))
    forget()
    assert fingerprint(data) == first
    elsewhere = shutil.move(data.dataset, tmp_path / "others.csv")
    assert fingerprint(DataSpec(str(elsewhere), "price")) == first
    folder = prepare(DataSpec(str(elsewhere), "price")).folder
    write(Path(data.dataset))
    assert prepare(data).folder == folder
    assert whole(entries) == FILES


def test_other_content_of_the_same_size_and_time_is_other_data(
    entries: Path, data: DataSpec
) -> None:
    file = Path(data.dataset)
    before, folder, known = file.stat(), prepare(data).folder, fingerprint(data)
    write(file, first=1)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    forget()
    assert fingerprint(data) != known
    assert prepare(data).folder != folder


def test_a_begun_study_refuses_a_file_that_has_changed(
    entries: Path, data: DataSpec, project_folder: Path
) -> None:
    study = {
        "goal": "Get through.", "dataset": data.dataset, "target": "price",
        "budget": {"trials": 1}, "sampler": {"type": "RandomSampler", "seed": 1},
        "pruner": {"type": "NopPruner"},
        "fixed": {
            "hidden_layers": 1, "units": 8, "optimizer": "adam", "batch_size": 32, "epochs": 1,
        },
        "space": {"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
    }  # fmt: skip
    project = Project(project_folder)
    studies.open_study(project, parse("houses", study))
    os.utime(data.dataset, (1, 1))
    forget()
    studies.open_study(project, parse("houses", study))
    write(Path(data.dataset), first=1)
    forget()
    with pytest.raises(UsageError, match=r"was begun with other data: the fingerprint of .*hous"):
        studies.open_study(project, parse("houses", study))
    # nor is it read for a report, or for an export: that would score other rows as the sealed ones
    with pytest.raises(PipelineError, match=r"houses\.csv has changed since the study 'houses'"):
        studies.stored_study(project, "houses")
    write(Path(data.dataset))
    forget()
    assert studies.stored_study(project, "houses").spec.target == "price"
    Path(data.dataset).unlink()
    forget()
    with pytest.raises(UsageError, match=r"houses\.csv.* that is there"):
        studies.stored_study(project, "houses")


def test_a_file_that_changes_while_it_is_read_is_no_entry(
    entries: Path, data: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_change(data: DataSpec) -> RawTable | RawArrays:
        raw = read(data)
        write(Path(data.dataset), first=1)
        return raw

    read = building.read
    monkeypatch.setattr(building, "read", read_and_change)
    with pytest.raises(UsageError, match=r"houses\.csv: was changed while it was read"):
        prepare(data)
    assert [path for path in entries.iterdir() if path.is_dir()] == []


# What an entry is


def test_arrays_are_mapped_as_tensorflow_shares_them(entries: Path, data: DataSpec) -> None:
    (dataset,) = load(data)
    for inputs in (dataset.train_inputs, dataset.validation_inputs):
        assert isinstance(inputs, np.memmap)
        assert inputs.ctypes.data % 64 == 0
        assert inputs.flags.c_contiguous
        assert inputs.flags.writeable  # a copy on write, for what exports nothing that is not


def test_of_many_processes_at_once_one_prepares(entries: Path, data: DataSpec) -> None:
    with ProcessPoolExecutor(4, get_context("fork")) as pool:
        folders = set(pool.map(_prepared, [data] * 8))
    (entry,) = folders
    assert whole(entries) == FILES
    made = (entry / "rows.npy").stat().st_ctime_ns
    assert prepare(data).folder == entry
    assert (entry / "rows.npy").stat().st_ctime_ns == made


def _prepared(data: DataSpec) -> Path:
    forget()
    return prepare(data).folder


def test_a_kill_at_any_step_leaves_nothing_that_is_used_or_stays(
    entries: Path, data: DataSpec
) -> None:
    building.read(data)  # imports what it imports
    n_left = 0
    for n in killed_at_every_step(lambda: prepare(data)):
        n_left += entries.exists() and any(path.name.startswith(".") for path in entries.iterdir())
        if n % 4 == 0:  # each takes a tenth of a second
            _prepared(data)
            assert whole(entries) == FILES
            forget()
        shutil.rmtree(entries, ignore_errors=True)
    assert n_left > 10


@pytest.mark.parametrize("file", [name for name in FILES if name != "0"])
def test_a_damaged_entry_is_made_anew(entries: Path, data: DataSpec, file: str) -> None:
    path = prepare(data).folder / file
    content = path.read_bytes()
    for is_cut in (True, False):
        if is_cut:
            os.truncate(path, path.stat().st_size - 1)
        else:
            path.unlink()
        forget()
        assert prepare(data).folder == path.parents[len(Path(file).parts) - 1]
        assert path.read_bytes() == content
        assert whole(entries) == FILES


# The disk


@pytest.mark.parametrize("n_bytes", [1_000, 5_000, 9_000])
def test_a_full_disk_is_said_and_leaves_nothing(
    n_bytes: int, entries: Path, data: DataSpec
) -> None:
    with files_of_at_most(n_bytes), pytest.raises(PipelineError) as caught:
        prepare(data)
    assert "own: cannot be written (File too large); choose another folder" in str(caught.value)
    assert [path for path in entries.iterdir() if path.is_dir()] == []
    prepare(data)
    assert whole(entries) == FILES


def test_a_disk_that_is_full_of_holes_is_refused_before_a_mapped_file_is_filled(
    entries: Path, data: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(PipelineError, match=r"own: cannot be written \(No space left on device\)"):
        prepare(data)
    assert [path for path in entries.iterdir() if path.is_dir()] == []


@contextlib.contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Refuses to write larger files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_cache_that_may_only_be_read_is_used(
    entries: Path, data: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    folder = prepare(data).folder
    forget()
    for name in ("touch", "mkdir", "unlink", "write_bytes"):
        monkeypatch.setattr(Path, name, refuse)
    assert prepare(data).folder == folder
    assert load(data)[0].task == prepare(data).task


def test_an_entry_that_was_long_unused_is_removed(
    entries: Path, data: DataSpec, tmp_path: Path
) -> None:
    old = prepare(data).folder
    long_ago = old.stat().st_mtime - (cache.KEPT_DAYS + 1) * 24 * 3600
    os.utime(old / "about.json", (long_ago, long_ago))
    write(Path(data.dataset), first=1)
    forget()
    new = prepare(data).folder
    assert list(entries.iterdir()) == [new]
    os.utime(new / "about.json", (long_ago, long_ago))
    forget()
    prepare(data)  # is a use
    write(Path(data.dataset), first=2)
    forget()
    newest = prepare(data).folder
    assert {*entries.iterdir()} == {new, newest}
