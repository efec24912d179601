"""Serves a study's registered champion through MLflow's scoring server, on 127.0.0.1 only.

python -m pipeline.serve [STUDY] [--port PORT]
"""

import argparse
import json
import shlex
import sys
import threading
import time
from typing import Any, NoReturn

from pipeline.errors import PipelineError, run_command
from pipeline.listening import HOST, check_port, ended_by_signals, parse_port
from pipeline.paths import DEFAULT_STUDY, Project, parse_study_name

PORT = 5001
_MAKE = "make serve SERVE_PORT"
_SECONDS_TO_END = 1  # for a request that is being answered
_SECONDS_BETWEEN_LOOKS = 0.1
_LONGEST = 600  # characters of an example that is printed whole


def main() -> int:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.serve",
        description="Serves a study's registered champion on 127.0.0.1, until Ctrl-C.",
    )
    parser.add_argument("study", nargs="?", default=DEFAULT_STUDY, help="name of a study")
    parser.add_argument("--port", type=parse_port, default=PORT, help=f"({PORT})")
    arguments = parser.parse_args()
    from pipeline.storage import studies, study_store

    project, name = Project.here(), parse_study_name(arguments.study)
    stored = studies.stored_study(project, name)
    study_store.champion(stored.study)  # or a sentence that says why there is none
    check_port(arguments.port, _MAKE)
    with ended_by_signals():
        from pipeline.export.stored_model import import_tensorflow
        from pipeline.tracking import relocation, serving

        relocation.relocate_if_writable(project, _say)
        champion = serving.find_champion(project, name)
        example = json.dumps(serving.example_request(stored.spec.data_spec))
        _say(f"loading models:/{name}/{champion.version}, the champion ...")
        import_tensorflow()
        application = serving.load_application(project, name, champion)
        serve(application, arguments.port, curl(name, arguments.port, example))


def curl(study: str, port: int, example: str) -> str:
    """Spells a command that sends a request, as pasted into a shell in the project's folder.

    Args:
        study: whose champion is served.
        port: on which.
        example: JSON; printed if it is short, else made anew by the command.
    """
    send = f"curl --silent --header 'Content-Type: application/json' http://{HOST}:{port}"
    if len(example) <= _LONGEST:
        return f"{send}/invocations --data {shlex.quote(example)}"
    make = f".venv/bin/python -m pipeline.predict {study} --request"
    return f"{make} | {send}/invocations --data @-"


def serve(application: Any, port: int, example: str) -> NoReturn:
    """Runs a server in a thread of its own, since the main thread hears signals.

    Args:
        application: by `serving.load_application`.
        port: on which it listens, on 127.0.0.1.
        example: command that sends a request, printed when the server is ready.

    Raises:
        PipelineError: the server ended by itself.
    """
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=HOST,
            port=port,
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
    )
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    try:
        is_said = False
        while running.is_alive():
            if server.started and not is_said:
                _say(f"http://{HOST}:{port}/invocations answers (Ctrl-C ends it)")
                _say(f"an example, from another terminal in this folder:\n\n{example}\n")
                is_said = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)  # a join that is broken off ends all later ones
    finally:
        server.should_exit = True
        running.join(_SECONDS_TO_END + 1)
    raise PipelineError("the server ended by itself; what it said is above")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
