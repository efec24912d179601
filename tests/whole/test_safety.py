"""Safe by default: nothing listens to others, runs code from a file, phones home or is unchecked.

Where the servers listen is tested in `test_ui`, what a download has to be in `test_datasets`.
"""

import ast
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pytest
import recorded

from pipeline import best
from pipeline.data import fashion_mnist
from pipeline.errors import run_command
from pipeline.paths import Project
from pipeline.reading.column import Dialect
from pipeline.storage import study_store
from pipeline.tracking import registry

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
requests: Any = importlib.import_module("requests")  # without types
LOCK = (ROOT / "requirements.lock").read_text()


# The environment of commands and of what they start


def without_settings() -> dict[str, str]:
    kept = ("MLFLOW_", "PIPELINE_", "KERAS_", "DO_NOT_TRACK", "TF_", "CUDA_", "PYDANTIC_")
    known = {name: value for name, value in os.environ.items() if not name.startswith(kept)}
    return {**known, "PYTHONPATH": str(ROOT)}


def environment_of_a_child(**settings: str) -> dict[str, str]:
    """What a process has in its environment that was started by a command."""
    child = "import json, os; print(json.dumps(dict(os.environ)))"
    code = f"""
import subprocess, sys
from pipeline.errors import run_command
run_command(lambda: subprocess.run([sys.executable, '-c', {child!r}]).returncode)
"""
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**without_settings(), **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(json.loads(said))


def test_children_inherit_that_telemetry_and_pickles_are_off() -> None:
    found = environment_of_a_child()
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_importing_the_package_sets_nothing() -> None:
    code = """
import os
before = dict(os.environ)
import pipeline
from pipeline import environment, errors, paths
from pipeline.study import load
from pipeline.search import supervisor
assert {k: v for k, v in os.environ.items() if before.get(k) != v} == {}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=without_settings(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_somebody_may_set_it_otherwise() -> None:
    found = environment_of_a_child(MLFLOW_DISABLE_TELEMETRY="false")
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "false"


def test_mlflow_understands_it() -> None:
    code = """
from pipeline.environment import set_defaults
set_defaults()
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION
from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY
assert MLFLOW_DISABLE_TELEMETRY.get() is True
assert MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get() is False
"""
    subprocess.run([sys.executable, "-c", code], env=without_settings(), check=True)


# Models with code in them


@pytest.fixture(scope="module")
def model_with_code() -> bytes:
    """A `.keras` file that would run a function of whoever made it."""
    import keras

    from pipeline.training import loop

    layers = keras.layers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says itself that this is unsafe
        model = keras.Sequential(
            [keras.Input((28, 28)), layers.Flatten(), layers.Lambda(lambda x: 2 * x)]
        )
        return loop.to_bytes(model)


@pytest.mark.slow
def test_a_model_with_code_in_it_is_not_loaded(model_with_code: bytes) -> None:
    from pipeline.training import loop

    with pytest.raises(ValueError, match="arbitrary code execution"):
        loop.from_bytes(model_with_code)


@pytest.fixture
def export(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[bytes], tuple[int, str, str]]:
    """Exports a champion that has this model; returns exit code, stdout and stderr."""

    def command(model: bytes) -> tuple[int, str, str]:
        monkeypatch.setattr(registry, "load_model_bytes", lambda *_: model)
        monkeypatch.setattr(sys, "argv", ["best", recorded.NAME, "--export"])
        return run_command(best.main), *capfd.readouterr()

    return command


@pytest.mark.slow
def test_a_champion_with_code_in_it_is_not_exported(
    model_with_code: bytes,
    recorded_study: Project,
    export: Callable[[bytes], tuple[int, str, str]],
) -> None:
    code, said, complaints = export(model_with_code)
    assert (code, said) == (1, "")
    (line,) = complaints.splitlines()
    assert line.startswith("error: the stored model of trial 9 cannot be loaded: ")
    assert "arbitrary code execution" in line
    assert not recorded_study.export_dir(recorded.NAME).exists()
    study = recorded.open_stored(recorded_study).study
    assert study_store.test_looks(study) == []


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_champion_is_said_in_a_sentence(
    content: bytes, export: Callable[[bytes], tuple[int, str, str]]
) -> None:
    code, _, complaints = export(content)
    assert code == 1
    (line,) = complaints.splitlines()
    assert line.startswith("error: the stored model of trial 9 cannot be loaded: ")


@pytest.mark.slow
def test_a_champion_with_code_in_it_is_not_published(
    model_with_code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        """Gives the model and nothing else."""

        def __init__(self, _: str) -> None:
            pass

        def download_artifacts(self, run: str, path: str, folder: str) -> str:
            file = Path(folder) / path
            file.write_bytes(model_with_code)
            return str(file)

    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda _: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what MLflow imports for Keras
        with pytest.raises(ValueError, match="arbitrary code execution"):
            registry.publish_champion(
                f"sqlite:///{tmp_path}/x.db",
                "small",
                "a run",
                1,
                fashion_mnist.SOURCE.task,
                Dialect(),
            )


# What the package does not use

_RUNS_CODE = {"pickle", "cPickle", "cloudpickle", "joblib", "dill", "shelve", "marshal", "code"}
_CALLS = {"eval", "exec", "compile", "__import__"}  # as builtins; `re.compile` is another
# By the last two names, as in `os.system(...)`.
_METHODS = {
    "os.system", "os.popen", "subprocess.getoutput", "yaml.load", "yaml.unsafe_load",
    "pd.read_pickle", "config.enable_unsafe_deserialization",
}  # fmt: skip
# Keywords that make a harmless call a harmful one, by their harmful value.
_KEYWORDS: Mapping[str, Any] = {
    "shell": True, "allow_pickle": True, "safe_mode": False, "verify": False
}  # fmt: skip


def harm(tree: ast.AST) -> Iterator[str]:
    """Whatever runs text or files as code, or trusts anybody."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] in _RUNS_CODE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _RUNS_CODE:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            called = ".".join(ast.unparse(node.func).split(".")[-2:])
            if called in _CALLS | _METHODS:
                yield called
            for word in node.keywords:
                forbidden = _KEYWORDS.get(word.arg or "")
                if forbidden is not None and ast.unparse(word.value) == str(forbidden):
                    yield f"{called}({word.arg}={forbidden})"


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from joblib import load", "import cloudpickle as c", "eval('1')",
     "os.system('ls')", "subprocess.run('ls', shell=True)", "yaml.load(text)",
     "np.load(file, allow_pickle=True)", "keras.saving.load_model(path, safe_mode=False)",
     "keras.config.enable_unsafe_deserialization()", "requests.get(url, verify=False)"],
)  # fmt: skip
def test_harm_is_noticed(code: str) -> None:
    assert list(harm(ast.parse(code)))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_code_that_comes_from_elsewhere(module: Path) -> None:
    assert list(harm(ast.parse(module.read_text()))) == []


