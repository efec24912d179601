"""What a trial costs beside its epochs, and what a second worker brings.

Jobs go through the real `LocalExecutor`, from this process, as the supervisor's do. Plain Keras
runs in a process that has done its imports and converted its data before its clock starts.
"""

import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import results, turns
from benchmarks.epochs import DATASET, N_CLASSES
from benchmarks.results import Section, spread
from pipeline.cores import n_cores
from pipeline.execution.local import LocalExecutor
from pipeline.report.document import Paragraph, Table
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.source import DataSpec
from pipeline.training.job import EpochEnd, Failed, Job

UNITS, BATCH_SIZE, N_EPOCHS = (256, 128), 64, 4
FIXED_GOAL_SECONDS, SPEED_UP_GOAL = 0.7, 1.9


def measure(full: bool) -> Section:
    """Fixed cost and speed-up in three turns, of four seconds; in full nine, of twelve."""
    n_turns, n_rounds, window_seconds = (9, 9, 12.0) if full else (3, 3, 4.0)
    ours, theirs = [], []
    alone, together = [], []
    with tempfile.TemporaryDirectory() as folder, turns.start("trials", "plain_keras") as plain:
        files = Path(folder) / "log", Path(folder) / "scratch"
        executor = LocalExecutor(DataSpec(DATASET), 2, *files)
        try:
            _fixed_seconds(executor)  # waits for imports
            turns.go(plain)  # nor is a process's very first network counted
            for _ in range(n_turns):
                ours.append(_fixed_seconds(executor))
                theirs.append(turns.go(plain))
            for _ in range(n_rounds):
                alone.append(_epochs_per_second(executor, 1, window_seconds))
                together.append(_epochs_per_second(executor, 2, window_seconds))
        finally:
            executor.close()
            plain.kill()
    speed_ups = [two / one for one, two in zip(alone, together, strict=True)]
    name = f"784-{'-'.join(map(str, UNITS))}-{N_CLASSES} at batch size {BATCH_SIZE}"
    return Section(
        "Trials",
        [
            Paragraph(
                f"A network of {name}, Adam, validation in every epoch, one thread for each "
                f"worker. Fixed cost: from `submit` until the first epoch's metrics are here, "
                f"less a later epoch; {n_turns} turns. Plain Keras: building the network and "
                "`model.fit` until the end of its first epoch, less a later one, in a process "
                "that has imported everything and trained one before."
            ),
            Table(
                ["what", "found", "goal"],
                [
                    ["fixed cost of a trial, s", spread(ours), f"{FIXED_GOAL_SECONDS:g}"],
                    ["fixed cost with plain Keras, s", spread(theirs), ""],
                    ["epochs a second, one worker", spread(alone), ""],
                    ["epochs a second, two workers", spread(together), ""],
                    ["two workers to one", spread(speed_ups), f"{SPEED_UP_GOAL:g}"],
                ],
            ),
            Paragraph(
                f"Workers ran the same job in turns, {n_rounds} times {window_seconds:g} seconds "
                f"alone and two at a time, on {n_cores()} cores."
            ),
        ],
    )


def _job(trial: int, epochs: int) -> Job:
    return Job(
        trial=trial,
        data=DataSpec(DATASET),
        hyperparameters=Hyperparameters(
            hidden_layers=len(UNITS),
            units=UNITS,
            optimizer="adam",
            learning_rate=0.001,
            batch_size=BATCH_SIZE,
            epochs=epochs,
        ),
        seed=0,
        metric="val_accuracy",
        direction="maximize",
        patience=epochs,
    )


def _fixed_seconds(executor: LocalExecutor) -> float:
    """From `submit` to the end of the first epoch, less a later epoch."""
    times = [time.perf_counter()]
    executor.submit(_job(0, N_EPOCHS + 1))  # one more: it does not come to its end
    while len(times) <= N_EPOCHS:
        for event in executor.events(10.0):
            assert not isinstance(event, Failed), event.reason
            if isinstance(event, EpochEnd):
                times.append(time.perf_counter())
    executor.stop(0)
    return _less_a_later_epoch(times)


def _less_a_later_epoch(times: list[float]) -> float:
    seconds = [end - start for start, end in pairwise(times)]
    return seconds[0] - statistics.median(seconds[1:])


def _epochs_per_second(executor: LocalExecutor, n_workers: int, window_seconds: float) -> float:
    """Epochs after the first one, of all workers, while all of them train."""
    ends: dict[int, list[float]] = {trial: [] for trial in range(n_workers)}
    for trial in ends:
        executor.submit(_job(trial, 100_000))
    until = float("inf")
    while time.perf_counter() < until:
        for event in executor.events(0.1):
            assert not isinstance(event, Failed), event.reason
            if isinstance(event, EpochEnd):
                ends[event.trial].append(time.perf_counter())
        if until == float("inf") and all(ends.values()):
            ends = {trial: times[-1:] for trial, times in ends.items()}
            until = time.perf_counter() + window_seconds
    for trial in ends:
        executor.stop(trial)
    return sum((len(times) - 1) / (times[-1] - times[0]) for times in ends.values())


def plain_keras() -> None:
    """Builds and trains a network at each turn; a turn's seconds are its fixed cost."""
    import keras

    from benchmarks import plain
    from pipeline.data import datasets
    from pipeline.training import loop

    wait, answer = turns.taking()
    loop.use_threads(1)
    dataset = datasets.load(DATASET)
    images = plain.scaled(dataset.train_inputs)
    validation = (plain.scaled(dataset.validation_inputs), dataset.validation_targets)
    while True:
        times = [wait()]

        def note(*_: Any, times: list[float] = times) -> None:
            times.append(time.perf_counter())

        plain.network(UNITS).fit(
            images,
            dataset.train_targets,
            batch_size=BATCH_SIZE,
            epochs=N_EPOCHS - 1,
            validation_data=validation,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
            verbose=0,
        )
        answer(_less_a_later_epoch(times))


if __name__ == "__main__":
    sys.exit(results.main(measure, "trials"))
