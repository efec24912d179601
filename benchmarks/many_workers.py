"""How many workers one supervisor keeps busy, on which store, and what it saturates on.

The supervisor, its stores and its decisions are those of any search; workers are simulated (see
`simulated_workers`). A search is interrupted after a while: what that takes is measured, too.
"""

import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import projects, results
from benchmarks.results import Section
from benchmarks.simulated_workers import REST, Found
from pipeline.report.document import Items, Paragraph, Table

GOAL_WORKERS, GOAL_BUSY = 1_000, 0.95
N_EPOCHS, EPOCH_SECONDS = 10, 6.0  # of a training: a minute
SHORT_EPOCH_SECONDS = 0.6
CUT = "what it misses is kept"  # is said where MLflow cannot be told
LEAST_SHARE = 0.15, 0.5  # of ramp and look of the search with most workers, others have at least
STUDY = "many_workers"
STUDY_FILE = """\
goal = "See how many workers one supervisor keeps busy."
dataset = "fashion_mnist"
metric = "val_accuracy"

[budget]
minutes = 600

[training]
patience = 10
trial_minutes = 60

{deciding}
seed = 1

[fixed]
layer_kind = "dense"
epochs = 10

[space]
hidden_layers = {{ type = "int", low = 0, high = 4 }}
units = {{ type = "int", low = 32, high = 512, log = true, per = "hidden_layers" }}
dropout = {{ type = "float", low = 0.0, high = 0.5, when = {{ hidden_layers = [1, 2, 3, 4] }} }}
activation = {{ type = "categorical", choices = ["relu", "sigmoid", "tanh", "elu"] }}
optimizer = {{ type = "categorical", choices = ["sgd", "adagrad", "rmsprop", "adam"] }}
momentum = {{ type = "float", low = 0.0, high = 0.99, when = {{ optimizer = ["sgd"] }} }}
learning_rate = {{ type = "float", low = 1e-4, high = 1e-1, log = true }}
batch_size = {{ type = "categorical", choices = [32, 64, 128, 256] }}
"""
# What decides, by its name in the table: tables of the study file; the last one gets the seed.
DECIDING: Mapping[str, str] = {
    "random, to the end": '[pruner]\ntype = "NopPruner"\n\n[sampler]\ntype = "RandomSampler"',
    "TPE, halving": '[pruner]\ntype = "SuccessiveHalvingPruner"\nmin_resource = 2\n'
    'reduction_factor = 3\n\n[sampler]\ntype = "TPESampler"',
    "default": '[sampler]\ntype = "FreezeThawSampler"',
}
RANDOM, TPE, DEFAULT = DECIDING
SQLITE, POSTGRESQL, SERVER = "SQLite", "PostgreSQL", "PostgreSQL, MLflow's server"


@dataclass(frozen=True)
class Case:
    """A search that is measured.

    Attributes:
        store: of Optuna and of MLflow.
        deciding: what decides.
        n_workers: how many trials are trained at a time.
    """

    store: str
    deciding: str
    n_workers: int


SHORT = (Case(SQLITE, RANDOM, 10), Case(SQLITE, DEFAULT, 10))
FULL = (
    *(Case(SQLITE, RANDOM, n_workers) for n_workers in (10, 100, 1_000)),
    *(Case(POSTGRESQL, RANDOM, n_workers) for n_workers in (10, 100, 1_000)),
    *(Case(SERVER, RANDOM, n_workers) for n_workers in (10, 100, 1_000)),
    *(Case(POSTGRESQL, deciding, 1_000) for deciding in (TPE, DEFAULT)),
)


def measure(full: bool) -> Section:
    """Ten workers and trainings of six seconds on SQLite; in full up to 1,000, and of a minute."""
    if full:
        return section(FULL, EPOCH_SECONDS, ramp_seconds=120.0, seconds=60.0)  # two trainings, one
    return section(SHORT, SHORT_EPOCH_SECONDS, ramp_seconds=7.0, seconds=8.0)


def section(
    cases: Sequence[Case], epoch_seconds: float, ramp_seconds: float, seconds: float
) -> Section:
    """Measures cases, one after the other.

    Args:
        cases: which.
        epoch_seconds: of an epoch of their trainings.
        ramp_seconds: for which the search with most workers goes on before it is looked at.
        seconds: for which it is looked at.
    """
    found: dict[Case, Found] = {}
    most = max(case.n_workers for case in cases)
    with contextlib.ExitStack() as opened:
        postgres = functools.cache(
            lambda: opened.enter_context(_servers().Postgres(is_durable=True))
        )
        for case in cases:
            with projects.fresh() as folder, contextlib.ExitStack() as stores:
                urls: dict[str, str] = {}
                if case.store != SQLITE:
                    names = {"PIPELINE_STORAGE": "optuna", "MLFLOW_TRACKING_URI": "mlflow"}
                    for key, name in names.items():
                        urls[key] = postgres().create_database(f"{name}_{len(found)}")
                if case.store == SERVER:
                    server = _servers().MlflowServer(urls["MLFLOW_TRACKING_URI"])
                    urls["MLFLOW_TRACKING_URI"] = stores.enter_context(server).url
                text = STUDY_FILE.format(deciding=DECIDING[case.deciding])
                (folder / "studies" / f"{STUDY}.toml").write_text(text)
                ramp, look = (
                    max(least, case.n_workers / most) * whole
                    for least, whole in zip(LEAST_SHARE, (ramp_seconds, seconds), strict=True)
                )
                given = (STUDY, case.n_workers, epoch_seconds, ramp, look)
                found[case] = _search(folder, given, urls)
            print(f"{case}: busy {found[case].busy:.0%}", file=sys.stderr, flush=True)
    return Section("Many workers", blocks(found, epoch_seconds, ramp_seconds, seconds))


