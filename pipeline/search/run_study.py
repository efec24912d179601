"""The middle of a search: what is opened here while the workers import TensorFlow, and closed.

Imported when the workers have been started, for Optuna and MLflow take seconds to import.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator

import optuna

from pipeline.data import datasets
from pipeline.errors import DONE, INTERRUPTED, PipelineError
from pipeline.execution.executor import Executor
from pipeline.paths import DEFAULT_STUDY, Project, display_path
from pipeline.provenance import collect_provenance
from pipeline.search import progress, samplers
from pipeline.search.interruption import Interruption
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import lease, study_store
from pipeline.storage.presence import Presence
from pipeline.study.spec import StudySpec
from pipeline.study.trial import State, Trial, ranking, select_counted
from pipeline.tracking.registry import publish_champion
from pipeline.tracking.run_writer import RunWriter
from pipeline.wording import count_noun, inflect


def run_study(
    project: Project,
    spec: StudySpec,
    executor: Executor,
    held: lease.Lease,
    interruption: Interruption,
) -> int:
    """Searches until the budget is used, registers the champion, and returns the exit code.

    Args:
        project: whose stores are written.
        spec: the study file.
        executor: where trials run.
        held: who searches; noted in the store.
        interruption: hears Ctrl-C and SIGTERM.

    Raises:
        PipelineError: a store cannot be used, or there is no champion; the text says why.
    """
    samplers.rehearse(spec)
    study = study_store.open_study(project, spec)
    with (
        _taken(study, held),
        study_store.deletion_told(study),
        contextlib.ExitStack() as opened,
    ):
        print(
            f"study {spec.name}: workers are importing TensorFlow ...",
            file=sys.stderr,
            flush=True,
        )
        study.set_user_attr(study_store.DATA_FINGERPRINT, datasets.fingerprint(spec.dataset))
        study.set_user_attr(study_store.VERSIONS, collect_provenance())
        display = progress.for_terminal()
        opened.callback(display.close)
        tracker = RunWriter.open(
            project, spec.name, display.say, functools.partial(study_store.note_run, study)
        )
        tracker.open_study(
            spec.goal,
            {"dataset": spec.dataset, "metric": spec.metric, "fingerprint": spec.fingerprint},
            datasets.fingerprint(spec.dataset),
        )
        stores = Presence.of(project)
        with _run_of_study(tracker, stores) as close:
            supervisor = Supervisor(spec, study, executor, tracker, display, stores)
            with interruption.asks(supervisor):
                end = supervisor.run()
            display.close()  # before anything else is printed
            champion = None
            if end is SearchEnd.BUDGET_USED and not interruption.is_asked:
                n_kept = tracker.settle()  # before the champion's run is looked up
                champion = _champion(project, spec, study, n_kept)
                _publish(project, spec, executor, tracker, champion)
            close("FINISHED" if champion else "KILLED")
    if champion is None:
        print(f"interrupted; go on with: make search STUDY={spec.name}", file=sys.stderr)
        return INTERRUPTED
    _say_what_next(spec, champion, select_counted(study_store.read_trials(study)))
    return DONE


@contextlib.contextmanager
def _taken(study: optuna.Study, held: lease.Lease) -> Iterator[None]:
    """Notes in the store who searches a study, until that is over."""
    lease.take(study, held)
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # what came first is to be seen
            lease.give_back(study)
        raise
    lease.give_back(study)


@contextlib.contextmanager
def _run_of_study(tracker: RunWriter, stores: Presence) -> Iterator[Callable[[str], None]]:
    """Gives what closes the study's own run in MLflow; closes it itself if anything is raised."""
    try:
        yield tracker.close_study
    except BaseException as error:
        with contextlib.suppress(Exception):  # what came first is to be seen
            if stores.has_mlflow:  # else it would make an empty one
                tracker.close_study("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise


def _champion(project: Project, spec: StudySpec, study: optuna.Study, n_kept: int) -> Trial:
    """Returns the best network, if MLflow has got all that was written of it.

    Raises:
        PipelineError: there is none, or writes wait for MLflow.
    """
    ended = study_store.read_trials(study)
    best = ranking(ended, spec.direction)[:1]
    if not best:
        raise PipelineError(_why_no_champion(spec, ended))
    if n_kept:
        raise PipelineError(
            f"the search is complete, but MLflow does not answer: {count_noun(n_kept, 'write')} "
            f"{inflect('is', n_kept, 'are')} kept in "
            f"{display_path(project.outbox(spec.name))}; when it does, the same command sends "
            "them and registers the champion"
        )
    return best[0]


def _publish(
    project: Project,
    spec: StudySpec,
    executor: Executor,
    tracker: RunWriter,
    champion: Trial,
) -> None:
    """Registers the champion's model, unless it is the registered one."""
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


def _say_what_next(spec: StudySpec, champion: Trial, ended: list[Trial]) -> None:
    by_state = {state: sum(trial.state == state for trial in ended) for state in State}
    counts = ", ".join(f"{n} {state.lower()}" for state, n in by_state.items() if n)
    study = "" if spec.name == DEFAULT_STUDY else f" STUDY={spec.name}"
    name = "" if spec.name == DEFAULT_STUDY else f" {spec.name}"
    print(f"""
study {spec.name}: {count_noun(len(ended), "trial")} ({counts})
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


def _why_no_champion(spec: StudySpec, ended: list[Trial]) -> str:
    failed = [trial for trial in ended if trial.state == State.FAIL and not trial.interrupted]
    if failed:
        return (
            f"no trial of {spec.name} was completed; {len(failed)} failed, "
            f"the last one because: {failed[-1].reason}"
        )
    return f"no trial of {spec.name} was completed within the budget; raise it and run again"
