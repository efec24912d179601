"""What `make` does before anything of Python runs: the interpreter, the installation, its end."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = sys._base_executable  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose lock file pins one small package, which lies beside it."""
    folder = tmp_path / "a project"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(REPOSITORY / "Makefile", folder)
    shutil.copy(REPOSITORY / ".ci" / "install.sh", folder / ".ci")
    (folder / "pipeline").mkdir()
    (folder / "pipeline" / "__init__.py").touch()
    (folder / "pipeline" / "search.py").write_text(
        "import sys, tiny\nprint(sys.prefix, sys.argv[1])\nsys.exit(int(sys.argv[1]))\n"
    )
    wheel = tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "")
        file.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        file.writestr(
            "tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.lock").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    return folder


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    base |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder.parent / "wheels")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=base | variables, capture_output=True, text=True
    )


def interpreter(folder: Path, version: str) -> Path:
    """One that is of no use but to say its version."""
    program = folder.parent / f"python{version}"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["3.10", "3.14", "2.7"])
def test_an_interpreter_that_will_not_do_is_refused_with_the_way_to_another(
    folder: Path, version: str
) -> None:
    chosen = interpreter(folder, version)
    done = make(folder, "search", f"PYTHON={chosen}")
    assert done.returncode == 2
    said = done.stderr.splitlines()[0]
    assert said.startswith(f"error: needs Python 3.11 to 3.13, {chosen} is {version}; ")
    assert "make search PYTHON=python3.12" in said
    assert not (folder / ".venv").exists()


def test_an_interpreter_that_is_not_there_is_named(folder: Path) -> None:
    done = make(folder, "search", "PYTHON=python9")
    assert done.returncode == 2
    assert done.stderr.startswith("error: needs Python 3.11 to 3.13, and python9 cannot be run; ")


@pytest.mark.parametrize("name", ["VENV_PYTHON", "SETUP", "SHELL", "CHOSEN"])
def test_a_command_line_overrides_no_variable_of_ours(folder: Path, name: str) -> None:
    done = make(folder, "--dry-run", "search", f"{name}=elsewhere")
    assert done.returncode == 0
    assert "elsewhere" not in done.stdout
    assert ".venv/bin/python -m pipeline.search fashion_mnist" in done.stdout


@pytest.mark.slow
def test_all_is_installed_into_a_venv_of_the_chosen_interpreter(folder: Path) -> None:
    elsewhere = str(folder.parent / "elsewhere")
    hostile = {
        "PIP_USER": "1", "PIP_TARGET": elsewhere, "PIP_DRY_RUN": "1", "PIP_QUIET": "3",
        "PIP_REQUIRE_VIRTUALENV": "1", "PYTHONHOME": "/nowhere", "PYTHONPATH": elsewhere,
        "PYTHONSAFEPATH": "1", "PYTHON": "false",
    }  # fmt: skip
    done = make(folder, "search", f"PYTHON={BASE}", "STUDY=0", **hostile)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{folder / '.venv'} 0"
    assert not Path(elsewhere).exists()
    assert "installing what requirements.lock pins" in done.stderr
    assert (folder / ".venv" / ".installed").exists()

    again = make(folder, "search", "STUDY=0")
    assert again.stderr == ""
    chosen_again = make(folder, "search", f"PYTHON={BASE}", "STUDY=0")
    assert chosen_again.stderr == ""
    other = interpreter(folder, "3.14")
    assert "3.14" in make(folder, "search", f"PYTHON={other}").stderr
    assert (folder / ".venv" / ".installed").exists()

    # an installation that was killed, in the middle of a package
    (installed,) = (folder / ".venv").glob("lib/python*/site-packages/tiny.py")
    installed.unlink()
    (installed.parent / "tiny-1.0.dist-info" / "RECORD").unlink()
    (folder / ".venv" / ".installed").unlink()
    completed = make(folder, "search", "STUDY=0")
    assert completed.returncode == 0, completed.stderr

    # an interpreter that is gone
    (folder / ".venv" / "bin" / "python").unlink()
    mended = make(folder, "search", f"PYTHON={BASE}", "STUDY=0")
    assert mended.returncode == 0, mended.stderr


def test_what_ended_by_ctrl_c_is_the_last_to_speak(folder: Path) -> None:
    """Make ends by the signal, as it would have; other exit codes it reports as ever."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "our sentence" >&2\nexit $3\n')
    python.chmod(0o755)
    (folder / ".venv" / ".installed").touch()
    ended = make(folder, "search", "STUDY=130")
    assert ended.stderr == "our sentence\n"
    assert ended.returncode == -signal.SIGINT
    failed = make(folder, "search", "STUDY=1")
    assert failed.returncode == 2
    assert failed.stderr.startswith("our sentence\nmake: ")
    assert make(folder, "search", "STUDY=0").returncode == 0
