"""When a search registers its champion: not against what somebody has rolled back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedExecutor, make_spec, steady

from pipeline.errors import INTERRUPTED
from pipeline.outside import Outside
from pipeline.paths import Project
from pipeline.search import run_study, session
from pipeline.search.interruption import Interruption
from pipeline.storage import studies, study_store
from pipeline.study.trial import State, Trial, select_counted
from pipeline.tracking import aliases
from pipeline.tracking.delivery import open_client
from pipeline.tracking.run_writer import RunWriter

NAME = "scripted"  # as `make_spec` has it


class Workers:
    """Register what they are asked to, without its model."""

    def __init__(self, client: Any) -> None:
        self.published: list[str] = []
        self._client = client

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        _, study, run, *_ = arguments
        self.published.append(str(run))
        found = self._client.create_model_version(study, "somewhere", run)
        aliases.promote(self._client, str(study), str(found.version))


def test_what_was_rolled_back_stays_so_until_a_better_one_comes(
    project_with_mlflow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, spec = Project(project_with_mlflow), make_spec()
    client = open_client(project.mlflow_uri)
    client.create_registered_model(NAME)
    tracker, workers = RunWriter(client, project, NAME), Workers(client)
    tracker.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)

    def publish(number: int) -> str:
        """As a search does that has found this trial to be the best; returns what it says."""
        if number not in runs:
            runs[number] = tracker.start_trial(number, None, {}, {})
        best = Trial(number, State.COMPLETE, 0.9, 1, None, 1, run_id=runs[number])
        executor: Any = workers
        run_study._publish(project, spec, executor, best)
        return capsys.readouterr().err

    runs: dict[int, str] = {}
    publish(0)
    assert publish(1) == "registering the champion's model ...\n"
    assert publish(1) == ""
    aliases.roll_back(client, NAME)
    said = publish(1)
    assert said.startswith("models:/scripted@champion stays as it was rolled back; ")
    assert len(said.splitlines()) == 1
    assert aliases.champion_run(client, NAME) == runs[0]
    assert workers.published == [runs[0], runs[1]]
    publish(2)
    assert aliases.champion_run(client, NAME) == runs[2]
    previous = aliases.find(client, NAME, aliases.PREVIOUS)
    assert previous
    assert previous.run_id == runs[0]


def test_a_search_uses_what_its_process_has_outside_and_stops_when_it_hears_of_it(
    project_with_mlflow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[ScriptedExecutor] = []

    def make(n_workers: int) -> ScriptedExecutor:
        assert not left.exists(), "of a command that was killed"
        made.append(ScriptedExecutor(steady, n_workers))
        made[0].on_events = lambda: interruption.hear() if len(made[0].jobs) == 4 else None
        return made[0]

    project = Project(project_with_mlflow, Outside(executor=make))
    interruption = Interruption("interrupted; go on")
    left = project.runs_dir / ".file.abcd1234.pipeline-scratch"
    left.mkdir(parents=True)
    code = session.search_interruptibly(project, make_spec(finals=False), 1, interruption)
    assert code == INTERRUPTED, capsys.readouterr().err
    assert len(made[0].jobs) == 4
    study = studies.stored_study(project, NAME).study
    assert [trial.state for trial in select_counted(study_store.read_trials(study))] == [
        State.COMPLETE
    ] * 3


def test_ctrl_c_says_how_to_go_on_wherever_it_comes() -> None:
    with Interruption("interrupted; go on with: x") as interruption:
        with pytest.raises(KeyboardInterrupt, match="go on with: x"):
            interruption.hear()
        assert interruption.is_asked
