"""What a worker process does: one job, or one call, and then it is gone."""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from pipeline.environment import NO_GPU, VISIBLE_GPUS, import_keras
from pipeline.errors import first_line
from pipeline.execution.devices import n_installed
from pipeline.study.trainers import SIMPLE
from pipeline.study.trial import Cause
from pipeline.training.job import Event, Failed, Job, Started

# How the forkserver's environment tells `preload` what to do.
PRELOAD_DATASET = "PIPELINE_PRELOAD_DATASET"
WORKER_LOG, WORKER_SCRATCH = "PIPELINE_WORKER_LOG", "PIPELINE_WORKER_SCRATCH"

# Why `preload` could not import all; it says None when it could. Inherited by each worker.
preload_failure: str | None = "the package cannot be imported"


@dataclass(frozen=True)
class CannotRun:
    """Says, in the place of events, that no job can run here, whatever its hyperparameters."""

    reason: str


def work(connection: Connection, job: Job, gpus: str) -> None:
    """Trains one job and sends its events.

    Args:
        connection: to the process that waits for them.
        job: what is trained.
        gpus: that it may use, as a value of `CUDA_VISIBLE_DEVICES`.
    """
    _die_with_supervisor()
    with contextlib.suppress(BrokenPipeError):  # the supervisor is gone
        try:
            from pipeline.training import loop

            loop.use_threads(job.cpus)
            _use_gpus(gpus)
            for event in run_job(job):
                connection.send(event)
        except BrokenPipeError:
            raise
        except Exception as error:
            traceback.print_exc()
            connection.send(CannotRun(describe(error)))
    connection.close()
    os._exit(0)  # TensorFlow takes its time to say goodbye


def _use_gpus(gpus: str) -> None:
    """Has TensorFlow use these GPUs and no others.

    Raises:
        RuntimeError: there are some in this machine, and TensorFlow sees none. Where there are
            none at all, whoever has shared them out knows that, and the CPU is used.
    """
    os.environ[VISIBLE_GPUS] = gpus
    if gpus == NO_GPU:
        return
    from pipeline.training import loop

    if not loop.use_gpus() and n_installed():
        raise RuntimeError(
            f"TensorFlow sees none of the GPUs {gpus}: it may lack CUDA's libraries, which "
            '`pip install "tensorflow[and-cuda]"` adds'
        )


def run_job(job: Job) -> Iterator[Event]:
    """Trains a job here, and yields its events: `Started` first, `Finished` or `Failed` last.

    Raises:
        Exception: before `Started`; a library is missing or broken, which is no fault of the job.
        ImportError: after it, of what a library imports only when it is used; just so.
    """
    train = _import_trainer(job.trainer)
    yield Started(job.trial)
    try:
        yield from train(job)
    except ImportError:
        raise
    except Exception as error:
        cause = Cause.TOO_LARGE if _is_short_of_memory(error) else None
        yield Failed(job.trial, describe(error), _is_transient(error), cause)


def _import_trainer(trainer: str) -> Callable[[Job], Iterator[Event]]:
    """Imports all that such jobs need, at once: what is broken may raise anything."""
    import_keras()  # nothing is left to do here in a worker
    if trainer == "sgd_classifier":
        from pipeline.training.logistic_regression import train
    elif trainer == "refit":
        from pipeline.training.refit import train
    elif trainer in SIMPLE:
        from pipeline.training.simple_models import train
    else:
        from pipeline.training.loop import train
    return train


def call(connection: Connection, function: Callable[..., None], arguments: object) -> None:
    """Runs a function and sends why it failed, or None.

    Args:
        connection: to the process that waits for the answer.
        function: what is run; its result is dropped.
        arguments: of the function, a sequence.
    """
    _die_with_supervisor()
    os.environ[VISIBLE_GPUS] = NO_GPU  # else it would take all their memory from trainings
    failure = None
    try:
        function(*arguments)  # type: ignore[misc]
    except Exception as error:
        failure = describe(error)
    connection.send(failure)
    connection.close()


def tell_preload(connection: Connection) -> None:
    """Sends why the forkserver could not import all, or None, and ends at once."""
    connection.send(preload_failure)
    os._exit(0)


def _die_with_supervisor() -> None:
    """Leaves Ctrl-C to the supervisor, and ends this process when the supervisor is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def describe(error: BaseException) -> str:
    """Names an error, and says the first line of what it says if there is one."""
    name, said = type(error).__name__, first_line(error)
    return name if said == name else f"{name}: {said}"


def _is_transient(error: Exception) -> bool:
    """Tells whether memory or the disk was short, which may be over the next time."""
    return _is_short_of_memory(error) or isinstance(error, OSError)


def _is_short_of_memory(error: Exception) -> bool:
    is_of_tensorflow = type(error).__name__ == "ResourceExhaustedError"
    return is_of_tensorflow or isinstance(error, MemoryError)
