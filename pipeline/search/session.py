"""One search from start to end: locks, stores and workers are opened, used and closed."""

import contextlib
import functools
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.errors import DONE, INTERRUPTED, PipelineError
from pipeline.paths import DEFAULT_STUDY, Project, display_path

if TYPE_CHECKING:
    import optuna

    from pipeline.execution.executor import Executor
    from pipeline.search.supervisor import Supervisor
    from pipeline.storage.lease import Lease
    from pipeline.study.spec import StudySpec
    from pipeline.study.trial import Trial
    from pipeline.tracking.tracker import Tracker


def search(project: Project, spec: "StudySpec", n_workers: int) -> int:
    """Runs a study in this process and its workers, and returns the exit code."""
    from pipeline.data import datasets
    from pipeline.execution import local
    from pipeline.storage import lease

    project.runs_dir.mkdir(parents=True, exist_ok=True)
    with lease.lock(project, spec.name) as claim, _Interruption() as interruption:
        executor = local.LocalExecutor(
            spec.dataset,
            n_workers,
            log=project.workers_log(spec.name),
            scratch=project.scratch_dir(spec.name),
        )
        try:
            datasets.fetch(spec.dataset)  # they need it when they have imported TensorFlow
            from pipeline.storage import study_store

            with study_store.store_errors(project):
                return _supervise(project, spec, executor, claim, interruption)
        finally:
            executor.close()


def _supervise(
    project: Project,
    spec: "StudySpec",
    executor: "Executor",
    claim: "Lease",
    interruption: "_Interruption",
) -> int:
    # imported while the workers import TensorFlow
    from pipeline.data import datasets
    from pipeline.provenance import collect_provenance
    from pipeline.search import progress, samplers
    from pipeline.search.supervisor import Outcome, Supervisor
    from pipeline.storage import lease, study_store
    from pipeline.study.trial import ranking, select_counted
    from pipeline.tracking.tracker import Tracker

    samplers.rehearse(spec)
    study = study_store.open_study(project, spec)
    lease.take(study, claim)
    print(f"study {spec.name}: workers are importing TensorFlow ...", file=sys.stderr, flush=True)
    study.set_user_attr(study_store.DATA_FINGERPRINT, datasets.fingerprint(spec.dataset))
    study.set_user_attr(study_store.VERSIONS, collect_provenance())
    status, display = "FAILED", progress.for_terminal()
    try:
        tracker = Tracker(
            project, spec.name, display.say, functools.partial(study_store.note_run, study)
        )
        tracker.open_study(
            spec.goal,
            {"dataset": spec.dataset, "metric": spec.metric, "fingerprint": spec.fingerprint},
            datasets.fingerprint(spec.dataset),
        )
    except BaseException:
        display.close()
        raise
    try:
        supervisor = Supervisor(spec, study, executor, tracker, display)
        with interruption.asks(supervisor):
            outcome = supervisor.run()
        display.close()
        if outcome is Outcome.INTERRUPTED or interruption.is_asked:
            _close(study, tracker, "KILLED")
            print(f"interrupted; go on with: make search STUDY={spec.name}", file=sys.stderr)
            return INTERRUPTED
        n_kept = tracker.settle()  # before the champion's run is looked up
        best = ranking(study_store.read_trials(study), spec.direction)[:1]
        if not best:
            raise PipelineError(_why_no_champion(spec, study_store.read_trials(study)))
        if n_kept:
            raise PipelineError(
                f"the search is complete, but MLflow does not answer: {n_kept} writes are kept in "
                f"{display_path(project.outbox(spec.name))}; when it does, the same command sends "
                "them and registers the champion"
            )
        _publish(project, spec, executor, tracker, best[0])
        _close(study, tracker, "FINISHED")
        _say_what_next(spec, best[0], select_counted(study_store.read_trials(study)))
        return DONE
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            status = "KILLED"
        with contextlib.suppress(Exception):  # what came first is to be seen
            _close(study, tracker, status)
        raise
    finally:
        display.close()


def _close(study: "optuna.Study", tracker: "Tracker", status: str) -> None:
    """Ends the study's own run, and gives the study back."""
    from pipeline.storage import lease

    try:
        tracker.close_study(status)
    finally:
        lease.give_back(study)


def _publish(
    project: Project,
    spec: "StudySpec",
    executor: "Executor",
    tracker: "Tracker",
    champion: "Trial",
) -> None:
    """Registers the champion's model, unless it is the registered one."""
    from pipeline.tracking.registry import publish_champion

    if tracker.champion_run() != champion.run_id:
        print("registering the champion's model ...", file=sys.stderr)
        arguments = (project.mlflow_uri, spec.name, champion.run_id, champion.best_epoch)
        try:
            executor.call(publish_champion, *arguments)
        except PipelineError as error:
            raise PipelineError(
                f"the search is complete, but its champion is not registered ({error}); the same "
                "command tries that again"
            ) from None


def _say_what_next(spec: "StudySpec", champion: "Trial", ended: "list[Trial]") -> None:
    by_state = {
        state: sum(trial.state == state for trial in ended)
        for state in ("COMPLETE", "PRUNED", "FAIL")
    }
    counts = ", ".join(f"{n} {state.lower()}" for state, n in by_state.items() if n)
    study = "" if spec.name == DEFAULT_STUDY else f" STUDY={spec.name}"
    name = "" if spec.name == DEFAULT_STUDY else f" {spec.name}"
    print(f"""
study {spec.name}: {len(ended)} trials ({counts})
champion: trial {champion.number}, {spec.metric} {champion.value:.4f} \
at epoch {champion.best_epoch}
  {champion.hyperparameters}

next:
  make report{study}
      writes the study's report, studies/{spec.name}/report.html
  make ui
      shows runs, curves and models in MLflow
  .venv/bin/python -m pipeline.best{name} --export
      writes the champion to exports/{spec.name}/, with its test score""")


def _why_no_champion(spec: "StudySpec", ended: "list[Trial]") -> str:
    failed = [trial for trial in ended if trial.state == "FAIL" and not trial.interrupted]
    if failed:
        return (
            f"no trial of {spec.name} was completed; {len(failed)} failed, "
            f"the last one because: {failed[-1].reason}"
        )
    return f"no trial of {spec.name} was completed within the budget; raise it and run again"


class _Interruption:
    """Ctrl-C and SIGTERM, from its `with` on.

    They raise KeyboardInterrupt, but for a supervisor, which is asked to stop: what runs is being
    told, and will not be cut short. And they are remembered, for libraries may swallow exceptions.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> "_Interruption":
        signals = (signal.SIGINT, signal.SIGTERM)
        self._before = {each: signal.signal(each, self._hear) for each in signals}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _hear(self, *_: object) -> None:
        self.is_asked = True
        if self._supervisor is None:
            raise KeyboardInterrupt
        self._supervisor.interrupt()

    @contextlib.contextmanager
    def asks(self, supervisor: "Supervisor") -> "Iterator[None]":
        """Meanwhile nothing is raised."""
        self._supervisor = supervisor
        if self.is_asked:
            supervisor.interrupt()
        try:
            yield
        finally:
            self._supervisor = None
