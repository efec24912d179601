"""An epoch of the pipeline's training loop against one of plain `model.fit`, on one thread each.

Both run in processes of their own and take turns, an epoch each, so that what else the machine
does meets both. The first epoch, which traces graphs, is left out. Between the two a third
process multiplies the same matrices with NumPy: as fast as this machine can on one thread.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from benchmarks import results, turns
from benchmarks.results import Section, spread
from pipeline.report.document import Block, Paragraph, Table

DATASET, N_IMAGES = "fashion_mnist", 48_000
N_INPUTS, N_CLASSES = 784, 10
CONTENDERS = ("model.fit", "pipeline", "sgemm")


@dataclass(frozen=True)
class Network:
    """A network of dense ReLU layers, trained with Adam, and the speed-up asked for."""

    units: tuple[int, ...]
    batch_size: int
    goal: float

    @property
    def products(self) -> list[tuple[int, int, int]]:
        """The matrix products of a step."""
        return products([N_INPUTS, *self.units, N_CLASSES], self.batch_size)

    @property
    def epoch_gflop(self) -> float:
        """Operations in the products of an epoch, in 10^9."""
        step = sum(2 * m * k * n for m, k, n in self.products)
        return step * N_IMAGES / self.batch_size / 1e9

    def __str__(self) -> str:
        """Sizes of the layers, and images in a batch."""
        return f"{'-'.join(map(str, (N_INPUTS, *self.units, N_CLASSES)))} at {self.batch_size}"


NETWORKS = (
    Network((100,), 32, 3.5),
    Network((256, 128), 64, 2.0),
    Network((512, 256), 128, 1.4),
)


def products(
    sizes: Sequence[int], batch_size: int, *, of_inputs: bool = False
) -> list[tuple[int, int, int]]:
    """Lists the matrix products of a step: (m, k) by (k, n), 2mkn operations each.

    For each layer outputs = inputs x weights and the weights' gradients = inputs^T x those of
    outputs; for each but the first also the gradients of inputs.

    Args:
        sizes: of the input and of all layers.
        batch_size: examples in a batch.
        of_inputs: whether the first layer's inputs have gradients, too: there are embeddings.
    """
    layers = list(pairwise(sizes))
    shapes = [(batch_size, n_in, n_out) for n_in, n_out in layers]
    shapes += [(n_in, batch_size, n_out) for n_in, n_out in layers]
    return shapes + [(batch_size, n_out, n_in) for n_in, n_out in layers[not of_inputs :]]


def measure(full: bool) -> Section:
    """Five rounds without validation; nine in full, and as many with validation in both."""
    n_rounds = 9 if full else 5
    blocks: list[Block] = []
    for validates in (False, True) if full else (False,):
        rows = [_row(network, n_rounds, validates) for network in NETWORKS]
        blocks += [
            Paragraph(f"With{'' if validates else 'out'} validation, in both:"),
            Table(
                [
                    "network and batch size", "model.fit, s", "pipeline, s", "ratio", "goal",
                    "pipeline, GFLOP/s", "sgemm, GFLOP/s",
                ],
                rows,
            ),
        ]  # fmt: skip
    return Section(
        "Training loop",
        [
            Paragraph(
                "Seconds of an epoch of 48,000 images after the first, on one thread: "
                "`model.fit(x, y, batch_size)` of float32 images against the pipeline's loop; "
                f"{n_rounds} rounds in turns. A ratio is that of two neighbouring epochs. GFLOP/s "
                "count the matrix products of training alone, 2mkn for (m, k) by (k, n): outputs, "
                "gradients of weights and, but for the first layer, of inputs; sgemm is NumPy "
                "doing just these products, one after another."
            ),
            *blocks,
        ],
    )


def _row(network: Network, n_rounds: int, validates: bool) -> list[str]:
    found = {name: each for name, each in zip(
        CONTENDERS, _take_turns(network, n_rounds, validates), strict=True
    )}  # fmt: skip
    theirs, ours, products = (found[name] for name in CONTENDERS)
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    rates = [network.epoch_gflop / seconds for seconds in ours]
    # validation costs operations that are not counted
    achieved = "" if validates else spread(rates, 0)
    print(f"{network}: ratio {spread(ratios)}", file=sys.stderr, flush=True)
    return [
        str(network),
        spread(theirs),
        spread(ours),
        spread(ratios),
        f"{network.goal:g}",
        achieved,
        spread([network.epoch_gflop / seconds for seconds in products], 0),
    ]


def _take_turns(network: Network, n_rounds: int, validates: bool) -> list[list[float]]:
    """Seconds of each epoch after the first, for each contender."""
    which = str(NETWORKS.index(network))
    processes = [
        turns.start("epochs", "contend", name, which, "validates" if validates else "")
        for name in CONTENDERS
    ]
    try:
        rounds = [[turns.go(process) for process in processes] for _ in range(n_rounds + 1)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return [list(each) for each in zip(*rounds[1:], strict=True)]


# What runs in the contenders' processes


def contend(name: str, which: str, validates: str) -> None:
    """Runs an epoch for each line on stdin and answers with its seconds, for ever."""
    contenders: dict[str, Callable[..., None]] = dict(
        zip(CONTENDERS, (_plain_fit, _pipeline, _sgemm), strict=True)
    )
    contenders[name](NETWORKS[int(which)], bool(validates), *turns.taking())


def _plain_fit(network: Network, validates: bool, wait: turns.Wait, answer: turns.Answer) -> None:
    import keras

    from benchmarks import plain
    from pipeline.data import datasets
    from pipeline.training import loop

    loop.use_threads(1)

    class Turns(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = wait()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            answer(time.perf_counter() - self.started)

    dataset = datasets.load(DATASET)
    validation = (plain.scaled(dataset.validation_inputs), dataset.validation_targets)
    plain.network(network.units).fit(
        plain.scaled(dataset.train_inputs),
        dataset.train_targets,
        batch_size=network.batch_size,
        epochs=1_000_000,
        validation_data=validation if validates else None,
        callbacks=[Turns()],
        verbose=0,
    )


def _pipeline(network: Network, validates: bool, wait: turns.Wait, answer: turns.Answer) -> None:
    from pipeline.data import datasets
    from pipeline.study.hyperparameters import Hyperparameters
    from pipeline.training import fitting, loop
    from pipeline.training.model import build_model

    loop.use_threads(1)
    dataset = datasets.load(DATASET)
    if not validates:
        dataset = replace(
            dataset,
            validation_inputs=dataset.validation_inputs[:0],
            validation_targets=dataset.validation_targets[:0],
        )
    hyperparameters = Hyperparameters(
        hidden_layers=len(network.units),
        units=network.units,
        optimizer="adam",
        learning_rate=0.001,
        batch_size=network.batch_size,
        epochs=1_000_000,
    )
    model = build_model(hyperparameters, dataset.task)
    epochs: Iterator[object] = fitting.fit(model, dataset, hyperparameters, seed=0)
    while True:
        started = wait()
        next(epochs)
        answer(time.perf_counter() - started)


def _sgemm(network: Network, validates: bool, wait: turns.Wait, answer: turns.Answer) -> None:
    multiply(network.products, N_IMAGES // network.batch_size, wait, answer)


def multiply(
    shapes: Sequence[tuple[int, int, int]], n_steps: int, wait: turns.Wait, answer: turns.Answer
) -> None:
    """Multiplies matrices of these shapes, all in each step; waits and answers for ever."""
    import numpy as np

    rng = np.random.default_rng(0)
    matrices = [
        (
            rng.random((m, k), np.float32),
            rng.random((k, n), np.float32),
            np.empty((m, n), np.float32),
        )
        for m, k, n in shapes
    ]
    while True:
        started = wait()
        for _ in range(n_steps):
            for a, b, product in matrices:
                np.matmul(a, b, out=product)
        answer(time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(results.main(measure, "epochs"))
