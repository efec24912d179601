"""Files whole or not at all, whatever happens while they are written."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import files


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


@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "chmod"), (Path, "replace")])
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

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, fail)
        with pytest.raises(type(error)):
            files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


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
        assert list(path.parent.glob("*file.new*")) == []
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
