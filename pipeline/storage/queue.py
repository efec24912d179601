"""Trials that wait to be run: references, and what was interrupted, with all it needs.

They stand in Optuna's own queue, so that they survive the supervisor.
"""

import contextlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.storage import optuna_internals, study_store
from pipeline.study import space
from pipeline.study.assignment import FINAL_OF, REASON, REFERENCE, REPEAT, RETRY_OF, Assignment
from pipeline.study.rules import Scalar
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import StudySpec


def count_waiting(study: optuna.Study) -> int:
    """Counts the trials of the search that wait in the queue; finals are none."""
    return sum(FINAL_OF not in each.user_attrs for each in _waiting(study))


def is_final_waiting(study: optuna.Study) -> bool:
    """Tells whether a final waits in the queue."""
    return any(FINAL_OF in each.user_attrs for each in _waiting(study))


def queue_references(
    study: optuna.Study, spec: StudySpec, is_interrupted: Callable[[], bool] = lambda: False
) -> None:
    """Queues each repeat of each reference, once in the life of a study.

    Args:
        study: the study.
        spec: its study file.
        is_interrupted: looked at before each; the rest is queued by the next search.
    """
    known = {
        (attributes.get(REFERENCE), attributes.get(REPEAT))
        for frozen in study.get_trials(deepcopy=False)
        if (attributes := frozen.user_attrs)
    }
    for reference in spec.reference:
        for repeat in range(reference.repeats):
            if is_interrupted():
                return
            if (reference.name, repeat) not in known:
                assignment = Assignment(
                    reference.network,
                    seed=_seed_of_repeat(spec, repeat),
                    reference=reference.name,
                    repeat=repeat,
                    trainer=reference.trainer,
                    patience=reference.patience,
                )
                _enqueue(study, spec, assignment)


def queue_finals(
    study: optuna.Study,
    spec: StudySpec,
    wanted: Sequence[tuple[int, int]],
    is_interrupted: Callable[[], bool] = lambda: False,
) -> None:
    """Queues finals that have neither been run nor wait.

    Args:
        study: the study; its search is over.
        spec: its study file.
        wanted: pairs of the number of a network's first trial and of a repeat, from 1.
        is_interrupted: looked at before each; the rest is queued by the next search.
    """
    known = {
        (each.user_attrs.get(FINAL_OF), each.user_attrs.get(REPEAT))
        for each in study.get_trials(deepcopy=False)
        if not each.user_attrs.get(study_store.INTERRUPTED)
    }
    for number, repeat in wanted:
        if is_interrupted():
            return
        given = Assignment.read(optuna_internals.read_trial(study, number).user_attrs)
        if given and (number, repeat) not in known:
            again = Assignment(
                given.hyperparameters,
                seed=_seed_of_repeat(spec, repeat),
                repeat=repeat,
                patience=given.patience,
                final_of=number,
            )
            _enqueue(study, spec, again)


def requeue_left(study: optuna.Study, spec: StudySpec, under_way: Container[int] = ()) -> int:
    """Queues the trials again that somebody left RUNNING; returns how many.

    Args:
        study: with one supervisor, this one.
        spec: its study file.
        under_way: numbers of trials that are not left: they run.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    left = [frozen for frozen in running if frozen.number not in under_way]
    for frozen in left:
        trial = optuna_internals.writable(study, frozen)
        requeue(study, spec, trial, Assignment.read(frozen.user_attrs))
    return len(left)


def requeue(
    study: optuna.Study, spec: StudySpec, trial: optuna.Trial, assignment: Assignment | None
) -> None:
    """Queues a running trial again, and tells Optuna that it failed and does not count.

    One that another program has ended or deleted, or lets wait, is left as it is. In this order: a
    kill in between leaves it RUNNING, and it is not queued a second time.

    Args:
        study: with one supervisor, this one.
        spec: its study file.
        trial: what runs no longer.
        assignment: of it, for the one that is run instead; None if it had not begun.
    """
    if not _is_running(study, trial):
        return
    with optuna_internals.together(study):
        if trial.number not in {each.user_attrs.get(RETRY_OF) for each in _waiting(study)}:
            if assignment:
                _enqueue(study, spec, replace(assignment, retry_of=trial.number))
            elif given := optuna_internals.fixed_params(trial):  # by hand, and not looked at yet
                study.enqueue_trial(given, {RETRY_OF: trial.number})
        trial.set_user_attr(study_store.INTERRUPTED, True)
        study.tell(trial.number, state=TrialState.FAIL)


def tell(study: optuna.Study, trial: optuna.Trial, value: float | None, state: TrialState) -> None:
    """Tells Optuna how a running trial has ended.

    Raises:
        UpdateFinishedTrialError: it runs no longer, as another program has ended it.
    """
    try:
        study.tell(trial, value, state)
    except ValueError as error:  # of Optuna's for many reasons
        if _is_running(study, trial):
            raise
        raise optuna.exceptions.UpdateFinishedTrialError(str(error)) from None


def _is_running(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Tells whether a trial that was asked for still is what it was."""
    with contextlib.suppress(KeyError, IndexError):  # it was deleted
        return optuna_internals.read_trial(study, trial.number).state == TrialState.RUNNING
    return False


def refuse(study: optuna.Study, trial: optuna.Trial, reason: str) -> None:
    """Tells Optuna that a trial which was enqueued failed and does not count, and why."""
    trial.set_user_attr(REASON, reason)
    trial.set_user_attr(study_store.INTERRUPTED, True)
    study.tell(trial, state=TrialState.FAIL)


def put_off(
    study: optuna.Study, spec: StudySpec, trial: optuna.Trial, assignment: Assignment
) -> None:
    """Puts off a trial that was asked for and whose turn has not come.

    A final is dropped, since the search goes on, after which others may be wanted; anything else
    stood in the queue before finals, and is queued behind them.
    """
    if assignment.is_final:
        refuse(study, trial, "put off: the search goes on")
    else:
        requeue(study, spec, trial, assignment)


def _waiting(study: optuna.Study) -> list[FrozenTrial]:
    """Lists the trials that wait in the queue, the next one first."""
    return study.get_trials(deepcopy=False, states=(TrialState.WAITING,))


def _seed_of_repeat(spec: StudySpec, repeat: int) -> int:
    """Derives a seed, the same for all networks, so that they can be compared in pairs."""
    return derived_seed(spec.seed, "repeat", repeat)


def _enqueue(study: optuna.Study, spec: StudySpec, assignment: Assignment) -> None:
    params: Mapping[str, Scalar] = {}
    if assignment.hyperparameters:
        params = space.params_of(spec.searched, assignment.hyperparameters)
    study.enqueue_trial(dict(params), assignment.write())
