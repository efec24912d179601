"""One job in, a stream of events out: the training of one network in one process.

Knows neither Optuna nor MLflow. An epoch, validation included, is one execution of one TensorFlow
graph (`epoch.py`). Callbacks of Keras work as ever, but for those that watch single batches.
"""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from pipeline.data import datasets
from pipeline.study.trial import Cause, cross_fitted, is_better
from pipeline.task.task import LOSS
from pipeline.training.cross_fitting import CrossFitting
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job
from pipeline.training.members import Member, as_one_model, measure, measure_training
from pipeline.training.state import Reached, restore, save


def train(job: Job) -> Iterator[Event]:
    """Trains one network with early stopping and yields an event after each epoch.

    With folds it trains one network for each, epoch by epoch, and measures them together.
    The model goes along with each epoch that sets a record, so that its weights are kept whatever
    ends the job: records are rare, and it takes some hundredths of a second.
    Ends with one `Finished` or `Failed`. Everything random follows from the job's seed.
    Goes on after `job.goes_on_after`, if the state that lies there is this job's.
    """
    given = job.hyperparameters
    assert given is not None
    keras.utils.set_random_seed(job.seed)
    members = [Member(each, job, given) for each in datasets.load_members(job.data)]
    task = members[0].task
    n_parameters = sum(member.n_parameters for member in members)
    fitting = CrossFitting(job, members) if job.is_cross_fitted else None
    reached = restore(job, members)
    record, best, n_waited = reached.record, reached.best, reached.n_waited
    whole: keras.Model | None = None  # what is kept; made once, for it shares the weights
    for epoch in range(reached.epoch + 1, given.epochs + 1):
        if n_waited >= job.patience:
            break
        metrics = measure([member.train_epoch() for member in members], members)
        for name in dict.fromkeys((LOSS, f"val_{LOSS}", job.metric)):
            if not math.isfinite(metrics[name]):
                reason = f"{name} became {metrics[name]} in epoch {epoch}"
                yield Failed(job.trial, reason, cause=Cause.DIVERGED)
                return
        value, content = metrics[job.metric], None
        if fitting:
            fitting.add(value)
        if is_better(value, best, job.direction):
            best, n_waited = value, 0
            for member in members:
                member.keep_weights()
        else:
            n_waited += 1
        if is_better(value, record, job.direction):
            whole = whole or as_one_model(members)
            record, content = value, to_bytes(whole)
        for member in members:
            member.adjust_rate(epoch, metrics)
        if job.state_folder and epoch in job.rungs and epoch < given.epochs:
            save(job, members, Reached(epoch, best, record, n_waited))
        yield EpochEnd(job.trial, epoch, metrics, n_parameters, content)
    for member in members:
        member.restore_weights()
    scores = task.quantities_of(measure_training(members))
    found = {f"train_{name}": value for name, value in scores.items()}
    if fitting and (fair := fitting.value()) is not None:
        found[cross_fitted(job.metric)] = fair
    yield Finished(job.trial, found)


def to_bytes(model: keras.Model) -> bytes:
    """Saves a model as the content of a `.keras` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def from_bytes(content: bytes) -> keras.Model:
    """Loads the model that `to_bytes` saved; Keras's safe mode refuses code in the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        return keras.saving.load_model(path, safe_mode=True)


def use_threads(n_threads: int) -> None:
    """Limits TensorFlow to so many threads; must come before its first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(n_threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def use_gpus() -> int:
    """Prepares the visible GPUs, and counts them; must come before TensorFlow's first operation.

    Memory is taken as it is needed, so that several processes can share a GPU, and an operation
    adds in the same order each time, as on a CPU: so a training can be broken off and go on.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        tf.config.experimental.enable_op_determinism()
    return len(gpus)
