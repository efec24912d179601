"""Kills small real searches at random moments and looks at what they leave behind.

    python tests/torture.py [--kills 100] [--seed N]

Each search is a project of its own, in which `python -m pipeline.search` lives until something
of it is killed, and then lives again, until it is complete. After every life, and more closely
after the last, the stores are read with SQLite alone: what is tested here is not trusted.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import psutil

REPOSITORY = Path(__file__).parent.parent
# Of finals two networks twice each, and the reference, of which there is a second run, once.
NAME, N_TRIALS, N_FINALS = "torture", 10, 2 * 2 + 1
STUDY = f"""
goal = "Survive."
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

[sampler]
type = "TPESampler"
n_startup_trials = 4
seed = 1

[pruner]
type = "SuccessiveHalvingPruner"
min_resource = 1
reduction_factor = 2

[fixed]
optimizer = "adam"
batch_size = 256
epochs = 3

[space]
hidden_layers = {{ type = "int", low = 1, high = 2 }}
units = {{ type = "int", low = 4, high = 16, per = "hidden_layers" }}
learning_rate = {{ type = "float", low = 1e-3, high = 1e-1, log = true }}

[[reference]]
name = "eight units"
repeats = 2
hyperparameters = {{ hidden_layers = 1, units = 8, optimizer = "adam", learning_rate = 0.001, batch_size = 256, epochs = 2 }}
"""  # noqa: E501
LEFT_IN_THE_END = {
    "artifacts", "mlflow.db", "optuna.db", f"{NAME}.lock", f"{NAME}.workers.log"
}  # fmt: skip
RESULT = "champion: trial"  # on stdout when all is done
DEADLINE_SECONDS = 120.0  # for what should take seconds, on a machine that is busy
LIFE_SECONDS = 600.0
MAX_LIVES = 12  # of a project with kills; then it may live to its end

# What a life has come to, by a line on stderr; and how long it may go on from there, in seconds.
MILESTONES = {
    "start": "",
    "opened": r"^study torture: workers are importing",
    "trials": r"^(complete|pruned|again) ",
    "publishing": r"^registering the champion",
}
LENGTHS = {"start": 8.0, "opened": 8.0, "trials": 10.0, "publishing": 6.0}


@dataclass(frozen=True)
class Blow:
    """What is killed, by what signal, and when.

    Attributes:
        target: "worker", "forkserver", "supervisor", or "all" for the whole process group.
        signal: SIGKILL, SIGTERM or SIGINT; workers and their server leave SIGINT to others.
        milestone: one of `MILESTONES`.
        seconds: so long after the milestone, or when its target is there.
    """

    target: str
    signal: signal.Signals
    milestone: str
    seconds: float

    @property
    def ends_the_life(self) -> bool:
        """Whether the supervisor is hit."""
        return self.target in ("supervisor", "all")

    def __str__(self) -> str:
        """In a line."""
        return f"{self.signal.name} to {self.target}, {self.seconds:.2f} s after {self.milestone}"


Life = Sequence[Blow]


def random_lives(rng: random.Random) -> Iterator[Life]:
    """For ever: some workers and now and then their server, and mostly the supervisor as well."""
    deadly = (signal.SIGKILL, signal.SIGTERM)
    while True:
        blows = [
            Blow("worker", rng.choice(deadly), "trials", rng.uniform(0, LENGTHS["trials"]))
            for _ in range(rng.choice((0, 1, 2, 3)))
        ]
        if rng.random() < 0.1:
            blows.append(Blow("worker", rng.choice(deadly), "publishing", rng.uniform(0, 6)))
        if rng.random() < 0.25:
            milestone = rng.choice(("start", "opened", "trials"))
            seconds = rng.uniform(0, LENGTHS[milestone])
            blows.append(Blow("forkserver", rng.choice(deadly), milestone, seconds))
        (milestone,) = rng.choices(list(MILESTONES), weights=(20, 15, 40, 25))
        blows.append(
            Blow(
                rng.choice(("supervisor", "all")),
                rng.choice((*deadly, signal.SIGINT)),
                milestone,
                rng.uniform(0, LENGTHS[milestone]),
            )
        )
        order = list(MILESTONES)
        yield sorted(blows, key=lambda blow: (order.index(blow.milestone), blow.seconds))


def torture(
    folder: Path, lives: Iterator[Life], n_kills: int, say: Callable[[str], None] = print
) -> int:
    """Kills so often, or as long as there are lives, and returns how often.

    Args:
        folder: becomes full of projects.
        lives: what is to happen in each life. A project whose last life has ended may live on.
        n_kills: at most.
        say: told of every kill and every life.

    Raises:
        AssertionError: something is not as it must be; the text says what, and where it lies.
    """
    n, n_projects, champions = 0, 0, list[tuple[str, float]]()
    is_over = False
    while n < n_kills and not is_over:
        n_projects += 1
        search = Search(folder / str(n_projects))
        while not search.is_complete:
            blows: Life = ()
            if n < n_kills and search.n_lives < MAX_LIVES:
                blows = next(lives, ())
                is_over = not blows
            for blow in search.live(blows[: n_kills - n]):
                n += 1
                say(f"kill {n}/{n_kills}: project {n_projects}, life {search.n_lives}: {blow}")
            say(
                f"project {n_projects}, life {search.n_lives}: "
                f"{'complete' if search.is_complete else 'ended'}, "
                f"{len(search.known)} of {N_TRIALS + N_FINALS} trials finished"
            )
        champions += search.look_at_the_end()
    check_champions(champions)
    say(f"{n} kills in {n_projects} projects, and nothing was lost")
    return n


class Search:
    """A small study in a project of its own, killed and begun again until it is complete."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs_dir = folder, folder / "mlruns"
        self.is_complete = False
        self.n_lives = 0
        self.known: dict[int, Trial] = {}  # that were finished after some life
        self._sessions: list[int] = []
        self._temporary = folder / "tmp"
        (folder / "studies").mkdir(parents=True)
        self._temporary.mkdir()
        (folder / "studies" / f"{NAME}.toml").write_text(STUDY)

    def live(self, blows: Life) -> Iterator[Blow]:
        """Searches until it is killed or done, and looks at the stores; yields what hit it."""
        self.n_lives += 1
        log = self.folder / f"life-{self.n_lives}"
        with log.with_suffix(".out").open("w") as out, log.with_suffix(".err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.search", NAME, "--workers", "2"],
                cwd=self.folder,
                env=environment(TMPDIR=str(self._temporary)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._sessions.append(process.pid)
        moments = _Moments(process, log, self.runs_dir / f"{NAME}.lock.json")
        hits: list[_Hit] = []
        try:
            for blow in blows:
                if hit := moments.strike(blow):
                    hits.append(hit)
                    yield blow
                if hit and blow.ends_the_life:
                    break
            process.wait(DEADLINE_SECONDS if _last_blow(hits) else LIFE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {moments.story(hits)}") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        moments.judge(hits)
        self.is_complete = process.returncode == 0 and not _last_blow(hits)
        self._look_at_the_stores()

    def _look_at_the_stores(self) -> None:
        """Both are whole, and every trial that was finished before still is, as it was."""
        trials = trials_in(self.runs_dir / "optuna.db")
        with reading(self.runs_dir / "mlflow.db"):
            pass
        for number, before in self.known.items():
            after = trials.get(number)
            is_kept = after is not None and after.result == before.result
            assert is_kept, f"{self.folder}: trial {number} was {before}, and is {after}"
        self.known = {number: trial for number, trial in trials.items() if trial.counts}

    def look_at_the_end(self) -> list[tuple[str, float]]:
        """Everything is there once, and nothing else is; returns model files of the champion.

        Returns:
            Paths, each with the validation accuracy that the model must have.
        """
        place, trials = str(self.folder), list(trials_in(self.runs_dir / "optuna.db").values())
        counted = [trial for trial in trials if trial.counts]
        assert {trial.state for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}, place
        assert {trial.state for trial in counted} <= {"COMPLETE", "PRUNED"}, place
        assert len(counted) == N_TRIALS + N_FINALS, f"{place}: {len(counted)} trials count"
        finals = [t for t in counted if t.attributes.get("final_of") is not None]
        assert len(finals) == N_FINALS, f"{place}: {len(finals)} finals"
        twice = {key: n for key, n in Counter(t.identity for t in counted).items() if n > 1}
        assert not twice, f"{place}: finished twice: {twice}"
        done = {trial.identity for trial in counted}
        for trial in trials:  # one without hyperparameters had not begun
            is_again = trial.identity in done or "hyperparameters" not in trial.attributes
            assert is_again, f"{place}: was not run again: {trial}"
        complete = [trial for trial in counted if trial.state == "COMPLETE"]
        for trial in complete:
            is_best = trial.value == max(trial.attributes["history"]["val_accuracy"])
            assert is_best, f"{place}: {trial}"
        uris = check_runs(self.runs_dir / "mlflow.db", NAME, counted)
        # whatever ended it: a pruned trial's best epoch counts too
        champion = max(counted, key=lambda trial: (trial.best, -trial.number))
        registered = self._registered_model(champion)
        self._look_for_what_is_left()
        own = path_of(uris[champion.number]) / "model.keras"
        return [(str(own), champion.best), (str(registered), champion.best)]

    def _registered_model(self, champion: "Trial") -> Path:
        with reading(self.runs_dir / "mlflow.db") as ask:
            aliases = ask(
                "SELECT v.run_id, v.storage_location FROM {} AS a JOIN model_versions AS v "
                f"ON v.name = a.name AND v.version = a.version WHERE a.name = '{NAME}' "
                "AND a.alias = 'champion'",
                "registered_model_aliases",
            )
        assert len(aliases) == 1, f"{self.folder}: {aliases}"
        run, location = aliases[0]
        is_right = run == champion.attributes["run_id"]
        assert is_right, f"{self.folder}: {run} is registered, not {champion}"
        return path_of(location) / "data" / "model.keras"

    def _look_for_what_is_left(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while processes := self._processes():
            assert time.monotonic() < deadline, f"{self.folder}: still there: {processes}"
            time.sleep(0.1)
        left = {path.name for path in self.runs_dir.iterdir()}
        assert left == LEFT_IN_THE_END, f"{self.folder}: {left ^ LEFT_IN_THE_END}"
        scratch = sorted(str(path) for path in self._temporary.rglob("*"))
        assert not scratch, f"{self.folder}: left in the folder for temporary files: {scratch}"

    def _processes(self) -> list[str]:
        """Processes of any life of this project, by session, current folder and environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                is_ours = process.status() != psutil.STATUS_ZOMBIE and (
                    os.getsid(process.pid) in self._sessions
                    or Path(process.cwd()).is_relative_to(self.folder)
                    or process.environ().get("TMPDIR") == str(self._temporary)
                )
                if is_ours:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found


@dataclass(frozen=True)
class Trial:
    """A row of Optuna's store, with its user attributes."""

    number: int
    state: str
    value: float | None
    attributes: Mapping[str, Any]

    @property
    def counts(self) -> bool:
        """Whether it came to an end of its own."""
        is_finished = self.state in ("COMPLETE", "PRUNED", "FAIL")
        return is_finished and not self.attributes.get("interrupted")

    @property
    def identity(self) -> tuple[int | None, str]:
        """What decides how it turns out."""
        hyperparameters = self.attributes.get("hyperparameters")
        return self.attributes.get("seed"), json.dumps(hyperparameters, sort_keys=True)

    @property
    def best(self) -> float:
        """Validation accuracy at its best epoch."""
        return float(max(self.attributes["history"]["val_accuracy"]))

    @property
    def result(self) -> tuple[object, ...]:
        """What must not change any more once it is finished."""
        history = json.dumps(self.attributes.get("history"), sort_keys=True)
        return self.state, self.value, *self.identity, history


# The life of one process


@dataclass(frozen=True)
class _Hit:
    """A blow that was struck.

    Attributes:
        blow: which.
        is_early: whether the process had not said yet who supervises, and so only just begun.
        is_publishing: whether the search itself was over.
        is_late: whether all was done, and the process about to end.
    """

    blow: Blow
    is_early: bool
    is_publishing: bool
    is_late: bool


class _Moments:
    """Watches a process come to its milestones, strikes, and judges how it ended."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, claim: Path) -> None:
        self._process, self._claim = process, claim
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        self._reached = {"start": time.monotonic()}

    def strike(self, blow: Blow) -> _Hit | None:
        """Waits for the moment and the target, and strikes, unless the life ends before."""
        deadline = time.monotonic() + LIFE_SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < deadline, f"{self._err}: no {blow.milestone}"
            self._notice_milestones()
            reached = self._reached.get(blow.milestone)
            if reached is not None and time.monotonic() >= reached + blow.seconds:
                hit = _Hit(
                    blow,
                    not self._is_claimed(),
                    "publishing" in self._reached,
                    RESULT in self._out.read_text(),
                )
                if self._send(blow):
                    return hit
            time.sleep(0.02)
        return None

    def _notice_milestones(self) -> None:
        text = self._err.read_text()
        for name, pattern in MILESTONES.items():
            if name not in self._reached and re.search(pattern, text, re.MULTILINE):
                self._reached[name] = time.monotonic()

    def _is_claimed(self) -> bool:
        """Whether this process, and no earlier one, has said that it supervises."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return int(json.loads(self._claim.read_text())["process"]) == self._process.pid
        return False

    def _send(self, blow: Blow) -> bool:
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if blow.target == "all":
                os.killpg(self._process.pid, blow.signal)
                return True
            if blow.target == "supervisor":
                os.kill(self._process.pid, blow.signal)
                return True
            for process in self._forks(is_server=blow.target == "forkserver"):
                process.send_signal(blow.signal)
                return True
        return False

    def _forks(self, is_server: bool) -> Iterator[psutil.Process]:
        """The supervisor's forkserver, or what that has forked."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                is_alive = process.status() != psutil.STATUS_ZOMBIE
                if is_alive and os.getsid(process.pid) == self._process.pid:
                    is_fork = "multiprocessing.forkserver" in " ".join(process.cmdline())
                    if is_fork and (process.ppid() == self._process.pid) is is_server:
                        yield process

    def judge(self, hits: Sequence[_Hit]) -> None:
        """Whether the process ended as it should after what was done to it.

        Raises:
            AssertionError: it did not; the text has the end of what it said.
        """
        code, err = self._process.returncode, self._err.read_text()
        last = _last_blow(hits)
        if last is None:
            allowed = {0}
        elif last.blow.signal == signal.SIGKILL:
            allowed = {-signal.SIGKILL}
        else:
            # Python ends by SIGINT itself if the exception came in an `eval`; a shell says 130
            allowed = {130, -signal.SIGINT}
        if any(hit.is_publishing and hit is not last for hit in hits):
            allowed.add(1)  # the worker that registers the champion was killed: a sentence
        is_at_an_edge = last is not None and (last.is_early or last.is_late)
        if last and is_at_an_edge:  # the interpreter, not this program, takes the signal
            allowed.add(-last.blow.signal)
        if last and last.is_late:
            allowed.add(0)
        assert code in allowed, f"exit code {code}: {self.story(hits)}"
        assert is_at_an_edge or "Traceback" not in err, f"a traceback: {self.story(hits)}"
        if code == 1:
            *_, sentence = err.strip().splitlines()
            assert sentence.startswith("error: "), f"no sentence: {self.story(hits)}"

    def story(self, hits: Sequence[_Hit]) -> str:
        """What was done to it, and the end of what it said."""
        tail = "\n".join(self._err.read_text().splitlines()[-40:])
        return f"after {[str(hit.blow) for hit in hits]}, {self._err} ends:\n{tail}"


def _last_blow(hits: Sequence[_Hit]) -> _Hit | None:
    """The one that hit the supervisor, if any did."""
    return hits[-1] if hits and hits[-1].blow.ends_the_life else None


# Reading what is there

TRIALS = "SELECT trial_id, number, state FROM {}"
VALUES = "SELECT trial_id, value FROM {}"
ATTRIBUTES = "SELECT trial_id, key, value_json FROM {}"
METRICS = "SELECT run_uuid, key, step, value FROM {} ORDER BY step"
Ask = Callable[[str, str], list[tuple[Any, ...]]]


@contextlib.contextmanager
def reading(database: Path) -> Iterator[Ask]:
    """Opens a copy, with the journal of a killed process: the next search is to mend its own.

    Yields:
        A function that takes a query and the table for which it has `{}`. A table that is not
        there yet is empty.
    """
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{database}{suffix}", folder)
        connection = sqlite3.connect(Path(folder) / database.name)
        try:
            known = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            (state,) = connection.execute("PRAGMA integrity_check").fetchone()
            assert state == "ok", f"{database}: {state}"

            def ask(query: str, table: str) -> list[tuple[Any, ...]]:
                if table not in known:
                    return []
                return connection.execute(query.format(table)).fetchall()

            yield ask
        finally:
            connection.close()


def trials_in(database: Path) -> dict[int, Trial]:
    """All trials of a store of one study, by number."""
    with reading(database) as ask:
        attributes: dict[int, dict[str, Any]] = defaultdict(dict)
        for trial, key, value in ask(ATTRIBUTES, "trial_user_attributes"):
            attributes[trial][key] = json.loads(value)
        late_runs: dict[str, str] = {}  # MLflow had not answered when these trials began
        for key, value in ask("SELECT key, value_json FROM {}", "study_user_attributes"):
            if key == "late_runs":
                late_runs = json.loads(value)
        values = {row[0]: row[1] for row in ask(VALUES, "trial_values")}
        found: dict[int, Trial] = {}
        for trial, number, state in ask(TRIALS, "trials"):
            if run := late_runs.get(str(number)):
                attributes[trial]["run_id"] = run
            found[number] = Trial(number, state, values.get(trial), attributes[trial])
        return found


def check_runs(database: Path, study: str, counted: Sequence[Trial]) -> dict[int, str]:
    """Every trial that counts has one run with its state and its curves; no run goes on.

    Returns:
        URI of the artifacts of each trial's run.
    """
    with reading(database) as ask:
        experiment = f"(SELECT experiment_id FROM experiments WHERE name = '{study}')"
        rows = ask(
            "SELECT run_uuid, status, artifact_uri FROM {} "
            f"WHERE lifecycle_stage = 'active' AND experiment_id = {experiment}",
            "runs",
        )
        runs = {run: (status, uri) for run, status, uri in rows}
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        for run, key, value in ask("SELECT run_uuid, key, value FROM {}", "tags"):
            tags[run][key] = value
        curves: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for run, key, step, value in ask(METRICS, "metrics"):
            curves[run, key].append((step, value))
    going_on = [tags[run] for run, (status, _) in runs.items() if status == "RUNNING"]
    assert not going_on, f"{database}: runs that have not ended: {going_on}"
    own = [runs[run][0] for run in runs if tags[run].get("role") == "study"]
    assert own == ["FINISHED"], f"{database}: the study's own run: {own}"
    uris: dict[int, str] = {}
    for trial in counted:
        of_it = [run for run in runs if tags[run].get("trial") == str(trial.number)]
        assert of_it == [trial.attributes.get("run_id")], f"{database}: runs {of_it} of {trial}"
        (run,) = of_it
        status, uris[trial.number] = runs[run]
        wanted = "FAILED" if trial.state == "FAIL" else "FINISHED"
        found = (status, tags[run]["state"])
        assert found == (wanted, trial.state), f"{database}: {found}, {trial}"
        for name, values in trial.attributes["history"].items():
            curve = curves[run, name]
            assert curve == list(enumerate(values, 1)), f"{database}: {name}, {curve}, {trial}"
    return uris


def path_of(uri: str) -> Path:
    """The path of a file's URI."""
    return Path(url2pathname(urlparse(uri).path))


CHAMPIONS = """
import json, sys
from pipeline.environment import hide_gpus, set_defaults
set_defaults()
hide_gpus()
from pipeline.data import datasets
import keras
dataset = datasets.load("fashion_mnist")
for file, recorded in json.loads(sys.argv[1]):
    model = keras.saving.load_model(file)
    _, accuracy = model.evaluate(
        dataset.validation_inputs, dataset.validation_targets, batch_size=1000, verbose=0
    )
    assert abs(accuracy - recorded) < 1e-4, f"{file}: recorded {recorded}, found {accuracy}"
"""


def check_champions(files: Sequence[tuple[str, float]]) -> None:
    """Keras loads every file, and finds the accuracy that was recorded."""
    done = subprocess.run(
        [sys.executable, "-c", CHAMPIONS, json.dumps(files)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def environment(**more: str) -> dict[str, str]:
    """This process's, without other stores than a project's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PIPELINE_"))}
    if "PIPELINE_DATA_DIR" in os.environ:
        kept["PIPELINE_DATA_DIR"] = os.environ["PIPELINE_DATA_DIR"]
    return {**kept, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "80", **more}


def main() -> int:
    """Tortures until it has killed often enough, or until something is lost."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    print(f"--seed {arguments.seed}", flush=True)
    fetch = "from pipeline.data import datasets; datasets.fetch('fashion_mnist')"
    subprocess.run([sys.executable, "-c", fetch], env=environment(), check=True)
    folder = Path(tempfile.mkdtemp(prefix="torture-")).resolve()
    lives = random_lives(random.Random(arguments.seed))
    try:
        torture(folder, lives, arguments.kills, lambda line: print(line, flush=True))
    except AssertionError as error:
        print(f"failed, see {folder}: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
