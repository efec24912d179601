"""Replayed curves come as a worker would send them, in a time that nobody waits for."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from few_images import few_images

from pipeline.data import datasets
from pipeline.errors import PipelineError, UsageError
from pipeline.execution.replay import LEAST_SECONDS, Curves, ReplayExecutor
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import Cause
from pipeline.task.source import DataSpec
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, JobEnd, Started

NETWORK = Hyperparameters(
    hidden_layers=1, units=(16,), optimizer="rmsprop", learning_rate=0.01, batch_size=64, epochs=8
)
JOB = Job(
    trial=1,
    data=DataSpec("fashion_mnist"),
    hyperparameters=NETWORK,
    seed=7,
    metric="val_accuracy",
    direction="maximize",
    patience=100,
)
RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


def curves_of(values: list[float], **more: Any) -> Curves:
    given = {"val_accuracy": values, "seconds": [10.0] * len(values), **more}
    return Curves.of(given)


def executor_of(curves: Any, n_workers: int = 1, **more: float) -> ReplayExecutor:
    return ReplayExecutor(lambda *_: curves, n_workers, **more)


def events_of(executor: ReplayExecutor, n_ends: int = 1) -> list[tuple[float, Event]]:
    """Waits for so many jobs to end; each event with the virtual moment at which it came."""
    found: list[tuple[float, Event]] = []
    while sum(isinstance(event, JobEnd) for _, event in found) < n_ends:
        found += [(executor.clock(), event) for event in executor.events(0.25)]
    return found


def play(curves: Any, job: Job = JOB) -> list[Event]:
    executor = executor_of(curves)
    executor.submit(job)
    return [event for _, event in events_of(executor)]


def epochs_in(events: list[Event]) -> list[EpochEnd]:
    return [event for event in events if isinstance(event, EpochEnd)]


# As the real loop does


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job that is really trained, in this process."""
    dataset = few_images(640, 200)
    monkeypatch.setattr(datasets, "load_members", {JOB.data: (dataset,)}.__getitem__)
    return JOB


DIVERGING = replace(
    NETWORK, hidden_layers=4, units=(64,) * 4, optimizer="sgd", learning_rate=100.0
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"patience": 1},
        {"metric": "val_loss", "direction": "minimize", "patience": 1},
        {"to_beat": 0.6},
        {"to_beat": 1.0},
        {"hyperparameters": replace(NETWORK, epochs=3)},
        {"hyperparameters": DIVERGING},
    ],
    ids=["to its end", "early stopping", "by loss", "a record", "no record", "short", "diverged"],
)
def test_a_recorded_training_is_replayed_event_by_event(job: Job, changes: dict[str, Any]) -> None:
    from pipeline.execution.worker import run_job

    def without_model(event: Event) -> Event | tuple[EpochEnd, bool]:
        if isinstance(event, EpochEnd):
            return replace(event, model=None), event.model is not None
        return replace(event, scores={}) if isinstance(event, Finished) else event

    longest = replace(job, hyperparameters=changes.get("hyperparameters", NETWORK))
    *_, end = recorded = list(run_job(longest))
    epochs = epochs_in(recorded)
    names = epochs[0].metrics if epochs else ("loss", "val_accuracy", "seconds")
    metrics = {name: [each.metrics[name] for each in epochs] for name in names}
    if isinstance(end, Failed):  # an epoch of which nothing else was told
        metrics = {name: [*values, 1.0] for name, values in metrics.items()}
        metrics["loss"][-1] = math.nan
    n_parameters = epochs[0].n_parameters if epochs else 0
    curves = Curves(metrics, metrics["seconds"], n_parameters=n_parameters)
    job = replace(job, **changes)
    expected = list(run_job(job))
    played = play(curves, job)
    # what is trained again takes its own time
    for event, again in zip(expected, played, strict=True):
        if isinstance(event, EpochEnd):
            assert isinstance(again, EpochEnd)
            seconds = again.metrics["seconds"]
            event = replace(event, metrics={**event.metrics, "seconds": seconds})
        assert without_model(event) == without_model(again)


def test_kept_weights_are_scored_with_the_metrics_of_their_epoch() -> None:
    values = [0.5, 0.8, 0.6]
    losses = [0.9, 0.7, 0.5]
    last = play(curves_of(values, loss=losses, accuracy=[0.4, 0.5, 0.6]))[-1]
    assert last == Finished(1, {"train_loss": 0.7, "train_accuracy": 0.5})


def test_curves_shorter_than_asked_end_the_training_and_longer_ones_are_cut() -> None:
    assert len(epochs_in(play(curves_of(RISING[:3])))) == 3
    assert isinstance(play(curves_of(RISING[:3]))[-1], Finished)
    short = replace(JOB, hyperparameters=replace(NETWORK, epochs=2))
    assert len(epochs_in(play(curves_of(RISING), short))) == 2


def test_what_is_left_out_is_filled_in() -> None:
    (epoch, *_) = epochs_in(play(curves_of([0.25], n_parameters=42)))
    assert epoch.metrics == {
        "val_accuracy": 0.25, "loss": 0.75, "learning_rate": 0.01, "seconds": 10.0
    }  # fmt: skip
    assert epoch.n_parameters == 42
    rated = epochs_in(play(curves_of([0.25], loss=[2.0], learning_rate=[0.5])))
    assert (rated[0].metrics["loss"], rated[0].metrics["learning_rate"]) == (2.0, 0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["loss", "val_loss", "val_accuracy"])
def test_what_is_not_finite_has_diverged(name: str, value: float) -> None:
    values = {"val_accuracy": [0.5, 0.6, 0.7], name: [0.3, value, 0.3]}
    *_, epoch, last = play({**values, "seconds": [1, 1, 1]})
    assert isinstance(epoch, EpochEnd)
    assert last == Failed(1, f"{name} became {value} in epoch 2", cause=Cause.DIVERGED)


def test_a_training_breaks_off_after_its_epochs_and_part_of_one() -> None:
    curves = Curves({"val_accuracy": [0.5]}, [10.0, 4.0], "killed", True, Cause.TOO_LARGE)
    executor = executor_of(curves)
    executor.submit(JOB)
    *_, (moment, last) = events_of(executor)
    assert (moment, last) == (14.0, Failed(1, "killed", True, Cause.TOO_LARGE))
    over = replace(JOB, hyperparameters=replace(NETWORK, epochs=1))
    assert isinstance(play(curves, over)[-1], Finished)
    at_once = executor_of({"val_accuracy": [], "seconds": [], "failed": "at once"})
    at_once.submit(JOB)
    assert events_of(at_once)[1:] == [(LEAST_SECONDS, Failed(1, "at once"))]


def test_a_simple_model_is_worth_nothing_and_its_curves_are_not_asked_for() -> None:
    job = replace(JOB, hyperparameters=None, trainer="sgd_classifier")
    executor = ReplayExecutor(lambda *_: pytest.fail("was asked"), 1)
    executor.submit(job)
    (_, started), (_, epoch), (moment, last) = events_of(executor)
    assert isinstance(started, Started)
    assert isinstance(epoch, EpochEnd)
    assert epoch.metrics["val_accuracy"] == 0.0
    assert (moment, last) == (LEAST_SECONDS, Finished(1, {}))


# Time


def test_virtual_time_costs_no_real_time() -> None:
    a_day = 24 * 3600.0
    executor = executor_of(curves_of(RISING, seconds=[a_day] * 8))
    executor.submit(JOB)
    before = time.process_time()
    moments: list[float] = []
    while len(moments) < 9:
        moments += [executor.clock() for _ in executor.events(3600.0)]
    assert moments == [a_day * i for i in range(9)]
    assert time.process_time() - before < 60


