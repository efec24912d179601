"""An epoch of the pipeline's training loop against one of plain `model.fit`, on one thread each.

Both run in processes of their own and take turns, an epoch each, so that what else the machine
does meets both. The first epoch, which traces graphs, is left out. Between the two a third
process multiplies the same matrices with NumPy: as fast as this machine can on one thread.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks import results, turns
from benchmarks.results import Section, spread
from pipeline.report.document import Block, Paragraph, Table

if TYPE_CHECKING:
    from pipeline.task.dataset import Dataset

DATASET = "fashion_mnist"
SIDE, N_CLASSES = 28, 10
CONTENDERS = ("model.fit", "pipeline", "sgemm")
AUGMENTED: dict[str, Any] = {"random_shift": 2, "random_flip": True, "cutout": 8}


@dataclass(frozen=True)
class Network:
    """A network of ReLU layers, trained with Adam, and the speed-up asked for.

    Attributes:
        units: of its dense layers; of convolutional ones, at most one behind them.
        batch_size: images in a step.
        goal: how many times as fast as `model.fit`.
        filters: of its convolutional layers, 3 by 3 and pooled.
        n_images: in an epoch.
    """

    units: tuple[int, ...]
    batch_size: int
    goal: float
    filters: tuple[int, ...] = ()
    n_images: int = 48_000

    @property
    def products(self) -> list[tuple[int, int, int]]:
        """The matrix products of a step; of a convolution those that compute it for all pixels."""
        shapes: list[tuple[int, int, int]] = []
        side, channels = SIDE, 1
        for n in self.filters:
            pixels, kernel = self.batch_size * side**2, 9 * channels
            shapes += [(pixels, kernel, n), (kernel, pixels, n)]
            shapes += [(pixels, n, kernel)] * (channels > 1)
            side, channels = -(-side // 2), n
        sizes = [side**2 * channels, *self.units, N_CLASSES]
        return shapes + products(sizes, self.batch_size, of_inputs=bool(self.filters))

    @property
    def epoch_gflop(self) -> float:
        """Operations in the products of an epoch, in 10^9."""
        step = sum(2 * m * k * n for m, k, n in self.products)
        return step * self.n_images / self.batch_size / 1e9

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """As the pipeline has them."""
        given = {"optimizer": "adam", "learning_rate": 0.001, "epochs": 1_000_000}
        given |= {"batch_size": self.batch_size}
        if not self.filters:
            return {**given, "hidden_layers": len(self.units), "units": self.units}
        (dense,) = self.units or (0,)
        layers = {"layer_kind": "convolutional", "hidden_layers": len(self.filters)}
        return {**given, **layers, "units": self.filters, "dense_units": dense}

    def __str__(self) -> str:
        """Sizes of the layers, and images in a batch."""
        sizes = "-".join(map(str, (SIDE**2, *self.filters, *self.units, N_CLASSES)))
        return f"{'conv ' * bool(self.filters)}{sizes} at {self.batch_size}"


DENSE = (
    Network((100,), 32, 3.5),
    Network((256, 128), 64, 2.0),
    Network((512, 256), 128, 1.4),
)
CONVOLUTIONAL = (
    Network((), 32, 1.0, (16,), n_images=24_000),
    Network((64,), 64, 1.0, (32, 64), n_images=9_600),
    Network((128,), 128, 1.0, (32, 64, 128), n_images=9_600),
)
NETWORKS = (*DENSE, *CONVOLUTIONAL)


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
    columns = [
        "network and batch size", "model.fit, s", "pipeline, s", "ratio", "goal",
        "pipeline, GFLOP/s", "sgemm, GFLOP/s", "share",
    ]  # fmt: skip
    blocks: list[Block] = []
    for validates in (False, True) if full else (False,):
        rows = [_row(network, n_rounds, validates) for network in DENSE]
        blocks += [
            Paragraph(f"With{'' if validates else 'out'} validation, in both:"),
            Table(columns, rows),
        ]
    blocks += [
        Paragraph(
            "Convolutional layers, 3 by 3, each pooled, then a dense one; of fewer images, and "
            "without validation. The products are those of the convolution as a matrix product "
            "over all pixels, which have to be gathered for it:"
        ),
        Table(columns, [_row(network, n_rounds, validates=False) for network in CONVOLUTIONAL]),
        Paragraph(
            "What augmentation (shift by 2, flip, cutout of 8) costs: an epoch of the pipeline "
            "with it, to the one before without it."
        ),
        Table(
            ["network and batch size", "without, s", "with, s", "ratio", "goal"],
            [_augmented_row(network, n_rounds) for network in CONVOLUTIONAL],
        ),
    ]
    return Section(
        "Training loop",
        [
            Paragraph(
                "Seconds of an epoch, of 48,000 images, after the first, on one thread: "
                "`model.fit(x, y, batch_size)` of float32 images against the pipeline's loop; "
                f"{n_rounds} rounds in turns. A ratio is that of two neighbouring epochs. GFLOP/s "
                "count the matrix products of training alone, 2mkn for (m, k) by (k, n): outputs, "
                "gradients of weights and, but for the first layer, of inputs; sgemm is NumPy "
                "doing just these products, one after another, and the share is that of the two "
                "rates, in the same round."
            ),
            *blocks,
        ],
    )


def _row(network: Network, n_rounds: int, validates: bool) -> list[str]:
    theirs, ours, products = _take_turns(network, n_rounds, CONTENDERS, validates=validates)
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    rates = [network.epoch_gflop / seconds for seconds in ours]
    # validation costs operations that are not counted
    achieved = "" if validates else spread(rates, 0)
    shares = [a / b for a, b in zip(products, ours, strict=True)]
    print(f"{network}: ratio {spread(ratios)}", file=sys.stderr, flush=True)
    return [
        str(network),
        spread(theirs),
        spread(ours),
        spread(ratios),
        f"{network.goal:g}",
        achieved,
        spread([network.epoch_gflop / seconds for seconds in products], 0),
        "" if validates else spread(shares),
    ]


def _augmented_row(network: Network, n_rounds: int) -> list[str]:
    without, augmented = _take_turns(network, n_rounds, ("pipeline", "augmented"))
    ratios = [a / b for a, b in zip(augmented, without, strict=True)]
    print(f"{network} augmented: ratio {spread(ratios)}", file=sys.stderr, flush=True)
    return [str(network), spread(without), spread(augmented), spread(ratios), "1.15"]


def _take_turns(
    network: Network, n_rounds: int, contenders: Sequence[str], *, validates: bool = False
) -> list[list[float]]:
    """Seconds of each epoch after the first, for each contender."""
    which = str(NETWORKS.index(network))
    processes = [
        turns.start("epochs", "contend", name, which, "validates" if validates else "")
        for name in contenders
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
    contenders: dict[str, Callable[..., None]] = {
        "model.fit": _plain_fit,
        "pipeline": _pipeline,
        "augmented": partial(_pipeline, **AUGMENTED),
        "sgemm": _sgemm,
    }
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
    plain.network(network.units, filters=network.filters).fit(
        plain.scaled(dataset.train_inputs[: network.n_images]),
        dataset.train_targets[: network.n_images],
        batch_size=network.batch_size,
        epochs=1_000_000,
        validation_data=validation if validates else None,
        callbacks=[Turns()],
        verbose=0,
    )


def first_images(n_training: int, n_validation: int | None = None) -> "Dataset":
    """Loads the first images of the training and of the validation part; None: all of these."""
    from pipeline.data import datasets

    whole = datasets.load(DATASET)
    return replace(
        whole,
        train_inputs=whole.train_inputs[:n_training],
        train_targets=whole.train_targets[:n_training],
        validation_inputs=whole.validation_inputs[:n_validation],
        validation_targets=whole.validation_targets[:n_validation],
    )


def _pipeline(
    network: Network, validates: bool, wait: turns.Wait, answer: turns.Answer, **options: Any
) -> None:
    from pipeline.study.hyperparameters import Hyperparameters
    from pipeline.training import fitting, loop
    from pipeline.training.model import build_model

    loop.use_threads(1)
    dataset = first_images(network.n_images, None if validates else 0)
    hyperparameters = Hyperparameters(**network.hyperparameters, **options)
    model = build_model(hyperparameters, dataset.task)
    epochs: Iterator[object] = fitting.fit(model, dataset, hyperparameters, seed=0)
    while True:
        started = wait()
        next(epochs)
        answer(time.perf_counter() - started)


def _sgemm(network: Network, validates: bool, wait: turns.Wait, answer: turns.Answer) -> None:
    multiply(network.products, network.n_images // network.batch_size, wait, answer)


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