def _search(folder: Path, given: tuple[Any, ...], urls: dict[str, str]) -> Found:
    command = f"from benchmarks import simulated_workers; simulated_workers.search(*{given!r})"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=folder,
        env=projects.environment() | urls,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{given} failed: {done.stderr[-2000:]}")
    found = Found(**json.loads(done.stdout.splitlines()[-1]))
    return replace(found, is_told=CUT not in done.stderr)


def _servers() -> Any:
    """Gives private servers; the database waits for the disk, as one that is relied on does."""
    sys.path.insert(0, str(projects.ROOT / "tests" / "support"))
    return importlib.import_module("servers")


def blocks(
    found: Mapping[Case, Found], epoch_seconds: float, ramp_seconds: float, seconds: float
) -> list[Any]:
    """Says in words and tables what was found; arguments as of `section`."""
    rows = [
        [
            case.store,
            case.deciding,
            f"{case.n_workers:,}",
            f"{each.busy:.1%}",
            f"{each.begun / each.seconds:.1f}",
            f"{each.epochs / each.seconds:.1f}",
            f"{each.late[0]:.2f}, {each.late[1]:.2f}",
            f"{each.processor / each.seconds:.2f}",
            f"{1000 * each.processor / each.begun:.0f}" if each.begun else "",
            f"{each.stop:.1f}",
            f"{each.memory_mb:.0f}",
        ]
        for case, each in found.items()
    ]
    columns = ["store", "sampler, pruner", "workers", "busy", "begun a second",
               "epochs a second", "decided after, s: median, 95 %", "cores",
               "ms of a core a trial", "stopped in, s", "memory, MB"]  # fmt: skip
    most = max(case.n_workers for case in found)
    large = {case: each for case, each in found.items() if case.n_workers == most}
    parts = [part for part in next(iter(large.values())).parts if part != REST] + [REST]
    shares = [
        [part, *(_share(each, part) for each in large.values())] for part in parts
    ]  # fmt: skip
    untold = [
        f"{case.store}, {case.deciding}, {case.n_workers:,} workers: MLflow was not told all"
        for case, each in found.items()
        if not each.is_told
    ]
    heads = [f"{case.store}; {case.deciding}" for case in large]
    training = f"{N_EPOCHS} epochs of {epoch_seconds:g} s"
    return [
        Paragraph(
            f"One supervisor with simulated workers, that train in real time and take no "
            f"processor: a training has {training}, more or less; a record's model has 400 kB. "
            "Stores and servers are on this machine, too; where no server of MLflow's is named, "
            "its database is of the kind of Optuna's. Looked at for "
            f"{seconds:g} s, with most workers from {ramp_seconds:g} s after the first job on. "
            "`busy`: the share of "
            "the workers' time that went into epochs of which the supervisor heard; a trial that "
            "is paused and goes on begins twice; `cores`: what the supervisor's process takes of "
            f"one, of {os.cpu_count()} that others may use; `stopped`: from Ctrl-C until all "
            "trials are queued again."
        ),
        Table(columns, rows),
        Paragraph(
            f"What the supervisor's main thread does with {most:,} workers: shares of that time, "
            "and in brackets of which it takes a core; else it waits, for disk, database or core."
        ),
        Table(["part", *heads], shares),
        Items([goal(found), *untold]),
    ]


def _share(found: Found, part: str) -> str:
    processor, clock = found.parts.get(part, (0.0, 0.0))
    return f"{clock / found.seconds:.1%} ({processor / found.seconds:.1%})"


def goal(found: Mapping[Case, Found]) -> str:
    """Says whether the goal is reached, and by whom."""
    asked = f"{GOAL_WORKERS:,} workers with trainings of a minute, {GOAL_BUSY:.0%} busy"
    large = {case: each for case, each in found.items() if case.n_workers >= GOAL_WORKERS}
    if not large:
        return f"goal, {asked}: not measured, `--full` does"
    said = [
        f"{case.store}, {case.deciding} {'reached' if each.busy >= GOAL_BUSY else '**missed**'}"
        for case, each in large.items()
    ]
    return f"goal, {asked}: {'; '.join(said)}"


if __name__ == "__main__":
    sys.exit(results.main(measure, "many_workers"))
