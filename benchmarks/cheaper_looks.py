"""Three ways to make the first epochs of a search cheaper, each held against the pipeline's loop.

Networks of one shape side by side in one graph; epochs without validation; and, of networks whose
curves are recorded, how well a part of an epoch tells which of them are good. All in one process,
on one thread as a worker has it, and in turns.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy.stats import spearmanr

from benchmarks import record, results
from benchmarks.epochs import CONVOLUTIONAL, DATASET, Network
from benchmarks.results import Section, spread
from pipeline.report.document import Block, Heading, Paragraph, Table
from pipeline.study.hyperparameters import Hyperparameters

if TYPE_CHECKING:  # imports TensorFlow
    from pipeline.task.dataset import Dataset

Name = TypeVar("Name", int, bool)

UNITS, BATCH_SIZES, N_SIDE_BY_SIDE = (32, 128, 512), (32, 256), (2, 4, 8)
N_IMAGES: Mapping[int, int] = {32: 15_360, 128: 7_680, 512: 3_072}  # so that a turn is short
SHAPES = tuple(Network((u, u), batch_size, 1.0) for u in UNITS for batch_size in BATCH_SIZES)
VALIDATION_RATIO = 4  # training images to one validation image, as in the whole data set
PARTS = (0.125, 0.25, 0.5)  # of an epoch
RUNG = 2  # epochs: the first rung of `pipeline.search.promotion`
PROMOTED = 3  # of so many networks one goes on from the rung
BEST = 8  # of so many networks one is among the best, which a search must not lose


@dataclass(frozen=True)
class Looked:
    """A network at its first looks, and what became of it.

    Attributes:
        values: validation accuracy, by epochs that were trained until then.
        seconds: of the processor until then, by the same: of building and tracing, too.
        best: the best validation accuracy of all its recorded epochs.
    """

    values: Mapping[float, float]
    seconds: Mapping[float, float]
    best: float


def measure(full: bool) -> Section:
    """Five rounds and 40 networks; nine and 120 in full."""
    from pipeline.environment import hide_gpus, import_keras

    hide_gpus()
    import_keras()
    from pipeline.training import loop

    loop.use_threads(1)
    n_rounds, n_networks = (9, 120) if full else (5, 40)
    return Section(
        "Cheaper looks",
        [
            *_side_by_side(n_rounds),
            *_validation(n_rounds),
            *first_looks(_look(range(n_networks))),
        ],
    )


# Side by side


def _side_by_side(n_rounds: int) -> list[Block]:
    rows = []
    for network in SHAPES:
        times = in_turns(_contenders(network), n_rounds)
        rows.append([str(network), spread(times[1], 3), *map(spread, speed_ups(times).values())])
        print(rows[-1], file=sys.stderr, flush=True)
    return [
        Heading("Networks side by side"),
        Paragraph(
            "How many times as fast K networks learn in one graph as by the pipeline's loop one "
            "after another, all on the same batches: weights stacked, the first layer one wide "
            "product, the others batched ones, Adam in one kernel for all. Without validation, "
            f"after the first epoch; {n_rounds} rounds in turns. Seconds are of an epoch of one "
            f"network by the pipeline's loop, of {N_IMAGES[32]:,}, {N_IMAGES[128]:,} and "
            f"{N_IMAGES[512]:,} images."
        ),
        Table(["network and batch size", "one, s", *(f"K = {k}" for k in N_SIDE_BY_SIDE)], rows),
    ]


def speed_ups(times: Mapping[int, Sequence[float]]) -> dict[int, list[float]]:
    """Returns, round by round, how many times as fast K networks are together as one by one.

    Args:
        times: seconds of each round, by the number of networks that learn together, with 1.
    """
    return {
        k: [k * one / together for one, together in zip(times[1], seconds, strict=True)]
        for k, seconds in times.items()
        if k > 1
    }


def _contenders(network: Network) -> dict[int, Callable[[], object]]:
    import tensorflow as tf

    from benchmarks.side_by_side import SideBySide
    from pipeline.training.model import build_model

    data = _part(N_IMAGES[network.units[0]], validates=False)
    given = Hyperparameters(**network.hyperparameters)
    order = np.random.default_rng(0).permutation(len(data.train_inputs)).astype(np.int32)
    found = {1: _epochs(network, data)}
    for k in N_SIDE_BY_SIDE:
        together = SideBySide(
            [build_model(given, data.task) for _ in range(k)],
            data,
            batch_size=given.batch_size,
            learning_rate=given.learning_rate,
        )
        found[k] = partial(_run, together.run_epoch, tf.constant(order))
    return found


def _run(run_epoch: Callable[[Any], Any], order: object) -> None:
    run_epoch(order).numpy()


# Validation


def _validation(n_rounds: int) -> list[Block]:
    rows = []
    for network in (*SHAPES, *CONVOLUTIONAL):
        contenders = {
            validates: _epochs(network, _part(network.n_images, validates=validates))
            for validates in (False, True)
        }
        times = in_turns(contenders, n_rounds)
        shares = [1 - a / b for a, b in zip(times[False], times[True], strict=True)]
        rows.append([str(network), *map(spread, (times[True], times[False], shares))])
        print(rows[-1], file=sys.stderr, flush=True)
    return [
        Heading("Validation"),
        Paragraph(
            "An epoch of the pipeline's loop with validation, on a quarter as many images as it "
            "is trained on, and without; the share is what leaving it out would save of that "
            f"epoch. After the first epoch; {n_rounds} rounds in turns."
        ),
        Table(["network and batch size", "with, s", "without, s", "share"], rows),
    ]


def _epochs(network: Network, data: "Dataset") -> Callable[[], object]:
    """Returns what trains a network for an epoch more, by the pipeline's loop."""
    from pipeline.training import fitting
    from pipeline.training.model import build_model

    given = Hyperparameters(**network.hyperparameters)
    epochs = fitting.fit(build_model(given, data.task), data, given, seed=0)
    return partial(next, epochs)


