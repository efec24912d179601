"""Starts MLflow's UI or Optuna's dashboard over this project's stores, on 127.0.0.1 only.

python -m pipeline.ui mlflow|optuna [--port PORT]
"""

import argparse
import os
import sys
from pathlib import Path

from pipeline.errors import PipelineError, run_command
from pipeline.paths import Project, shown

HOST = "127.0.0.1"


def main() -> int:
    """Becomes the server; ends with Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ui", description=main.__doc__)
    parser.add_argument("which", choices=["mlflow", "optuna"])
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    command = server_command(Project.here(), arguments.which, arguments.port)
    print(f"http://{HOST}:{arguments.port} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    os.execv(command[0], command)


def server_command(project: Project, which: str, port: int) -> list[str]:
    """The command line of the server.

    Raises:
        PipelineError: there is nothing to show yet.
    """
    url = project.mlflow_uri if which == "mlflow" else project.optuna_url
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite") and not path.exists():
        raise PipelineError(
            f"{shown(path)}: nothing to show yet; start with: make search STUDY=quick"
        )
    if which == "optuna":
        program = str(Path(sys.executable).with_name("optuna-dashboard"))
        return [program, url, "--host", HOST, "--port", str(port)]
    options = ["--backend-store-uri", url, "--host", HOST, "--port", str(port), "--workers", "1"]
    if url.startswith("sqlite"):
        options += ["--default-artifact-root", project.artifacts_dir.as_uri()]
    return [sys.executable, "-m", "mlflow", "server", *options]


if __name__ == "__main__":
    sys.exit(run_command(main))
