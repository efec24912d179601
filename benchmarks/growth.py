"""What a search, its report and its champion cost as the store of trials grows.

The first hundred trials are searched by the real supervisor, with curves in the place of training;
larger stores hold copies of these rows, trial by trial and run by run, in both databases.
"""

import contextlib
import itertools
import json
import math
import resource
import runpy
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import copies, page, projects, results
from benchmarks.results import Section
from pipeline.paths import DEFAULT_STUDY, Project
from pipeline.report.document import Paragraph, Table
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.training.job import EpochEnd, Event, Finished, Job, JobEnd, Started

BASE, SIZES, FULL_SIZES = 100, (100, 1_000), (100, 1_000, 10_000)
N_TRIALS = 10  # that a supervisor goes on for
N_REPEATS, N_REPEATS_FULL = 1, 3
COMMANDS = {
    "`best`": ["pipeline.best"],
    "`best --json`": ["pipeline.best", "--json"],
    "`report`": ["pipeline.report"],
}
# What is timed in the supervisor, by the name it has in the table.
STEPS = {
    "ask, draw, start": ("pipeline.search.supervisor", "Supervisor", "_begin"),
    "... of it MLflow": ("pipeline.tracking.run_writer", "RunWriter", "start_trial"),
    "report": ("optuna", "Trial", "report"),
    "prune?": ("pipeline.search.running", "Running", "should_prune"),
    "tell": ("optuna", "Study", "tell"),
}
# What is measured with Optuna's own storage and TPE too, in the place of ours.
OWN = ("ask, draw, start", "prune?", "tell", "resume", "supervisor, MB", "`best`", "`report`")
# Above these at 10,000 trials, an issue of this repository is open again.
GOALS = {
    "ask, draw, start": 0.5, "`best`": 5.0, "`report`": 10.0, "report.html, MB": 3.0,
    "report.html answers": 1.0, "supervisor, MB": 1000.0,
}  # fmt: skip


