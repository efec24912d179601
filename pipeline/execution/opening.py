"""Opens the executor that a search has: where its jobs run."""

import importlib.util
import os
from typing import TYPE_CHECKING

from pipeline.engine import Engine
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.execution.executor import Executor
    from pipeline.paths import Project
    from pipeline.study.spec import StudySpec

HOW_TO_GET_RAY = 'pip install "keras-search-pipeline[cluster]"'


def open_executor(
    project: "Project",
    spec: "StudySpec",
    n_workers: int | None,
    engine: Engine | None = None,
) -> "Executor":
    """Opens what trains the networks of a study, or what a project has instead.

    Args:
        project: in whose folders workers print, and keep files for a moment.
        spec: the study file: on which data, and with what of a machine.
        n_workers: how many are trained at a time; None for as many as there is room for.
        engine: what runs them; None for this machine.

    Raises:
        UsageError: this machine has not the GPUs that the study file asks for; or Ray is not
            installed, or its address none at which a search can join.
    """
    if make := project.outside.executor:
        made: Executor = make(n_workers or 1)
        return made
    if engine is Engine.RAY:
        return _open_ray(project, spec, n_workers)
    from pipeline.execution import devices, local

    log, scratch = project.workers_log(spec.name), project.scratch_dir(spec.name)
    found = devices.find_devices(spec.resources)
    n_workers = n_workers or devices.n_workers(spec.resources)
    return local.LocalExecutor(spec.data_spec, n_workers, log, scratch, found)


def _open_ray(project: "Project", spec: "StudySpec", n_workers: int | None) -> "Executor":
    address = os.environ.get("RAY_ADDRESS", "")
    if "://" in address:
        raise UsageError(
            f"RAY_ADDRESS: found {address!r}, allowed is HOST:PORT of a cluster that this "
            "machine is a node of; start the search on one of its nodes"
        )
    if importlib.util.find_spec("ray") is None:
        raise UsageError(f"--engine ray: Ray is not installed; get it with: {HOW_TO_GET_RAY}")
    from pipeline.execution.ray.executor import RayExecutor
    from pipeline.execution.ray.messages import Wanted

    cpus, gpus = spec.resources.cpus, spec.resources.gpus
    wanted = Wanted(spec.name, spec.data_spec, n_workers, cpus, gpus, address)
    log, scratch = project.workers_log(spec.name), project.scratch_dir(spec.name)
    return RayExecutor(wanted, log, scratch)
