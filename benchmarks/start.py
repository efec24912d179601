"""How long commands take to answer, and a search to train its first epoch: `Start`.

Everything is measured as a user meets it: fresh processes in a fresh project, one after another
and in turns, so that a busy minute of the machine falls on all of them alike.
"""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import projects, results
from pipeline.errors import BAD_USAGE, DONE
from pipeline.report.document import Block, Paragraph, Table

STUDY, MISSPELT, SMALL = "fashion_mnist", "misspelt", "quick"
EPOCH_GOAL_SECONDS = 5.0  # that the first epoch may end after TensorFlow's import would
POLL_SECONDS = 0.02
LIMIT_SECONDS = 120.0


@dataclass
class Command:
    """One command line and what was measured of it.

    Attributes:
        label: for the table.
        arguments: of Python.
        goal: in seconds, if there is one.
        exit_code: the one that makes it a measurement.
        seconds: from start to end of its process, one for each time it ran.
    """

    label: str
    arguments: Sequence[str]
    goal: float | None = None
    exit_code: int = DONE
    seconds: list[float] = field(default_factory=list)

    def run(self, project: Path) -> None:
        """Runs it once more."""
        started = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, *self.arguments],
            cwd=project,
            env=projects.environment(),
            capture_output=True,
            text=True,
        )
        self.seconds.append(time.perf_counter() - started)
        if ended.returncode != self.exit_code:
            raise RuntimeError(f"{self.label}: exit code {ended.returncode}: {ended.stderr}")


def measure(full: bool) -> results.Section:
    """Measures answers, then starts of the default study."""
    with _project() as project:
        _module("search", SMALL, "--trials", "2").run(project)  # for `best`; also fetches the data
        answers = _answers()
        for _ in range(15 if full else 3):
            for command in answers:
                command.run(project)
    imports, first, later = Command("", ["-c", "import tensorflow"]), [], []
    for _ in range(7 if full else 2):
        with _project() as project:
            imports.run(project)
            first.append(_first_epoch_seconds(project))
            later.append(_first_epoch_seconds(project))
    return results.Section("Start", [*_answers_table(answers), *_starts(imports, first, later)])


def _answers() -> list[Command]:
    return [
        Command("Python itself (`-c pass`)", ["-c", "pass"]),
        *(_module(name, "--help", goal=0.3) for name in ("search", "report", "best", "data")),
        _module("ui", "--help", goal=0.3),
        _module("search", MISSPELT, goal=0.3, exit_code=BAD_USAGE),
        _module("search", STUDY, "--dry-run"),
        _module("best", SMALL, goal=3.0),
    ]


def _module(
    name: str, *arguments: str, goal: float | None = None, exit_code: int = DONE
) -> Command:
    label = f"`python -m pipeline.{' '.join([name, *arguments])}`"
    return Command(label, ["-m", f"pipeline.{name}", *arguments], goal, exit_code)


def _first_epoch_seconds(project: Path) -> float:
    """From the start of `python -m pipeline.search` to its next epoch in the store of trials.

    The store is only read, as the dashboard would. The search is interrupted afterwards, so that
    a second call measures a rerun, with both stores there.
    """
    n_before = _n_epochs(project)
    with (project / "search.log").open("ab") as log:
        started = time.perf_counter()
        search = subprocess.Popen(
            [sys.executable, "-m", "pipeline.search", STUDY],
            cwd=project,
            env=projects.environment(),
            stdout=log,
            stderr=log,
        )
        try:
            while _n_epochs(project) <= n_before:
                if search.poll() is not None or time.perf_counter() - started > LIMIT_SECONDS:
                    raise RuntimeError(f"no epoch: {(project / 'search.log').read_text()}")
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - started
        finally:
            search.send_signal(signal.SIGINT)
            search.wait()


def _n_epochs(project: Path) -> int:
    """Epochs in the store of trials; 0 while there is none."""
    url = f"{(project / 'mlruns' / 'optuna.db').as_uri()}?mode=ro"
    with (
        contextlib.suppress(sqlite3.OperationalError),  # no file, or no table yet
        contextlib.closing(sqlite3.connect(url, uri=True)) as store,
    ):
        query = "SELECT count(*) FROM trial_intermediate_values"
        return int(store.execute(query).fetchone()[0])
    return 0


@contextlib.contextmanager
def _project() -> Iterator[Path]:
    """A fresh project with this repository's studies, and one with a misspelt key."""
    with projects.fresh() as folder:
        studies = folder / "studies"
        text = (studies / f"{STUDY}.toml").read_text(encoding="utf-8")
        misspelt = text.replace("\n[training]\n", "\n[traning]\n", 1)
        assert misspelt != text
        (studies / f"{MISSPELT}.toml").write_text(misspelt, encoding="utf-8")
        yield folder


def _answers_table(commands: Sequence[Command]) -> list[Block]:
    rows = [
        [command.label, results.spread(command.seconds), f"< {command.goal}" * bool(command.goal)]
        for command in commands
    ]
    return [
        Paragraph(
            f"From start to end of a process, in seconds; {len(commands[0].seconds)} times each. "
            f"`{MISSPELT}` is a study file with a misspelt table, and refused; `{SMALL}` is a "
            "finished study of two trials."
        ),
        Table(["command", "seconds", "goal"], rows),
    ]


def _starts(imports: Command, first: Sequence[float], later: Sequence[float]) -> list[Block]:
    rows = [['`python -c "import tensorflow"`', results.spread(imports.seconds, 1), "", ""]]
    for label, seconds in (
        ("first epoch of a first search, without databases", first),
        ("first epoch of a rerun, with both databases", later),
    ):
        more = [each - alone for each, alone in zip(seconds, imports.seconds, strict=True)]
        rows.append(
            [label, results.spread(seconds, 1), results.spread(more, 1), f"< {EPOCH_GOAL_SECONDS}"]
        )
    return [
        Paragraph(
            f"The default study, from the start of `python -m pipeline.search` until its first "
            f"epoch is in the store, in seconds; {len(first)} rounds of the three."
        ),
        Table(["", "seconds", "more than TensorFlow alone", "goal"], rows),
    ]


if __name__ == "__main__":
    sys.exit(results.main(measure, "start"))
