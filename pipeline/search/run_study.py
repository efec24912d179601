"""The middle of a search: what is opened here while the workers import TensorFlow, and closed.

Imported when the workers have been started, for Optuna and MLflow take seconds to import.
"""

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence

import optuna

from pipeline.data import datasets
from pipeline.errors import DONE, INTERRUPTED, PipelineError, first_line
from pipeline.escaping import for_markdown
from pipeline.execution.executor import Executor
from pipeline.export import finalists
from pipeline.outside import Outside
from pipeline.paths import Project, display_path
from pipeline.provenance import collect_provenance
from pipeline.search import ending, progress, recovery, samplers, warm_start
from pipeline.search.interruption import Interruption
from pipeline.search.pausing import Pausing
from pipeline.search.supervisor import SearchEnd, Supervisor
from pipeline.storage import finals, lease, note, queue, studies, study_store
from pipeline.storage.paused import FolderOfStates
from pipeline.storage.presence import Presence
from pipeline.study.spec import Finals, StudySpec
from pipeline.study.trial import Trial, select_counted
from pipeline.tracking import reader, view
from pipeline.tracking.registry import publish_champion
from pipeline.tracking.run_writer import RunWriter
from pipeline.wording import count_noun, doctor_command, inflect

_NOTE = "{}\n\nWhat the search has found is told here when it is over.\n"  # after the goal


def run_study(
    project: Project,
    spec: StudySpec,
    executor: Executor,
    held: lease.Lease,
    interruption: Interruption,
    only_finals: Finals | None = None,
) -> int:
    """Searches until the budget is used, registers the champion, and returns the exit code.

    Args:
        project: whose stores are written.
        spec: the study file.
        executor: where trials run.
        held: who searches; noted in the store.
        interruption: hears Ctrl-C and SIGTERM.
        only_finals: held instead of a search; None to search.

    Raises:
        PipelineError: a store cannot be used, or there is no champion; the text says why.
    """
    samplers.rehearse(spec)
    _refuse_if_lost(project, spec.name)
    study = _open_study(project, spec)
    outside = project.outside
    with (
        _taken(study, held, outside) as taken,
        studies.interference_told(study),
        contextlib.ExitStack() as opened,
    ):
        print(
            f"study {spec.name}: workers are importing TensorFlow ...",
            file=sys.stderr,
            flush=True,
        )
        study.set_user_attr(study_store.VERSIONS, collect_provenance())
        note.begin(study, _NOTE.format(for_markdown(spec.goal)))
        display = progress.for_terminal()
        opened.callback(display.close)
        interruption.cleans_up(display.close)
        note_run = functools.partial(study_store.note_run, study)
        tracker = RunWriter.open(project, spec.name, display.say, note_run, taken.check_others)
        tracker.open_study(
            spec.goal,
            {"dataset": spec.dataset, "metric": spec.metric, "fingerprint": spec.fingerprint},
            datasets.fingerprint(spec.data_spec),
            view.tags(spec.metric, spec.direction, spec.space),
        )
        opened.enter_context(tracker.writing_much())
        stores = Presence.of(project)
        with _run_of_study(tracker, stores) as close:
            clock = opened.enter_context(outside.clock.working())
            states = FolderOfStates(project.paused_dir(spec.name), outside.disk)
            pausing = Pausing.of(study, spec, states)
            supervisor = Supervisor(
                spec, study, executor, tracker, display, clock, stores, only_finals, pausing
            )
            with interruption.asks(supervisor):
                end = supervisor.run()
            display.close()  # before anything else is printed
            champion = None
            if end is SearchEnd.BUDGET_USED and not interruption.is_asked:
                n_kept = tracker.settle()  # before the champion's run is looked up
                known = study_store.read_trials(study)
                recovery.mend_runs(study, spec, tracker, known)  # of which MLflow has made two
                champion = _champion(project, spec, study, known, n_kept, tracker.trouble)
                taken.check()
                _compare_finalists(project, spec, study, executor)
                _publish(project, spec, executor, champion)
            close("FINISHED" if champion else "KILLED")
    if champion is None:
        print(interruption.how_to_go_on, file=sys.stderr)
        return INTERRUPTED
    ended, n_waiting = study_store.read_trials(study), queue.count_waiting(study)
    ended = select_counted(ended)
    ending.say_what_came(spec, champion, ended, n_waiting, finals.read_held(study))
    return DONE


