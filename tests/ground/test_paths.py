"""Where everything lies; names that cannot leave the folder; files whole or not at all."""

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.errors import UsageError
from pipeline.paths import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    studies = tmp_path / "project" / "studies"
    studies.mkdir(parents=True)
    for name in ("quick", "deep"):
        (studies / f"{name}.toml").write_text("")
    (tmp_path / "outside.toml").write_text("")
    return Project(tmp_path / "project")


def refusal(project: Project, study: str) -> str:
    with pytest.raises(UsageError) as caught:
        project.study_file(study)
    return str(caught.value)


def test_the_project_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Project.here() == Project(tmp_path)


def test_a_study_by_name(project: Project) -> None:
    assert project.study_file("quick") == project.root / "studies" / "quick.toml"


def test_a_study_by_path(project: Project, tmp_path: Path) -> None:
    assert project.study_file(str(tmp_path / "outside.toml")) == tmp_path / "outside.toml"


@pytest.mark.parametrize(
    "study",
    ["absent", "../outside", "../../outside", "..", ".", "", "/", "/etc/passwd.toml", "a" * 300,
     "nul\0byte", "studies", "quick/"],
)  # fmt: skip
def test_a_study_that_is_not_there_lists_those_that_are(project: Project, study: str) -> None:
    text = refusal(project, study)
    assert text.endswith("no such study file; the studies here are: deep, quick")
    assert len(text.splitlines()) == 1


def test_a_line_break_in_a_name_does_not_break_the_sentence(project: Project) -> None:
    assert len(refusal(project, "two\nlines\u2028three").splitlines()) == 1


def test_a_folder_is_no_study_file(project: Project) -> None:
    (project.root / "studies" / "folder.toml").mkdir()
    assert "folder.toml: no such study file" in refusal(project, "folder")


def test_without_any_study_the_list_says_so(tmp_path: Path) -> None:
    assert refusal(Project(tmp_path), "quick").endswith("the studies here are: none")


@pytest.mark.parametrize("name", ["quick", "a", "7", "a.b", "A-b_c.9", "a" * 100])
def test_names_that_do_as_a_folders(name: str) -> None:
    assert paths.study_name(Path("studies") / f"{name}.toml") == name


@pytest.mark.parametrize(
    "name", ["..", ".hidden", "-rf", "_x", "a b", "a\nb", "naïve", "a" * 101, "a;b", "%2e%2e", ""]
)
def test_names_that_would_not_do_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"allowed are letters, digits") as caught:
        paths.study_name(Path("studies") / f"{name}.toml")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["quick", "a.b", "a" * 100])
def test_what_belongs_to_a_study_stays_in_the_project(project: Project, name: str) -> None:
    for path in (
        project.report_dir(name),
        project.export_dir(name),
        project.supervisor_lock(name),
        project.lease_note(name),
        project.workers_log(name),
        project.scratch_dir(name),
        project.outbox(name),
        project.artifacts_dir,
    ):
        assert path.resolve().is_relative_to(project.root)


