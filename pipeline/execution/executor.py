"""What a supervisor asks of a place where jobs run."""

from collections.abc import Callable
from typing import Protocol

from pipeline.training.job import Event, Job


class Executor(Protocol):
    """Runs the jobs of one supervisor somewhere else, and reports their events."""

    @property
    def n_workers(self) -> int:
        """How many jobs can run at a time, at least one; it may change from look to look."""

    def submit(self, job: Job) -> None:
        """Starts a job, or queues the job until there is a place to run it."""

    def events(self, timeout_seconds: float) -> list[Event]:
        """Waits for something to happen, at most so long, and returns what did, oldest first.

        The first event of a job is `Started`, from which its wall time counts. Every job that is
        not stopped ends with one `Finished` or `Failed`, whatever becomes of its process; or with
        one `Lost`, where it ran on another machine that is gone.

        Raises:
            PipelineError: no job can run at all; the text says why.
        """

    def stop(self, trial: int) -> None:
        """Ends the job of a trial now; no event of that job comes any more."""

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        """Runs a function in a process that has imported Keras, and waits for the function.

        Raises:
            PipelineError: it failed; the text says why.
        """

    def close(self) -> None:
        """Ends all jobs and everything that served them."""