@pytest.mark.parametrize(
    "file", [*MODULES, ROOT / "Makefile"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_listens_to_all_the_world(file: Path) -> None:
    assert "0.0.0.0" not in file.read_text()


# What is installed


def requirements() -> list[str]:
    """The requirements of the lock file, each with all its options in a line."""
    joined = LOCK.replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


def test_every_package_is_pinned_with_a_hash() -> None:
    assert len(requirements()) > 50
    for line in requirements():
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+ ", line), line
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", line), line


def test_packages_come_from_whatever_index_pip_is_told() -> None:
    for line in requirements():
        assert not line.startswith("-"), line
        assert "://" not in line, line


def test_only_what_has_its_hash_is_installed() -> None:
    script = (ROOT / ".ci" / "install.sh").read_text()
    (install,) = re.findall(r"pip install ((?:.*\\\n)*.*)", script)
    assert "pip install" not in (ROOT / "Makefile").read_text()
    assert "--require-hashes" in install
    assert "requirements.lock" in install


# What is known of it


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answer:
    def __init__(self, content: Any) -> None:
        self._content = content

    def json(self) -> Any:
        if isinstance(self._content, Exception):
            raise self._content
        return self._content


KNOWN = [{"id": "PYSEC-2019-217"}]
NO_DATABASE: Mapping[str, Any] = {
    "no network": requests.ConnectionError("no route"),
    "no reply": requests.Timeout("slow"),
    "a page": Answer(requests.JSONDecodeError("no JSON", "<html>", 0)),
    "not found": Answer({"message": "Not Found"}),
    "a mirror": Answer({"vulnerabilities": [], "vulns": []}),
    "nonsense": Answer([]),
}


def answering(monkeypatch: pytest.MonkeyPatch, **by_method: Any) -> None:
    """Lets requests answer in the place of the network."""
    for method, answer in by_method.items():

        def ask(*_: object, answer: Any = answer, **__: object) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(requests, method, ask)


@pytest.mark.parametrize("why", NO_DATABASE)
def test_without_a_database_the_audit_says_so_and_passes(
    audit: ModuleType,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answering(monkeypatch, get=NO_DATABASE[why], post=NO_DATABASE[why])
    monkeypatch.setattr(audit, "audit", lambda _: pytest.fail("there is nothing to ask"))
    assert audit.main() == 0
    said = capsys.readouterr().out
    assert said == "audit: left out, for no database can be reached (pypi, osv)\n"


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    ("get", "service"),
    [(Answer({"vulnerabilities": KNOWN}), "pypi"), (NO_DATABASE["not found"], "osv")],
)
def test_what_the_first_database_knows_decides(
    audit: ModuleType, get: Any, service: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, get=get, post=Answer({"vulns": KNOWN}))
    ran: list[list[str]] = []

    def pretend(command: list[str]) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(audit.subprocess, "run", pretend)
    assert audit.main() == code
    ((*_, option, asked),) = ran
    assert (option, asked) == ("--vulnerability-service", service)
    assert {"pip_audit", "--require-hashes", "--disable-pip", "--strict"} <= {*ran[0]}
