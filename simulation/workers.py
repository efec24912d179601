"""Workers that train nothing: an executor that replays curves, in the time of the world."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from pipeline.disk import Disk
from pipeline.errors import PipelineError
from pipeline.execution.replay import Curves, ReplayExecutor
from pipeline.export.finalists import compare_answers
from pipeline.files import write_atomically
from pipeline.names import state_file
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.tracking import aliases
from pipeline.tracking.registry import publish_champion
from pipeline.training.job import EpochEnd, Event, Failed, Finished, Job, Lost
from simulation.faults import Kind, What
from simulation.mlflow_client import SimulatedClient
from simulation.world import Process, World

CurvesOf = Callable[[Hyperparameters, int], Curves]


def model_of(seed: int, epoch: int) -> bytes:
    """What stands for the model of a training at an epoch."""
    return f"model of seed {seed} at epoch {epoch}".encode()


def _state_of(job: Job) -> bytes:
    return f"state of seed {job.seed}".encode()


class SimulatedWorkers(ReplayExecutor):
    """Runs jobs by their curves; a worker may die, hang, or never start.

    Args:
        world: whose time passes while something is waited for.
        process: the supervisor, with which they die.
        curves: of a network and a seed.
        n_workers: how many jobs run at a time.
        disk: on which they leave their states.
        client: of MLflow, for what needs Keras.
    """

    def __init__(
        self,
        world: World,
        process: Process,
        curves: CurvesOf,
        n_workers: int,
        disk: Disk,
        client: SimulatedClient,
    ) -> None:
        super().__init__(curves, n_workers, start_seconds=0.5)
        self._world, self._process, self._disk, self._client = world, process, disk, client
        self._jobs: dict[int, Job] = {}

    def submit(self, job: Job) -> None:
        self._world.step(self._process, Kind.WORKERS, f"trial {job.trial} is submitted")
        if job.goes_on_after and not self._is_whole(job):
            job = replace(job, goes_on_after=0)
        self._jobs[job.trial] = job
        self._world.jobs.append((self._process, job))
        self._now = self._world.seconds
        super().submit(job)

    def stop(self, trial: int) -> None:
        self._world.step(self._process, Kind.WORKERS, f"trial {trial} is stopped")
        self._now = self._world.seconds
        super().stop(trial)

    def events(self, timeout_seconds: float) -> list[Event]:
        fault = self._world.step(self._process, Kind.WORKERS, "waits for events")
        self._now = before = self._world.seconds
        running = sorted(self._running)
        if fault and fault.what is What.GONE:
            raise PipelineError("workers cannot start: simulated: the forkserver is gone")
        if fault and fault.what is What.BACK:
            self._come_back()
        elif fault and fault.what is What.NODE:
            for trial in running[::2]:
                self._running[trial].event = Lost(trial, "simulated: the machine is gone")
                self._running[trial].moment, self._running[trial].rest = before, iter(())
        elif fault and running:
            due = self._running[running[int(fault.share * len(running)) % len(running)]]
            if fault.what is What.HANGS:
                due.moment = math.inf
                self._world.deaths[str(due.job.hyperparameters), due.job.seed] += 1
            elif fault.what is What.DIES or isinstance(due.event, Finished):
                due.event = Failed(due.job.trial, "simulated: the worker was killed", True)
                due.moment, due.rest = before, iter(())
                self._world.deaths[str(due.job.hyperparameters), due.job.seed] += 1
        happened = super().events(timeout_seconds)
        self._world.advance(self._process, self._now - before)
        return [self._told(event) for event in happened]

    def _come_back(self) -> None:
        """Has workers of a dead supervisor leave a state, as if they had not noticed."""
        for process, job in self._world.jobs:
            later = [rung for rung in job.rungs if rung > job.goes_on_after]
            is_left = process.is_dead and process.host == self._process.host
            if is_left and later and self._disk.is_folder(Path(job.state_folder)):
                write_atomically(self._state(job, later[0]), _state_of(job), self._disk)

    def _is_whole(self, job: Job) -> bool:
        """Tells whether the state is there, and whole, after which a job is to go on."""
        try:
            return self._disk.read(self._state(job, job.goes_on_after)) == _state_of(job)
        except FileNotFoundError:
            return False

    def _state(self, job: Job, epoch: int) -> Path:
        return Path(job.state_folder) / state_file(job.trial, epoch)

    def _told(self, event: Event) -> Event:
        """Does what a worker does before it tells of an epoch; returns what it tells."""
        job = self._jobs.get(event.trial)
        if job and isinstance(event, EpochEnd) and event.epoch in job.rungs:
            try:
                write_atomically(self._state(job, event.epoch), _state_of(job), self._disk)
            except OSError as error:  # then it cannot go on from there; a worker says nothing
                if not self._world.befell & {What.FULL, What.BROKEN}:
                    raise AssertionError("no state can be written") from error
        if isinstance(event, EpochEnd) and event.model is not None:
            return replace(event, model=model_of(self._jobs[event.trial].seed, event.epoch))
        return event

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        fault = self._world.step(self._process, Kind.WORKERS, f"calls {function.__name__}")
        if fault and fault.what in (What.DIES, What.GONE):
            raise PipelineError("simulated: the process was killed")
        if function is compare_answers:
            self._disk.write(arguments[3], json.dumps([]).encode())
        elif function is publish_champion:
            _, study, run, *_ = arguments
            client: Any = self._client
            try:
                version = client.register(study, run)
                aliases.tag_version(client, study, version, run, {})
                aliases.promote(client, study, version)
            except MlflowException as error:  # as any that is raised in another process
                raise PipelineError(str(error)) from None
        else:
            raise NotImplementedError(function)

    def close(self) -> None:
        if not self._process.is_dead:
            super().close()
