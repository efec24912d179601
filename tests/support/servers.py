"""Real servers for tests and benchmarks: a private PostgreSQL, and MLflow's own in front of it.

Both listen on a free port of 127.0.0.1, have passwords, and end with whoever started them: at the
end of a `with`, and when that process is killed.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import psutil
import psycopg
import psycopg.sql
from ports import free_port

REPOSITORY = Path(__file__).parents[2]
HOST = "127.0.0.1"
# All that has to be quoted in a URL, and a template's braces.
POSTGRES_PASSWORD = "Of@postgres:/?#[%41]+ &='{é}"
MLFLOW_PASSWORD = "Of@mlflow/?#[%42]+ &='{e}"  # no colon, for HTTP parts it from the user by one
USER = "searcher"
_PROGRAMS = "/usr/lib/postgresql"  # Debian's, which are on nobody's PATH
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses root
_SECONDS_TO_START, _SECONDS_TO_END, _SECONDS_BETWEEN_LOOKS = 90.0, 20.0, 0.05
# What would have a server or its clients mean another one.
_NOT_INHERITED = ("PIPELINE_STORAGE", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME",
                  "MLFLOW_TRACKING_PASSWORD")  # fmt: skip


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs, of the latest version; None if there are none."""
    found = [each.parent for each in Path(_PROGRAMS).glob("*/bin/postgres")]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


