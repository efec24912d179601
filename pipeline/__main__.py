"""Lists the commands, a line each: python -m pipeline [--version]."""

import argparse
import sys

from pipeline import __version__
from pipeline.errors import DONE, run_command

COMMANDS = {
    "new": "write a study file for data of one's own",
    "search": "run a study; a rerun goes on",
    "report": "write a study's report",
    "best": "show or export a study's champion",
    "predict": "answer pictures, arrays or rows by the champion",
    "serve": "serve the registered champion on 127.0.0.1",
    "doctor": "find what a crash left behind; --fix mends it",
    "data": "fetch, verify and show a data set",
    "ui": "start MLflow's UI or Optuna's dashboard",
}


def main() -> int:
    """Prints the commands."""
    listed = "\n".join(f"  python -m pipeline.{name:<8} {does}" for name, does in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=f"A hyperparameter search that can be trusted. Its commands:\n\n{listed}",
        epilog="Each explains itself with --help. `python` is .venv/bin/python.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.parse_args()
    parser.print_help()
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
