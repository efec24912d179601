"""The rooms of the package, their floors, and which libraries belong where."""

import ast
import graphlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipeline"

# From the ground up. A room imports from floors below it alone; modules of one floor that are no
# rooms (the ground, and commands without a room) may import each other.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset(
        {"clock", "cores", "disk", "engine", "environment", "errors", "escaping", "files"}
        | {"host", "listening", "masking", "names", "outside", "paths", "provenance", "snapshot"}
        | {"store_url", "streams", "tied", "watchdog", "wording", "write_ahead"}
    ),
    frozenset({"reading"}),
    frozenset({"task"}),
    frozenset({"preparation"}),
    frozenset({"data"}),
    frozenset({"study"}),
    frozenset({"training", "evaluation", "storage", "tracking", "formats"}),
    frozenset({"execution"}),
    frozenset({"report", "export"}),
    frozenset({"doctor"}),
    frozenset({"search", "predict", "serve", "ui", "new"}),
    frozenset({"best"}),
    frozenset({"__main__"}),
)
GROUND = FLOORS[0]
N_FILES = 331  # of the package; whoever adds one sees that the tests below have found it
MOST_LINES = 300
# Rooms that may import a library at once: what takes seconds, or what one room is to know alone.
HEAVY = {
    "tensorflow": {"training"},
    "keras": {"training"},
    "mlflow": {"tracking"},
    "optuna": {"storage", "search"},
    "pandas": {"report"},
    "plotly": {"report"},
    "ray": {"execution"},
}
# Besides, what alone takes a third of the time in which `--help` has to answer.
SLOW = {"numpy", "scipy", "sklearn", "sqlalchemy"}

FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [file for file in FILES if file.name != "__init__.py"]


def name_of(file: Path) -> str:
    """`pipeline.storage.rdb` for its file; `pipeline.data` for the `__init__` of the room."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The part of the package that a module belongs to; "" for the package itself."""
    return [*module.split("."), ""][1]


def imports(file: Path) -> list[tuple[str, bool]]:
    """Imported modules, and whether the import runs when the file is imported."""
    tree = ast.parse(file.read_text())
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, ast.FunctionDef) or is_type_checking:
            lazy |= set(ast.walk(node))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                is_module = module.startswith("pipeline") and inner in NAMES
                found.append((inner if is_module else module, node not in lazy))
    return found


NAMES = {name_of(file) for file in FILES}


def test_every_file_is_looked_at() -> None:
    assert len(FILES) == N_FILES
    assert {room_of(name) for name in NAMES} - {""} == set().union(*FLOORS)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_lead_downward_only(file: Path) -> None:
    own = room_of(name_of(file))
    floor = next((i for i, rooms in enumerate(FLOORS) if own in rooms), -1)
    below = set().union(*FLOORS[:floor]) if floor > 0 else set()
    allowed = below | {own, ""} | (GROUND if own in GROUND else set())
    inner = {room_of(name) for name, _ in imports(file) if name.split(".")[0] == "pipeline"}
    assert inner - allowed == set()


@pytest.mark.parametrize("room", sorted(set().union(*FLOORS) - GROUND))
def test_no_circles_inside_a_room(room: str) -> None:
    inside = [file for file in MODULES if room_of(name_of(file)) == room]
    graph = {
        name_of(file): {name for name, _ in imports(file) if room_of(name) == room}
        for file in inside
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises if there is one


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_heavy_libraries_are_imported_where_they_are_used(file: Path) -> None:
    room = room_of(name_of(file))
    at_once = {name.split(".")[0] for name, is_at_once in imports(file) if is_at_once}
    assert [name for name in at_once if room not in HEAVY.get(name, {room})] == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_tracking_knows_mlflow(file: Path) -> None:
    if room_of(name_of(file)) != "tracking":
        assert "mlflow" not in {name.split(".")[0] for name, _ in imports(file)}


# `row_storage` overrides private methods of the classes that `optuna_internals` hands it.
KNOW_OPTUNA_INSIDE = {
    f"pipeline.storage.{name}"
    for name in ("optuna_internals", "row_storage", "one_transaction", "sole_writer")
}


def is_private(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"_[a-z]\w*|__[gs]etstate__", name, re.I))


