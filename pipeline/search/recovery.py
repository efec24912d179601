"""What a supervisor takes up of one before it, and what it mends of what that has left."""

from collections.abc import Callable, Collection, Sequence

import optuna

from pipeline.search.pausing import Pausing
from pipeline.search.used import Used
from pipeline.storage import queue, study_store
from pipeline.study.spec import StudySpec
from pipeline.study.trial import Trial, select_counted
from pipeline.tracking.tracker import Tracker
from pipeline.wording import count_noun


def recover(
    study: optuna.Study,
    spec: StudySpec,
    tracker: Tracker,
    pausing: Pausing,
    used: Used,
    say: Callable[[str], None],
) -> tuple[Sequence[Trial], int]:
    """Queues again what a killed supervisor left, and finds what is paused.

    Args:
        study: with one supervisor, this one.
        spec: its study file.
        tracker: where runs are written.
        pausing: takes up what is paused.
        used: what is used of the budget.
        say: told what was left.

    Returns:
        All trials that count, and the number of those that were drawn, paused ones included.
    """
    known = study_store.read_trials(study)
    ended = select_counted(known)
    paused = pausing.recover(ended, used)
    n_left = queue.requeue_left(study, spec, paused)
    if n_left:
        known = study_store.read_trials(study)
    n_mended = mend_runs(study, spec, tracker, known, paused)
    if n_left or n_mended:
        say(f"a supervisor was killed here: {count_noun(n_left, 'trial')} queued again")
    return ended, len(paused) + sum(trial.is_drawn for trial in ended)


def mend_runs(
    study: optuna.Study,
    spec: StudySpec,
    tracker: Tracker,
    known: Sequence[Trial],
    paused: Collection[int] = (),
) -> int:
    """Ends runs in MLflow that are open though their trials do not run; returns how many.

    Args:
        study: no trial of which is under way.
        spec: its study file.
        tracker: where runs are written.
        known: all trials that ended.
        paused: numbers of trials whose runs are open because they are paused.
    """
    ends = {trial.number: trial.end(spec.metric) for trial in select_counted(known)}
    runs = {trial.number: trial.run_id for trial in known}
    runs |= {number: study_store.run_of(study, number) for number in paused}
    return tracker.mend(ends, runs, paused)
