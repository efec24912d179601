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


def test_a_trial_that_somebody_enqueued_is_not_lost_with_who_has_just_taken_it() -> None:
    spec = make_spec()
    study = make_study(spec)
    study.enqueue_trial({"units": 16})
    trial = study.ask()  # and is killed
    assert queue.requeue_left(study, spec) == 1
    (again,) = study.get_trials(states=(TrialState.WAITING,))
    assert again.system_attrs["fixed_params"] == {"units": 16}
    assert again.user_attrs[RETRY_OF] == trial.number
    assert queue.requeue_left(study, spec) == 0
    study.ask()  # one that was drawn
    study.ask()
    assert queue.requeue_left(study, spec) == 2
    assert [t.user_attrs[RETRY_OF] for t in study.get_trials(states=(TrialState.WAITING,))] == [1]


# What another program does with a trial under way


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_a_trial_that_another_program_has_ended_is_neither_told_nor_queued_again(
    state: TrialState,
) -> None:
    spec = make_spec()
    study = make_study(spec)
    assignment = Assignment(hyperparameters=Hyperparameters.from_mapping(REFERENCE), seed=7)
    trial = study.ask()
    study.tell(trial.number, 0.5 if state == TrialState.COMPLETE else None, state)
    before = study.trials
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        queue.tell(study, trial, 0.9, TrialState.COMPLETE)
    queue.requeue(study, spec, trial, assignment)
    assert study.trials == before


def test_what_optuna_does_not_take_of_a_running_trial_is_a_bug() -> None:
    study = make_study(make_spec())
    with pytest.raises(ValueError, match="value"):
        queue.tell(study, study.ask(), None, TrialState.COMPLETE)
