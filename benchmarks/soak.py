"""A long search of tiny networks: whether the supervisor grows, or leaves anything open behind.

The search is `python -m pipeline.search` in a project of its own, with real training; it is looked
at from outside, whenever a trial ends.
"""

import contextlib
import itertools
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

from benchmarks import projects, results
from benchmarks.results import Section
from pipeline.report.document import Items, Paragraph, Table

N_TRIALS, N_TRIALS_FULL = 60, 1_000
N_MARKS = 10  # rows of the table
N_LOOKS = 10  # at most, of which a row has the medians
MEMORY_GOAL, SIZE_GOAL = 1.10, 1.25
STUDY = """
goal = "Last."
dataset = "fashion_mnist"

[budget]
trials = {n_trials}

[training]
trial_minutes = 2

[sampler]
type = "TPESampler"             # as in most studies: it reads what there is before each draw
seed = 1

[pruner]
type = "NopPruner"

[fixed]
optimizer = "adam"

[space]
hidden_layers = {{ type = "int", low = 0, high = 1 }}
units         = {{ type = "int", low = 4, high = 8, per = "hidden_layers" }}
learning_rate = {{ type = "float", low = 1e-4, high = 1e-2, log = true }}
batch_size    = {{ type = "categorical", choices = [1024, 2048] }}
epochs        = {{ type = "int", low = 1, high = 2 }}
"""
_ENDED = re.compile(r"(complete|pruned|fail) +trial \d+:")


@dataclass(frozen=True)
class Look:
    """The search at the end of a trial.

    Attributes:
        memory_mb: resident memory of the supervisor.
        n_handles: files, sockets and pipes that it has open.
        n_processes: its children, and theirs.
    """

    memory_mb: float
    n_handles: int
    n_processes: int


@dataclass(frozen=True)
class Sizes:
    """Bytes on disk.

    Attributes:
        optuna: Optuna's database, with its log.
        mlflow: MLflow's.
        artifacts: all files that MLflow keeps.
    """

    optuna: int
    mlflow: int
    artifacts: int


def measure(full: bool) -> Section:
    """A search of 60 trials; in full of 1,000."""
    n_trials = N_TRIALS_FULL if full else N_TRIALS
    every = n_trials // N_MARKS
    with projects.fresh() as folder:
        looks, sizes = _search(folder, n_trials, every)
    return Section("Soak", _blocks(looks, sizes, every))


def _search(folder: Path, n_trials: int, every: int) -> tuple[list[Look], list[Sizes]]:
    """A look at the end of each trial, and the sizes after every so many."""
    (folder / "studies" / "soak.toml").write_text(STUDY.format(n_trials=n_trials))
    looks: list[Look] = []
    sizes: list[Sizes] = []
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.search", "soak"],
        cwd=folder,
        env=projects.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        supervisor = psutil.Process(process.pid)
        for line in process.stderr:
            said = [*said[-20:], line]
            if _ENDED.match(line):
                looks.append(_look(supervisor))
                if len(looks) % every == 0:
                    sizes.append(_sizes(folder / "mlruns"))
                    print(f"{len(looks)} trials", file=sys.stderr)
    if process.returncode or len(looks) != n_trials:
        raise RuntimeError(f"{len(looks)} of {n_trials} trials ended:\n{''.join(said)}")
    return looks, sizes


def _look(supervisor: psutil.Process) -> Look:
    memory_mb = supervisor.memory_info().rss / 1e6
    return Look(memory_mb, supervisor.num_fds(), len(supervisor.children(recursive=True)))


def _sizes(runs_dir: Path) -> Sizes:
    files: dict[str, int] = {}
    for folder, _, names in os.walk(runs_dir):
        for name in names:
            path = Path(folder) / name
            with contextlib.suppress(FileNotFoundError):  # it was there for a moment
                files[str(path.relative_to(runs_dir))] = path.stat().st_size

    def of(start: str) -> int:
        return sum(n_bytes for name, n_bytes in files.items() if name.startswith(start))

    return Sizes(of("optuna.db"), of("mlflow.db"), of("artifacts"))


def _blocks(
    looks: Sequence[Look], sizes: Sequence[Sizes], every: int
) -> list[Table | Items | Paragraph]:
    ends = range(every, len(looks) + 1, every)
    parts = [looks[end - min(every, N_LOOKS) : end] for end in ends]
    rows = []
    for i, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        cells = [_middle(part, name, digits) for name, digits in _COLUMNS.values()]
        grown = [
            f"{(getattr(size, each.name) - getattr(sizes[i - 1], each.name)) / every:,.0f}"
            if i
            else ""
            for each in fields(Sizes)
        ]
        rows.append([f"{(i + 1) * every:,}", *cells, *grown])
    stores = [f"{each.name}, bytes a trial" for each in fields(Sizes)]
    return [
        Table(["trials", *_COLUMNS, *stores], rows),
        Items(
            [
                f"{goal}: {'holds' if held else '**does not hold**'}"
                for goal, held in _goals(parts, sizes).items()
            ]
        ),
        Paragraph(
            "Networks of at most 8 hidden neurons, an epoch or two each, trained by the workers "
            "that any search has. The supervisor's numbers are medians of the last "
            f"{len(parts[0])} trials up to that row, read when each ends; bytes are those that "
            "its trials added, logs of the databases and all artifacts included. Goals are for "
            f"{N_TRIALS_FULL:,} trials: memory, handles and processes are held against those of "
            "the first row, bytes of the later half of the rows against those of the earlier."
        ),
    ]


_COLUMNS: Mapping[str, tuple[str, int]] = {
    "supervisor, MB": ("memory_mb", 1),
    "open handles": ("n_handles", 0),
    "processes": ("n_processes", 0),
}


def _middle(part: Sequence[Look], name: str, digits: int) -> str:
    return f"{_median(part, name):.{digits}f}"


def _median(part: Sequence[Look], name: str) -> float:
    return float(statistics.median(getattr(look, name) for look in part))


def _goals(parts: Sequence[Sequence[Look]], sizes: Sequence[Sizes]) -> dict[str, bool]:
    """Each goal with its number, and whether it holds."""
    memory = _median(parts[-1], "memory_mb") / _median(parts[0], "memory_mb")
    goals = {
        f"memory at the end {memory:.2f} times that of the first row, goal at most "
        f"{MEMORY_GOAL:.2f}": memory <= MEMORY_GOAL
    }
    for name, noun in (("n_handles", "open handles"), ("n_processes", "processes")):
        more = _median(parts[-1], name) - _median(parts[0], name)
        goals[f"{noun} at the end {more:+.0f}, goal at most +1"] = more <= 1
    for each in fields(Sizes):
        found = [getattr(size, each.name) for size in sizes]
        grown = [later - earlier for earlier, later in itertools.pairwise(found)]
        half = len(grown) // 2
        ratio = statistics.mean(grown[half:]) / statistics.mean(grown[:half])
        goals[
            f"{each.name} grows {ratio:.2f} times as fast in the later half, goal at most "
            f"{SIZE_GOAL:.2f}"
        ] = ratio <= SIZE_GOAL
    return goals


if __name__ == "__main__":
    sys.exit(results.main(measure, "soak"))
