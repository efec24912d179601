"""Three ways to make the first epochs of a search cheaper, each held against the pipeline's loop.

Networks of one shape side by side in one graph; epochs without validation; and, of networks whose
curves are recorded, how well a part of an epoch tells which of them are good. All in one process,
on one thread as a worker has it, and in turns. Seconds are of the processor, so that it matters
less what else the machine does meanwhile.
"""

import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from benchmarks import first_looks, record, results
from benchmarks.epochs import CONVOLUTIONAL, Network, first_images
from benchmarks.first_looks import PARTS, RUNG, Looked, kept_and_saved
from benchmarks.results import Section, spread
from pipeline.report.document import Block, Heading, Items, Paragraph, Table
from pipeline.study.hyperparameters import Hyperparameters

if TYPE_CHECKING:  # imports TensorFlow
    from pipeline.task.dataset import Dataset

Name = TypeVar("Name", int, bool)
Times = Mapping[Name, Sequence[float]]  # seconds of each round, by contender

UNITS, BATCH_SIZES, N_SIDE_BY_SIDE = (32, 128, 512), (32, 256), (2, 4, 8)
N_IMAGES: Mapping[int, int] = {32: 15_360, 128: 7_680, 512: 3_072}  # so that a turn is short
SHAPES = tuple(Network((u, u), batch_size, 1.0) for u in UNITS for batch_size in BATCH_SIZES)
VALIDATION_RATIO = 4  # training images to one validation image, as in the whole data set
N_TRIALS, N_EPOCHS, N_MINUTES = 155, 1_041, 15  # of the default study: section "Supervisor"
GOAL = 200  # epochs a minute of it


def measure(full: bool) -> Section:
    """Three rounds and 20 networks; five and 100 in full."""
    from pipeline.environment import hide_gpus, import_keras

    hide_gpus()
    import_keras()
    from pipeline.training import loop

    loop.use_threads(1)
    n_rounds, n_networks = (5, 100) if full else (3, 20)
    together = {each: in_turns(_side_by_side(each), n_rounds) for each in SHAPES}
    validated = {
        each: in_turns(_validated_or_not(each), n_rounds) for each in (*SHAPES, *CONVOLUTIONAL)
    }
    return section(together, validated, first_looks.look(range(n_networks)))


def section(
    together: Mapping[Network, Times[int]],
    validated: Mapping[Network, Times[bool]],
    looked: Sequence[Looked],
) -> Section:
    """Says what was found, and what it would bring to a search.

    Args:
        together: seconds in turns, by the number of networks side by side; 1: the pipeline's loop.
        validated: seconds in turns, by whether an epoch is validated.
        looked: networks of the default space.
    """
    shares = [statistics.median(_validation_shares(times)) for times in validated.values()]
    first = RUNG * N_TRIALS / N_EPOCHS
    _, saved = kept_and_saved(looked, min(PARTS))
    bound = 1 / ((1 - max(shares)) * (1 - first * saved))
    faster = GOAL * N_MINUTES / N_EPOCHS
    about = Paragraph(
        "None of the three is in the pipeline. If no epoch at all were validated, and the "
        f"cheapest looks lost nothing, a search would be {bound:.2f} times as fast; for {GOAL} "
        f"epochs a minute of the default study it would have to be {faster:.1f} times as fast "
        f"({N_EPOCHS:,} epochs of {N_TRIALS} trials in {N_MINUTES} minutes: see Supervisor). What "
        "is left is the training itself; Training loop says how near it is to the speed of mere "
        "matrix products."
    )
    reasons = Items(
        [
            f"Side by side: networks learn {_by_units(together)} times as fast, but "
            f"{_of_one_shape()}.",
            "Validation: only the first epoch of a trial comes before any decision, at the rung "
            f"of {RUNG} epochs. These are {first / RUNG:.0%} of all epochs of such a search, so "
            f"that leaving out their validation saves {first / RUNG * max(shares):.1%} of it at "
            "most, for a gap in every curve.",
            f"First looks: dropping half of the networks after {min(PARTS):g} epochs saves "
            f"{saved:.0%} of the time until the rung, or {first * saved:.0%} of such a search. "
            "But of the better half, the networks that a search is about, such a look tells "
            "little; and neither Optuna's steps, MLflow's curves nor the model of curves know "
            "parts of an epoch.",
        ]
    )
    return Section(
        "Cheaper looks",
        [
            about,
            reasons,
            *_about_side_by_side(together),
            *_about_validation(validated),
            *first_looks.about(looked),
        ],
    )


# Side by side


