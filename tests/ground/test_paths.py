"""Where everything lies; names that cannot leave the folder; files whole or not at all."""

import contextlib
import importlib.util
import os
import pwd
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pipeline import paths
from pipeline.environment import set_defaults
from pipeline.errors import PipelineError, UsageError
from pipeline.files import write_atomically
from pipeline.paths import Project
from pipeline.store_url import StoreUrl


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


@pytest.mark.parametrize("stem", [" a", "-a", ".a", "a b", "a\nb", "_x", "a" * 101])
def test_a_name_that_would_be_refused_is_not_offered(project: Project, stem: str) -> None:
    (project.root / "studies" / f"{stem}.toml").touch()
    assert refusal(project, "absent").endswith("the studies here are: deep, quick")


HANGUL = "내연구"
APART = unicodedata.normalize("NFD", HANGUL)  # as some systems write file names


@pytest.mark.parametrize(
    "name",
    ["quick", "a", "7", "a.b", "A-b_c.9", "a" * 100, "naïve", HANGUL, "연구-2.가_나", "研究",
     "исследование", "דוח", "अध्ययन", "การศึกษา", "가" * 66],
)  # fmt: skip
def test_names_that_do_as_a_folders(name: str) -> None:
    assert paths.study_name(Path("studies") / f"{name}.toml") == name


@pytest.mark.parametrize(
    "name",
    ["..", ".hidden", "-rf", "_x", "a b", "a\nb", "a" * 101, "a;b", "%2e%2e", "", "가" * 67,
     "연 구", "\u0301x", "가\u200b", "\u202e연구", "연구!", "가\uff0f나", "가\udcff", "연구🙂"],
)  # fmt: skip
def test_names_that_would_not_do_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"allowed are letters and digits of any") as caught:
        paths.study_name(Path("studies") / f"{name}.toml")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("given", [HANGUL, APART], ids=["composed", "apart"])
@pytest.mark.parametrize("on_disk", [HANGUL, APART], ids=["on disk composed", "on disk apart"])
def test_a_study_is_found_however_its_name_is_composed(
    project: Project, given: str, on_disk: str
) -> None:
    file = project.root / "studies" / f"{on_disk}.toml"
    file.touch()
    for argument in (given, str(file.with_name(f"{given}.toml"))):
        found = project.study_file(argument)
        assert found.samefile(file)
        assert paths.study_name(found) == HANGUL
    assert paths.parse_study_name(given) == paths.parse_study_name(f"{given}.toml") == HANGUL
    assert refusal(project, "absent").endswith(f"are: deep, quick, {HANGUL}")


def test_files_of_a_name_as_long_as_is_allowed_fit_a_disk(project: Project) -> None:
    name = paths.study_name(Path(f"{'가' * 66}.toml"))
    for path in (
        project.workers_log(name),
        project.lease_note(name),
        project.scratch_dir(name) / "x",
        project.outbox(name) / "x",
        project.export_dir(name) / "x",
    ):
        write_atomically(path, "")


@pytest.mark.parametrize("name", ["quick", "a.b", "a" * 100, HANGUL, "가" * 66])
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


@pytest.mark.parametrize("variable", ["PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"])
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_a_driver_that_is_missing_is_named_with_how_to_get_it(
    variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"{scheme}://bob:secret@somewhere/optuna")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    project = Project.here()
    with pytest.raises(UsageError) as caught:
        _ = project.optuna_url, project.mlflow_uri
    assert str(caught.value) == (
        f"{variable}: found '{scheme}://bob:***@somewhere/optuna', for which the package psycopg "
        'is missing; it comes with: pip install "keras-search-pipeline[cluster]"'
    )


