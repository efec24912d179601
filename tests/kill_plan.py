"""A search on a Ray cluster, PostgreSQL and MLflow's server, of which anything may be killed.

    python tests/kill_plan.py [--plan PLAN] [--blows 12] [--seed N] [--loopback]

A plan is a list of blows, each so many trials or seconds after the one before:

    "2 trials: kill node 2; 5 s: start node 2; 1 trial: restart mlflow 3 s"

Blows: `kill node N` (all that runs there, at once), `start node N`, `cut node N [N s]` (off the
network, so long), `search on node N` (goes on there), `kill supervisor`, `interrupt supervisor`,
`suspend supervisor` (another may begin elsewhere), `resume supervisor` (which goes on, or ends if
another has begun), `kill worker`, `kill agent`, `kill bridge`, `restart mlflow [N s]`, `restart
postgres [N s]` (killed, and away so long), and `kill` and `start` of both. Without a plan, blows
are drawn. In the end all nodes are on and somebody searches until the study is complete; then the
stores are read by SQL and HTTP alone, for what is tested here is not trusted.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "support")]

import psutil  # noqa: E402
import psycopg  # noqa: E402
from nodes import Node, cluster_of  # noqa: E402
from servers import MLFLOW_PASSWORD, POSTGRES_PASSWORD, MlflowServer, Postgres  # noqa: E402
from torture import Trial  # noqa: E402

# Of finals two networks twice each; the default sampler pauses trials at epochs 2 and 6.
NAME, N_TRIALS, N_FINALS = "killed", 10, 4
STUDY = f"""
goal = "Survive on a cluster."
dataset = "fashion_mnist"

[budget]
trials = {N_TRIALS + N_FINALS}

[finals]
share = {N_FINALS / (N_TRIALS + N_FINALS)}
networks = 2
seeds = 3

[training]
retries = 1000                  # a worker that was killed is tried again, however often that is
trial_minutes = 5

[fixed]
optimizer = "adam"
batch_size = 128
epochs = 9

[space]
hidden_layers = {{ type = "int", low = 1, high = 2 }}
units = {{ type = "int", low = 16, high = 64, per = "hidden_layers" }}
learning_rate = {{ type = "float", low = 1e-3, high = 1e-1, log = true }}
"""
# What CI does: one of each kind.
SHORT_PLAN = (
    "2 trials: kill node 2; 4 s: start node 2; 1 trial: restart mlflow 3 s; 3 s: kill worker; "
    "1 trial: restart postgres 3 s; 2 trials: kill supervisor; 0 s: search on node 2; "
    "2 trials: kill agent; 5 s: kill bridge"
)
BLOWS = (
    r"kill node (\d+)", r"start node (\d+)", r"search on node (\d+)",
    r"(?:kill|interrupt|suspend|resume) supervisor", r"kill (?:worker|agent|bridge)",
    r"cut node \d+(?: (\d+(?:\.\d+)?) s)?",
    r"restart (?:mlflow|postgres)(?: (\d+(?:\.\d+)?) s)?", r"(?:kill|start) (?:mlflow|postgres)",
)  # fmt: skip
DEADLINE_SECONDS = 900.0  # for a search to come to the next blow, or to its end
N_NODES = 2
ENDED = re.compile(r"^(?:complete|pruned|fail|killed) +trial \d+", re.M)


@dataclass(frozen=True)
class Blow:
    """What is done, and when.

    Attributes:
        n_trials: that have ended since the blow before.
        seconds: that have passed since then, or since these trials ended.
        what: is done: one of `BLOWS`.
    """

    n_trials: int
    seconds: float
    what: str

    @classmethod
    def parse(cls, text: str) -> "Blow":
        """Reads one as it is written in a plan."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?) (trials?|s): (.+?)\s*", text)
        if not found or not any(re.fullmatch(pattern, found[3]) for pattern in BLOWS):
            raise ValueError(f"found {text.strip()!r}, allowed is such as '2 trials: kill node 2'")
        is_seconds = found[2] == "s"
        n_trials = 0 if is_seconds else int(found[1])
        return cls(n_trials, float(found[1]) if is_seconds else 0.0, found[3])

    def __str__(self) -> str:
        """As it is written in a plan."""
        when = f"{self.n_trials} trials" if self.n_trials else f"{self.seconds:g} s"
        return f"{when}: {self.what}"