def test_stores_are_files_in_mlruns(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE_STORAGE", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # empty counts as not given
    assert project.optuna_url == f"sqlite:///{project.root}/mlruns/optuna.db"
    assert project.mlflow_uri == f"sqlite:///{project.root}/mlruns/mlflow.db"


def test_the_environment_chooses_other_stores(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_STORAGE", "postgresql://somewhere/optuna")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert project.optuna_url == "postgresql://somewhere/optuna"
    assert project.mlflow_uri == "http://127.0.0.1:5000"


@pytest.mark.parametrize("url", ["junk", "mlruns/optuna.db", "://x", "a b://c", "--help"])
def test_a_storage_that_is_no_url_is_refused(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_STORAGE", url)
    with pytest.raises(UsageError, match=r"^PIPELINE_STORAGE: found .*, allowed is a URL such as"):
        _ = project.optuna_url


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("PIPELINE_STORAGE", lambda: Project.here().optuna_url),
        ("MLFLOW_TRACKING_URI", lambda: Project.here().mlflow_uri),
        ("PIPELINE_DATA_DIR", paths.data_dir),
    ],
)
@pytest.mark.parametrize("value", ["sqlite:///a\nb", "sqlite:///\x1b[2J", "sqlite:///\u202eb"])
def test_control_characters_in_the_environment_are_refused(
    name: str, read: Callable[[], object], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        read()
    assert str(caught.value) == (
        f"{name}: found {value!r}, allowed is text without control characters"
    )


@pytest.mark.parametrize(
    ("url", "file", "is_sqlite"),
    [
        ("sqlite:///mlruns/optuna.db", Path("mlruns/optuna.db"), True),
        ("sqlite:////data/optuna.db", Path("/data/optuna.db"), True),
        ("sqlite+pysqlite:///optuna.db", None, True),
        ("postgresql://somewhere/optuna", None, False),
        ("http://127.0.0.1:5000", None, False),
    ],
)
def test_a_store_knows_its_file(url: str, file: Path | None, is_sqlite: bool) -> None:
    store = paths.StoreUrl(url)
    assert store == store.display == url
    assert (store.file, store.is_sqlite) == (file, is_sqlite)


def test_a_file_is_missing_until_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "optuna.db"
    store = paths.StoreUrl.of(file)
    assert store.missing_file == store.file == file
    file.touch()
    assert store.missing_file is None
    assert paths.StoreUrl("http://127.0.0.1:5000").missing_file is None


def test_a_password_is_not_shown() -> None:
    store = paths.StoreUrl("postgresql://somebody:secret@somewhere:5432/optuna")
    assert store.display == "postgresql://somebody:***@somewhere:5432/optuna"


def test_a_data_folder_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATA_DIR", "~nobody-has-this-name/data")
    with pytest.raises(UsageError, match="there is no such user"):
        paths.data_dir()


def test_the_environment_chooses_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATA_DIR", "/elsewhere/data")
    assert paths.data_dir() == Path("/elsewhere/data")
    monkeypatch.setenv("PIPELINE_DATA_DIR", "~/data")
    assert paths.data_dir() == Path.home() / "data"


@pytest.mark.parametrize("chosen", [None, ""])
def test_data_lies_in_the_users_cache_by_default(
    chosen: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PIPELINE_DATA_DIR", raising=False)
    if chosen is not None:
        monkeypatch.setenv("PIPELINE_DATA_DIR", chosen)
    assert paths.data_dir().name == "keras-search-pipeline"
    assert paths.data_dir().is_relative_to(tmp_path)


def test_a_path_is_shown_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.display_path(tmp_path / "studies" / "quick.toml") == "studies/quick.toml"
    assert paths.display_path(Path("/elsewhere/x")) == "/elsewhere/x"
    assert paths.display_path(Path("/elsewhere/a\nb\x1b둘")) == r"/elsewhere/a\nb\x1b둘"


@pytest.mark.parametrize("content", [b"\x00bytes\n", "text, naïve\n", ""])
def test_a_file_is_written_with_its_folders(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "new" / "folder" / "file"
    paths.write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(path.parent.iterdir()) == [path]


def test_an_old_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    paths.write_atomically(path, "an old and longer text")
    paths.write_atomically(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_permissions_of_any_other(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        paths.write_atomically(tmp_path / "file", "x")
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
            paths.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_when_replacing_fails_no_scratch_file_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        paths.write_atomically(folder, "new")
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == []


def test_only_files_are_listed_as_studies(tmp_path: Path) -> None:
    folder = tmp_path / "studies"
    (folder / "folder.toml").mkdir(parents=True)
    (folder / "own.toml").touch()
    (folder / "linked.toml").symlink_to(folder / "own.toml")
    (folder / "dangling.toml").symlink_to(folder / "nothing")
    (folder / "circle.toml").symlink_to(folder / "circle.toml")
    os.mkfifo(folder / "fifo.toml")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(folder):
        listening.bind("socket.toml")  # a path of its own may be too long
    for name in ("other", "fifo", "dangling", "folder", "socket", "circle"):
        with pytest.raises(UsageError, match="no such study file") as refusal:  # and no waiting
            Project(tmp_path).study_file(name)
        assert str(refusal.value).endswith("the studies here are: linked, own")
