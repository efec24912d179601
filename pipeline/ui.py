"""Starts MLflow's UI or Optuna's dashboard over this project's stores, on 127.0.0.1 only.

python -m pipeline.ui mlflow|optuna --port PORT [--study STUDY]
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pipeline import snapshot
from pipeline.errors import (
    DONE,
    PipelineError,
    UsageError,
    first_line,
    one_line,
    run_command,
)
from pipeline.listening import HOST, check_port, ended_by_signals, parse_port
from pipeline.masking import mask
from pipeline.paths import Project, display_path
from pipeline.store_url import StoreUrl

_MAKE = {"mlflow": "make ui UI_PORT", "optuna": "make dashboard DASHBOARD_PORT"}
_SECONDS_TO_END = 2.0  # of MLflow's server; then it is killed
_SECONDS_BETWEEN_LOOKS = 0.2
_OF_NO_USE = ("[MLflow] Security middleware enabled",)  # how lines begin that MLflow always says


def main() -> int:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ui", description=main.__doc__)
    parser.add_argument("which", choices=["mlflow", "optuna"])
    parser.add_argument("--port", type=parse_port, required=True)
    parser.add_argument("--study", default="", help="whose trials are opened; default: the page")
    arguments = parser.parse_args()
    project = Project.here()
    url = project.mlflow_uri if arguments.which == "mlflow" else project.optuna_url
    if not url.is_database:
        raise UsageError(
            f"MLFLOW_TRACKING_URI: found {url.display!r}, which is a server already: open it in a "
            "browser; allowed here is the URL of a database"
        )
    if file := url.missing_file:
        raise PipelineError(
            f"{display_path(file)}: nothing to show yet; start with: make search STUDY=quick"
        )
    check_port(arguments.port, _MAKE[arguments.which])
    shown = snapshot.readable(url)
    if shown != url:
        print(f"{url.display} is read-only: shown is a copy of it, as of now", file=sys.stderr)
    with ended_by_signals():
        if arguments.which == "mlflow":
            from pipeline.tracking import relocation

            relocation.relocate_if_writable(project, lambda line: print(line, file=sys.stderr))
            return serve_mlflow(project, shown, arguments.port, arguments.study)
        return serve_optuna(shown, arguments.port)


def serve_mlflow(project: Project, url: StoreUrl, port: int, study: str = "") -> int:
    """Runs MLflow's server in processes of its own, which Ctrl-C does not reach, and ends them.

    Args:
        project: where artifacts lie.
        url: of MLflow's store.
        port: on which the server listens, on 127.0.0.1.
        study: whose trials are opened; "" for the page of all.

    Raises:
        PipelineError: the store cannot be opened, or the server ended by itself.
    """
    with _opening(url):  # for MLflow would say so in a page
        links = links_of(url, study)
    print("MLflow's server is starting ...", file=sys.stderr, flush=True)
    command, variables = mlflow_server(project, url, port)
    server = subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,  # which the system closes when this process is killed
        stdout=subprocess.DEVNULL,  # advice for who runs a server for others; errors are on stderr
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdin
    repeating = threading.Thread(target=_repeat, args=(server, url), daemon=True)
    repeating.start()
    try:
        is_said = False
        while server.poll() is None:
            if not is_said and _answers(port):
                _say_where(port, links)
                is_said = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        _end(server)
        server.stdin.close()
        repeating.join(_SECONDS_TO_END)
    raise PipelineError(
        f"MLflow's server ended with exit code {server.returncode}; what it said is above"
    )


def mlflow_server(
    project: Project, url: StoreUrl, port: int
) -> tuple[list[str], Mapping[str, str]]:
    """Builds the command line of MLflow's server, and the environment variables that go with it.

    The store's URL is among the latter: a command line is shown to everybody on the machine.
    """
    command = [sys.executable, "-m", "pipeline.tied", "mlflow", "server"]
    command += ["--host", HOST, "--port", str(port)]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    variables = {"MLFLOW_BACKEND_STORE_URI": url, "PYTHONWARNINGS": "ignore"}
    if url.is_sqlite:
        variables["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = project.artifacts_dir.as_uri()
    return command, variables


def serve_optuna(url: StoreUrl, port: int) -> int:
    """Runs Optuna's dashboard in this process.

    Raises:
        PipelineError: the storage cannot be opened.
    """
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    import optuna_dashboard

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True  # a request under way does not keep Ctrl-C waiting

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            """Says nothing of a request that was answered."""

    with _opening(url):
        application = optuna_dashboard.wsgi(str(url))
    with make_server(HOST, port, application, Server, Quiet) as server:
        _say_where(port)
        server.serve_forever()
    return DONE


@contextlib.contextmanager
def _opening(url: StoreUrl) -> Iterator[None]:
    """Says in a sentence why a store cannot be opened.

    Raises:
        PipelineError: it cannot.
    """
    try:
        yield
    except Exception as error:  # SQLAlchemy's, a driver's, Optuna's
        where = display_path(url.file) if url.file else url.display
        cause: BaseException = error  # Optuna's and SQLAlchemy's own words guess at it
        while cause.__cause__:
            cause = cause.__cause__
        reason = one_line(first_line(cause))
        raise PipelineError(f"{where} cannot be opened: {reason}") from None


def _repeat(server: subprocess.Popen[bytes], url: StoreUrl) -> None:
    """Prints what a server says on its stderr, without secrets."""
    assert server.stderr
    with server.stderr as lines:
        for line in lines:
            text = line.decode(errors="backslashreplace").rstrip()
            if not text.startswith(_OF_NO_USE):
                print(mask(text, url), file=sys.stderr, flush=True)


def links_of(url: StoreUrl, study: str) -> Mapping[str, str]:
    """Finds where MLflow's UI shows a study, as far as its store knows the study.

    Returns:
        What goes behind the server's address, by what is to be seen there: first all trials, under
        "trials", then the finals, the runs of each network together. A study that an earlier
        version has searched has no views, and trials are as the UI shows them on its own.
    """
    import sqlalchemy as sql

    from pipeline.tracking import view

    engine = sql.create_engine(url)
    try:
        with engine.connect() as store:
            if not sql.inspect(store).has_table("experiments"):  # MLflow's server makes it
                return {}
            of_study = _of(sql, "experiments", name=study, lifecycle_stage="active")
            known = store.execute(of_study).scalar()
            of_view = _of(sql, "experiment_tags", experiment_id=known, key=view.TAG)
            has_view = store.execute(of_view).scalar() is not None
            of_finals = _of(
                sql, "experiment_tags", experiment_id=known, key=f"{view.PREFIX}{view.FINALS}"
            )
            has_finals = store.execute(of_finals).scalar() is not None
    finally:
        engine.dispose()
    if known is None:
        return {}
    keys = {"trials": view.KEY if has_view else ""} | (
        {"finals": view.FINALS} if has_finals else {}
    )
    return {what: f"/{view.link(str(known), key)}" for what, key in keys.items()}


def _of(sql: Any, table: str, **wanted: Any) -> Any:
    """Asks for the id of an experiment, of a table of MLflow's in which columns are as wanted."""
    columns = {name: sql.column(name) for name in ("experiment_id", *wanted)}
    rows = sql.table(table, *columns.values())
    return sql.select(rows.c.experiment_id).where(
        *(rows.c[name] == value for name, value in wanted.items())
    )


def _say_where(port: int, links: Mapping[str, str] = MappingProxyType({})) -> None:
    """Prints the addresses, and opens the first where somebody sees a screen."""
    server = f"http://{HOST}:{port}"
    first, *others = links or {"": ""}
    address = f"{server}{links.get(first, '')}"
    print(f"{address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    for name in others:
        print(f"{server}{links[name]} ({name})", file=sys.stderr, flush=True)
    has_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if links and has_screen and sys.stderr.isatty():
        webbrowser.open(address)


def _answers(port: int) -> bool:
    """Whether somebody listens."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends MLflow's server and the one that it started, which share a process group."""
    for asked in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, asked)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_SECONDS_TO_END)


if __name__ == "__main__":
    sys.exit(run_command(main))
