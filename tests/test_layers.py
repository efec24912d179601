"""The package is flat, and each module imports only from those above it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline"

# From the bottom of the dependencies to the top; a module may import those before it.
ORDER = (
    "errors",
    "paths",
    "hyperparameters",
    "space",
    "study",
    "data",
    "jobs",
    "model",
    "optimizers",
    "training",
    "logistic",
    "server",
    "executors",
    "preload",
    "environment",
    "outbox",
    "delivery",
    "tracking",
    "store",
    "sampling",
    "components",
    "trials",
    "statistics",
    "claims",
    "facts",
    "document",
    "progress",
    "preview",
    "waiting",
    "ownership",
    "supervisor",
    "search",
    "figures",
    "references",
    "story",
    "report",
    "model_card",
    "best",
    "runs",
    "mending",
    "subject",
    "findings",
    "records",
    "doctor",
    "ui",
)
# Only these may import a library that takes seconds, or that one module is to know alone.
HEAVY = {
    "tensorflow": {"optimizers", "training"},
    "keras": {"model", "optimizers", "training"},
    "mlflow": {"delivery", "tracking", "runs"},
    "optuna": {"store", "sampling", "components", "trials", "waiting", "supervisor"},
    "pandas": set(),
    "plotly": set(),
}
# Besides, what alone takes a third of the time in which `--help` has to answer.
SLOW = {"numpy", "scipy", "sklearn", "sqlalchemy"}


def modules() -> list[str]:
    return sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def imports(module: str) -> list[tuple[str, bool]]:
    """Imported names, and whether the import runs when the module is imported."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, ast.FunctionDef) or is_type_checking:
            lazy |= set(ast.walk(node))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "pipeline":
            found += [(f"pipeline.{alias.name}", node not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            found.append((node.module or "", node not in lazy))
    return found


def test_every_module_has_its_row() -> None:
    assert sorted(ORDER) == modules()


@pytest.mark.parametrize("module", modules())
def test_imports_only_from_above(module: str) -> None:
    above = ORDER[: ORDER.index(module)]
    inner = [name.split(".")[1] for name, _ in imports(module) if name.startswith("pipeline.")]
    assert [name for name in inner if name not in above] == []


@pytest.mark.parametrize("module", modules())
def test_heavy_libraries_are_imported_where_they_are_used(module: str) -> None:
    at_once = {name.split(".")[0] for name, is_at_once in imports(module) if is_at_once}
    assert [name for name in at_once if module not in HEAVY.get(name, {module})] == []


@pytest.mark.parametrize("module", [name for name in modules() if name not in HEAVY["mlflow"]])
def test_only_tracking_knows_mlflow(module: str) -> None:
    assert "mlflow" not in {name.split(".")[0] for name, _ in imports(module)}


@pytest.mark.parametrize("module", [name for name in modules() if name not in ("data", "best")])
def test_only_best_opens_the_test_set(module: str) -> None:
    assert "open_test_set" not in (PACKAGE / f"{module}.py").read_text()


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


@pytest.mark.parametrize("command", ["search", "report", "best", "doctor", "data", "ui"])
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
