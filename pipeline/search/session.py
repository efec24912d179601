"""One search from start to end: locks, stores and workers are opened, used and closed."""

import sys
from pathlib import Path

from pipeline import files, snapshot
from pipeline.data import datasets
from pipeline.engine import Engine
from pipeline.errors import DONE
from pipeline.execution.opening import open_executor
from pipeline.names import file_of_study
from pipeline.paths import Project
from pipeline.search.interruption import Interruption
from pipeline.search.takeover import mend_what_is_left
from pipeline.storage import lease
from pipeline.study.spec import Finals, StudySpec
from pipeline.wording import search_command


def search(
    project: Project,
    spec: StudySpec,
    file: Path,
    n_workers: int | None = None,
    only_finals: Finals | None = None,
    engine: Engine | None = None,
) -> int:
    """Runs a study in this process and its workers, and returns the exit code.

    Args:
        project: whose stores are used.
        spec: the study file's content.
        file: the study file, which need not be in `studies/`.
        n_workers: how many trials are trained at a time; None for as many as there is room for.
        only_finals: held instead of a search; None to search.
        engine: what runs them; None for this machine.

    Raises:
        UsageError: the environment names a store that is none; or there is no such engine here.
        PipelineError: a store cannot be written, or used at all; the text says which and why.
    """
    _ = project.optuna_url, project.mlflow_uri  # no URL: refused before anything starts
    here = file_of_study(spec.name, project.root / "studies")
    is_here = here is not None and here.samefile(file)
    again = search_command(spec.name) if is_here and not engine else "the same command"
    with Interruption(f"interrupted; go on with: {again}") as interruption:
        mend_what_is_left(project, spec.name)
        code = search_interruptibly(project, spec, n_workers, interruption, only_finals, engine)
        if code == DONE:
            from pipeline.report.publishing import publish
            from pipeline.search.ending import say_what_next

            publish(project, spec.name)
            say_what_next(spec.name)
        return code


def search_interruptibly(
    project: Project,
    spec: StudySpec,
    n_workers: int | None,
    interruption: Interruption,
    only_finals: Finals | None = None,
    engine: Engine | None = None,
) -> int:
    """Runs a study as `search` does, and is told by something else that it is to stop."""
    with lease.lock(project, spec.name) as held:
        files.remove_leftovers(project.runs_dir, project.outside.disk)
        for store in (project.optuna_url, project.mlflow_uri):
            snapshot.refuse_unless_writable(store, "a search writes it")
        executor = open_executor(project, spec, n_workers, engine)
        try:
            if project.outside.executor is None:  # else the data are not trained on here
                datasets.fetch(spec.data_spec)  # needed when workers have imported TensorFlow
            for said in datasets.about(spec.data_spec)[1]:
                print(f"{spec.dataset}: {said}", file=sys.stderr)
            from pipeline.search.run_study import run_study  # imports Optuna and MLflow meanwhile
            from pipeline.storage import studies

            with studies.store_errors(project):
                return run_study(project, spec, executor, held, interruption, only_finals)
        finally:
            executor.close()
