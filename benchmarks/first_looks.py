"""How well a part of an epoch tells which networks are good: those whose curves are recorded.

One of the three parts of `benchmarks.cheaper_looks`.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.stats import spearmanr

from benchmarks import record
from benchmarks.epochs import DATASET, first_images
from pipeline.report.document import Block, Heading, Paragraph, Table
from pipeline.search import promotion
from pipeline.study.hyperparameters import Hyperparameters

PARTS = (0.125, 0.25, 0.5)  # of an epoch
RUNG = promotion.FIRST  # epochs
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


def about(found: Sequence[Looked]) -> list[Block]:
    """Says how much of what networks come to is known at their first looks.

    Args:
        found: networks of one space.
    """
    n = len(found)
    best_half = sorted(found, key=lambda each: -each.best)[: n // 2]
    rows = [
        [
            f"{epochs:g}",
            f"{_seconds(found, epochs) / _seconds(found, RUNG):.2f}",
            *(f"{correlation(each, epochs):.2f}" for each in (found, best_half)),
            *(str(kept_and_saved(each, epochs)[0]) for each in (found, best_half)),
            f"{kept_and_saved(found, epochs)[1]:.0%}",
        ]
        for epochs in found[0].values
    ]
    return [
        Heading("First looks"),
        Paragraph(
            f"{n} networks of the default space, trained for some part of an epoch: for parts, on "
            "as many images; validated on all. Cost: seconds of the processor, building and "
            f"tracing included, to those of {RUNG} epochs. Correlation: Spearman's, of validation "
            "accuracy then with the best of the recorded 30 epochs (of another training of the "
            "same network); of all networks, and of the better half by that. Kept: if the worse "
            "half is dropped at the look, and a third of all goes on from the rung of "
            f"{RUNG} epochs, how many of the best eighth go on; of all networks, and if the "
            f"better half were all. In the row of {RUNG} epochs none is dropped before. Saved: "
            "what the dropped ones of all networks save of the seconds until the rung, if they "
            "are dropped without a pause."
        ),
        Table(
            [
                "epochs", "cost", "correlation", "better half",
                f"kept of the best {n // BEST}", f"kept of {n // 2 // BEST}, better half", "saved",
            ],
            rows,
        ),
    ]  # fmt: skip


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


def look(numbers: Sequence[int]) -> list[Looked]:
    """Trains networks of the default space until each look; a part is of fewer images."""
    spec, drawn = record.drawn_of("dense")
    best = {
        row["network"]: max(row[spec.metric]) for row in record.read("dense") if row["seed"] == 0
    }
    found = []
    for number in numbers:
        seed = record.seed_of(spec, number, 0)
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

    whole = datasets.load(DATASET)
    data = first_images(round(part * len(whole.train_inputs)))
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    started = time.process_time()
    for metrics in fitting.fit(build_model(given, data.task), data, given, seed=seed):
        yield metrics["val_accuracy"], time.process_time() - started