def private_names_of_optuna(file: Path) -> list[str]:
    """Private names in a file that are not its own: attributes of others, imports, overrides."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (
                isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            ) or node.attr.startswith("__"):
                found.append(node.attr)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for name in (f"{module}.{alias.name}".strip(".") for alias in node.names):
                if name.startswith("optuna") and any(map(is_private, name.split("."))):
                    found.append(name)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("getattr", "hasattr", "setattr", "delattr"):
                names = [each.value for each in node.args if isinstance(each, ast.Constant)]
                found += [str(name) for name in names if is_private(name)]
        elif isinstance(node, ast.ClassDef) and any("optuna" in ast.dump(b) for b in node.bases):
            methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            found += [name for name in methods if is_private(name)]
    return found


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_one_file_knows_the_inside_of_optuna(file: Path) -> None:
    if "optuna" in {name.split(".")[0] for name, _ in imports(file)}:
        is_allowed = name_of(file) in KNOW_OPTUNA_INSIDE
        assert bool(private_names_of_optuna(file)) == is_allowed


def test_every_way_to_the_inside_of_optuna_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "tricks.py"
    file.write_text(
        "import optuna.storages._rdb\n"
        "from optuna.storages import _cached_storage\n"
        "class Study(optuna.Study):\n"
        "    def _get_trials(self):\n"
        "        self.__setstate__({})\n"
        "        return self._own\n"
        "getattr(study, '_study')\n"
        "trial._trial_id\n"
    )
    assert set(private_names_of_optuna(file)) == {
        "optuna.storages._rdb", "optuna.storages._cached_storage",
        "_get_trials", "__setstate__", "_study", "_trial_id",
    }  # fmt: skip


def test_a_door_imports_nothing_of_the_package_but_the_ground() -> None:
    """So that `--help` and a bad argument are answered at once."""
    doors = [file for file in MODULES if file.name == "__main__.py"]
    assert len(doors) == 7
    for file in doors:
        at_once = [name for name, is_at_once in imports(file) if is_at_once]
        inner = {room_of(name) for name in at_once if name.startswith("pipeline")}
        assert inner <= GROUND | {""}, file


@pytest.mark.parametrize("room", sorted(set().union(*FLOORS)))
def test_every_room_says_what_it_is_in_one_sentence(room: str) -> None:
    file = PACKAGE / room / "__init__.py"
    if file.exists():
        said = ast.get_docstring(ast.parse(file.read_text())) or ""
        assert said.endswith(".")
        assert "\n" not in said


def test_the_map_shows_the_rooms_there_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == rooms
    for name in re.findall(r"`pipeline/([\w/]+\.py)`", text):
        assert (PACKAGE / name).is_file(), name


def test_one_module_alone_opens_the_test_set() -> None:
    users = {
        name_of(file)
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr == "open_test_set")
        or (isinstance(node, ast.Name) and node.id == "open_test_set")
        or (isinstance(node, ast.alias) and node.name == "open_test_set")
    }
    assert users == {"pipeline.export.test_looks"}


def imported_by(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """Exit code of a command, and the packages that it imported."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return ended.returncode, {line.split("|")[-1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_that_takes_time(command: str, tmp_path: Path) -> None:
    exit_code, packages = imported_by(tmp_path, f"pipeline.{command}", "--help")
    assert exit_code == 0
    assert "argparse" in packages
    assert packages & {*HEAVY, *SLOW, "pydantic"} == set()


def test_a_bad_study_file_needs_pydantic_alone(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('goal = "none"\nmetrics = "val_loss"\n')
    exit_code, packages = imported_by(tmp_path, "pipeline.search", "./bad.toml")
    assert exit_code == 2
    assert "pydantic" in packages
    assert packages & {*HEAVY, *SLOW} == set()
