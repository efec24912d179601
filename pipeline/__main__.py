"""Lists the commands, a line each: python -m pipeline [--version]."""

import argparse
import sys

from pipeline import __version__
from pipeline.errors import DONE, run_command

COMMANDS = {
    "search": "run a study until its budget is used; a rerun goes on",
    "report": "write a study's report: report.html, report.md, trials.csv",
    "best": "show a study's champion, or export it as a model that just works",
    "doctor": "hold Optuna, MLflow and the disk against each other, and mend them",
    "data": "fetch, verify and show a data set",
    "ui": "start MLflow's UI or Optuna's dashboard on 127.0.0.1",
}


def main() -> int:
    """Prints the commands."""
    listed = "\n".join(f"  python -m pipeline.{name:<8} {does}" for name, does in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=f"A hyperparameter search that can be trusted. Its commands:\n\n{listed}",
        epilog="Each explains itself with --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.parse_args()
    parser.print_help()
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