def _part(n_images: int, *, validates: bool = True) -> "Dataset":
    """The first training images, and as much of the validation set as of all training images."""
    from pipeline.data import datasets

    whole = datasets.load(DATASET)
    n_validation = n_images // VALIDATION_RATIO if validates else 0
    return replace(
        whole,
        train_inputs=whole.train_inputs[:n_images],
        train_targets=whole.train_targets[:n_images],
        validation_inputs=whole.validation_inputs[:n_validation],
        validation_targets=whole.validation_targets[:n_validation],
    )


def in_turns(
    contenders: Mapping[Name, Callable[[], object]], n_rounds: int
) -> dict[Name, list[float]]:
    """Returns seconds of each round, by contender; the round before, which traces, is left out."""
    times: dict[Name, list[float]] = {name: [] for name in contenders}
    for _ in range(n_rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    return {name: seconds[1:] for name, seconds in times.items()}


# First looks


def first_looks(found: Sequence[Looked]) -> list[Block]:
    """Says how much of what a network comes to is known at its first looks.

    Args:
        found: networks of one space.
    """
    best_half = sorted(found, key=lambda each: -each.best)[: len(found) // 2]
    rows = []
    for epochs in found[0].values:
        n_kept, saved = kept_and_saved(found, epochs)
        rows.append(
            [
                f"{epochs:g}",
                f"{_seconds(found, epochs) / _seconds(found, RUNG):.2f}",
                f"{correlation(found, epochs):.2f}",
                f"{correlation(best_half, epochs):.2f}",
                str(n_kept),
                f"{saved:.0%}",
            ]
        )
    n_best = len(found) // BEST
    return [
        Heading("First looks"),
        Paragraph("placeholder"),
        Table(["epochs", "cost", "all", "best half", f"kept of the best {n_best}", "saved"], rows),
    ]


def correlation(found: Sequence[Looked], epochs: float) -> float:
    """Spearman's rank correlation of a look with the best that a network comes to."""
    values = [each.values[epochs] for each in found]
    return float(spearmanr(values, [each.best for each in found]).statistic)


def kept_and_saved(found: Sequence[Looked], epochs: float) -> tuple[int, float]:
    """Says what becomes of the best networks if half are dropped at a look before the rung.

    Of all networks a third goes on from the rung, as ever; of these, none was dropped.

    Args:
        found: networks of one space.
        epochs: of the look; at the rung itself none is dropped.

    Returns:
        How many of the best networks go on from the rung, and what part of the seconds until
        there is saved.
    """
    n = len(found)
    left = list(found) if epochs == RUNG else _first(found, epochs, n // 2)
    promoted = _first(left, RUNG, n // PROMOTED)
    best = sorted(found, key=lambda each: -each.best)[: n // BEST]
    dropped = [each for each in found if each not in left]
    saved = _seconds(dropped, RUNG) - _seconds(dropped, epochs)
    return sum(each in promoted for each in best), saved / _seconds(found, RUNG)


def _first(found: Sequence[Looked], epochs: float, n: int) -> list[Looked]:
    return sorted(found, key=lambda each: -each.values[epochs])[:n]


def _seconds(found: Sequence[Looked], epochs: float) -> float:
    return sum(each.seconds[epochs] for each in found)


def _look(numbers: Sequence[int]) -> list[Looked]:
    """Trains networks of the default space until each look; a part is of fewer images."""
    spec, drawn = record.drawn_of("dense")
    best = {
        row["network"]: max(row[spec.metric]) for row in record.read("dense") if row["seed"] == 0
    }
    found = []
    for number in numbers:
        seed, given = record.seed_of(spec, number, 0), replace(drawn[number], epochs=RUNG)
        values: dict[float, float] = {}
        seconds: dict[float, float] = {}
        for part in (*PARTS, 1.0):
            given = replace(drawn[number], epochs=RUNG if part == 1 else 1)
            for epoch, (value, time_until) in enumerate(_train(given, seed, part), start=1):
                values[part * epoch], seconds[part * epoch] = value, time_until
        found.append(Looked(values, seconds, best[number]))
        print(f"network {number}: {values}, best {best[number]}", file=sys.stderr, flush=True)
    return found


def _train(given: Hyperparameters, seed: int, part: float) -> Iterator[tuple[float, float]]:
    """Yields validation accuracy and the seconds until then, after each epoch of a part."""
    import keras

    from pipeline.data import datasets
    from pipeline.training import fitting
    from pipeline.training.model import build_model

    data = datasets.load(DATASET)
    n = round(part * len(data.train_inputs))
    data = replace(data, train_inputs=data.train_inputs[:n], train_targets=data.train_targets[:n])
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    started = time.process_time()
    for metrics in fitting.fit(build_model(given, data.task), data, given, seed=seed):
        yield metrics["val_accuracy"], time.process_time() - started


if __name__ == "__main__":
    sys.exit(results.main(measure, "cheaper_looks"))
