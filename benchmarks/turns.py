"""Processes that are timed in turns: one runs at a time, so that a busy minute meets them all."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.projects import ROOT

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
Process = subprocess.Popen[str]
Wait = Callable[[], float]
Answer = Callable[[float], None]


def start(module: str, function: str, *arguments: str) -> Process:
    """Starts a function of a benchmark in a process with one thread, where it calls `taking`."""
    code = f"import sys; from benchmarks import {module}; {module}.{function}(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
    )


def go(process: Process) -> float:
    """Lets a process do one turn, and returns its seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def taking() -> tuple[Wait, Answer]:
    """In the process: one call waits for its turn and returns the time, one tells its seconds."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print

    def wait() -> float:
        if not sys.stdin.readline():
            os._exit(0)
        return time.perf_counter()

    def answer(seconds: float) -> None:
        print(seconds, file=answers, flush=True)

    return wait, answer
