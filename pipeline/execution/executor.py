"""What a supervisor asks of a place where jobs run."""

from collections.abc import Callable
from typing import Protocol

from pipeline.training.job import Event, Job


class Executor(Protocol):
    """Runs jobs somewhere else."""

    n_workers: int

    def submit(self, job: Job) -> None:
        """Starts a job, or queues it until there is a place to run it."""

    def events(self, timeout_seconds: float) -> list[Event]:
        """Waits for something to happen, at most so long, and returns what did, oldest first.

        The first event of a job is `Started`, from which its wall time counts. Every job that is
        not stopped ends with one `Finished` or `Failed`, whatever becomes of its process.

        Raises:
            PipelineError: no job can run at all; the text says why.
        """

    def stop(self, trial: int) -> None:
        """Ends a job now; no event of it comes any more."""

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Runs a function in a process that has imported Keras, and waits for it.

        Raises:
            PipelineError: it failed; the text says why.
        """

    def close(self) -> None:
        """Ends all jobs and everything that served them."""