def _open_study(project: Project, spec: StudySpec) -> optuna.Study:
    """Opens the study; a new one notes the networks of earlier studies that it starts from."""
    start = warm_start.find(project, spec)  # may refuse: before there is a study to be undone
    study = studies.open_study(project, spec)
    study_store.note_earlier(study, start.networks)
    for said in start.said:
        print(f"study {spec.name}: {said}", file=sys.stderr)
    return study


def _refuse_if_lost(project: Project, study: str) -> None:
    """Refuses to begin a study anew that MLflow has trials of: the older ones would be no trial's.

    Raises:
        PipelineError: there are such trials, or a store cannot be used.
    """
    if studies.has_trials(project, study) or not reader.has_finished_runs(project, study):
        return
    raise PipelineError(
        f"MLflow has finished trials of study {study}, and Optuna's store "
        f"{project.optuna_url.display} has none: put a copy of that store in its place, or name "
        "the store they are in with PIPELINE_STORAGE, or copy the study file to a new name; if "
        "they are not wanted any more, delete the study's experiment in MLflow, with: make ui"
    )


@contextlib.contextmanager
def _taken(study: optuna.Study, held: lease.Lease, outside: Outside) -> Iterator[lease.Taken]:
    """Notes in the store who searches a study, until that is over.

    Raises:
        LostLease: somebody else searches the study by now.
    """
    taken = lease.take(study, held, outside)
    try:
        yield taken
    except BaseException as error:
        with contextlib.suppress(Exception):  # what came first is to be seen
            taken.give_back()
        if isinstance(error, studies.TrialTakenAway):
            taken.check()  # by who has the study now, perhaps
        raise
    taken.give_back()


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


def _champion(
    project: Project,
    spec: StudySpec,
    study: optuna.Study,
    known: Sequence[Trial],
    n_kept: int,
    trouble: str,
) -> Trial:
    """Returns the best network, if MLflow has got all that was written of it.

    Raises:
        PipelineError: there is none, or writes wait for MLflow.
    """
    ended = select_counted(known)
    champion = study_store.champion_among(study, ended)
    if champion is None:
        raise PipelineError(ending.why_no_champion(spec, ended))
    if n_kept:
        raise PipelineError(
            f"the search is complete, but {trouble}: {count_noun(n_kept, 'write')} "
            f"{inflect('is', n_kept, 'are')} kept in {display_path(project.outbox(spec.name))}; "
            "when that is mended, the same command sends what is kept and registers the champion"
        )
    return champion


def _compare_finalists(
    project: Project, spec: StudySpec, study: optuna.Study, executor: Executor
) -> None:
    """Compares what finalists answer to the same examples, once for each finals.

    The verdict is sharper with it, and right without.
    """
    held = finals.read_held(study)
    if held is None or finals.has_examples(study):
        return
    print("comparing what the finalists answer ...", file=sys.stderr)
    runs = finalists.runs_to_compare(study_store.read_trials(study), held.plan)
    disk = project.outside.disk
    with disk.temporary_folder() as folder:
        file = folder / "covariances.json"
        try:
            executor.call(finalists.compare_answers, project, spec, runs, file)
            finals.note_examples(study, json.loads(disk.read(file)), held.champion)
        except (PipelineError, OSError) as error:
            said = first_line(error)
            print(f"finalists are compared by their values alone: {said}", file=sys.stderr)


def _publish(
    project: Project,
    spec: StudySpec,
    executor: Executor,
    champion: Trial,
) -> None:
    """Registers the champion's model, unless it is the registered one, or was rolled back."""
    if reader.champion_run(project, spec.name) != champion.run_id:
        if said := reader.rollback_of(project, spec.name, champion.run_id):
            print(said, file=sys.stderr)
            return
        print("registering the champion's model ...", file=sys.stderr)
        arguments = (project.mlflow_uri, spec.name, champion.run_id, champion.best_epoch)
        try:
            dialect = datasets.dialect(spec.data_spec)
            executor.call(publish_champion, *arguments, spec.task, dialect)
        except PipelineError as error:
            raise PipelineError(
                f"the search is complete, but its champion is not registered ({error}); what is "
                f"missing is found, mended and registered with: {doctor_command(spec.name)}"
            ) from None
