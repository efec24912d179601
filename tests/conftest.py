"""Fixtures that several test modules use, and what `--fast` leaves out."""

import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

from pipeline.environment import hide_gpus, set_defaults

set_defaults()  # as commands do, before any library is imported
hide_gpus()

import empty_mlflow  # noqa: E402
import pytest  # noqa: E402
import recorded  # noqa: E402
from servers import MlflowServer, Postgres, postgres_programs  # noqa: E402

from pipeline.paths import Project  # noqa: E402

# Modules and rooms with real training, servers, searches as processes, or MLflow's tables being
# made; a single test of that kind in another module is marked `slow`. The longest come first.
SLOW = (
    "cluster", "whole/test_end_to_end.py", "whole/test_torture.py", "whole/test_trouble.py",
    "whole/test_commands.py", "whole/test_stopping.py", "whole/test_environment.py",
    "whole/test_own_data.py", "whole/test_poisoned.py", "data/test_predict.py",
    "formats", "execution", "training", "tracking/test_run_writer.py",
    "simulation",
)  # fmt: skip
TESTS = Path(__file__).parent
SIMULATED_FROM = "SIMULATED_FROM"  # of the environment: the seed of the first fresh schedule


class _NoTensorFlow(MetaPathFinder):
    """Refuses what a fast test must not need."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if name.partition(".")[0] in ("tensorflow", "keras"):
            raise ImportError(f"a fast test must not import {name}; mark it as slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out what takes long")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault(SIMULATED_FROM, str(secrets.randbelow(10**9)))  # all processes get it
    if config.getoption("--fast"):
        sys.meta_path.insert(0, _NoTensorFlow())


def pytest_report_header() -> str:
    return f"simulated schedules from seed {os.environ[SIMULATED_FROM]}"


def _place(path: Path) -> int:
    """Of a module among the slow ones."""
    places = [i for i, name in enumerate(SLOW) if path.is_relative_to(TESTS / name)]
    return min(places, default=len(SLOW))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without `--fast` nothing is left out; with it, slow modules are not even imported."""
    is_slow = _place(collection_path) < len(SLOW)
    return True if is_slow and config.getoption("--fast") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the longest modules first, so that none is left to one core in the end.

    With `--fast`, leaves out single slow tests.
    """
    # of the others those of the whole program take longest
    items.sort(key=lambda item: (_place(item.path), item.path.parent != TESTS / "whole"))
    for item in items:
        if "disk" in getattr(item, "fixturenames", ()):
            item.add_marker("root")
    if config.getoption("--fast"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_environment() -> Iterator[None]:
    """No test touches a store that somebody's environment names."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PIPELINE_STORAGE", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _no_database_left_open() -> Iterator[None]:
    """A user may have 1,024 files open, and each test has databases of its own."""
    yield
    empty_mlflow.close_all()


@pytest.fixture(scope="session")
def recorded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; `recorded_study` hands out copies."""
    folder = tmp_path_factory.mktemp("recorded")
    recorded.build(folder)
    return folder


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands are started in."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's, made once for all workers; `empty_mlflow.copy_into` gives a project its own."""
    return empty_mlflow.make(tmp_path_factory)


@pytest.fixture
def project_with_mlflow(project_folder: Path, empty_database: Path) -> Path:
    """The same folder as `project_folder`, with an empty MLflow database in it."""
    return empty_mlflow.copy_into(project_folder, empty_database)


@pytest.fixture
def recorded_study(project_folder: Path, recorded_folder: Path) -> Project:
    """A project with the study `recorded` in it, in the current folder: see `recorded.py`."""
    shutil.copytree(recorded_folder, project_folder, dirs_exist_ok=True)
    return Project(project_folder)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of the module's own.

    Without its programs the test is skipped, but fails in CI: `make servers` installs them.
    """
    if postgres_programs() is None and not os.environ.get("CI"):
        pytest.skip("needs PostgreSQL; as root on Debian: make servers")
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mlflow_server(postgres: Postgres) -> Iterator[MlflowServer]:
    """MLflow's server with that behind it."""
    with MlflowServer(postgres.create_database("mlflow")) as server:
        yield server


@pytest.fixture(autouse=True)
def _store_of_no_other_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back what MLflow writes into the environment when it is told of a store."""
    if "MLFLOW_TRACKING_URI" not in os.environ:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
