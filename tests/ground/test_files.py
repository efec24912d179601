"""Files whole or not at all, whatever happens while they are written."""

import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock  # noqa: F401, whose import is no step of a process that is to be killed
import pytest
from killing import killed_at_every_step

from pipeline import files
from pipeline.disk import SystemDisk


@pytest.mark.parametrize("content", [b"\x00bytes\n", "text, naïve\n", ""])
def test_a_file_is_written_with_its_folders(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "new" / "folder" / "file"
    files.write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(path.parent.iterdir()) == [path]


def test_an_old_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, "an old and longer text")
    files.write_atomically(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_permissions_of_any_other(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write_atomically(tmp_path / "file", "x")
        after = os.umask(mask)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
    assert after == mask


@pytest.mark.parametrize(("owner", "step"), [(Path, "open"), (os, "fsync"), (Path, "replace")])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_when_writing_fails_the_old_file_stays_and_nothing_else(
    owner: object,
    step: str,
    error: BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, fail)
        with pytest.raises(type(error)):
            files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_power_failure_after_writing_takes_neither_the_content_nor_the_name(
    tmp_path: Path,
) -> None:
    path, synced = tmp_path / "file", []

    class Disk(SystemDisk):
        def sync(self, path: Path) -> None:
            super().sync(path)
            synced.append((path.name, (tmp_path / "file").exists()))

    files.write_atomically(path, "new", Disk())
    assert synced == [("file", False), (tmp_path.name, True)], "the folder when the name is there"


def test_when_replacing_fails_no_scratch_file_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_atomically(folder, "new")
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == []


def test_of_many_that_make_a_file_one_does_and_what_a_kill_left_is_no_hindrance(
    tmp_path: Path,
) -> None:
    file = tmp_path / "new folder" / "file"
    makers: list[Path] = []

    def killed(path: Path) -> None:
        path.write_text("half")
        Path(f"{path}-journal").write_text("half")
        raise KeyboardInterrupt

    def make(path: Path) -> None:
        assert list(path.parent.iterdir()) == []
        makers.append(path)
        path.write_text("whole")

    with pytest.raises(KeyboardInterrupt):
        files.create_whole(file, killed)
    assert not file.exists()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: files.create_whole(file, make), range(8)))
    assert len(makers) == 1
    assert file.read_text() == "whole"
    assert list(file.parent.iterdir()) == [file]


# What a kill leaves


def make_in_steps(file: Path) -> None:
    """Makes a file as a database does."""
    journal = file.with_name(f"{file.name}-journal")
    journal.write_text("half")
    file.write_text("ha")
    with file.open("a") as rest:
        rest.write("lf")
    file.write_text("whole")
    journal.unlink()


WRITERS: dict[str, Callable[[Path], None]] = {
    "write_atomically": lambda file: files.write_atomically(file, "whole"),
    "create_whole": lambda file: files.create_whole(file, make_in_steps),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("name", ["file", ".a.b", "가" * 80, "x" * 247])
def test_a_kill_at_any_step_leaves_nothing_that_the_next_write_does_not_remove(
    write: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    n_left = 0
    for _ in killed_at_every_step(lambda: write(file)):
        assert not file.exists() or file.read_text() == "whole"
        n_left += len({*tmp_path.iterdir()} - {file}) > 0
        write(file)
        assert list(tmp_path.iterdir()) == [file]
        file.unlink()
    assert n_left > 3  # else nothing was tested


def test_what_a_write_of_another_file_left_is_removed_too(tmp_path: Path) -> None:
    for _ in killed_at_every_step(lambda: files.write_atomically(tmp_path / "one", "")):
        pass
    files.write_atomically(tmp_path / "other", "")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "other"}


HOLDS_A_SCRATCH_FOLDER = """
import sys
from pathlib import Path
from pipeline import files
with files.scratch_folder(Path(sys.argv[1])) as scratch:
    (scratch / "half").touch()
    print(scratch, flush=True)
    sys.stdin.read()
"""


def test_what_a_living_process_writes_is_left_alone_until_that_is_killed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_SCRATCH_FOLDER, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        scratch = Path(process.stdout.readline().strip())
        files.write_atomically(target, "")
        files.remove_leftovers(tmp_path)
        assert files.leftovers(tmp_path) == []
        assert [path.name for path in scratch.iterdir()] == ["half"]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert files.leftovers(tmp_path) == [scratch]
    files.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [target]


OF_THE_USER = (
    ".tiny.settings", ".tiny.backup_1", ".tiny.k2j3h4g5", "tiny.k2j3h4g5.pipeline-scratch",
    ".tiny.pipeline-scratch", ".tiny.k2j3h4g5.pipeline-scratch.bak", ".tiny.new", ".tiny.lock",
    ".tiny.TOO_LOUD.pipeline-scratch", ".tiny.too_long_.x.pipeline-scratch",
)  # fmt: skip


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_has_another_name_is_the_users(is_folder: bool, tmp_path: Path) -> None:
    for name in OF_THE_USER:
        if is_folder:
            (tmp_path / name).mkdir()
            (tmp_path / name / "model.keras").touch()
        else:
            (tmp_path / name).touch()
    files.write_atomically(tmp_path / "tiny", "")
    assert {path.name for path in tmp_path.iterdir()} == {*OF_THE_USER, "tiny"}


def test_what_is_no_file_and_no_folder_is_left_alone_and_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    names = [f".x.{n}2345678.pipeline-scratch" for n in "ab"]
    os.mkfifo(tmp_path / names[0])
    (tmp_path / names[1]).symlink_to(tmp_path / "elsewhere")
    files.write_atomically(tmp_path / "file", "")
    assert {path.name for path in tmp_path.iterdir()} == {*names, "elsewhere", "file"}
    assert (tmp_path / "elsewhere" / "kept").exists()


def test_where_nothing_can_be_locked_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with files.scratch_folder(tmp_path / "one") as scratch:
        files.write_atomically(tmp_path / "other", "")
        assert scratch.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"other"}


def write_often(folder: Path, name: str) -> None:
    for n in range(200):
        files.write_atomically(folder / name, str(n))
        assert (folder / name).read_text().isdigit()


def test_many_that_write_at_a_time_do_not_take_each_other_for_dead(tmp_path: Path) -> None:
    names = ["a", "b", "b", "c"]  # two of them the same file
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(tmp_path, name)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * len(names)
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_temporary_files_of_a_killed_process_go_with_its_scratch_folder(tmp_path: Path) -> None:
    def use_temporary_files() -> None:
        with (
            files.scratch_folder(tmp_path / "target") as scratch,
            files.temporary_files_in(scratch),
            tempfile.TemporaryDirectory() as folder,
        ):
            (Path(folder) / "half").touch()

    for _ in killed_at_every_step(use_temporary_files):
        files.remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == []
