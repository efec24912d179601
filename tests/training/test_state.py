"""A training that is broken off goes on bit for bit as if it had not been."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from few_images import few_images

from pipeline.data import datasets
from pipeline.execution.local import LocalExecutor
from pipeline.names import state_file
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.dataset import Dataset
from pipeline.task.settings import DataSettings
from pipeline.task.source import DataSpec
from pipeline.training import loop, refit, state
from pipeline.training.job import EpochEnd, Event, Finished, Job, Started
from pipeline.training.members import Member

N_EPOCHS, BREAK = 6, 3
GIVEN = Hyperparameters(1, (8,), "adam", 0.003, 64, N_EPOCHS, dropout=0.3)
IMAGES = DataSpec("fashion_mnist")
JOB = Job(
    trial=3,
    data=IMAGES,
    hyperparameters=GIVEN,
    seed=7,
    metric="val_loss",
    direction="minimize",
    patience=100,
    rungs=(BREAK,),
)
LEFT = replace(JOB, hyperparameters=replace(GIVEN, units=(2,)), direction="maximize")


@pytest.fixture(scope="module")
def images() -> Dataset:
    return few_images(250, 100)


@pytest.fixture(scope="module", autouse=True)
def _few_images(images: Dataset) -> Iterator[None]:
    load = datasets.load_members
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            datasets, "load_members", lambda data: (images,) if data == IMAGES else load(data)
        )
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A file with numbers, one of them missing at times, categories, weights and two targets."""
    folder, n, rng = tmp_path_factory.mktemp("table"), 300, np.random.default_rng(0)
    x, z = rng.normal(size=(2, n))
    y = 3 * x + rng.normal(size=n)
    columns = {
        "x": x,
        "z": np.where(z > 1, np.nan, z),
        "city": rng.choice(["Bern", "Basel", "Genf", "Chur", "Thun", "Zug"], n),
        "w": np.round(rng.lognormal(size=n), 3),
        "y": y,
        "is_high": np.where(y + z > 0, "yes", "no"),
    }
    pd.DataFrame(columns).to_csv(folder / "table.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_DATA_DIR", str(folder / "cache"))
        yield str(folder / "table.csv")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return replace(JOB, state_folder=str(tmp_path / "states"))


def after(job: Job, epoch: int = BREAK) -> Job:
    """The job that goes on after an epoch."""
    return replace(job, goes_on_after=epoch)


def file_of(job: Job, epoch: int = BREAK) -> Path:
    """Where the state after an epoch lies."""
    return Path(job.state_folder) / state_file(job.trial, epoch)


def with_changes(job: Job, **changes: Any) -> Job:
    assert job.hyperparameters
    return replace(job, hyperparameters=replace(job.hyperparameters, **changes))


def unbroken(job: Job) -> list[Event]:
    return list(loop.train(replace(job, state_folder="")))


def until(job: Job, epoch: int) -> list[EpochEnd]:
    """Trains until the end of an epoch is heard of, and drops all that is in memory."""
    events = []
    for event in loop.train(job):
        assert isinstance(event, EpochEnd)
        events.append(event)
        if event.epoch == epoch:
            return events
    raise AssertionError(f"epoch {epoch} was not reached: {events}")


def epochs_of(events: Iterable[Event]) -> list[EpochEnd]:
    return [event for event in events if isinstance(event, EpochEnd)]


def told(events: Iterable[Event]) -> list[tuple[Any, ...]]:
    """All that events say, but for the time it took and the bytes of models."""
    found: list[tuple[Any, ...]] = []
    for event in events:
        if isinstance(event, EpochEnd):
            metrics = {name: each for name, each in event.metrics.items() if name != "seconds"}
            found.append((event.epoch, metrics, event.n_parameters, event.model is not None))
        else:
            found.append((event,))
    return found


def kept_weights(events: Iterable[Event]) -> list[list[Any]]:
    """Of the model that is kept in the end, and of its optimizer."""
    *_, content = (event.model for event in epochs_of(events) if event.model)
    model = loop.from_bytes(content)
    variables = [
        *model.weights,
        *(model.optimizer.variables if hasattr(model, "optimizer") else ()),
    ]
    return [variable.numpy().tolist() for variable in variables]


def assert_same(found: Sequence[Event], expected: Sequence[Event]) -> None:
    assert isinstance(expected[-1], Finished)
    assert told(found) == told(expected)
    assert kept_weights(found) == kept_weights(expected)


def assert_same_with_breaks(job: Job, breaks: Sequence[int], expected: Sequence[Event]) -> None:
    job = replace(job, rungs=tuple(breaks))
    begins = [0, *breaks]
    found: list[Event] = []
    for begin, each in zip(begins, breaks, strict=False):
        found += until(after(job, begin), each)
    assert_same([*found, *loop.train(after(job, begins[-1]))], expected)


def assert_goes_on(job: Job) -> None:
    """What is trained from the state on is what was trained by who has written it."""
    expected = list(loop.train(job))
    assert epochs_of(expected)[-1].model  # to be compared
    went_on = list(loop.train(after(job)))
    assert [event.epoch for event in epochs_of(went_on)] == [4, 5, 6]
    assert_same(went_on, expected[BREAK:])


OPTIONS: dict[str, dict[str, Any]] = {
    "sgd, cosine after a warm-up": {
        "optimizer": "sgd", "learning_rate_schedule": "cosine", "warmup_epochs": 4,
    },
    "sgd with momentum, smoothing": {"optimizer": "sgd", "momentum": 0.9, "label_smoothing": 0.1},
    "Nesterov, decay": {
        "optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01,
    },
    "adagrad, augmentation": {
        "optimizer": "adagrad", "learning_rate": 0.02, "random_shift": 2, "random_flip": True,
        "cutout": 8,
    },
    "rmsprop, average": {"optimizer": "rmsprop", "ema_momentum": 0.9},
    "adam": {"optimizer": "adam"},
    "nadam, batch normalisation": {"optimizer": "nadam", "batch_normalization": True},
    "adamw, mixup": {"optimizer": "adamw", "mixup": 0.4},
    "16 bits, average": {"precision": "mixed_float16", "ema_momentum": 0.9},
    "convolutional, all at once": {
        "layer_kind": "convolutional", "units": (3,), "global_pooling": True, "dense_units": 4,
        "optimizer": "adamw", "weight_decay": 0.1, "learning_rate_schedule": "cosine",
        "batch_normalization": True, "ema_momentum": 0.8, "label_smoothing": 0.1, "mixup": 0.2,
        "random_shift": 1, "random_flip": True, "cutout": 4,
    },
}  # fmt: skip


@pytest.mark.parametrize("option", OPTIONS)
def test_goes_on_with_every_optimizer_and_option(option: str, job: Job) -> None:
    assert_goes_on(with_changes(job, **OPTIONS[option]))


def test_a_training_with_two_breaks_is_one_without(job: Job) -> None:
    assert_same_with_breaks(job, [2, 4], unbroken(job))


# Overshoots, so that some epochs are worse than the one before.
RESTLESS: dict[str, Any] = {"optimizer": "rmsprop", "learning_rate": 0.03, "dropout": 0.0}


def test_plateau_waits_on_and_lowers_the_lowered_rate(job: Job) -> None:
    plateau = RESTLESS | {"learning_rate_schedule": "plateau", "epochs": 20}
    job = with_changes(job, **plateau)
    expected = unbroken(job)
    rates = [event.metrics["learning_rate"] for event in epochs_of(expected)]
    falls = [i for i in range(1, 20) if rates[i] < rates[i - 1]]  # after so many epochs
    assert len(falls) > 1
    assert_same_with_breaks(job, [falls[0] - 1, falls[1] - 1], expected)  # one has been waited


def test_patience_counts_on_and_the_model_before_the_break_is_taken_back(job: Job) -> None:
    job = replace(with_changes(job, **RESTLESS, epochs=40), patience=4)
    expected = unbroken(job)
    values = [event.metrics["val_loss"] for event in epochs_of(expected)]
    best = 1 + values.index(min(values))
    assert len(values) == best + 4 < 40
    assert_same_with_breaks(job, [best, best + 3], expected)


def test_nothing_is_left_to_train_after_the_epoch_in_which_patience_ended(job: Job) -> None:
    job = replace(with_changes(job, learning_rate=1e-30), patience=2, rungs=(3,))
    expected = list(loop.train(job))
    assert [event.epoch for event in epochs_of(expected)] == [1, 2, 3]
    assert list(loop.train(after(job))) == expected[-1:]


TABLES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "embeddings, bins and weights": (
        "y", "val_rmse", {"weight": "w"},
        {"embedding_size": 2, "numeric_encoding": "piecewise_linear", "numeric_bins": 4},
    ),
    "quantiles and Huber's loss": (
        "y", "val_loss", {"loss": "huber"},
        {"numeric_encoding": "quantile", "ema_momentum": 0.9, "batch_normalization": True},
    ),
    "folds": (
        "is_high", "val_log_loss", {"folds": 2, "class_weights": "balanced", "weight": "w"},
        {"embedding_size": 2, "learning_rate_schedule": "plateau", "precision": "mixed_float16"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_goes_on_with_a_table(case: str, job: Job, table: str) -> None:
    target, metric, settings, changes = TABLES[case]
    other = "is_high" if target == "y" else "y"
    drop = (other,) if "weight" in settings else (other, "w")
    data = DataSpec.of(table, target, DataSettings(drop=drop, **settings))
    assert_goes_on(with_changes(replace(job, data=data, metric=metric), **changes))


def test_what_was_trained_after_the_last_rung_is_trained_again(job: Job) -> None:
    job = replace(job, rungs=(2,))
    first = until(job, 4)
    went_on = until(after(job, 2), 4)
    assert [event.epoch for event in went_on] == [3, 4]
    assert told(went_on) == told(first[2:])


N_LOOKS = 120  # of a second each, for what should take seconds


def test_goes_on_in_another_process_when_killed_in_the_middle_of_an_epoch(
    job: Job, tmp_path: Path
) -> None:
    job = replace(with_changes(job, ema_momentum=0.9, epochs=4, batch_size=250), rungs=(2,))
    executor = LocalExecutor(IMAGES, 2, tmp_path / "workers.log", tmp_path / "scratch")
    found: list[list[Event]] = [[], [], []]

    def hear(is_enough: Callable[[], bool]) -> None:
        for _ in range(N_LOOKS):
            if is_enough():
                return
            for event in executor.events(1.0):
                if not isinstance(event, Started):
                    found[event.trial].append(replace(event, trial=0))
        raise AssertionError(f"only got {found}")

    try:
        executor.submit(replace(job, trial=0))
        hear(lambda: len(found[0]) == 3)
        executor.stop(0)  # while it trains for the fourth epoch, of all 48,000 images
        file_of(replace(job, trial=0), 2).rename(file_of(replace(job, trial=1), 2))
        executor.submit(after(replace(job, trial=1), 2))
        executor.submit(replace(job, trial=2, state_folder=""))
        hear(lambda: all(each and isinstance(each[-1], Finished) for each in found[1:]))
    finally:
        executor.close()
    first, went_on, expected = found
    assert [event.epoch for event in epochs_of(went_on)] == [3, 4]
    assert told(first) == told(expected[:3])
    assert_same(went_on, expected[2:])


def test_a_state_is_there_before_its_epoch_is_told_and_at_rungs_alone(job: Job) -> None:
    job = replace(job, rungs=(3, N_EPOCHS))
    file, found = file_of(job), []
    for _ in loop.train(job):
        found.append(file.exists())
        file.unlink(missing_ok=True)
    assert found == [False, False, True, False, False, False, False]
    assert list(file.parent.iterdir()) == []


def test_each_rung_leaves_a_state_of_its_own_and_training_goes_on_after_the_one_asked_for(
    job: Job,
) -> None:
    job = replace(job, rungs=(2, 4))
    expected = list(loop.train(job))
    assert [file_of(job, epoch).is_file() for epoch in (2, 3, 4)] == [True, False, True]
    for epoch, first in ((2, 3), (4, 5), (0, 1), (3, 1)):  # nothing lies there of the last
        event = next(iter(loop.train(after(job, epoch))))
        assert told([event]) == told(expected[first - 1 : first])


def test_a_record_that_was_set_meanwhile_is_to_be_beaten_and_a_lower_one_is_not(job: Job) -> None:
    expected = list(loop.train(job))
    assert all(event.model for event in epochs_of(expected))
    assert told(loop.train(replace(after(job), to_beat=99.0))) == told(expected[BREAK:])
    went_on = list(loop.train(replace(after(job), to_beat=0.01)))
    assert not any(event.model for event in epochs_of(went_on))
    assert went_on[-1] == expected[-1]


def test_training_goes_on_where_no_state_can_be_written(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    job = replace(job, state_folder=str(tmp_path / "file"))
    assert isinstance(list(loop.train(job))[-1], Finished)
    assert "Error" in capsys.readouterr().err


def test_a_refit_has_no_state(job: Job, images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load", lambda data: images)
    *events, _ = refit.train(replace(job, trainer="refit", refit_epochs=4))
    assert len(events) == 4
    assert not Path(job.state_folder).exists()


# ---- files that are not the state of this training


def members_of(job: Job) -> list[Member]:
    assert job.hyperparameters
    keras.utils.set_random_seed(job.seed)
    return [Member(each, job, job.hyperparameters) for each in datasets.load_members(job.data)]


def values_of(members: Sequence[Member]) -> list[Any]:
    variables = [variable.numpy().tolist() for each in members for variable in each.variables]
    kept = [array.tolist() for member in members for array in member.kept]
    return [variables, kept, [member.counters() for member in members]]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of the file of a training whose first epoch was the best by what it is asked to watch."""
    job = replace(LEFT, state_folder=str(tmp_path_factory.mktemp("left")))
    until(job, BREAK)
    return file_of(job).read_bytes()


@pytest.fixture
def left(content: bytes, tmp_path: Path) -> Job:
    """A job that was broken off."""
    job = after(replace(LEFT, state_folder=str(tmp_path)))
    file_of(job).write_bytes(content)
    return job


def fresh(job: Job) -> list[Any]:
    return values_of(members_of(job))


def test_a_truncated_file_is_none(left: Job, content: bytes) -> None:
    file, members = file_of(left), members_of(left)
    expected = fresh(left)
    for n in (0, 1, 100, len(content) // 2, len(content) - 100, len(content) - 1):
        file.write_bytes(content[:n])
        assert state.restore(left, members).epoch == 0
    assert values_of(members) == expected


def test_a_file_with_a_changed_byte_is_none_or_says_the_same(left: Job, content: bytes) -> None:
    file, rng, members = file_of(left), random.Random(1), members_of(left)
    assert state.restore(left, members).n_waited == 2
    expected, n_refused = values_of(members), 0
    places = [*range(100), *rng.sample(range(len(content)), 150)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        n_refused += state.restore(left, members).epoch == 0
        assert values_of(members) == expected, place
    assert n_refused > 0.8 * 150


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04N."])
def test_a_damaged_file_begins_training_anew(content: bytes, job: Job) -> None:
    job = after(job)
    file_of(job).parent.mkdir()
    file_of(job).write_bytes(content)
    assert [event.epoch for event in until(job, BREAK)] == [1, 2, 3]
    assert state.restore(job, members_of(job)).epoch == BREAK  # it was written anew


def test_a_folder_in_the_place_of_the_file_begins_training_anew(job: Job) -> None:
    file_of(job).mkdir(parents=True)
    assert [event.epoch for event in until(after(job), BREAK)] == [1, 2, 3]


class _Runs:
    """Makes a file when it is loaded from a pickle."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_nothing_in_a_file_is_run(job: Job, tmp_path: Path) -> None:
    job, file = after(job), file_of(job)
    file.parent.mkdir()
    np.savez(file, head=np.array(_Runs(tmp_path / "ran"), dtype=object))
    assert state.restore(job, members_of(job)).epoch == 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"units": (3,)},
        {"activation": "tanh"},
        {"dropout": 0.1},
        {"optimizer": "adamw"},
        {"learning_rate": 0.0031},
        {"epochs": 11},
        {"batch_size": 32},
    ],
    ids=str,
)
def test_the_state_of_another_network_is_none(changes: dict[str, Any], left: Job) -> None:
    other = with_changes(left, **changes)
    members = members_of(other)
    assert state.restore(other, members).epoch == 0
    assert values_of(members) == fresh(other)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 8}, {"direction": "minimize"}, {"patience": 5}],
    ids=str,
)
def test_the_state_of_another_job_is_none(changes: dict[str, Any], left: Job) -> None:
    other = replace(left, **changes)
    assert state.restore(other, members_of(other)).epoch == 0


def test_the_state_is_that_of_a_trial_by_any_number(left: Job) -> None:
    other = replace(left, trial=99, rungs=())
    file_of(left).rename(file_of(other))
    assert state.restore(other, members_of(other)).epoch == 3


@pytest.mark.parametrize("other", ["fingerprint", "rows", "options"])
def test_the_state_of_other_data_is_none(
    other: str, left: Job, images: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {
        "fingerprint": replace(images, fingerprint="another"),
        "rows": few_images(249, 100),
        "options": images,
    }[other]
    monkeypatch.setattr(datasets, "load_members", lambda data: (changed,))
    if other == "options":
        left = replace(left, data=replace(left.data, options='{"seed": 1}'))
    first, *_ = loop.train(left)
    assert isinstance(first, EpochEnd)
    assert first.epoch == 1


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (state, "FORMAT", state.FORMAT + 1),
        (state, "__version__", "0.0.1"),
        (keras, "__version__", "3.0"),
        (tf, "__version__", "2.0"),
        (np, "__version__", "1.0"),
    ],
)
def test_the_state_of_another_version_is_none(
    module: Any, name: str, value: object, left: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value)
    assert state.restore(left, members_of(left)).epoch == 0


# ---- nothing is forgotten


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adagrad"},
        {"optimizer": "rmsprop"},
        {"optimizer": "nadam"},
        {"optimizer": "adamw", "learning_rate_schedule": "cosine"},
    ],
    ids=str,
)
def test_an_epoch_uses_no_variable_but_those_of_the_state(
    changes: dict[str, Any], job: Job
) -> None:
    everything = {"batch_normalization": True, "mixup": 0.4, "random_flip": True, "cutout": 4}
    (member,) = members_of(with_changes(job, **everything, **changes))
    before = random.getstate(), np.random.get_state(legacy=False)
    member.train_epoch()
    np.testing.assert_equal((random.getstate(), np.random.get_state(legacy=False)), before)
    run_epoch: Any = member._fitting._run_epoch
    traced = run_epoch.get_concrete_function(tf.TensorSpec((250,), tf.int32))
    known = {id(variable.handle) for variable in member.variables}
    used = {id(each) for each in traced.captured_inputs if each.dtype == tf.resource}
    # RMSprop's kernel demands a momentum, which it multiplies by 0.
    n_idle = len(member.model.trainable_variables) if changes["optimizer"] == "rmsprop" else 0
    assert len(used - known) == n_idle
    assert known <= used
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    drawn = {node.op for node in nodes if "Random" in node.op}
    assert drawn
    assert all(op.startswith("Stateless") for op in drawn)