def _about_side_by_side(found: Mapping[Network, Times[int]]) -> list[Block]:
    rows = [
        [str(network), spread(times[1], 3), *map(spread, speed_ups(times).values())]
        for network, times in found.items()
    ]
    n_rounds = len(next(iter(found.values()))[1])
    return [
        Heading("Networks side by side"),
        Paragraph(
            "How many times as fast K networks learn in one graph as by the pipeline's loop one "
            "after another, all on the same batches: weights stacked, the first layer one wide "
            "product, the others batched ones, Adam in one kernel for all. Without validation, "
            f"after the first epoch; {n_rounds} rounds in turns, on one thread. Seconds, here and "
            "below, are of the processor; here of an epoch of one network by the pipeline's loop, "
            f"of {N_IMAGES[32]:,}, {N_IMAGES[128]:,} and {N_IMAGES[512]:,} images."
        ),
        Table(["network and batch size", "one, s", *(f"K = {k}" for k in N_SIDE_BY_SIDE)], rows),
    ]


def _by_units(found: Mapping[Network, Times[int]]) -> str:
    """Says from where to where the medians of networks of each width go."""
    medians: dict[int, list[float]] = {}
    for network, times in found.items():
        own = [statistics.median(each) for each in speed_ups(times).values()]
        medians.setdefault(network.units[0], []).extend(own)
    return ", ".join(
        f"{min(own):.1f} to {max(own):.1f} (two layers of {units})"
        for units, own in medians.items()
    )


def _of_one_shape() -> str:
    """Says how many pairs of the networks recorded of the default space could share a graph."""
    _, drawn = record.drawn_of("dense")
    kinds = Counter(
        (each.units, each.activation, each.optimizer, each.batch_size)
        for each in (given.effective for given in drawn)
    )
    all_pairs, n = math.comb(len(drawn), 2), sum(math.comb(n, 2) for n in kinds.values())
    layered = sum(math.comb(n, 2) for (units, *_), n in kinds.items() if units)
    return (
        f"of the {all_pairs:,} pairs among {len(drawn)} networks drawn from the default space "
        f"{n} have the same layers, optimizer and batch size, of which {layered} with a hidden "
        "layer"
    )


def speed_ups(times: Times[int]) -> dict[int, list[float]]:
    """Returns, round by round, how many times as fast K networks are together as one by one.

    Args:
        times: seconds of each round, by the number of networks that learn together, with 1.
    """
    return {
        k: [k * one / together for one, together in zip(times[1], seconds, strict=True)]
        for k, seconds in times.items()
        if k > 1
    }


def _side_by_side(network: Network) -> dict[int, Callable[[], object]]:
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


def _about_validation(found: Mapping[Network, Times[bool]]) -> list[Block]:
    rows = [
        [str(network), *map(spread, (times[True], times[False], _validation_shares(times)))]
        for network, times in found.items()
    ]
    return [
        Heading("Validation"),
        Paragraph(
            "An epoch of the pipeline's loop with validation, on a quarter as many images as it "
            "is trained on, and without; the share is what leaving it out would save of that "
            "epoch. After the first epoch; as many rounds in turns."
        ),
        Table(["network and batch size", "with, s", "without, s", "share"], rows),
    ]


def _validation_shares(times: Times[bool]) -> list[float]:
    return [1 - a / b for a, b in zip(times[False], times[True], strict=True)]


def _validated_or_not(network: Network) -> dict[bool, Callable[[], object]]:
    return {
        validates: _epochs(network, _part(network.n_images, validates=validates))
        for validates in (False, True)
    }


def _epochs(network: Network, data: "Dataset") -> Callable[[], object]:
    """Returns what trains a network for an epoch more, by the pipeline's loop."""
    from pipeline.training import fitting
    from pipeline.training.model import build_model

    given = Hyperparameters(**network.hyperparameters)
    epochs = fitting.fit(build_model(given, data.task), data, given, seed=0)
    return partial(next, epochs)


def _part(n_images: int, *, validates: bool = True) -> "Dataset":
    """The first training images, and as much of the validation set as of all training images."""
    return first_images(n_images, n_images // VALIDATION_RATIO if validates else 0)


def in_turns(
    contenders: Mapping[Name, Callable[[], object]], n_rounds: int
) -> dict[Name, list[float]]:
    """Returns seconds of each round, by contender, without those of a first one, which traces."""
    times: dict[Name, list[float]] = {name: [] for name in contenders}
    for _ in range(n_rounds + 1):
        for name, run in contenders.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return {name: seconds[1:] for name, seconds in times.items()}


if __name__ == "__main__":
    sys.exit(results.main(measure, "cheaper_looks"))
