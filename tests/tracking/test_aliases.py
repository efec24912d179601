"""The champion and the one before, in a real store: moved, swapped, and killed in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipeline.paths import Project
from pipeline.tracking import aliases
from pipeline.tracking.delivery import open_client
from pipeline.tracking.run_writer import RunWriter

STUDY = "small"
WRITES = ("set_registered_model_alias", "set_model_version_tag", "delete_model_version_tag")


@pytest.fixture
def client(project_with_mlflow: Path) -> mlflow.MlflowClient:
    return open_client(Project(project_with_mlflow).mlflow_uri)


@pytest.fixture
def tracker(project_with_mlflow: Path, client: mlflow.MlflowClient) -> RunWriter:
    opened = RunWriter(client, Project(project_with_mlflow), STUDY)
    opened.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    return opened


@pytest.fixture
def make(client: mlflow.MlflowClient, tracker: RunWriter) -> Callable[..., str]:
    """Makes a version of a trial's model and promotes it; returns the version's number."""
    runs: dict[int, str] = {}

    def made(trial: int, **tags: str) -> str:
        if not runs:
            client.create_registered_model(STUDY)
        if trial not in runs:
            runs[trial] = tracker.start_trial(trial, None, {"seed": trial}, {})
            tracker.finish_trial(trial, "COMPLETE", {"best_val_loss": 0.5, "best_epoch": 2}, {})
        run = runs[trial]
        version = client.create_model_version(STUDY, f"runs:/{run}/model.keras", run)
        aliases.tag_version(client, STUDY, str(version.version), run, tags)
        aliases.promote(client, STUDY, str(version.version))
        return str(version.version)

    return made


def both(client: mlflow.MlflowClient) -> tuple[str, str]:
    """Versions of champion and previous; "" for who there is not."""
    found = [aliases.find(client, STUDY, alias) for alias in ("champion", "previous")]
    champion, previous = (str(each.version) if each else "" for each in found)
    return champion, previous


def rolled_back(client: mlflow.MlflowClient) -> dict[str, str]:
    found = client.search_model_versions(f"name = '{STUDY}'")
    return {str(v.version): v.tags["rolled_back"] for v in found if "rolled_back" in v.tags}


def test_the_champion_before_keeps_the_alias_previous(
    client: mlflow.MlflowClient, make: Any
) -> None:
    assert both(client) == ("", "")
    assert make(0) == "1"
    assert both(client) == ("1", "")
    make(1)
    make(2)
    assert both(client) == ("3", "2")


def test_a_version_that_takes_the_place_of_a_damaged_one_leaves_previous_where_it_is(
    client: mlflow.MlflowClient, make: Any
) -> None:
    make(0)
    make(1)
    make(1)
    assert both(client) == ("3", "1")
    make(1, run_id=str(aliases.champion_run(client, STUDY)), refit="7", weights="ab")
    assert both(client) == ("4", "3"), "trained again it is another model"


def test_a_version_says_what_it_is(
    client: mlflow.MlflowClient, tracker: RunWriter, make: Any
) -> None:
    for number, state in ((3, "COMPLETE"), (4, "COMPLETE"), (5, "KILLED")):
        tracker.start_trial(number, None, {"seed": number}, {"final_of": "1"})
        tracker.finish_trial(number, state, {}, {})
    made = client.get_model_version(STUDY, make(1, test_loss="0.25"))
    run = client.get_run(made.run_id)
    assert {
        **{key: run.data.tags[key] for key in ("study", "trial", "git_commit")},
        "run_id": made.run_id,
        "data_fingerprint": "0" * 64,
        "best_val_loss": "0.5",
        "best_epoch": "2",
        "finals": "2",
        "test_loss": "0.25",
    } == made.tags
    assert aliases.describe(made) == "trial 1 (val_loss 0.5)"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"refit": "1"},
         "trial 1 (val_loss 0.5), trained again for 1 epoch on all but the test set"),
        ({"ensemble": '{"1": 2, "4": 1}', "best_val_loss": "0.25"},
         "an ensemble of 2 networks (val_loss 0.25)"),
    ],
)  # fmt: skip
def test_what_is_no_trials_own_model_is_called_what_it_is(
    client: mlflow.MlflowClient, make: Any, tags: dict[str, str], said: str
) -> None:
    assert aliases.describe(client.get_model_version(STUDY, make(1, **tags))) == said


def test_rolling_back_twice_is_where_it_started(client: mlflow.MlflowClient, make: Any) -> None:
    make(0)
    make(1)
    found = aliases.roll_back(client, STUDY)
    assert found
    assert [str(each.version) for each in found] == ["1", "2"]
    assert both(client) == ("1", "2")
    assert rolled_back(client) == {"2": "1"}
    aliases.roll_back(client, STUDY)
    assert (both(client), rolled_back(client)) == (("2", "1"), {})


def test_without_a_version_before_nothing_is_written(
    client: mlflow.MlflowClient, make: Any
) -> None:
    assert aliases.roll_back(client, STUDY) is None
    make(0)
    assert aliases.roll_back(client, STUDY) is None
    client.set_registered_model_alias(STUDY, "previous", "1")  # as a kill leaves it
    assert aliases.roll_back(client, STUDY) is None
    assert rolled_back(client) == {}
    make(1)
    assert both(client) == ("2", "1")


def test_what_was_rolled_back_stays_so_until_that_is_taken_back(
    client: mlflow.MlflowClient, make: Any
) -> None:
    make(0)
    make(1)
    run = str(aliases.champion_run(client, STUDY))
    assert aliases.rollback_of(client, STUDY, run, {}) == ""
    aliases.roll_back(client, STUDY)
    said = aliases.rollback_of(client, STUDY, run, {})
    assert said.startswith("models:/small@champion stays as it was rolled back; ")
    assert aliases.rollback_of(client, STUDY, run, {"refit": "3"}) == ""
    make(2)
    assert both(client) == ("3", "1"), "a new champion takes over"
    assert aliases.rollback_of(client, STUDY, run, {})
    make(1)
    assert aliases.rollback_of(client, STUDY, run, {}) == "", "it was promoted by hand"


def test_who_is_rolled_back_to_a_second_time_does_not_undo_the_first(
    client: mlflow.MlflowClient, make: Any
) -> None:
    """From 2 to 1, then 3 takes over and is rolled back from, too."""
    make(0)
    make(1)
    aliases.roll_back(client, STUDY)
    make(2)
    aliases.roll_back(client, STUDY)
    assert both(client) == ("1", "3")
    assert rolled_back(client) == {"2": "1", "3": "1"}


class Killed(BaseException):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, client: mlflow.MlflowClient, nth: int) -> None:
    """Has the n-th write to the registry, from 0, be the one that is not done any more."""
    n_done = iter(range(1000))

    def dying(write: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if next(n_done) == nth:
                raise Killed
            return write(*arguments)

        return call

    for name in WRITES:
        monkeypatch.setattr(client, name, dying(getattr(client, name)))


@pytest.mark.parametrize("is_undone", [False, True])
@pytest.mark.parametrize("nth", range(3))
def test_a_rollback_that_is_killed_anywhere_goes_on_to_its_end(
    client: mlflow.MlflowClient,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
    is_undone: bool,
) -> None:
    make(0)
    make(1)
    before, after = ("2", "1"), ("1", "2")
    if is_undone:
        aliases.roll_back(client, STUDY)
        before, after = after, before
    with monkeypatch.context() as patch:
        kill_at(patch, client, nth)
        with pytest.raises(Killed):
            aliases.roll_back(client, STUDY)
    are_moved = is_undone and nth == 2  # only a tag is left to be taken away
    assert both(client)[0] in (before[0], after[0])
    aliases.roll_back(client, STUDY)
    assert both(client) == (before if are_moved else after)
    assert rolled_back(client) == ({} if both(client) == ("2", "1") else {"2": "1"})


@pytest.mark.parametrize("nth", range(2))
def test_a_promotion_that_is_killed_goes_on_with_the_next(
    client: mlflow.MlflowClient, make: Any, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    make(0)
    make(1)
    new = client.create_model_version(STUDY, "somewhere", None)
    with monkeypatch.context() as patch:
        kill_at(patch, client, nth)
        with pytest.raises(Killed):
            aliases.promote(client, STUDY, str(new.version))
    assert both(client) == (("2", "1") if nth == 0 else ("2", "2"))
    aliases.promote(client, STUDY, str(new.version))
    assert both(client) == ("3", "2")
