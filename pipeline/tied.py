"""Runs a module as `python -m` does, and ends it with whoever started it, killed or not.

python -m pipeline.tied MODULE [ARGUMENT ...]

It is to lead a process group, and stdin to be a pipe that only its starter can write to: when that
pipe is closed the whole group is killed, for nobody is left to end it.
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Runs the module."""
    threading.Thread(target=_watch, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
