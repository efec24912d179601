"""Starts MLflow's UI or Optuna's dashboard over this project's stores, on 127.0.0.1 only.

python -m pipeline.ui mlflow|optuna --port PORT
"""

import argparse
import os
import re
import sys
from pathlib import Path

from pipeline.errors import PipelineError, run_command
from pipeline.paths import Project, display_path

HOST = "127.0.0.1"


def main() -> int:
    """Becomes the server; ends with Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ui", description=main.__doc__)
    parser.add_argument("which", choices=["mlflow", "optuna"])
    parser.add_argument("--port", type=_port, required=True)
    arguments = parser.parse_args()
    project = Project.here()
    command = server_command(project, arguments.which, arguments.port)
    if arguments.which == "mlflow":
        from pipeline.tracking import relocation

        relocation.relocate_if_writable(project, lambda line: print(line, file=sys.stderr))
    print(f"http://{HOST}:{arguments.port} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    try:
        os.execv(command[0], command)
    except OSError as error:
        raise PipelineError(
            f"{command[0]}: cannot be started ({error.strerror}); what is in .venv is mended by: "
            "make clean, and the same command again"
        ) from None


def server_command(project: Project, which: str, port: int) -> list[str]:
    """Builds the command line of a server.

    Args:
        project: whose store the server shows.
        which: "mlflow" or "optuna".
        port: on which the server listens, on 127.0.0.1.

    Raises:
        PipelineError: there is nothing to show yet.
    """
    url = project.mlflow_uri if which == "mlflow" else project.optuna_url
    if file := url.missing_file:
        raise PipelineError(
            f"{display_path(file)}: nothing to show yet; start with: make search STUDY=quick"
        )
    if which == "optuna":
        program = str(Path(sys.executable).with_name("optuna-dashboard"))
        return [program, url, "--host", HOST, "--port", str(port)]
    options = ["--backend-store-uri", url, "--host", HOST, "--port", str(port), "--workers", "1"]
    if url.is_sqlite:
        options += ["--default-artifact-root", project.artifacts_dir.as_uri()]
    return [sys.executable, "-m", "mlflow", "server", *options]


def _port(text: str) -> int:
    """Converts an argument for argparse, and refuses what is no port."""
    if not (re.fullmatch("[1-9][0-9]{0,4}", text) and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed is a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(run_command(main))
