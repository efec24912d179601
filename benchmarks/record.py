"""Records how networks learn: the curves that the laboratory of policies replays.

python -m benchmarks.record SPACE [--workers N] [--minutes M]   # dense, table or convolutional
python -m benchmarks.record SPACE --seconds   # those alone, of what `record_on_gpu` has recorded

What is recorded follows from the space alone, and stands in `recorded/SPACE.jsonl`, a line for
each training: a recording that was interrupted is gone on with. Every training runs for all its
epochs. Seconds are of the processor, so that it does not matter what else the machine does
meanwhile; the first epoch's has the graph's compilation in it.
"""

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import optuna

from benchmarks import real_tables
from benchmarks.projects import ROOT
from pipeline.paths import Project
from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters
from pipeline.study.load import load
from pipeline.study.seeds import derived_seed
from pipeline.study.space import suggest
from pipeline.study.spec import StudySpec

FOLDER = Path(__file__).parent / "recorded"
N_PICTURES = 8_000
DIGITS = 5  # that are kept of a number


@dataclass(frozen=True)
class Recording:
    """What is recorded of a space.

    Attributes:
        study: file of the study whose space it is, from the repository's folder.
        n_networks: how many are drawn.
        n_repeated: how many of them, the first ones, are trained with three seeds.
        epochs: of every training.
    """

    study: str
    n_networks: int
    n_repeated: int
    epochs: int

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Pairs of network and seed, in the order in which they are recorded."""
        once = [(i, 0) for i in range(self.n_networks)]
        return once + [(i, seed) for i in range(self.n_repeated) for seed in (1, 2)]


RECORDINGS: Mapping[str, Recording] = MappingProxyType(
    {
        "dense": Recording("studies/fashion_mnist.toml", 400, 100, 30),
        "table": Recording("benchmarks/recorded/table.toml", 240, 60, 40),
        "convolutional": Recording("benchmarks/recorded/convolutional.toml", 200, 50, 15),
    }
)


def networks(spec: StudySpec, recording: Recording) -> list[Hyperparameters]:
    """Draws the networks of a recording at random, the same every time."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(study.ask(), spec.searched) for _ in range(recording.n_networks)]
    return [replace(given, epochs=recording.epochs) for given in drawn]


def drawn_of(name: str) -> tuple[StudySpec, list[Hyperparameters]]:
    """Loads the study of a space, and draws its networks."""
    recording = RECORDINGS[name]
    spec = load(Project(ROOT), str(ROOT / recording.study))
    return spec, networks(spec, recording)


def read(name: str) -> list[dict[str, Any]]:
    """Reads what is recorded of a space: a mapping for each training."""
    file = FOLDER / f"{name}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def seed_of(spec: StudySpec, number: int, seed: int) -> int:
    """Derives the seed of one training, as Keras and NumPy take it."""
    return derived_seed(spec.seed, "recorded", number, seed)


def own(given: Hyperparameters) -> dict[str, Any]:
    """Returns the hyperparameters that are not as they are by default, as plain values."""
    return {name: v for name, v in given.as_dict().items() if v != DEFAULTS.get(name)}


def train(
    spec: StudySpec, number: int, given: Hyperparameters, seed: int, *, broken: bool = False
) -> dict[str, Any]:
    """Trains one network in this process for all its epochs, and returns what is recorded.

    Args:
        spec: of the space.
        number: of the network.
        given: its hyperparameters.
        seed: of the training, from 0.
        broken: whether the epoch in which training breaks off has seconds, too.
    """
    from pipeline.environment import import_keras

    import_keras()
    from pipeline.training import loop
    from pipeline.training.job import EpochEnd, Failed, Job

    loop.use_threads(1)
    job = Job(
        number, spec.data_spec, given, seed_of(spec, number, seed),
        spec.metric, spec.direction, given.epochs,
        to_beat=math.inf if spec.direction == "maximize" else -math.inf,  # no model is made
    )  # fmt: skip
    metrics: dict[str, list[float]] = {}
    seconds: list[float] = []
    found: dict[str, Any] = {"network": number, "seed": seed}
    before = time.process_time()
    for event in loop.train(job):
        if isinstance(event, EpochEnd):
            found["n_parameters"] = event.n_parameters
            seconds.append(round(time.process_time() - before, 3))
            before = time.process_time()
            for key, value in event.metrics.items():
                metrics.setdefault(key, []).append(float(f"{value:.{DIGITS}g}"))
        elif isinstance(event, Failed):
            found["failed"] = event.reason
            if broken:
                seconds.append(round(time.process_time() - before, 3))
    for name in ("seconds", "learning_rate"):
        metrics.pop(name, None)
    return found | {"hyperparameters": own(given), "seconds": seconds, **metrics}


def _record(name: str, n_workers: int, minutes: float) -> None:
    recording, (spec, drawn) = RECORDINGS[name], drawn_of(name)
    known = {(r["network"], r["seed"]) for r in read(name)}
    left = iter([run for run in recording.runs if run not in known])
    deadline, n_done = time.monotonic() + 60 * minutes, len(known)
    with ProcessPoolExecutor(n_workers, multiprocessing.get_context("spawn")) as pool:

        def submit(run: tuple[int, int]) -> Future[dict[str, Any]]:
            return pool.submit(train, spec, run[0], drawn[run[0]], run[1])

        under_way = {submit(run) for run, _ in zip(left, range(n_workers), strict=False)}
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                _append(name, future.result())
                n_done += 1
                print(f"{name}: {n_done} of {len(recording.runs)}", file=sys.stderr)
                if time.monotonic() < deadline:
                    under_way |= {submit(run) for run in _next(left)}


def _next(left: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    return [run for run in [next(left, None)] if run]


def _append(name: str, found: Mapping[str, Any]) -> None:
    line = json.dumps(found, separators=(",", ":"))
    with (FOLDER / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def prepare(name: str) -> None:
    """Writes the data of a space where its study looks for them."""
    if name == "table":
        real_tables.write("jobs", ROOT / "data")
    elif name == "convolutional":
        from pipeline.data import datasets

        images, labels = datasets.load_training_file("fashion_mnist")
        some = np.random.default_rng(0).permutation(len(images))[:N_PICTURES]
        (ROOT / "data").mkdir(exist_ok=True)
        np.savez(ROOT / "data" / "small_pictures.npz", x=images[some], y=labels[some])


def main() -> int:
    """Records one space."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("space", choices=RECORDINGS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="then stop, and go on later"
    )
    parser.add_argument(
        "--seconds",
        action="store_true",
        help="of networks that were recorded without, and no more",
    )
    given = parser.parse_args()
    prepare(given.space)
    if given.seconds:
        from benchmarks import record_seconds

        record_seconds.measure(given.space, given.workers, given.minutes)
        return 0
    _record(given.space, given.workers, given.minutes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
