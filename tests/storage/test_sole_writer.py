"""What the one supervisor of a study knows without asking its store, and writes together."""

from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from optuna.trial import TrialState

from pipeline.storage import optuna_internals
from pipeline.storage.rdb import open_storage


def opened(folder: Path) -> optuna.Study:
    storage = open_storage(f"sqlite:///{folder / 'optuna.db'}", to_write=True)
    return optuna.create_study(study_name="x", storage=storage, load_if_exists=True)


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    return opened(tmp_path)


@pytest.fixture
def others(study: optuna.Study, tmp_path: Path) -> optuna.Study:
    """The same study, as another program has it."""
    return opened(tmp_path)


@pytest.fixture
def statements(study: optuna.Study) -> list[str]:
    """What the database is asked."""
    said: list[str] = []
    storage: Any = study._storage
    engine = storage._backend.engine

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        said.append(statement)

    def commit(_: Any) -> None:
        said.append("COMMIT")

    sql.event.listen(engine, "before_cursor_execute", note)
    sql.event.listen(engine, "commit", commit)
    return said


def rows(study: optuna.Study) -> list[dict[str, Any]]:
    return [vars(each) for each in study.get_trials()]


def test_it_knows_what_it_has_written_as_others_read_it(
    study: optuna.Study, others: optuna.Study
) -> None:
    study.enqueue_trial({"a": 0.5}, {"given": (1, 2)})
    with optuna_internals.alone(study) as look:
        first, second, third = study.ask(), study.ask(), study.ask()
        for trial in (first, second):
            with optuna_internals.together(study):
                trial.suggest_float("a", 0, 1)
                trial.suggest_categorical("b", ["x", None, 3])
                trial.set_user_attr("pair", (1, {"deep": (2,)}))
        for epoch, value in enumerate([0.5, float("inf"), float("nan")], start=1):
            first.report(value, epoch)
            third.report(value, epoch)
        study.tell(first, 0.25)
        study.tell(second, state=TrialState.FAIL)
        look()
        assert str(rows(study)) == str(rows(others))
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        assert (len(waiting), [each.number for each in running]) == (0, [third.number])
    assert str(rows(study)) == str(rows(others))


def test_many_trials_under_way_are_not_read_again(
    study: optuna.Study, statements: list[str]
) -> None:
    with optuna_internals.alone(study):
        for _ in range(50):
            study.ask()
        statements.clear()
        assert len(study.get_trials(deepcopy=False)) == 50
        assert statements == []


def test_values_of_many_epochs_are_one_transaction(
    study: optuna.Study, others: optuna.Study, statements: list[str]
) -> None:
    with optuna_internals.alone(study) as look:
        trials = [study.ask() for _ in range(20)]
        statements.clear()
        for epoch in (1, 2, 3):
            for trial in trials:
                trial.report(epoch / 10, epoch)
        assert statements == []
        look()
        assert statements.count("COMMIT") == 1
        assert sum(each.startswith("INSERT") for each in statements) == 1
        values = [each.intermediate_values for each in others.get_trials()]
        assert values == 20 * [{1: 0.1, 2: 0.2, 3: 0.3}]


def test_values_of_epochs_are_there_when_a_trial_ends(
    study: optuna.Study, others: optuna.Study
) -> None:
    with optuna_internals.alone(study):
        trial = study.ask()
        trial.report(0.5, 1)
        study.tell(trial, state=TrialState.PRUNED)
        (found,) = others.get_trials()
    assert (found.state, found.value, found.intermediate_values) == (
        TrialState.PRUNED, 0.5, {1: 0.5}
    )  # fmt: skip


def test_what_others_enqueue_and_end_is_seen_when_it_looks(
    study: optuna.Study, others: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    with optuna_internals.alone(study) as look:
        trial = study.ask()
        others.enqueue_trial({"a": 0.5})
        assert not study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        look()
        assert len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,))) == 1
        assert study.ask().number == 1
        others.tell(trial.number, state=TrialState.FAIL)
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            study.tell(trial, 0.5)


def test_values_of_a_trial_that_others_have_ended_are_refused(
    study: optuna.Study, others: optuna.Study
) -> None:
    with optuna_internals.alone(study) as look:
        trial = study.ask()
        others.tell(trial.number, state=TrialState.FAIL)
        trial.report(0.5, 1)
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            look()
    assert others.get_trials()[0].intermediate_values == {}
    assert [each.state for each in study.get_trials()] == [TrialState.FAIL]


def test_what_is_written_together_is_there_though_an_error_ends_it(
    study: optuna.Study, others: optuna.Study
) -> None:
    with optuna_internals.alone(study):
        trial = study.ask()

        def write_and_fail() -> None:
            with optuna_internals.together(study):
                trial.set_user_attr("a", 1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write_and_fail()
        assert others.get_trials()[0].user_attrs == {"a": 1}


def test_a_transaction_that_was_broken_off_is_done_again_as_a_whole(
    study: optuna.Study, others: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Any = study._storage
    backend = storage._backend
    monkeypatch.setattr("pipeline.storage.outages.SECONDS_BETWEEN_TRIES", 0.0)
    monkeypatch.setattr(backend.patience, "is_broken_off", lambda error: True)
    n_left = [2]

    def break_off(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("INSERT INTO trial_user_attributes") and n_left[0]:
            n_left[0] -= 1
            raise sql.exc.OperationalError(statement, {}, Exception("gone"))

    with optuna_internals.alone(study):
        trial = study.ask()
        sql.event.listen(backend.engine, "before_cursor_execute", break_off)
        with optuna_internals.together(study):
            trial.report(0.5, 1)
            for key in "abc":
                trial.set_user_attr(key, 1)
            study.tell(trial, 0.5)
    (found,) = others.get_trials()
    assert n_left == [0]
    assert (found.state, found.value) == (TrialState.COMPLETE, 0.5)
    assert (found.user_attrs, found.intermediate_values) == ({"a": 1, "b": 1, "c": 1}, {1: 0.5})


def test_when_it_is_over_single_trials_are_read_that_were_not_read_since(
    study: optuna.Study,
) -> None:
    with optuna_internals.alone(study):
        for value in (0.5, 0.25, 0.75):
            study.tell(study.ask(), value)
    study.tell(study.ask(), 1.0)
    assert study.best_trial.number == 1
    with optuna_internals.alone(study):
        study.ask()
    assert study.best_trial.number == 1
