"""Programs as forks of one process that has imported the libraries, which takes each some seconds.

For tests of what a command does, once others have seen it start by itself as users start it. The
package is imported by each fork anew, and lies where PYTHONPATH says.
"""

import atexit
import functools
import importlib
import io
import json
import multiprocessing.process
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NoReturn

LIBRARIES = (
    "keras",
    "mlflow.keras",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna.storages._rdb.storage",
    "pandas",
    "pydantic",
    "sklearn.ensemble",
    "sklearn.linear_model",
)
STREAMS = ("stdin", "stdout", "stderr")


def run(
    arguments: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout_seconds: int = 300,
) -> "subprocess.CompletedProcess[str]":
    """Runs what `python` runs with such arguments, `-m module ...` or `-c code ...`.

    Nothing is there to be read from stdin. Who takes longer is ended by SIGALRM.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(os.devnull), *(Path(folder) / name for name in STREAMS[1:])]
        program = {
            "arguments": [*arguments],
            "cwd": str(cwd),
            "env": dict(env),
            "files": [*map(str, files)],
            "seconds": timeout_seconds,
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(program), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        out, err = (file.read_text(encoding="utf-8") for file in files[1:])
    return subprocess.CompletedProcess([*arguments], code, out, err)


@functools.cache
def _server() -> "subprocess.Popen[str]":
    """The process that has the libraries; it ends with this one."""
    server = subprocess.Popen(
        [sys.executable, __file__],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who runs the tests hears it
    for name in LIBRARIES:
        importlib.import_module(name)
    for line in sys.stdin:
        if not (pid := os.fork()):
            _become(**json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(
    arguments: list[str], cwd: str, env: dict[str, str], files: list[str], seconds: int
) -> NoReturn:
    """Makes this process what a fresh one would be that is started in such a way."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(seconds)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # which may have been asked for
    multiprocessing.process.ORIGINAL_DIR = cwd  # type: ignore[attr-defined]
    sys.path[0:1] = ["" if arguments[0] == "-c" else cwd, *_split(env.get("PYTHONPATH", ""))]
    for number, (name, file) in enumerate(zip(STREAMS, files, strict=True)):
        opened = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
        stream = _opened(number)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    code = _run(*arguments)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _split(path: str) -> list[str]:
    return path.split(os.pathsep) if path else []


def _opened(number: int) -> IO[str]:
    binary = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115
    errors = "backslashreplace" if number == 2 else "strict"
    return io.TextIOWrapper(binary, "utf-8", errors, line_buffering=number == 2)


def _run(kind: str, what: str, *arguments: str) -> int:
    """Returns with what exit code it ends."""
    try:
        sys.argv = [kind, *arguments]
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.modules["__main__"] = main = ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), main.__dict__)
    except SystemExit as end:
        return _exit_code(end.code)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _exit_code(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    _serve()
