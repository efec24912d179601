"""Machines of a Ray cluster, all on this one, that can be killed like machines.

As root each is a namespace of its own: network, processes, host name and temporary files; whoever
kills its first process kills all of it at once. For others, two addresses on loopback.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
RAY_PORT = 6379
MARK = "PIPELINE_TEST_NODE"  # in the environment of all that runs on a node
SECONDS_TO_START, SECONDS_TO_END = 120.0, 30.0
_QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Node(ABC):
    """A machine: off, until it is started.

    Args:
        number: from 1; the first is Ray's head.
        n_cpus: that Ray has there.
        folder: for its log.
        environment: of all that runs there.

    Attributes:
        address: its own, on the network of all nodes.
    """

    def __init__(
        self, number: int, n_cpus: int, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.number, self.n_cpus, self.address = number, n_cpus, self._address(number)
        self._mark = f"{secrets.token_hex(8)}-{number}"
        self._log = folder / f"node-{number}.log"
        self.environment = {
            **environment,
            MARK: self._mark,
            "RAY_ADDRESS": f"{self._address(1)}:{RAY_PORT}",
        }

    def start(self) -> None:
        """Boots it, and has it join the cluster, or begin one."""
        self._boot()
        head = self.environment["RAY_ADDRESS"]
        where = [f"--address={head}"]
        if self.number == 1:
            where = ["--head", f"--port={RAY_PORT}", "--include-dashboard=false"]
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", *where,
            f"--node-ip-address={self.address}", f"--num-cpus={self.n_cpus}", "--num-gpus=0",
            "--object-store-memory=200000000", "--disable-usage-stats",
        ]  # fmt: skip
        end = time.monotonic() + SECONDS_TO_START
        while True:
            variables = {k: v for k, v in self.environment.items() if k != "RAY_ADDRESS"}
            with self._log.open("ab") as log:
                done = subprocess.run(
                    self._inside(command), cwd="/", env=variables, stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log,
                )  # fmt: skip
            if done.returncode == 0:
                return
            assert time.monotonic() < end, f"node {self.number} does not start, see {self._log}"
            time.sleep(1)

    def popen(
        self, command: list[str], cwd: Path, out: Path, err: Path
    ) -> "subprocess.Popen[bytes]":
        """Starts a program there, which prints to files."""
        with out.open("wb") as stdout, err.open("wb") as stderr:
            return subprocess.Popen(
                self._inside(command), cwd=cwd, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=stderr,
            )  # fmt: skip

    def processes(self, *, of: str = "") -> list[psutil.Process]:
        """Lists what runs there, or those processes whose command line has a text."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_here = process.environ().get(MARK) == self._mark
                if is_here and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return [each for each in found if of in _command(each)]

    @property
    def is_on(self) -> bool:
        """Whether Ray runs there."""
        return bool(self.processes(of="raylet/raylet"))

    @abstractmethod
    def kill(self) -> None:
        """Kills all that runs there at once, and waits until it is gone."""

    @abstractmethod
    def cut(self, seconds: float) -> None:
        """Has nobody hear of it for a while."""

    @staticmethod
    @abstractmethod
    def _address(number: int) -> str: ...

    @abstractmethod
    def _boot(self) -> None: ...

    @abstractmethod
    def _inside(self, command: list[str]) -> list[str]: ...


class LoopbackNode(Node):
    """Processes with an address of their own on loopback."""

    def kill(self) -> None:
        """Kills all that bears its mark."""
        end = time.monotonic() + SECONDS_TO_END
        while left := self.processes():
            assert time.monotonic() < end, f"cannot be killed: {left}"
            # some of Ray's write their names over their environment
            family = {each for process in left for each in _with_descendants(process)}
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=1)

    def cut(self, seconds: float) -> None:
        """Suspends all that runs there, as there is no network of its own."""
        suspended = self.processes()
        for process in suspended:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        time.sleep(seconds)
        for process in suspended:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    @staticmethod
    def _address(number: int) -> str:
        return f"127.0.0.{number + 1}"

    def _boot(self) -> None:
        pass

    def _inside(self, command: list[str]) -> list[str]:
        return command


class NamespacedNode(Node):
    """A machine of its own, as far as what runs there can see; but for the disk."""

    _first: "subprocess.Popen[bytes] | None" = None

    def kill(self) -> None:
        """Kills its first process, with which the kernel ends all others."""
        if self._first:
            for process in psutil.Process(self._first.pid).children():
                process.kill()
            self._first.kill()
            self._first.wait(SECONDS_TO_END)
            self._first = None
        end = time.monotonic() + SECONDS_TO_END
        while left := self.processes():
            assert time.monotonic() < end, f"cannot be killed: {left}"
            time.sleep(0.1)

    def cut(self, seconds: float) -> None:
        """Pulls its network cable."""
        _ip(f"link set {Network.link(self.number)} down")
        time.sleep(seconds)
        _ip(f"link set {Network.link(self.number)} up")

    @staticmethod
    def _address(number: int) -> str:
        return f"{Network.PREFIX}.{number + 1}"

    def _boot(self) -> None:
        self.kill()
        # bash, for it buries the processes whose parents have died
        script = (
            f"hostname node-{self.number}; {_with_own_temporary_files(self.environment)} "
            "mount -t tmpfs -o size=1g tmpfs /dev/shm; "
            "ip link set lo up; while :; do sleep 1000 & wait; done"
        )
        self._first = subprocess.Popen(
            ["ip", "netns", "exec", Network.namespace(self.number), "unshare", "--pid", "--fork",
             "--kill-child", "--mount", "--mount-proc", "--uts", "--ipc", "bash", "-c", script],
            env=self.environment, start_new_session=True, **_QUIET,  # type: ignore[call-overload]
        )  # fmt: skip
        end = time.monotonic() + SECONDS_TO_START
        while not self._is_booted():
            assert time.monotonic() < end, f"node {self.number} does not boot"
            time.sleep(0.05)

    def _is_booted(self) -> bool:
        with contextlib.suppress(psutil.Error, IndexError, OSError):
            target = str(self._pid)
            said = subprocess.run(
                ["nsenter", "--target", target, "--all", "sh", "-c", "hostname; df /tmp"],
                capture_output=True, text=True,
            ).stdout  # fmt: skip
            return said.startswith(f"node-{self.number}\n") and "tmpfs" in said
        return False

    @property
    def _pid(self) -> int:
        """Of its first process, as seen from outside."""
        assert self._first
        return psutil.Process(self._first.pid).children()[0].pid

    def _inside(self, command: list[str]) -> list[str]:
        return ["nsenter", "--target", str(self._pid), "--all", "--wd=.", *command]


