"""What is used of Optuna's inside, and what is done where it is another."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import optuna
import pytest
import recorded
from optuna.storages._rdb import models

from pipeline.paths import Project
from pipeline.search import samplers
from pipeline.search.asking import ask
from pipeline.search.recent_tpe import RecentTPE
from pipeline.storage import optuna_internals, queue, studies, study_store
from pipeline.storage.rdb import open_storage
from pipeline.storage.row_storage import CacheOfRows
from pipeline.study.spec import StudySpec

Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def _looks_anew() -> Iterator[None]:
    """The answer is kept for the life of a process."""
    forget()
    yield
    forget()


def forget() -> None:
    optuna_internals.knows_studies.cache_clear()
    optuna_internals.is_as_known.cache_clear()


def test_the_optuna_that_is_installed_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert optuna_internals.is_as_known()
    assert capsys.readouterr().err == ""


def another_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(optuna, "__version__", "6.0.0")


def no_tables(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "optuna.storages._rdb.models", None)
    patch.delattr(sys.modules["optuna.storages._rdb"], "models")


def no_method(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(optuna.storages.RDBStorage, "_get_best_trial_id")


def another_argument(patch: pytest.MonkeyPatch) -> None:
    def _get_trials(self: object, study_id: int, where: str) -> None: ...

    patch.setattr(optuna.storages.RDBStorage, "_get_trials", _get_trials)


def other_tables(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(models, "SCHEMA_VERSION", 13)


def another_column(patch: pytest.MonkeyPatch) -> None:
    wanted = {"TrialModel": {"trial_id", "moment_of_start"}}
    patch.setattr(optuna_internals, "_COLUMNS", wanted)


def no_flag(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(optuna.Study, "stop", lambda _: None)


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (another_version, "known is 5.0"),
        (no_tables, "its tables or its cache are not where they were"),
        (no_method, "type object 'RDBStorage' has no attribute '_get_best_trial_id'"),
        (another_argument, "takes self, study_id, where"),
        (other_tables, "its tables are of version 13"),
        (another_column, "TrialModel has no moment_of_start"),
        (no_flag, "that a sampler has stopped does not show"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_another_inside_is_noticed_and_said_once(
    breaks: Break,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    breaks(monkeypatch)
    assert not optuna_internals.is_as_known()
    assert not optuna_internals.is_as_known()
    text = capsys.readouterr().err
    assert text.startswith(
        f"the inside of Optuna {optuna.__version__} is not what is known here ("
    )
    assert said in text
    assert text.endswith("its own storage and TPE are used: a long search is slower\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_a_store_is_searched_and_read_with_either(
    is_known: bool,
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What one has written, the other reads."""
    known = studies.stored_study(recorded_study, recorded.NAME).study
    before = [repr(trial) for trial in study_store.read_trials(known)]
    best = study_store.champion(known)
    forget()
    if not is_known:
        another_version(monkeypatch)

    storage = open_storage(recorded_study.optuna_url, to_write=True)
    assert isinstance(storage, CacheOfRows) == is_known
    sampler = samplers.build_sampler(recorded_spec(recorded_study).sampler, 1, 0)
    assert isinstance(sampler, RecentTPE) == is_known
    assert isinstance(sampler, optuna.samplers.TPESampler)

    stored = studies.stored_study(recorded_study, recorded.NAME)
    study, spec = stored.study, stored.spec
    assert [repr(trial) for trial in study_store.read_trials(study)] == before
    assert study_store.champion(study).number == best.number
    study = studies.open_study(recorded_study, spec)
    optuna_internals.let_sampler_stop(study)
    running = ask(study, spec, len(before))
    running.trial.report(0.5, 1)
    assert running.trial.should_prune() in (True, False)
    study.tell(running.trial, 0.99 if spec.direction == "maximize" else 0.0)
    left = ask(study, spec, len(before) + 1)
    assert queue.requeue_left(study, spec) == 1
    assert queue.count_waiting(study)

    again = studies.stored_study(recorded_study, recorded.NAME).study
    assert study_store.champion(again).number == running.trial.number
    assert study_store.read_trials(again)[-1].interrupted
    assert left.trial.number == study_store.read_trials(again)[-1].number
    assert capsys.readouterr().err.count("\n") == (0 if is_known else 1)


def recorded_spec(project: Project) -> StudySpec:
    return studies.stored_study(project, recorded.NAME).spec


def test_a_sampler_needs_no_sqlalchemy() -> None:
    """It takes as long to import as the rest of a dry run."""
    code = """
import sys
from pipeline.storage import optuna_internals
assert optuna_internals.knows_studies()
assert "sqlalchemy" not in sys.modules
assert optuna_internals.is_as_known()
assert "sqlalchemy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