def random_plan(rng: random.Random, n: int) -> list[Blow]:
    """Draws a plan in which what was killed comes back, sooner or later."""
    plan: list[Blow] = []

    def add(what: str, soon: bool = False) -> None:
        if soon or rng.random() < 0.5:
            plan.append(Blow(0, round(rng.uniform(0, 8), 1), what))
        else:
            plan.append(Blow(rng.choice((1, 1, 2)), 0.0, what))

    for _ in range(n):
        what = rng.choice(
            (
                "node",
                "node",
                "supervisor",
                "supervisor",
                "mlflow",
                "postgres",
                "worker",
                "agent",
                "bridge",
                "interrupt",
            )
        )
        node = rng.randint(1, N_NODES)
        if what == "node":
            add(f"kill node {node}")
            add(f"start node {node}", soon=True)
            add(f"search on node {rng.randint(1, N_NODES)}", soon=True)
        elif what in ("supervisor", "interrupt"):
            add(f"{'kill' if what == 'supervisor' else what} supervisor")
            add(f"search on node {node}", soon=True)
        elif what in ("mlflow", "postgres"):
            add(f"restart {what} {rng.uniform(0, 12):.1f} s")
        else:
            add(f"kill {what}")
    return plan


class Cluster:
    """Nodes, servers, and a search that goes on on one of the nodes.

    Args:
        folder: becomes full of logs and of a project for each node.
        say: told of everything.
        on_loopback: whether nodes are mere addresses, though this user may make namespaces.
    """

    def __init__(
        self, folder: Path, say: Callable[[str], None], *, on_loopback: bool = False
    ) -> None:
        self.folder, self._say, self._on_loopback = folder, say, on_loopback
        self._opened = contextlib.ExitStack()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._at: Node | None = None
        self._n_lives, self._n_seen = 0, 0
        self._is_expected = False  # the end of the supervisor
        self._suspended: tuple[subprocess.Popen[bytes], Node, Path] | None = None

    def __enter__(self) -> "Cluster":
        try:
            return self._open()
        except BaseException:
            self._opened.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _open(self) -> "Cluster":
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_"))}
        variables |= {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "80"}
        nodes, host = self._opened.enter_context(
            cluster_of(N_NODES, 1, self.folder, variables, on_loopback=self._on_loopback)
        )
        self.nodes = {node.number: node for node in nodes}
        self.postgres = self._opened.enter_context(Postgres(host=host))
        store = self.postgres.create_database("optuna")
        self.mlflow = self._opened.enter_context(
            MlflowServer(self.postgres.create_database("mlflow"), host=host)
        )
        for node in nodes:
            node.environment |= {
                "PIPELINE_STORAGE": store,
                "MLFLOW_TRACKING_URI": self.mlflow.url,
            }
            project = self.project(node)
            (project / "studies").mkdir(parents=True)
            (project / "studies" / f"{NAME}.toml").write_text(STUDY)
            node.start()
        self._say(f"{N_NODES} nodes ({type(nodes[0]).__name__}), PostgreSQL, MLflow at {host}")
        return self

    def project(self, node: Node) -> Path:
        """The folder in which a node's searches run: no other has it."""
        return self.folder / f"project-{node.number}"

    # The search

    def search(self, number: int = 1) -> None:
        """Searches on a node, unless somebody does; the nodes are on by then."""
        if self._is_searching:
            return
        self._n_lives += 1
        self._at = node = self.nodes[number]
        if not node.is_on:
            self.start_node(number)
        command = [sys.executable, "-m", "pipeline.search", NAME, "--engine", "ray"]
        self._supervisor = node.popen(command, self.project(node), self._out, self._err)
        self._n_seen, self._is_expected = 0, False
        self._say(f"life {self._n_lives}: a search on node {number}")

    @property
    def _out(self) -> Path:
        return self.folder / f"life-{self._n_lives}.out"

    @property
    def _err(self) -> Path:
        return self.folder / f"life-{self._n_lives}.err"

    @property
    def _is_searching(self) -> bool:
        """Whether a supervisor lives.

        Raises:
            AssertionError: it has ended by itself otherwise than it should.
        """
        if self._supervisor is None:
            return False
        code = self._supervisor.poll()
        if code is None:
            return True
        said = self._err.read_text()
        assert "Traceback" not in said, f"a traceback: {said[-3000:]}"
        if code == 0:
            self.is_complete = True
        elif not self._is_expected:
            assert code == 1, f"exit code {code}: {said[-3000:]}"
            self._say(f"life {self._n_lives} has ended: {said.strip().splitlines()[-1]}")
        self._supervisor = None
        return False

    is_complete = False

    def wait_for(self, blow: Blow) -> None:
        """Waits for the moment of a blow; somebody searches meanwhile, unless all is done."""
        end = time.monotonic() + DEADLINE_SECONDS
        n = self._n_ended()
        while self._is_searching and self._n_ended() < n + blow.n_trials:
            assert time.monotonic() < end, f"nothing happens, see {self._err}"
            time.sleep(0.1)
        time.sleep(blow.seconds)

    def _n_ended(self) -> int:
        """Counts trials that have ended in this life."""
        return len(ENDED.findall(self._err.read_text())) if self._n_lives else 0

    # Blows

    def strike(self, blow: Blow) -> None:
        """Does what a blow says."""
        self._say(str(blow))
        number = re.search(r"(\d+(?:\.\d+)?)", blow.what)
        if blow.what.startswith("kill node"):
            self.kill_node(int(number[1]))  # type: ignore[index]
        elif blow.what.startswith("start node"):
            self.start_node(int(number[1]))  # type: ignore[index]
        elif blow.what.startswith("search on"):
            self.search(int(number[1]))  # type: ignore[index]
        elif blow.what.startswith("cut node"):
            _, _, node, *seconds = blow.what.removesuffix(" s").split()
            self.nodes[int(node)].cut(float(seconds[0]) if seconds else 0.0)
        elif blow.what == "suspend supervisor":
            self._suspend()
        elif blow.what == "resume supervisor":
            self._resume()
        elif blow.what.endswith(("mlflow", "postgres", " s")):
            server = self.mlflow if "mlflow" in blow.what else self.postgres
            if not blow.what.startswith("start"):
                server.kill()
            time.sleep(float(number[1]) if number else 0.0)
            if not blow.what.startswith("kill") and not server.is_on:
                server.start()
        elif blow.what.endswith("supervisor"):
            self._end_supervisor(is_kill=blow.what.startswith("kill"))
        else:
            self._kill_one(blow.what.removeprefix("kill "))

    def kill_node(self, number: int) -> None:
        """Kills a node, and whoever searches there."""
        if self._at and self._at.number == number:
            self._is_expected = True
        self.nodes[number].kill()

    def start_node(self, number: int) -> None:
        """Starts a node; where it is Ray's head, the others begin anew, as theirs is gone."""
        if self.nodes[number].is_on:
            return
        self.nodes[number].start()
        for node in self.nodes.values():
            if number == 1 and node.number != 1:
                searching = self._at is node and self._is_searching
                self._is_expected |= searching
                node.kill()
                node.start()

    def _end_supervisor(self, *, is_kill: bool) -> None:
        if not self._is_searching or not self._at:
            return
        self._is_expected = True
        for process in self._at.processes(of="pipeline.search"):
            if "spawn_main" not in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL if is_kill else signal.SIGINT)
        assert self._supervisor
        self._supervisor.wait(DEADLINE_SECONDS)

    def _suspend(self) -> None:
        """Stops a supervisor in the middle of whatever it does; another may begin elsewhere."""
        if self._is_searching and self._at and not self._suspended:
            for process in self._at.processes(of="pipeline.search"):
                process.suspend()
            assert self._supervisor
            self._suspended, self._supervisor = (self._supervisor, self._at, self._err), None

    def _resume(self) -> None:
        """Has it go on; if another has the study by now, it ends, says so, and writes nothing."""
        if not self._suspended:
            return
        (process, node, said), self._suspended = self._suspended, None
        for each in node.processes(of="pipeline.search"):
            each.resume()
        end = time.monotonic() + DEADLINE_SECONDS
        while process.poll() is None and self._is_searching:  # one of them sees that it is late
            assert time.monotonic() < end, f"two search, see {said} and {self._err}"
            time.sleep(0.1)
        if process.poll() is None:
            self._supervisor, self._at, self._is_expected = process, node, True
            return
        assert "Traceback" not in said.read_text(), said
        assert process.returncode in (0, 1, -signal.SIGKILL), said.read_text()[-3000:]
        self.is_complete |= process.returncode == 0

    def _kill_one(self, what: str) -> None:
        nodes = list(self.nodes.values())
        found: list[psutil.Process] = []
        for node in nodes:
            if what == "bridge":
                bridges = node.processes(of="multiprocessing.spawn")
                found += [each for each in bridges if "spawn_main" in " ".join(each.cmdline())]
            elif what == "agent":
                found += node.processes(of="ray::Agent")
            else:
                servers = {each.pid for each in node.processes(of="multiprocessing.forkserver")}
                forks = node.processes(of="multiprocessing.forkserver")
                found += [each for each in forks if each.ppid() in servers]
        for process in found[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def finish(self) -> None:
        """Turns all nodes on, and searches until the study is complete."""
        self._resume()
        for number in self.nodes:
            self.start_node(number)
        for server in (self.postgres, self.mlflow):
            if not server.is_on:
                server.start()
        end = time.monotonic() + DEADLINE_SECONDS
        while not self.is_complete:
            assert time.monotonic() < end, f"it does not end, see {self._err}"
            self.search(1)
            while self._is_searching:
                assert time.monotonic() < end, f"it does not end, see {self._err}"
                time.sleep(0.2)

    # What must be so in the end

    def look(self) -> None:
        """Everything is there once, and nothing else is.

        Raises:
            AssertionError: something is not as it must be.
        """
        trials = list(self._trials().values())
        counted = [trial for trial in trials if trial.counts]
        assert {trial.state for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}, trials
        assert {trial.state for trial in counted} <= {"COMPLETE", "PRUNED"}, counted
        assert len(counted) == N_TRIALS + N_FINALS, f"{len(counted)} trials count"
        finals = [t for t in counted if t.attributes.get("final_of") is not None]
        assert len(finals) == N_FINALS, f"{len(finals)} finals"
        twice = {key: n for key, n in Counter(t.identity for t in counted).items() if n > 1}
        assert not twice, f"finished twice: {twice}"
        done = {trial.identity for trial in counted}
        for trial in trials:
            is_again = trial.identity in done or "hyperparameters" not in trial.attributes
            assert is_again, f"was not run again: {trial}"
        self._look_at_runs(counted)
        self._look_for_processes()
        self._look_for_passwords()
        node = self._at or self.nodes[1]
        for command, wanted in (("doctor", "all in order"), ("best", f"study {NAME}: ")):
            out, err = self.folder / f"{command}.out", self.folder / f"{command}.err"
            run = [sys.executable, "-m", f"pipeline.{command}", NAME]
            code = node.popen(run, self.project(node), out, err).wait()
            said = out.read_text()
            assert code == 0, f"{command}: {said} {err.read_text()}"
            assert wanted in said, f"{command}: {said} {err.read_text()}"

    def _ask(self, database: str, query: str) -> list[tuple[Any, ...]]:
        url = self.postgres.url(database).replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            return connection.execute(query).fetchall()

    def _trials(self) -> dict[int, Trial]:
        attributes: dict[int, dict[str, Any]] = defaultdict(dict)
        query = "SELECT trial_id, key, value_json FROM trial_user_attributes"
        for trial, key, value in self._ask("optuna", query):
            attributes[trial][key] = json.loads(value)
        late: dict[str, str] = {}  # MLflow had not answered when these trials began
        query = "SELECT value_json FROM study_user_attributes WHERE key = 'late_runs'"
        for (value,) in self._ask("optuna", query):
            late = json.loads(value)
        values = dict(self._ask("optuna", "SELECT trial_id, value FROM trial_values"))
        found = {}
        for trial, number, state in self._ask(
            "optuna", "SELECT trial_id, number, state FROM trials"
        ):
            if run := late.get(str(number)):
                attributes[trial]["run_id"] = run
            found[number] = Trial(number, state, values.get(trial), attributes[trial])
        return found

    def _look_at_runs(self, counted: list[Trial]) -> None:
        runs = {
            run: (status, uri)
            for run, status, uri in self._ask(
                "mlflow",
                "SELECT run_uuid, status, artifact_uri FROM runs WHERE lifecycle_stage = 'active'",
            )
        }
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        for run, key, value in self._ask("mlflow", "SELECT run_uuid, key, value FROM tags"):
            tags[run][key] = value
        curves: dict[tuple[str, str], dict[int, set[float]]] = defaultdict(dict)
        query = "SELECT run_uuid, key, step, value FROM metrics"
        for run, key, step, value in self._ask("mlflow", query):
            curves[run, key].setdefault(step, set()).add(value)
        open_runs = [
            tags[run] for run, (status, _) in runs.items() if status in ("RUNNING", "SCHEDULED")
        ]
        assert not open_runs, f"runs that have not ended: {open_runs}"
        own = [runs[run][0] for run in runs if tags[run].get("role") == "study"]
        assert own == ["FINISHED"], f"the study's own run: {own}"
        for trial in counted:
            of_it = [run for run in runs if tags[run].get("trial") == str(trial.number)]
            assert of_it == [trial.attributes.get("run_id")], f"runs {of_it} of {trial}"
            (run,) = of_it
            assert (runs[run][0], tags[run]["state"]) == ("FINISHED", trial.state), trial
            for name, values in trial.attributes["history"].items():
                if name == "seconds":  # of an epoch that was trained twice, twice
                    assert curves[run, name].keys() == set(range(1, len(values) + 1)), trial
                    continue
                wanted = {step: {value} for step, value in enumerate(values, 1)}
                assert curves[run, name] == wanted, f"{name}: {curves[run, name]}, {trial}"
        query = "SELECT value_json FROM study_user_attributes WHERE key = 'finals'"
        won = json.loads(self._ask("optuna", query)[0][0])["champion"]  # number of the network
        runs_of_it = [t for t in counted if won in (t.number, t.attributes.get("final_of"))]
        champion = max(runs_of_it, key=lambda trial: (trial.best, -trial.number))
        aliases = self._ask(
            "mlflow",
            "SELECT v.run_id FROM registered_model_aliases AS a JOIN model_versions AS v "
            f"ON v.name = a.name AND v.version = a.version WHERE a.name = '{NAME}' "
            "AND a.alias = 'champion'",
        )
        assert aliases == [(champion.attributes["run_id"],)], f"{aliases}, {champion}"

    def _look_for_processes(self) -> None:
        """Of searches none is left; Ray may keep idle workers of its own."""
        end = time.monotonic() + 60
        words = ("pipeline.search", "forkserver", "ray::Agent", "spawn_main")
        while left := [p for node in self.nodes.values() for word in words
                       for p in node.processes(of=word)]:  # fmt: skip
            assert time.monotonic() < end, f"still there: {left}"
            time.sleep(0.2)
        for node in self.nodes.values():
            zombies = [
                process for process in psutil.process_iter() if _is_zombie_of(process, node)
            ]
            assert not zombies, f"zombies on node {node.number}: {zombies}"

    def _look_for_passwords(self) -> None:
        secrets = (POSTGRES_PASSWORD, MLFLOW_PASSWORD)
        for file in self.folder.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert not any(each.encode() in content for each in secrets), f"password in {file}"
        dumped = self.postgres.dump()
        assert not any(each in dumped for each in secrets), "a password in PostgreSQL"


def _is_zombie_of(process: psutil.Process, node: Node) -> bool:
    with contextlib.suppress(psutil.Error):
        if process.status() == psutil.STATUS_ZOMBIE and process.ppid() > 1:
            return process.parent() in node.processes()
    return False


def carry_out(
    plan: list[Blow],
    folder: Path,
    say: Callable[[str], None] = print,
    *,
    on_loopback: bool = False,
) -> None:
    """Carries out a plan, has the study be completed, and looks at what came of it.

    Args:
        plan: what is done.
        folder: empty.
        say: told of everything.
        on_loopback: as in `Cluster`.

    Raises:
        AssertionError: something is not as it must be.
    """
    with Cluster(folder, say, on_loopback=on_loopback) as cluster:
        cluster.search()
        for blow in plan:
            cluster.wait_for(blow)
            cluster.strike(blow)
        cluster.finish()
        cluster.look()
    say(f"{len(plan)} blows in {cluster._n_lives} lives, and nothing was lost")


def main() -> int:
    """Carries out one plan."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--plan", help="blows, with ; between them")
    parser.add_argument("--blows", type=int, help="so many blows, drawn")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--loopback", action="store_true", help="no namespaces")
    arguments = parser.parse_args()
    if arguments.blows:
        print(f"--blows {arguments.blows} --seed {arguments.seed}", flush=True)
        plan = random_plan(random.Random(arguments.seed), arguments.blows)
    else:
        plan = [Blow.parse(each) for each in (arguments.plan or SHORT_PLAN).split(";")]
    folder = Path(tempfile.mkdtemp(prefix="kill-plan-", dir="/var/tmp"))
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clears up

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True)

    try:
        carry_out(plan, folder, say, on_loopback=arguments.loopback)
    except AssertionError as error:
        print(f"failed, see {folder}: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