def measure(full: bool) -> Section:
    """Measures stores of 100 and 1,000 trials once; in full three times, and of 10,000."""
    sizes, n_repeats = (FULL_SIZES, N_REPEATS_FULL) if full else (SIZES, N_REPEATS)
    found: dict[int, dict[str, list[float]]] = {}
    own: dict[int, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as scratch, projects.fresh() as searched:
        _in_process(searched, BASE)
        for n in sizes:
            folder = Path(scratch) / str(n)
            shutil.copytree(searched, folder)
            copies.add(Project(folder), n // BASE - 1)
            found[n], own[n] = _measure(folder, n_repeats)
            print(f"{n} trials: measured", file=sys.stderr)
            shutil.rmtree(folder)
    return Section("Growth", [*_blocks(found, n_repeats), *_own_blocks(found, own)])


def _measure(
    folder: Path, n_repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """What it costs with our storage and TPE and, in turns, with Optuna's own."""
    found: dict[str, list[float]] = defaultdict(list)
    own: dict[str, list[float]] = defaultdict(list)
    for _ in range(n_repeats):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            _run(folder, ["-m", *command])
            found[name].append(time.perf_counter() - started)
            if name in OWN:
                started = time.perf_counter()
                _run(folder, ["-c", f"from benchmarks import growth; growth.read({command[0]!r})"])
                own[name].append(time.perf_counter() - started)
    report = folder / "studies" / DEFAULT_STUDY / "report.html"
    found["report.html, MB"].append(report.stat().st_size / 1e6)
    if answers := page.seconds_until_it_answers(report, n_repeats):
        found["report.html answers"] += answers
    for _ in range(n_repeats):
        for name, values in _in_process(folder, N_TRIALS).items():
            found[name] += values
        for name, values in _in_process(folder, N_TRIALS, is_own=True).items():
            own[name] += values
    return found, own


def _blocks(found: Mapping[int, Mapping[str, Sequence[float]]], n_repeats: int) -> list[Any]:
    sizes = list(found)
    last = sizes[-1]
    rows = []
    for name in found[last]:
        medians = [statistics.median(found[n][name]) for n in sizes]
        growth = [f"{b / a:.1f}" for a, b in itertools.pairwise(medians)]
        digits = 1 if name.endswith("MB") else 3
        cells = [results.spread(found[n][name], digits) for n in sizes]
        rows.append([name, *cells, *growth, f"{GOALS[name]:g}" if name in GOALS else ""])
    columns = ["seconds", *(f"{n:,} trials" for n in sizes)]
    columns += [f"{b:,} / {a:,}" for a, b in itertools.pairwise(sizes)]
    return [
        Table([*columns, "goal at 10,000"], rows),
        Paragraph(
            f"Of {n_repeats} processes each; the supervisor's steps of {N_TRIALS} trials in each "
            f"of them. The first {BASE} trials were searched with the default study's space, "
            "sampler and pruner, with computed curves in the place of training; larger stores "
            "hold copies of them, in Optuna's database and in MLflow's. `ask, draw, start` is all "
            "between a free worker and its next job; `resume` is from the opening of the stores "
            "to the first job; imports are not in it, but they are in `best` and `report`. "
            "`report.html answers` is from its opening in Chromium until its text can be read, "
            "sorted and filtered. A ratio of 10 from one size to the next is linear growth."
        ),
    ]


def _own_blocks(
    found: Mapping[int, Mapping[str, Sequence[float]]],
    own: Mapping[int, Mapping[str, Sequence[float]]],
) -> list[Any]:
    rows = []
    for name in OWN:
        row = [name]
        for n in found:
            digits = 1 if name.endswith("MB") else 3
            ratio = statistics.median(own[n][name]) / statistics.median(found[n][name])
            row += [results.spread(own[n][name], digits), f"{ratio:.1f}"]
        rows.append(row)
    sizes = [column for n in found for column in (f"{n:,} trials", "times ours")]
    return [
        Table(["with Optuna's own storage and TPE, seconds", *sizes], rows),
        Paragraph(
            "The same in turns with Optuna's own storage, on a database without a write-ahead "
            "log, and its own TPESampler, as where its inside is not what is known "
            "(`pipeline/storage/optuna_internals.py`)."
        ),
    ]


# What runs in a process of its own


def use_own() -> None:
    """Lets this process use Optuna's own storage and TPE, on a database as it makes them."""
    from pipeline.storage import optuna_internals

    optuna_internals.is_as_known = lambda: False  # type: ignore[assignment]
    file = Project.here().runs_dir / "optuna.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=DELETE")


def read(module: str) -> None:
    """Runs a command that reads the default study, with Optuna's own storage."""
    use_own()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def go_on(n_trials: int, is_own: bool = False) -> None:
    """Goes on with the default study in the current folder, and prints what it cost as JSON.

    Args:
        n_trials: how many are run.
        is_own: with Optuna's own storage and TPE.
    """
    import optuna  # noqa: F401, found by name below

    from pipeline.provenance import collect_provenance
    from pipeline.search.progress import PlainProgress
    from pipeline.search.supervisor import Supervisor
    from pipeline.storage import studies, study_store
    from pipeline.study.load import load
    from pipeline.tracking.run_writer import RunWriter

    if is_own:
        use_own()
    project = Project.here()
    spec = load(project, DEFAULT_STUDY).model_copy(update={"finals": None})
    about = collect_provenance()
    seconds: dict[str, list[float]] = defaultdict(list)
    with contextlib.ExitStack() as timed:
        for name, (module, kind, method) in STEPS.items():
            timed.enter_context(_timed(getattr(sys.modules[module], kind), method, seconds[name]))
        opened = time.perf_counter()
        study = studies.open_study(project, spec)
        study.set_user_attr(study_store.VERSIONS, about)
        tracker = RunWriter.open(project, spec.name)
        tracker.open_study(spec.goal, {"dataset": spec.dataset}, "0" * 64)
        executor = Playback()
        n_known = len(study.get_trials(deepcopy=False))
        budget = spec.budget.model_copy(update={"trials": n_known + n_trials, "minutes": None})
        supervisor = Supervisor(
            spec.model_copy(update={"budget": budget}), study, executor, tracker, PlainProgress()
        )
        supervisor.run()
    tracker.close_study("FINISHED")
    assert executor.first_job is not None
    seconds["resume"] = [executor.first_job - opened]
    seconds["supervisor, MB"] = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000]
    print(json.dumps(seconds))


class Playback:
    """An executor that computes curves from hyperparameters and trains nothing.

    Tests have one that plays what a script says instead: `tests/support/scripted.py`.
    """

    n_workers: int = 1

    def __init__(self) -> None:
        self.first_job: float | None = None
        self._playing: dict[int, Iterator[Event]] = {}

    def submit(self, job: Job) -> None:
        """Takes a job."""
        self.first_job = self.first_job or time.perf_counter()
        self._playing[job.trial] = self._play(job)

    def events(self, timeout_seconds: float) -> list[Event]:
        """The next event of every job, at once."""
        happened = [next(events) for events in self._playing.values()]
        for event in happened:
            if isinstance(event, JobEnd):
                del self._playing[event.trial]
        return happened

    def stop(self, trial: int) -> None:
        """Ends a job."""
        self._playing.pop(trial, None)

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Ends all jobs."""
        self._playing.clear()

    def _play(self, job: Job) -> Iterator[Event]:
        """As a worker would send them: rising to a level that depends on the hyperparameters."""
        given = job.hyperparameters
        assert given is not None
        yield Started(job.trial)
        for epoch in range(1, given.epochs + 1):
            value = round(level(given) - 0.1 * 0.6**epoch + 0.002 * math.sin(job.seed * epoch), 6)
            metrics = {"loss": 1.05 - value, "accuracy": value + 0.01, "val_loss": 1.1 - value}
            metrics |= {"val_accuracy": value, "learning_rate": given.learning_rate}
            yield EpochEnd(job.trial, epoch, {**metrics, "seconds": 1.5}, 100_000, b"a model")
        scores = {"train_loss": 0.2, "train_accuracy": 0.93}
        yield Finished(job.trial, scores)


def level(given: Hyperparameters) -> float:
    """Computes what a network reaches, of what it is like."""
    rate = math.log10(given.learning_rate) + 3
    return 0.89 - 0.02 * rate**2 - 0.01 * abs(given.hidden_layers - 2) - 0.02 * given.dropout


@contextlib.contextmanager
def _timed(kind: type, method: str, seconds: list[float]) -> Iterator[None]:
    """Notes how long each call of a method takes."""
    original = getattr(kind, method)

    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - started)

    setattr(kind, method, timed)
    try:
        yield
    finally:
        setattr(kind, method, original)


def _in_process(folder: Path, n_trials: int, is_own: bool = False) -> dict[str, list[float]]:
    command = f"from benchmarks import growth; growth.go_on({n_trials}, {is_own})"
    return dict(json.loads(_run(folder, ["-c", command])))


def _run(folder: Path, arguments: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=projects.environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} failed: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(results.main(measure, "growth"))
