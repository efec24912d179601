"""A recorded trial, trained again from what is stored: does it come out the same?

On the same machine, with the same versions, it should, in every bit: all that is random follows
from the trial's seed. Nothing is written to a store.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.data import datasets
from pipeline.errors import PipelineError, UsageError
from pipeline.execution.devices import find_devices
from pipeline.execution.executor import Executor
from pipeline.execution.local import LocalExecutor
from pipeline.export.comparison import NOT_COMPARED, Replay, compare
from pipeline.export.refit import SAID_SECONDS, WAIT_SECONDS
from pipeline.provenance import collect_provenance
from pipeline.storage import lease, study_store
from pipeline.storage.studies import StoredStudy
from pipeline.study.assignment import Assignment
from pipeline.study.trial import Cause, Trial
from pipeline.tracking import reader, registry, versions
from pipeline.training.job import EpochEnd, Failed, Finished, Job
from pipeline.wording import count_noun

_ABOUT = ("machine", "git_commit", "data_fingerprint")  # besides versions


def replay(stored: StoredStudy, number: int) -> Replay:
    """Trains a recorded trial again, for as many epochs as it had, and compares all of them.

    Args:
        stored: the study; nobody may search it meanwhile.
        number: of the trial.

    Raises:
        UsageError: there is no such trial, or nothing of it is recorded; the text says why.
        PipelineError: it cannot be trained here, whatever its hyperparameters.
    """
    spec, project = stored.spec, stored.project
    trial, assignment = _recorded(stored, number)
    history: dict[str, list[float]] = {}
    model: bytes | None = None
    ended, n_epochs, said = "", 0, time.monotonic()
    about = count_noun(trial.n_epochs, "epoch")
    print(f"training trial {number} again, for {about} ...", file=sys.stderr, flush=True)
    datasets.fetch(spec.data_spec)
    with (
        lease.lock(project, spec.name, leaves_note=False),
        contextlib.closing(
            LocalExecutor(
                spec.data_spec,
                1,
                log=project.workers_log(spec.name),
                scratch=project.scratch_dir(spec.name),
                devices=find_devices(spec.resources),
            )
        ) as executor,
    ):
        for event in play(executor, Job.of(spec, number, assignment), trial.n_epochs):
            if isinstance(event, Failed):
                if event.cause is not Cause.DIVERGED:
                    raise PipelineError(f"trial {number} cannot be trained again: {event.reason}")
                ended = event.reason
                break
            n_epochs, model = event.epoch, event.model or model
            for name, value in event.metrics.items():
                history.setdefault(name, []).append(value)
            if n_epochs < trial.n_epochs and time.monotonic() - said >= SAID_SECONDS:
                said = time.monotonic()
                print(f"epoch {n_epochs} of {trial.n_epochs}", file=sys.stderr, flush=True)
    names = [name for name in trial.history if name != NOT_COMPARED]
    return Replay(
        trial=number,
        metrics=[name for name in names if name in history],
        missing=[name for name in names if name not in history and n_epochs],
        n_epochs=trial.n_epochs,
        n_replayed=n_epochs,
        ended=ended,
        differences=compare(trial.history, history),
        weights=_has_stored_weights(stored, trial, model),
        versions=_other_versions(stored, trial),
    )


def play(executor: Executor, job: Job, n_epochs: int) -> Iterator[EpochEnd | Failed]:
    """Trains a job for so many epochs, unless it ends before, and yields what comes of it."""
    executor.submit(job)
    while True:
        for event in executor.events(WAIT_SECONDS):
            match event:
                case EpochEnd():
                    if event.epoch == n_epochs:
                        executor.stop(job.trial)  # whatever ended it, it came no further
                    yield event
                    if event.epoch == n_epochs:
                        return
                case Failed():
                    yield event
                    return
                case Finished():
                    return


def _recorded(stored: StoredStudy, number: int) -> tuple[Trial, Assignment]:
    """Finds a trial that can be held against a replay.

    Raises:
        UsageError: it cannot; the text says why.
    """
    frozen = stored.study.get_trials(deepcopy=False)
    name = stored.spec.name
    if not 0 <= number < len(frozen):
        allowed = f"0 to {len(frozen) - 1}" if frozen else "none"
        raise UsageError(f"found --replay {number}, allowed are trials of {name}: {allowed}")
    ended = {trial.number: trial for trial in study_store.read_trials(stored.study)}
    trial, assignment = ended.get(number), Assignment.read(frozen[number].user_attrs)
    if trial is None:
        what = "has not come to its end yet"
    elif trial.interrupted:
        what = "was interrupted, and nothing of it is recorded"
    elif not trial.n_epochs or assignment is None:
        what = f"has no epoch that could be compared ({trial.reason or trial.how})"
    else:
        return trial, assignment
    raise UsageError(f"found --replay {number}, but trial {number} of {name} {what}")


def _has_stored_weights(stored: StoredStudy, trial: Trial, model: bytes | None) -> bool | None:
    """Tells whether a model has the weights of the trial's stored one; None if none is stored."""
    is_kept = trial.number in [each.number for each in study_store.with_models(stored.study)]
    if not is_kept or stored.project.mlflow_uri.missing_file:
        return None
    try:
        kept = registry.load_model_bytes(stored.project, trial.run_id)
    except PipelineError as error:
        print(f"the weights are not compared: {error}", file=sys.stderr)
        return None
    if model is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "stored.keras", Path(folder) / "replayed.keras"
        one.write_bytes(kept)
        other.write_bytes(model)
        return versions.has_same_weights(one, other)


def _other_versions(stored: StoredStudy, trial: Trial) -> dict[str, tuple[str, str]]:
    """Finds what is other than it was when a trial was trained: machine, versions, commit, data.

    By the trial's run; where MLflow does not have that, by what its study has noted last.
    """
    recorded: Mapping[str, str] = stored.study.user_attrs.get(study_store.VERSIONS, {})
    if trial.run_id and not stored.project.mlflow_uri.missing_file:
        with contextlib.suppress(PipelineError):
            recorded = reader.tags_of(stored.project, trial.run_id)
    data = {study_store.DATA_FINGERPRINT: datasets.fingerprint(stored.spec.data_spec)}
    now = {**collect_provenance(), **data}
    known = [name for name in recorded if name.startswith("version.") or name in _ABOUT]
    return {
        name: (recorded[name], now.get(name, "none"))
        for name in known
        if recorded[name] != now.get(name, "none")
    }