@pytest.mark.parametrize("variable", ["PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"])
@pytest.mark.parametrize(
    "url",
    ["junk", "mlruns/optuna.db", "./mlruns", "/tmp/mlruns", "~/mlruns", "C:\\mlruns", "://x",
     "a b://c", "--help", "file:///tmp/mlruns", "file:mlruns", "sqlite:mlflow.db", "sqlite",
     "s3://bucket", "nope://x", "redis://x", "127.0.0.1:5000", "databricksx"],
)  # fmt: skip
def test_a_store_that_is_none_is_refused_by_the_name_of_its_variable(
    project: Project, variable: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(UsageError) as caught:
        _ = project.optuna_url, project.mlflow_uri
    assert str(caught.value).startswith(f"{variable}: found {url!r}, allowed is a URL such as sq")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["sqlite:///x.db", "postgresql+psycopg://h/d", "mysql://h/d", "mssql+pyodbc://h/d"]
)
def test_databases_are_taken_by_both(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_STORAGE", url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    assert project.optuna_url == project.mlflow_uri == url


@pytest.mark.parametrize(
    "url", ["https://host/path", "databricks", "databricks://profile", "databricks-uc", "uc://x"]
)
def test_servers_are_taken_by_mlflow_alone(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_STORAGE", url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    assert project.mlflow_uri == url
    with pytest.raises(UsageError):
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
        ("sqlite+pysqlite:///optuna.db", Path("optuna.db"), True),
        ("sqlite+pysqlcipher:///optuna.db", None, True),
        ("sqlite:///file:/data/optuna.db?uri=true", None, True),  # a URI of SQLite's own
        ("sqlite:///optuna.db?timeout=10", Path("optuna.db"), True),
        ("sqlite:////what%3Fnow/optuna.db", Path("/what?now/optuna.db"), True),
        ("postgresql://somewhere/optuna", None, False),
        ("http://127.0.0.1:5000", None, False),
    ],
)
def test_a_store_knows_its_file(url: str, file: Path | None, is_sqlite: bool) -> None:
    store = StoreUrl(url)
    assert store == store.display == url
    assert (store.file, store.is_sqlite) == (file, is_sqlite)


def test_a_file_is_missing_until_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "optuna.db"
    store = StoreUrl.of(file)
    assert store.missing_file == store.file == file
    file.touch()
    assert store.missing_file is None
    assert StoreUrl("http://127.0.0.1:5000").missing_file is None


@pytest.mark.parametrize(
    "name",
    ["plain", "what?now", "a#b", "100%", "50%25", "%3F", "a b", "back\\slash", "내", "a\nb", "{x}",
     "?a=b", "a&b", "a:b@c"],
)  # fmt: skip
def test_the_url_of_a_file_is_of_that_file_for_everybody(name: str) -> None:
    file = Path("/home") / name / "optuna.db"
    url = StoreUrl.of(file)
    assert url.file == file
    assert url.is_sqlite
    for read in (url, url.format(SCHEMA_VERSION=12)):  # as SQLAlchemy does, as Optuna does
        parsed = make_url(read)
        assert (parsed.database, parsed.query) == (str(file), {})


IN_MEMORY = [
    "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:",
    "sqlite:///?mode=memory", "sqlite:///file::memory:?cache=shared&uri=true",
    "sqlite:///file:x?mode=memory&uri=true", "sqlite:///%3Amemory%3A", "sqlite+pysqlite://",
    "sqlite://?timeout=3",
]  # fmt: skip