def test_two_workers_overlap_and_a_third_job_waits() -> None:
    executor = ReplayExecutor(lambda _, seed: curves_of([0.5], seconds=[float(seed)]), 2)
    for trial, seconds in ((1, 10), (2, 4), (3, 3)):
        executor.submit(replace(JOB, trial=trial, seed=seconds))
    found = [(moment, event.trial, type(event)) for moment, event in events_of(executor, 3)]
    assert found == [
        (0.0, 1, Started), (0.0, 2, Started), (4.0, 2, EpochEnd), (4.0, 2, Finished),
        (4.0, 3, Started), (7.0, 3, EpochEnd), (7.0, 3, Finished), (10.0, 1, EpochEnd),
        (10.0, 1, Finished),
    ]  # fmt: skip


def test_events_wait_no_longer_than_they_are_to() -> None:
    executor = executor_of(curves_of([0.5]))
    executor.submit(JOB)
    executor.events(0.25)
    assert executor.events(0.25) == []
    assert executor.clock() == 0.25
    assert [type(event) for event in executor.events(100.0)] == [EpochEnd]
    assert executor.clock() == 10.0
    rare = executor_of(curves_of([0.5]), look_seconds=7.0)
    assert rare.events(0.25) == []
    assert rare.clock() == 7.0


def test_a_process_may_take_its_time_to_start() -> None:
    executor = executor_of(curves_of([0.5]), start_seconds=0.5)
    executor.submit(JOB)
    moments = [moment for moment, _ in events_of(executor)]
    assert moments == [0.5, 10.5, 10.5]


def test_an_epoch_may_take_no_time() -> None:
    executor = executor_of(curves_of([0.5, 0.6], seconds=[0.0, 3.0]))
    executor.submit(JOB)
    assert [moment for moment, _ in events_of(executor)] == [0.0, 0.0, 3.0, 3.0]


def test_stop_ends_a_job_at_once_and_for_good() -> None:
    executor = executor_of(curves_of(RISING), 1)
    for trial in (1, 2, 3):
        executor.submit(replace(JOB, trial=trial))
    executor.events(0.25)
    executor.stop(1)
    executor.stop(3)
    executor.stop(9)
    assert {event.trial for _, event in events_of(executor)} == {2}
    executor.submit(JOB)
    executor.close()
    assert executor.events(1000.0) == []


def test_nothing_can_be_called() -> None:
    with pytest.raises(PipelineError, match="replayed"):
        executor_of({}).call(print, "something")


# Curves


def test_arrays_and_integers_are_numbers() -> None:
    curves = Curves.of({"val_accuracy": np.array([0.5, 0.75], np.float32), "seconds": [1, 2]})
    assert curves == Curves({"val_accuracy": (0.5, 0.75)}, (1.0, 2.0))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([0.5, 0.6], "found a list, allowed is Curves, or a mapping"),
        (None, "found a NoneType, allowed"),
        ({"val_accuracy": [0.5]}, "found a dict with val_accuracy, allowed"),
        ({"val_accuracy": [0.5, 0.6], "seconds": [1.0]}, "found 1 seconds of 2 epochs"),
        ({"val_accuracy": [0.5], "seconds": [1.0, 1.0]}, "found 2 seconds of 1 epochs"),
        ({"val_accuracy": [0.5], "loss": [], "seconds": [1]}, "found 0 values of loss and 1 of"),
        ({"val_accuracy": [0.5], "seconds": [-1]}, "found -1.0 as the seconds of an epoch"),
        ({"val_accuracy": [0.5, 0.6], "seconds": [0, 0]}, "found no seconds, allowed are some"),
        ({"val_accuracy": [0.5], "seconds": [math.inf]}, "found inf as the seconds"),
        ({"val_accuracy": [0.5], "seconds": 3.0}, "found 3.0 as seconds, allowed is a list"),
        ({"val_accuracy": ["high"], "seconds": [1]}, r"found \['high'\] as val_accuracy, allowed"),
        ({"val_accuracy": [], "seconds": []}, "found no seconds, allowed are some"),
        ({"val_loss": [0.5], "seconds": [1]}, "found val_loss, allowed is what has val_accuracy"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=f"^curves: {said}"):
        play(given)