class _Server:
    """A server in a temporary folder; it runs from `with` on, and may be stopped and killed."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it on its port, and waits until it answers.

        Raises:
            RuntimeError: it does not.
        """
        assert not self._server
        with self._log.open("ab") as log:
            self._server = self._begin(log)
        end = time.monotonic() + _SECONDS_TO_START
        while self._server.poll() is None and time.monotonic() < end:
            if self._answers():
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        raise RuntimeError(f"{type(self).__name__} has not started:\n{self.said()}")

    @property
    def is_on(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._server is not None

    def stop(self) -> None:
        """Ends it as an administrator does who restarts it: connections are broken off."""
        if self._server:
            self._ask_to_end(self._server)
            self._server.wait(_SECONDS_TO_END)
        self.kill()

    def kill(self) -> None:
        """Kills all its processes, as a lack of memory does."""
        if self._server:
            _kill(self._server)
            self._server = None

    def restart(self) -> None:
        """Stops it, and starts it on the same port."""
        self.stop()
        self.start()

    def said(self) -> str:
        """What it has written to its log."""
        return self._log.read_text(errors="backslashreplace")

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _prepare(self) -> None:
        """Makes what it needs before it is started for the first time."""

    def _begin(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _ask_to_end(self, server: subprocess.Popen[bytes]) -> None:
        raise NotImplementedError


class Postgres(_Server):
    """A PostgreSQL cluster.

    Args:
        is_durable: whether it waits for the disk, as a benchmark would have it; without, it loses
            nothing when its processes are killed, but may when the machine is.
        host: address at which it listens, and from whose network (/24) it is asked.
    """

    def __init__(self, *, is_durable: bool = False, host: str = HOST) -> None:
        super().__init__()
        self._host, self._is_durable = host, is_durable
        self._programs = postgres_programs()
        self._guard: subprocess.Popen[bytes] | None = None

    def _prepare(self) -> None:
        assert self._programs, "PostgreSQL is missing; `make servers` installs it"
        self._own(self._folder)
        self._make_cluster(self._programs)

    def _begin(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        assert self._programs
        options = {
            "listen_addresses": self._host,
            "unix_socket_directories": "",
            "fsync": "on" if self._is_durable else "off",
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [part for each in options.items() for part in ("-c", "=".join(each))]
        server = subprocess.Popen(
            ["setpriv", *self._as_unprivileged(), *command], cwd=self._folder,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        self._guard = _guard(server)
        return server

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self._connect().close()
            return True
        return False

    def _ask_to_end(self, server: subprocess.Popen[bytes]) -> None:
        server.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kills all its processes, and who would."""
        if self._guard:
            _kill(self._guard)
            self._guard = None
        super().kill()

    def break_off(self) -> None:
        """Ends all connections, as an administrator may, or a firewall."""
        with self._connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    def create_database(self, name: str) -> str:
        """Creates a database, and returns its URL for SQLAlchemy, with the password."""
        with self._connect() as connection:
            connection.autocommit = True
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(
                psycopg.sql.Identifier(name)
            ))  # fmt: skip
        return self.url(name)

    def url(self, database: str) -> str:
        """The URL of a database for SQLAlchemy, with the password."""
        password = quote(POSTGRES_PASSWORD, safe="")
        return f"postgresql+psycopg://{USER}:{password}@{self._host}:{self.port}/{database}"

    def dump(self) -> str:
        """All that is in all databases, as SQL."""
        assert self._programs
        command = [str(self._programs / "pg_dumpall"), "--no-role-passwords", "--host", self._host]
        command += ["--port", str(self.port), "--username", USER]
        variables = {**os.environ, "PGPASSWORD": POSTGRES_PASSWORD}
        return subprocess.check_output(command, env=variables, text=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=self._host, port=self.port, user=USER, password=POSTGRES_PASSWORD,
            dbname="postgres", connect_timeout=5,
        )  # fmt: skip

    def _make_cluster(self, programs: Path) -> None:
        password = self._folder / "password"
        password.write_text(POSTGRES_PASSWORD)
        self._own(password)
        command = [str(programs / "initdb"), "--pgdata", str(self._data), "--username", USER]
        command += ["--pwfile", str(password), "--auth", "scram-sha-256", "--no-sync"]
        command += ["--encoding", "UTF8", "--locale", "C"]
        made = subprocess.run(
            ["setpriv", *self._as_unprivileged(), *command],
            cwd=self._folder, capture_output=True, text=True,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {self._host}/24 scram-sha-256\n")

    def _as_unprivileged(self) -> list[str]:
        if os.geteuid() != 0:
            return ["--"]
        user = pwd.getpwnam(_UNPRIVILEGED)
        return [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(path, user.pw_uid, user.pw_gid)


class MlflowServer(_Server):
    """MLflow's tracking server with one worker, through which artifacts go, too.

    Args:
        store: URL of the database behind it.
        has_accounts: whether it asks for user and password (MLflow's basic auth).
        host: address at which it listens.
    """

    def __init__(self, store: str, *, has_accounts: bool = False, host: str = HOST) -> None:
        super().__init__()
        self._host, self._store, self._has_accounts = host, store, has_accounts

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"http://{self._host}:{self.port}"

    @property
    def url_with_password(self) -> str:
        """Its address with both in it."""
        return f"http://{USER}:{quote(MLFLOW_PASSWORD, safe='')}@{self._host}:{self.port}"

    @property
    def account(self) -> Mapping[str, str]:
        """What a client's environment has to name; nothing if there are no accounts."""
        if not self._has_accounts:
            return {}
        return {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": MLFLOW_PASSWORD}

    @property
    def artifacts(self) -> Path:
        """Where the server keeps them; its clients know nothing of it."""
        return self._folder / "artifacts"

    def _begin(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipeline.tied", "mlflow", "server", "--host", self._host]
        command += ["--port", str(self.port), "--workers", "1", "--serve-artifacts"]
        command += ["--artifacts-destination", str(self.artifacts)]
        if self._host != HOST:
            command += ["--allowed-hosts", f"{self._host}:{self.port}"]
        if self._has_accounts:
            command += ["--app-name", "basic-auth"]
        return subprocess.Popen(
            command, cwd=self._folder, env=self._environment(), start_new_session=True,
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health"):
            return True
        return False

    def _ask_to_end(self, server: subprocess.Popen[bytes]) -> None:
        os.killpg(server.pid, signal.SIGTERM)

    def _environment(self) -> dict[str, str]:
        variables = {
            **{key: each for key, each in os.environ.items() if key not in _NOT_INHERITED},
            "PYTHONPATH": str(REPOSITORY),  # of `pipeline.tied`
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_BACKEND_STORE_URI": self._store,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        if not self._has_accounts:
            return variables
        settings = self._folder / "accounts.ini"
        settings.write_text(  # passwords are looked up once, not for half a second each request
            "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///accounts.db\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 3600\n"
        )
        return {
            **variables,
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": MLFLOW_PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of no use to anybody",
        }


def _guard(server: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Has a server end when this process does: then nobody holds the other end of a pipe.

    SIGQUIT has PostgreSQL end all its processes at once.
    """
    wait = ["sh", "-c", 'read -r _; kill -QUIT "$0"', str(server.pid)]
    return subprocess.Popen(
        wait, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _kill(server: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it has started, and waits until they are gone."""
    processes: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(server.pid)
        first.suspend()  # so that it starts no other meanwhile
        processes = [first, *first.children(recursive=True)]
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    server.wait(_SECONDS_TO_END)
    if server.stdin:
        server.stdin.close()
    psutil.wait_procs(processes, _SECONDS_TO_END)