@pytest.mark.parametrize("url", IN_MEMORY)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("PIPELINE_STORAGE", lambda: Project.here().optuna_url),
        ("MLFLOW_TRACKING_URI", lambda: Project.here().mlflow_uri),
    ],
)
def test_a_store_in_memory_is_refused(
    name: str, read: Callable[[], object], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(UsageError, match=rf"^{name}: found '.*', a store in memory, .* a file"):
        read()


NOT_PLAIN = [
    "sqlite:///file:/z?vfs=memdb&uri=true", "sqlite:///file:z?vfs=memdb&uri=true",
    "sqlite+pysqlite:///file:/z?uri=true&vfs=memdb", "sqlite:///file:/z?uri=true&mode=%6Demory",
    "sqlite:///file:/data/x.db", "sqlite:////z?vfs=memdb&uri=true", "sqlite:///x.db?uri=true",
    "sqlite:///x.db?foo=1", "sqlite:///x.db?foo", "sqlite:///x.db?timeout=3&nolock=1",
    "sqlite:////what?now/x.db",
]  # fmt: skip


@pytest.mark.parametrize("url", NOT_PLAIN)
@pytest.mark.parametrize("name", ["PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"])
def test_what_sqlite_alone_would_understand_is_refused(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(UsageError) as refused:
        assert Project.here().optuna_url != Project.here().mlflow_uri
    text = str(refused.value)
    assert text.startswith(f"{name}: found {url!r}, allowed is the path of a file, such as sqlite")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["sqlite:///x.db", "sqlite+pysqlite:////x.db?timeout=3", "sqlite:////what%3Fnow/x.db"]
)
@pytest.mark.parametrize("name", ["PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"])
def test_files_of_sqlite_are_allowed(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, url)
    assert url in (Project.here().optuna_url, Project.here().mlflow_uri)


@pytest.mark.parametrize("url", ["sqlite:///memory", "sqlite:///a/:memory:/b", "http://x:5000"])
def test_other_stores_are_not_in_memory(url: str) -> None:
    assert not StoreUrl(url).is_in_memory


def test_a_password_is_not_shown() -> None:
    store = StoreUrl("postgresql://somebody:secret@somewhere:5432/optuna")
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


@pytest.fixture
def no_user(project_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of a user who has no home, and whom the system does not know."""
    for name in ("HOME", "XDG_CACHE_HOME", "PIPELINE_DATA_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def getpwuid(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    return project_folder


@pytest.mark.parametrize("home", [None, "", "home", "./home"])
def test_without_a_home_data_lies_in_the_project(
    home: str | None, no_user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    expected = no_user / ".home" / ".cache" / "keras-search-pipeline"
    if home is None:
        assert paths.data_dir() == expected  # whoever imports the package alone
    set_defaults()
    assert paths.data_dir() == expected
    assert Path.home() == no_user / ".home"  # where MLflow and others look
    assert list(no_user.iterdir()) == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_user / "cache"))
    assert paths.data_dir() == no_user / "cache" / "keras-search-pipeline"
    monkeypatch.setenv("PIPELINE_DATA_DIR", "~/data")
    assert paths.data_dir() == no_user / ".home" / "data"


@pytest.mark.usefixtures("no_user")
def test_without_a_home_nor_a_current_folder_the_latter_is_asked_for() -> None:
    Path.cwd().rmdir()
    set_defaults()
    with pytest.raises(PipelineError, match="the current folder is gone"):
        paths.data_dir()


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
@pytest.mark.parametrize("place", ["/dev/null", "a file", "read-only"])
def test_a_home_that_cannot_be_written_to_does_not_get_the_data(
    variable: str, place: str, no_user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = no_user.parent / place
    if place == "a file":
        folder.write_text("")
    elif place == "read-only":
        folder.mkdir()
        # Root may write everywhere; the system is asked, and answers as it would anybody else.
        access = os.access
        monkeypatch.setattr(
            os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode)
        )
    monkeypatch.setenv(variable, str(folder))
    set_defaults()
    assert paths.data_dir() == no_user / ".home" / ".cache" / "keras-search-pipeline"
    if place == "read-only":  # but what is there is used
        cache = folder / (".cache" if variable == "HOME" else "") / "keras-search-pipeline"
        cache.mkdir(parents=True)
        assert paths.data_dir() == cache


def test_a_home_of_the_users_own_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "new"))
    set_defaults()
    assert os.environ["HOME"] == str(tmp_path / "new")
    for none in ("", "home"):  # what the system knows of the user counts
        monkeypatch.setenv("HOME", none)
        set_defaults()
        assert Path.home() == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_a_path_is_shown_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.display_path(tmp_path / "studies" / "quick.toml") == "studies/quick.toml"
    assert paths.display_path(Path("/elsewhere/x")) == "/elsewhere/x"
    assert paths.display_path(Path("/elsewhere/a\nb\x1b둘")) == r"/elsewhere/a\nb\x1b둘"


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
