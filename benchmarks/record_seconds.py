"""Measures the seconds of epochs whose metrics were recorded on another machine.

python -m benchmarks.record SPACE --seconds [--workers N] [--minutes M]

A network's first epochs are trained with its first seed as `record` trains, by the pipeline on one
thread: the first one's seconds have the graph's compilation in them, those of the others differ by
chance alone. All rows of the network get the first and the median of the others; who reads them
repeats the latter.
"""

import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from typing import Any

from benchmarks import record
from pipeline.files import write_atomically
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.spec import StudySpec

N_EPOCHS = 3  # that are trained
SAVED_EVERY = 20  # networks


def epoch_seconds(
    spec: StudySpec, number: int, given: Hyperparameters, n_epochs: int = N_EPOCHS
) -> list[float]:
    """Trains a network's first epochs in this process, and returns two numbers at most.

    They are the processor's seconds of the first epoch, and the median of the others'. An epoch in
    which training breaks off counts, too.
    """
    first, *others = record.train(spec, number, replace(given, epochs=n_epochs), 0, broken=True)[
        "seconds"
    ]
    return [first, round(statistics.median(others), record.DIGITS)] if others else [first]


def with_seconds(
    rows: Sequence[Mapping[str, Any]], measured: Mapping[int, Sequence[float]]
) -> list[dict[str, Any]]:
    """Puts seconds into the rows of networks that were measured."""
    return [
        {**row, "seconds": list(measured[row["network"]])}
        if row["network"] in measured
        else dict(row)
        for row in rows
    ]


def measure(name: str, n_workers: int, minutes: float = math.inf) -> None:
    """Measures all networks of a space whose rows have no seconds yet; can be gone on with."""
    spec, drawn = record.drawn_of(name)
    left = list(dict.fromkeys(r["network"] for r in record.read(name) if not r.get("seconds")))
    n, deadline = len(left), time.monotonic() + 60 * minutes
    measured: dict[int, list[float]] = {}
    with ProcessPoolExecutor(n_workers, multiprocessing.get_context("spawn")) as pool:
        under_way: dict[Future[list[float]], int] = {}
        while under_way or (left and time.monotonic() < deadline):
            while left and len(under_way) < n_workers and time.monotonic() < deadline:
                number = left.pop(0)
                under_way[pool.submit(epoch_seconds, spec, number, drawn[number])] = number
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                measured[under_way.pop(future)] = future.result()
                print(f"{name}: seconds of {len(measured)} of {n}", file=sys.stderr)
                if not under_way or len(measured) % SAVED_EVERY == 0:
                    _save(name, measured)


def _save(name: str, measured: Mapping[int, Sequence[float]]) -> None:
    file = record.FOLDER / f"{name}.jsonl"
    rows = with_seconds(record.read(name), measured)
    lines = [json.dumps(row, separators=(",", ":")) + "\n" for row in rows]
    write_atomically(file, "".join(lines))