def _with_own_temporary_files(environment: Mapping[str, str]) -> str:
    """Says how a shell mounts a `/tmp` of its own, without what this program needs of the old."""
    needed = {REPOSITORY, Path(sys.prefix).resolve(), Path(environment.get("HOME", "/root"))}
    kept = sorted(each for each in needed if each.is_relative_to("/tmp"))
    kept = [each for each in kept if not any(other in each.parents for other in kept)]
    places = {shlex.quote(str(each)): f"/mnt/kept-{i}" for i, each in enumerate(kept)}
    before = [f"mkdir -p {to}; mount --bind {each} {to};" for each, to in places.items()]
    after = [f"mkdir -p {each}; mount --bind {to} {each};" for each, to in places.items()]
    first = "mount -t tmpfs tmpfs /mnt;" if kept else ""
    return " ".join([first, *before, "mount -t tmpfs tmpfs /tmp;", *after])


class Network:
    """A network of this machine and of namespaces, as root; it is there from `with` on."""

    PREFIX = "10.213.77"
    HOST = f"{PREFIX}.1"
    _BRIDGE = "ksp-bridge"

    def __init__(self, n_nodes: int) -> None:
        self._numbers = range(1, n_nodes + 1)

    @staticmethod
    def namespace(number: int) -> str:
        return f"ksp-node-{number}"

    @staticmethod
    def link(number: int) -> str:
        return f"ksp-{number}"

    @staticmethod
    def is_possible() -> bool:
        """Whether this user may make one."""
        needed = ("ip", "unshare", "nsenter")
        if os.geteuid() != 0 or not all(map(shutil.which, needed)):
            return False
        tried = subprocess.run(
            ["unshare", "--net", "--pid", "--fork", "--mount", "--mount-proc", "--uts", "true"],
            **_QUIET,  # type: ignore[call-overload]
        )
        bridge = "ksp-trial"
        made = subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], **_QUIET)  # type: ignore[call-overload]
        subprocess.run(["ip", "link", "delete", bridge], **_QUIET)  # type: ignore[call-overload]
        return bool(tried.returncode == made.returncode == 0)

    def __enter__(self) -> "Network":
        self._remove()
        _ip(f"link add {self._BRIDGE} type bridge")
        _ip(f"address add {self.HOST}/24 dev {self._BRIDGE}")
        _ip(f"link set {self._BRIDGE} up")
        for number in self._numbers:
            name, here = self.namespace(number), self.link(number)
            there = f"{here}-in"
            _ip(f"netns add {name}")
            _ip(f"link add {here} type veth peer name {there}")
            _ip(f"link set {here} master {self._BRIDGE} up")
            _ip(f"link set {there} netns {name}")
            _ip(f"-n {name} address add {NamespacedNode._address(number)}/24 dev {there}")
            _ip(f"-n {name} link set {there} up")
            _ip(f"-n {name} link set lo up")
            _ip(f"-n {name} route add default via {self.HOST}")
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        for number in self._numbers:
            listed = subprocess.run(
                ["ip", "netns", "pids", self.namespace(number)], capture_output=True, text=True
            ).stdout
            for each in listed.split():  # of somebody who was killed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(each), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", self.namespace(number)], **_QUIET)  # type: ignore[call-overload]
            subprocess.run(["ip", "link", "delete", self.link(number)], **_QUIET)  # type: ignore[call-overload]
        subprocess.run(["ip", "link", "delete", self._BRIDGE], **_QUIET)  # type: ignore[call-overload]


@contextlib.contextmanager
def cluster_of(
    n_nodes: int,
    n_cpus: int,
    folder: Path,
    environment: Mapping[str, str],
    *,
    on_loopback: bool = False,
) -> Iterator[tuple[list[Node], str]]:
    """Gives nodes that are off, and the address at which they see this machine; kills them all.

    Args:
        n_nodes: how many.
        n_cpus: of each.
        folder: for their logs.
        environment: of all that runs there.
        on_loopback: whether nodes are mere addresses, though this user may make namespaces.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    variables = {**environment, **token, "RAY_USAGE_STATS_ENABLED": "0"}
    with contextlib.ExitStack() as opened:
        kind: type[Node] = LoopbackNode
        host = "127.0.0.1"
        if not on_loopback and Network.is_possible():
            opened.enter_context(Network(n_nodes))
            kind, host = NamespacedNode, Network.HOST
        nodes = [kind(number, n_cpus, folder, variables) for number in range(1, n_nodes + 1)]
        for node in nodes:
            opened.callback(node.kill)
        yield nodes, host


def _ip(arguments: str) -> None:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {arguments}: {done.stderr}"


def _with_descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
