import optuna
import pytest
from optuna.trial import TrialState
from scripted import REFERENCE, Killed, make_spec, make_study

from pipeline.storage import queue
from pipeline.study.assignment import RETRY_OF, SEED, Assignment
from pipeline.study.hyperparameters import Hyperparameters


def test_a_kill_while_a_trial_is_queued_again_queues_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_spec()
    study = make_study(spec)
    assignment = Assignment(hyperparameters=Hyperparameters.from_mapping(REFERENCE), seed=7)
    study.enqueue_trial({}, assignment.write())
    trial = study.ask()

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", killed)
        with pytest.raises(Killed):
            queue.requeue(study, spec, trial, assignment)
    assert queue.requeue_left(study, spec) == 1
    assert study.trials[trial.number].state == TrialState.FAIL
    (again,) = study.get_trials(states=(TrialState.WAITING,))
    assert (again.user_attrs[RETRY_OF], again.user_attrs[SEED]) == (trial.number, 7)
