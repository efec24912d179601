"""The state of a training at the end of an epoch, in a file: it can be broken off and go on.

Who goes on trains bit for bit what would have been trained without a break. The file is an archive
of NumPy's without pickles, so that loading it runs nothing of it, and it is written whole or not
at all. A file that is damaged, or is not of this very training, counts as none: then training
begins anew. Nobody here removes it: when a trial has ended knows who has submitted it.
"""

import json
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline import __version__
from pipeline.files import write_atomically
from pipeline.names import state_file
from pipeline.study.trial import is_better
from pipeline.training.job import Job
from pipeline.training.members import Member

FORMAT = 1  # of the file; another one is not read
_HEAD = "head"  # JSON: whose state it is, and all of it that is no array


@dataclass(frozen=True)
class Reached:
    """How far a training has come.

    Attributes:
        epoch: the last one that is over; 0 before the first.
        best: value of the best epoch.
        record: value of the best epoch whose model was sent, or the one that was to be beaten.
        n_waited: epochs since the best one.
    """

    epoch: int
    best: float | None
    record: float | None
    n_waited: int


def save(job: Job, members: Sequence[Member], reached: Reached) -> None:
    """Writes the state to `job.state_folder`; where that cannot be, training goes on without."""
    head = {
        "identity": _identity(job, members),
        "reached": asdict(reached),
        "counters": [member.counters() for member in members],
    }
    arrays = _named([_arrays(member, reached) for member in members])
    content = BytesIO()
    np.savez(content, allow_pickle=False, **{_HEAD: np.array(json.dumps(head))}, **arrays)
    try:
        write_atomically(_file(job, reached.epoch), content.getvalue())
    except OSError:  # the disk is full, say; if training is broken off, time is lost and no more
        traceback.print_exc()


def restore(job: Job, members: Sequence[Member]) -> Reached:
    """Brings new members to the state after `job.goes_on_after`; without one, to none."""
    found = _read(job, members) if job.goes_on_after else None
    if found is None:
        return Reached(0, None, job.to_beat, 0)
    reached, counters, arrays = found
    for member, counted, values in zip(members, counters, arrays, strict=True):
        variables = member.variables
        for variable, value in zip(variables, values, strict=False):
            variable.assign(value)
        member.keep_weights()
        if reached.n_waited:
            member.kept = values[len(variables) :]
        member.go_on(reached.epoch, counted)
    if job.to_beat is not None and is_better(job.to_beat, reached.record, job.direction):
        return replace(reached, record=job.to_beat)
    return reached


def _read(
    job: Job, members: Sequence[Member]
) -> tuple[Reached, list[dict[str, Any]], list[list[NDArray[Any]]]] | None:
    """Reads what `save` has written; None if there is nothing, or not all of this training."""
    try:
        with (
            _file(job, job.goes_on_after).open("rb") as opened,
            np.load(opened, allow_pickle=False) as file,
        ):
            head = json.loads(str(file[_HEAD]))
            if head["identity"] != _identity(job, members):
                return None
            reached = Reached(**head["reached"])
            expected = [_arrays(member, reached) for member in members]
            found = {name: file[name] for name in _named(expected)}
    except Exception:  # whatever NumPy makes of a file that is damaged, or of none
        return None
    for name, array in _named(expected).items():
        if (found[name].dtype, found[name].shape) != (array.dtype, array.shape):
            return None
    values = iter(found.values())
    return reached, head["counters"], [[next(values) for _ in each] for each in expected]


def _file(job: Job, epoch: int) -> Path:
    return Path(job.state_folder) / state_file(job.trial, epoch)


def _arrays(member: Member, reached: Reached) -> list[NDArray[Any]]:
    """Lists what is kept of a member: its variables, and its best weights if they are others."""
    values = [variable.numpy() for variable in member.variables]
    return [*values, *(member.kept if reached.n_waited else ())]


def _named(arrays: Sequence[Sequence[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Names the arrays of each member as they are called in the file."""
    return {f"{i}.{j}": array for i, own in enumerate(arrays) for j, array in enumerate(own)}


def _identity(job: Job, members: Sequence[Member]) -> dict[str, Any]:
    """Says, as JSON gives it back, of which training a state is; not of what was to be beaten."""
    assert job.hyperparameters is not None
    data = [member.dataset for member in members]
    return {
        "format": FORMAT,
        "versions": [__version__, keras.__version__, tf.__version__, np.__version__],
        "hyperparameters": job.hyperparameters.as_dict(),
        "seed": job.seed,
        "watched": [job.metric, job.direction, job.patience],
        "data": [job.data.target, job.data.options, *(each.fingerprint for each in data)],
        "sizes": [[len(each.train_targets), len(each.validation_targets)] for each in data],
    }
