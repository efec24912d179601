"""The GPUs of this machine, and which of them each training has.

TensorFlow is not asked: whatever process looks at GPUs with it cannot be forked any more.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.cores import n_cores
from pipeline.environment import VISIBLE_GPUS
from pipeline.errors import UsageError
from pipeline.study.resources import Resources
from pipeline.wording import count_noun, inflect

ASK_SECONDS = 30.0  # for the driver, which may have to be loaded
_ROOT = Path("/")


class Devices:
    """Shares GPUs out to trainings, to each those that the fewest others have.

    Args:
        names: of the GPUs, as `CUDA_VISIBLE_DEVICES` names them.
        gpus: how many each training has: a part of one, or a whole number, at most all.
    """

    def __init__(self, names: Sequence[str], gpus: float) -> None:
        self._gpus = gpus
        self._n_trainings = dict.fromkeys(names, 0)
        self._taken: dict[int, list[str]] = {}

    @classmethod
    def of_environment(cls, gpus: float) -> "Devices":
        """Takes the GPUs that `CUDA_VISIBLE_DEVICES` names as they stand, there or not.

        For who runs under something that has shared GPUs out itself, and has set it.
        """
        return cls(_named(os.environ), gpus)

    @property
    def n_places(self) -> int:
        """How many trainings have their GPUs, or their part of one, at a time."""
        n_gpus = len(self._n_trainings)
        if self._gpus >= 1:
            return n_gpus // int(self._gpus)
        return n_gpus * int(1 / self._gpus + 1e-9)  # 1 / 0.1 may come out below 10

    def take(self, trial: int) -> str:
        """Chooses GPUs for the training of a trial, as a value of `CUDA_VISIBLE_DEVICES`.

        More trainings than there are places share GPUs that others have for themselves.
        """
        self.release(trial)
        known = self._n_trainings
        chosen = sorted(known, key=lambda name: known[name])[: max(1, int(self._gpus))]
        for name in chosen:
            known[name] += 1
        self._taken[trial] = chosen
        return ",".join(chosen)

    def release(self, trial: int) -> None:
        """Gives back what a trial's training had, if anything."""
        for name in self._taken.pop(trial, ()):
            self._n_trainings[name] -= 1


def find_devices(resources: Resources) -> Devices | None:
    """Finds the GPUs that trainings on this machine are to have; None if they are to have none.

    Raises:
        UsageError: fewer are there, or are allowed, than one training is to have.
    """
    if not resources.gpus:
        return None
    n_there = n_installed()
    names = visible(n_there)
    if names and len(names) >= resources.gpus:
        return Devices(names, resources.gpus)
    found = f"[resources] gpus: found {resources.gpus:g}"
    has = f"this machine has {count_noun(n_there, 'GPU') if n_there else 'no GPU'}"
    if len(names) == n_there:
        raise UsageError(f"{found}, but {has}")
    allowed = os.environ.get(VISIBLE_GPUS)
    raise UsageError(
        f"{found}, but {VISIBLE_GPUS}={allowed!r} leaves {len(names)} of "
        f"{n_there} {inflect('GPU', n_there)}"
    )


def n_workers(resources: Resources) -> int:
    """Counts the trainings that this machine has cores and GPUs for at a time, at least one.

    Raises:
        UsageError: as `find_devices`.
    """
    devices = find_devices(resources)
    of_cores = n_cores() // resources.cpus
    return max(1, min(of_cores, devices.n_places) if devices else of_cores)


def visible(n_there: int) -> list[str]:
    """Names the GPUs that this process may use: those of `CUDA_VISIBLE_DEVICES`, or all.

    As CUDA reads it: what stands behind a number that is none of a GPU does not count (CUDA C++
    Programming Guide, CUDA environment variables).

    Args:
        n_there: how many there are.
    """
    if VISIBLE_GPUS not in os.environ:
        return [str(number) for number in range(n_there)]
    known = []
    for name in _named(os.environ) if n_there else ():
        if name.isdecimal() and int(name) >= n_there:
            break
        known.append(name)
    return known


def _named(environment: Mapping[str, str]) -> list[str]:
    """Lists what `CUDA_VISIBLE_DEVICES` names, up to what is no name, such as -1, and once."""
    known: list[str] = []
    for name in map(str.strip, environment.get(VISIBLE_GPUS, "").split(",")):
        if not name[:1].isalnum() or name in known:
            break
        known.append(name)
    return known


def n_installed(root: Path = _ROOT) -> int:
    """Counts NVIDIA's GPUs of this machine by what their driver says.

    Args:
        root: of the file system, where Linux tells of them if `nvidia-smi` is missing.
    """
    folder = root / "proc/driver/nvidia/gpus"
    try:
        asked = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=ASK_SECONDS
        )
        listed = asked.stdout.splitlines()  # `GPU 0: ...`, and parts of it, indented
    except (OSError, ValueError, subprocess.SubprocessError):
        listed = []
    n_listed = sum(line.startswith("GPU ") for line in listed)
    return n_listed or (len([*folder.iterdir()]) if folder.is_dir() else 0)
