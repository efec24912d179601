"""A million rows of 50 columns: the memory of a search of them, and what an epoch costs.

The table is made up. Memory is that of all processes of a search together, in which what several
of them share counts once: the sum of their proportional set sizes (PSS), read from Linux's /proc.
"""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import epochs, million, projects, results, turns
from benchmarks.results import Section, spread
from pipeline.report.document import Paragraph, Table

if TYPE_CHECKING:
    import keras

    from pipeline.task.dataset import Dataset

N_COLUMNS = million.N_NUMBERS + len(million.N_VALUES) + 2
GOAL_GB, N_WORKERS = 4, 2
SAMPLE_SECONDS, MAPS_EVERY = 0.2, 10  # samples; looking at single mappings takes longer
STUDY, FILE = "million", "million.csv"
STUDY_FILE = f"""
goal = "See what a search of a large table needs."
dataset = "../{FILE}"
target = "{million.TARGET}"
metric = "val_roc_auc"

[budget]
trials = 4

[sampler]
type = "RandomSampler"
seed = 1

[pruner]
type = "NopPruner"

[fixed]
hidden_layers = 2
units = [256, 128]
optimizer = "adam"
embedding_size = 8
batch_size = 1024
epochs = 2

[space]
learning_rate = {{ type = "float", low = 1e-4, high = 1e-2, log = true }}
"""
# What a network sees, its layers and its batch size. Without embeddings categories are one-hot.
NETWORKS: Mapping[str, dict[str, Any]] = {
    "numbers and embeddings of 8; 128-64 at 256": {
        "units": (128, 64), "batch_size": 256, "embedding_size": 8,
    },
    "numbers and embeddings of 8; 256-128 at 1024": {
        "units": (256, 128), "batch_size": 1024, "embedding_size": 8,
    },
    "numbers and one-hot codes; 256-128 at 1024": {
        "units": (256, 128), "batch_size": 1024, "embedding_size": 0,
    },
    "numbers in 16 bins and embeddings of 8; 256-128 at 1024": {
        "units": (256, 128), "batch_size": 1024, "embedding_size": 8,
        "numeric_encoding": "piecewise_linear", "numeric_bins": 16,
    },
}  # fmt: skip


def measure(full: bool) -> Section:
    """100,000 rows and three rounds; a million and seven in full."""
    n_rows, n_rounds = (1_000_000, 7) if full else (100_000, 3)
    with projects.fresh() as project:
        file, cache = project / FILE, project / "cache"
        million.write(file, n_rows)
        (project / "studies" / f"{STUDY}.toml").write_text(STUDY_FILE)
        found = _search(project, cache)
        rows = [_epochs(which, file, cache, n_rounds) for which in NETWORKS]
        n_bytes = file.stat().st_size
    memory = [
        ["the file, GB", f"{n_bytes / 1e9:.2f}", ""],
        ["until it is read, split and encoded, s", f"{found.seconds:.0f}", ""],
        ["most memory by then, GB", f"{found.preparing / 1e9:.2f}", f"{GOAL_GB}"],
        ["most memory while workers train, GB", f"{found.training / 1e9:.2f}", f"{GOAL_GB}"],
        ["of which arrays that all share, GB", f"{found.shared / 1e9:.2f}", ""],
        ["copies of them in single processes, MB", f"{found.copied / 1e6:.0f}", "0"],
    ]  # fmt: skip
    return Section(
        "Scale",
        [
            Paragraph(
                f"A made-up CSV file of {n_rows:,} rows and {N_COLUMNS} columns: "
                f"{million.N_NUMBERS} numbers, {million.N_MISSING} of them with gaps, "
                f"{len(million.N_VALUES)} categories of {min(million.N_VALUES)} to "
                f"{max(million.N_VALUES)} values, a date and the target. A search of it, "
                f"`python -m pipeline.search` with {N_WORKERS} workers and an empty cache; memory "
                "is the sum over all its processes of their proportional set sizes, every "
                f"{SAMPLE_SECONDS} seconds."
            ),
            Table(["what", "found", "goal"], memory),
            Paragraph(
                "Seconds of an epoch after the first, validation included, on one thread, "
                "against the matrix products of its training alone, by NumPy's sgemm; "
                f"{n_rounds} rounds in turns, a ratio is that of neighbours."
            ),
            Table(["network and batch size", "epoch, s", "sgemm, s", "ratio"], rows),
        ],
    )


# Memory


@dataclasses.dataclass
class _Found:
    """Seconds until the data were ready, and the most bytes."""

    seconds: float = 0
    preparing: int = 0
    training: int = 0
    shared: int = 0
    copied: int = 0


