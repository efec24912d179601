"""Trials that wait to be run: references, and what was interrupted, with all it needs.

They stand in Optuna's own queue, so that they survive the supervisor.
"""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from pipeline.storage import optuna_internals, study_store
from pipeline.study import space
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.spec import StudySpec

# Attributes of a trial that the one which is run instead of it takes over.
_KEPT = (
    study_store.REFERENCE,
    study_store.REPEAT,
    study_store.TRAINER,
    study_store.PATIENCE,
    study_store.SEED,
    study_store.N_RETRIES,
)


def has_waiting(study: optuna.Study) -> bool:
    """Whether any trial waits."""
    return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def queue_references(study: optuna.Study, spec: StudySpec) -> None:
    """Queues each repeat of each reference once in the life of a study."""
    known = {
        (attributes.get(study_store.REFERENCE), attributes.get(study_store.REPEAT))
        for frozen in study.get_trials(deepcopy=False)
        if (attributes := frozen.user_attrs)
    }
    for reference, hyperparameters in spec.references:
        for repeat in range(reference.repeats):
            if (reference.name, repeat) not in known:
                attributes = {
                    study_store.REFERENCE: reference.name,
                    study_store.REPEAT: repeat,
                    study_store.TRAINER: reference.trainer,
                    study_store.PATIENCE: reference.patience,
                    # the same for all references, so that they can be compared in pairs
                    study_store.SEED: derived_seed(spec.seed, "repeat", repeat),
                }
                _enqueue(study, spec, hyperparameters, attributes)


def requeue_left(study: optuna.Study, spec: StudySpec) -> int:
    """Queues again what a killed supervisor left RUNNING; returns how many trials that were."""
    left = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for frozen in left:
        requeue(study, spec, optuna_internals.writable(study, frozen), frozen.user_attrs)
    return len(left)


def requeue(
    study: optuna.Study, spec: StudySpec, trial: optuna.Trial, attributes: Mapping[str, Any]
) -> None:
    """Queues a running trial again, and tells Optuna that it failed and does not count.

    In this order: a kill in between leaves it RUNNING, and it is not queued a second time.

    Args:
        study: with one supervisor, this one.
        spec: its study file.
        trial: what runs no longer.
        attributes: of it, for the one that is run instead.
    """
    if study_store.HYPERPARAMETERS in attributes:  # else it had not begun
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if all(each.user_attrs.get(study_store.RETRY_OF) != trial.number for each in waiting):
            kept = {key: attributes[key] for key in _KEPT if key in attributes}
            _enqueue(
                study,
                spec,
                queued_hyperparameters(attributes),
                {**kept, study_store.RETRY_OF: trial.number},
            )
    trial.set_user_attr(study_store.INTERRUPTED, True)
    study.tell(trial.number, state=TrialState.FAIL)


def queued_hyperparameters(attributes: Mapping[str, Any]) -> Hyperparameters | None:
    """The hyperparameters that a queued trial brings along; None if it is no network."""
    stored = attributes[study_store.HYPERPARAMETERS]
    return Hyperparameters.from_mapping(stored) if stored else None


def _enqueue(
    study: optuna.Study,
    spec: StudySpec,
    hyperparameters: Hyperparameters | None,
    attributes: Mapping[str, Any],
) -> None:
    params, stored = {}, None
    if hyperparameters:
        params = space.params_of(spec.searched, hyperparameters)
        stored = hyperparameters.as_dict()
    study.enqueue_trial(dict(params), {study_store.HYPERPARAMETERS: stored, **attributes})
