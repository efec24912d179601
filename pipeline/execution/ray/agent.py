"""What runs on each node of a Ray cluster: an actor that trains there as on one machine.

It holds as much of its node as Ray has given it, and in that share it runs jobs by `local`: a
process each, forked from a server with TensorFlow, and one copy of the data. So a job is stopped
in hundredths of a second, and costs the others nothing if it dies. If the actor dies, or its node,
all of that dies with it.
"""

import contextlib
import os
import queue
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pipeline
from pipeline import __version__, files
from pipeline.environment import hide_gpus, set_defaults
from pipeline.errors import PipelineError
from pipeline.execution.devices import Devices
from pipeline.execution.local import LocalExecutor
from pipeline.execution.ray.messages import Left, Share, Ticket, Told
from pipeline.execution.ray.parcel import Parcel
from pipeline.names import state_file
from pipeline.training.job import EpochEnd, Event, JobEnd

WAIT_SECONDS = 5.0  # for events; whoever commands something ends the wait
# What makes numbers what they are, and so has to be the same on all nodes.
_VERSIONED = ("tensorflow", "keras", "numpy")


def versions() -> tuple[str, ...]:
    """Lists what has to be the same wherever jobs of one search run, as "keras 3.15.1"."""
    return (f"pipeline {__version__}", *(f"{name} {version(name)}" for name in _VERSIONED))


class Agent:
    """Runs jobs on the node on which it is made.

    Args:
        share: what it has of the node.
        parcel: the data, by Ray's object store.
    """

    def __init__(self, share: Share, parcel: Parcel) -> None:
        self._share, self._parcel = share, parcel
        self._commands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._tickets: dict[int, Ticket] = {}
        self._executor: LocalExecutor | None = None

    def submit(self, ticket: Ticket) -> None:
        """Starts a job."""
        self._command(lambda: self._submit(ticket))

    def stop(self, trial: int) -> None:
        """Ends the job of a trial."""
        self._command(lambda: self._stop(trial))

    def close(self) -> None:
        """Ends all jobs, and `told`."""
        self._command(None)

    def told(self) -> Iterator[list[Told]]:
        """Begins, and yields what happens, as it does; first that this is here, an empty list.

        Raises:
            PipelineError: no job can run here, or none as elsewhere; the text says why.
        """
        own, others = set(versions()), set(self._share.versions)
        if own != others:
            raise PipelineError(
                f"has {', '.join(sorted(own - others))}, and the search runs with "
                f"{', '.join(sorted(others - own))}"
            )
        set_defaults()
        hide_gpus()
        _fork_without_ray()
        root = Path(tempfile.gettempdir()) / f"keras-search-pipeline-{os.getuid()}"
        with files.scratch_folder(root / "agent") as folder:
            self._parcel.unpack(folder / "data")
            self._states = folder / "states"
            self._states.mkdir()
            log = root / f"{self._share.study}.workers.log"  # stays, for people
            gpus = self._share.gpus
            self._executor = LocalExecutor(
                self._parcel.data,
                self._share.n_workers,
                log,
                folder / "scratch",
                Devices.of_environment(gpus) if gpus else None,  # those that Ray has given it
            )
            with contextlib.closing(self._executor):
                yield []
                yield from self._run(self._executor)

    def _run(self, executor: LocalExecutor) -> Iterator[list[Told]]:
        while True:
            while not self._commands.empty():
                if not (command := self._commands.get()):
                    return
                command()
            happened = executor.events(WAIT_SECONDS)
            if told := [each for event in happened for each in self._with_state(event)]:
                yield told

    def _command(self, command: Callable[[], None] | None) -> None:
        self._commands.put(command)
        if self._executor:
            self._executor.wake()

    def _submit(self, ticket: Ticket) -> None:
        job = ticket.job
        if job.state_folder:
            job = replace(job, state_folder=str(self._states))
        if ticket.state is not None:
            file = self._states / state_file(job.trial, job.goes_on_after)
            file.write_bytes(ticket.state)
        self._tickets[job.trial] = ticket
        assert self._executor
        self._executor.submit(job)

    def _stop(self, trial: int) -> None:
        assert self._executor
        self._executor.stop(trial)
        self._forget(trial)

    def _with_state(self, event: Event) -> Iterator[Told]:
        """Sends ahead the state that the training has left at the end of an epoch."""
        ticket = self._tickets[event.trial]
        if isinstance(event, EpochEnd) and event.epoch in ticket.job.rungs:
            file = self._states / state_file(event.trial, event.epoch)
            with contextlib.suppress(FileNotFoundError):  # the disk did not take it
                yield ticket.number, Left(event.trial, event.epoch, file.read_bytes())
                file.unlink()
        if isinstance(event, JobEnd):
            self._forget(event.trial)
        yield ticket.number, event

    def _forget(self, trial: int) -> None:
        self._tickets.pop(trial, None)
        for file in self._states.glob(f"{trial}.*"):
            file.unlink(missing_ok=True)


def _fork_without_ray() -> None:
    """Has workers find the package as this process does, and leave Ray's main module alone."""
    vars(sys.modules["__main__"]).pop("__file__", None)
    root = str(Path(pipeline.__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.getenv("PYTHONPATH")])])