def _search(project: Path, cache: Path) -> _Found:
    """Runs the search, and watches the memory of all its processes."""
    found, started = _Found(), time.perf_counter()
    command = [sys.executable, "-m", "pipeline.search", STUDY, "--workers", str(N_WORKERS)]
    log = project / "log"
    with log.open("w") as output:
        search = subprocess.Popen(
            command,
            cwd=project,
            env=projects.environment() | {"PIPELINE_DATA_DIR": str(cache)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        for n in _ticks(search):
            family = _family(search.pid)
            total = sum(map(_proportional, family))
            if found.seconds:
                found.training = max(found.training, total)
                if n % MAPS_EVERY == 0:
                    shared, copied = _arrays(family)
                    found.shared, found.copied = (
                        max(found.shared, shared),
                        max(found.copied, copied),
                    )
                continue
            found.preparing = max(found.preparing, total)
            if any(cache.glob("own/[!.]*/about.json")):
                found.seconds = time.perf_counter() - started
    if search.returncode:
        raise SystemExit(f"the search failed: {log.read_text()[-2000:]}")
    return found


def _ticks(process: subprocess.Popen[bytes]) -> Iterator[int]:
    n = 0
    while process.poll() is None:
        yield n
        n += 1
        time.sleep(SAMPLE_SECONDS)


def _family(pid: int) -> list[int]:
    try:
        root = psutil.Process(pid)
        return [root.pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.Error:  # it has just ended
        return []


def _proportional(pid: int) -> int:
    """Reads the bytes of a process, of which each page counts a share of those that map it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _arrays(family: list[int]) -> tuple[int, int]:
    """Adds up mapped arrays: bytes, each once; and bytes that a process has of its own."""
    shared = copied = 0
    for pid in family:
        try:
            maps = psutil.Process(pid).memory_maps()
        except (psutil.Error, OSError):
            continue
        for each in maps:
            if each.path.endswith(".npy"):
                shared += each.pss
                copied += each.private_dirty
    return shared, copied


# Epochs


def _epochs(which: str, file: Path, cache: Path, n_rounds: int) -> list[str]:
    processes = [
        turns.start("scale", "contend", name, which, str(file), str(cache))
        for name in ("pipeline", "sgemm")
    ]
    try:
        rounds = [[turns.go(process) for process in processes] for _ in range(n_rounds + 1)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    ours, products = (list(each) for each in zip(*rounds[1:], strict=True))
    ratios = [a / b for a, b in zip(ours, products, strict=True)]
    print(f"{which}: ratio {spread(ratios)}", file=sys.stderr, flush=True)
    return [which, spread(ours), spread(products), spread(ratios)]


def contend(name: str, which: str, file: str, cache: str) -> None:
    """Runs an epoch, or its matrix products, for each line on stdin; answers with the seconds."""
    os.environ["PIPELINE_DATA_DIR"] = cache
    from pipeline.data import datasets
    from pipeline.study.hyperparameters import Hyperparameters
    from pipeline.task.source import DataSpec
    from pipeline.training import loop
    from pipeline.training.model import build_model

    wait, answer = turns.taking()
    loop.use_threads(1)
    dataset = datasets.load(DataSpec(file, million.TARGET))
    hyperparameters = Hyperparameters(
        hidden_layers=2,
        optimizer="adam",
        learning_rate=0.001,
        epochs=1_000_000,
        **NETWORKS[which],
    )
    run: Callable[..., None] = _train if name == "pipeline" else _multiply
    run(
        build_model(hyperparameters, dataset.task),
        dataset,
        hyperparameters.batch_size,
        wait,
        answer,
    )


def _train(
    model: "keras.Model",
    dataset: "Dataset",
    batch_size: int,
    wait: turns.Wait,
    answer: turns.Answer,
) -> None:
    from pipeline.training import fitting

    run = fitting.fit(model, dataset, batch_size=batch_size, epochs=1_000_000, seed=0)
    while True:
        started = wait()
        next(run)
        answer(time.perf_counter() - started)


def _multiply(
    model: "keras.Model",
    dataset: "Dataset",
    batch_size: int,
    wait: turns.Wait,
    answer: turns.Answer,
) -> None:
    sizes = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    sizes = [sizes[0][0], *(n_out for _, n_out in sizes)]
    has_embeddings = any(layer.name == "embeddings" for layer in model.layers)
    products = epochs.products(sizes, batch_size, of_inputs=has_embeddings)
    n_steps = len(dataset.train_inputs) // batch_size
    epochs.multiply(products, n_steps, wait, answer)


if __name__ == "__main__":
    sys.exit(results.main(measure, "scale"))
