"""The champion's network, trained again on training and validation data together."""

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import PipelineError
from pipeline.execution.devices import find_devices, n_workers
from pipeline.execution.local import LocalExecutor
from pipeline.storage import lease
from pipeline.storage.studies import StoredStudy
from pipeline.study.assignment import Assignment
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial
from pipeline.training.job import EpochEnd, Failed, Finished, Job
from pipeline.wording import count_noun

WAIT_SECONDS = 0.25
SAID_SECONDS = 30.0  # between two lines on how far it is


def refit(stored: StoredStudy, runs: Sequence[Trial], epochs: int) -> dict[int, bytes]:
    """Trains networks again, each with its seed, as many at a time as there is room for.

    Args:
        stored: the study; nobody may search it meanwhile.
        runs: whose networks.
        epochs: for which each is trained.

    Returns:
        `.keras` files by the trials' numbers.

    Raises:
        PipelineError: one cannot be trained so, or failed; the text says why.
    """
    spec, project = stored.spec, stored.project
    _refuse_unless_possible(stored, runs)
    jobs = {run.number: _job(spec, run, epochs) for run in runs}
    models: dict[int, bytes] = {}
    print(
        f"training {count_noun(len(jobs), 'network')} again for {count_noun(epochs, 'epoch')}, "
        "on training and validation data together ...",
        file=sys.stderr,
    )
    with (
        lease.lock(project, spec.name, leaves_note=False),
        contextlib.closing(
            LocalExecutor(
                spec.data_spec,
                min(n_workers(spec.resources), len(jobs)),
                log=project.workers_log(spec.name),
                scratch=project.scratch_dir(spec.name),
                devices=find_devices(spec.resources),
            )
        ) as executor,
    ):
        _run(executor, jobs, models)
    return models


def _run(executor: LocalExecutor, jobs: dict[int, Job], models: dict[int, bytes]) -> None:
    waiting, running, said = list(jobs.values()), dict[int, int](), time.monotonic()
    while waiting or running:
        while waiting and len(running) < executor.n_workers:
            job = waiting.pop(0)
            running[job.trial] = 0
            executor.submit(job)
        for event in executor.events(WAIT_SECONDS):
            match event:
                case EpochEnd():
                    running[event.trial] = event.epoch
                    if event.model:
                        models[event.trial] = event.model
                case Finished():
                    del running[event.trial]
                case Failed():
                    raise PipelineError(
                        f"trial {event.trial} could not be trained again: {event.reason}"
                    )
        if running and time.monotonic() - said >= SAID_SECONDS:
            said = time.monotonic()
            done = ", ".join(f"trial {n} epoch {epoch}" for n, epoch in running.items())
            print(f"{len(models)} of {len(jobs)} done; {done}", file=sys.stderr)


def _job(spec: StudySpec, run: Trial, epochs: int) -> Job:
    assert run.seed is not None
    again = Assignment(run.hyperparameters, run.seed, trainer="refit")
    return replace(Job.of(spec, run.number, again), refit_epochs=epochs)


def _refuse_unless_possible(stored: StoredStudy, runs: Sequence[Trial]) -> None:
    spec = stored.spec
    if spec.task.n_folds > 1:
        raise PipelineError(
            f"found a study with {spec.task.n_folds} folds, allowed is one with a validation set: "
            "the champion is the mean of networks that have together seen all of it; export it "
            "without --refit"
        )
    if any(
        run.hyperparameters and run.hyperparameters.learning_rate_schedule == "plateau"
        for run in runs
    ):
        raise PipelineError(
            'found learning_rate_schedule = "plateau", which follows the validation set: there is '
            "none when all is trained on; export it without --refit"
        )
