"""What MLflow shows and keeps of a study once its report is published; reports kept fresh."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import empty_mlflow
import mlflow
import pytest
import recorded
from mlflow.exceptions import MlflowException
from optuna_dashboard import get_note, save_note

from pipeline import ui
from pipeline.clock import SystemClock
from pipeline.errors import run_command
from pipeline.outside import SYSTEM, Outside
from pipeline.paths import Project
from pipeline.report import __main__ as report_command
from pipeline.report import contents, document
from pipeline.report.publishing import publish, story_of
from pipeline.report.summary import summarize
from pipeline.storage import lease, study_store
from pipeline.tracking import version_story, view
from pipeline.tracking.delivery import open_client
from pipeline.tracking.run_writer import RunWriter


@pytest.fixture
def project(recorded_study: Project, empty_database: Path) -> Project:
    """The recorded study, with its own run in MLflow and a registered model without versions."""
    empty_mlflow.copy_into(recorded_study.root, empty_database)
    writer = RunWriter.open(recorded_study, recorded.NAME)
    about = {"dataset": "fashion_mnist", "metric": "val_accuracy"}
    writer.open_study("A goal.", about, "0" * 64)
    writer.close_study("FINISHED")
    open_client(recorded_study.mlflow_uri).create_registered_model(recorded.NAME)
    return recorded_study


def experiment_of(project: Project) -> Any:
    found = open_client(project.mlflow_uri).get_experiment_by_name(recorded.NAME)
    assert found
    return found


def test_the_story_is_told_everywhere_and_the_report_is_kept(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(project, recorded.NAME)
    assert capsys.readouterr().err.splitlines() == [
        "writing the report ...", "studies/recorded/report.html: the report",
    ]  # fmt: skip
    client, experiment = open_client(project.mlflow_uri), experiment_of(project)
    (run,) = client.search_runs([experiment.experiment_id], "tags.role = 'study'")
    told, note = (
        story_of(summarize(recorded.open_stored(project))),
        run.data.tags[version_story.NOTE],
    )
    assert note.startswith(told.text.rstrip())
    assert told.text.startswith("- **Who won?** **487-243 relu")
    assert 'mlflow.pyfunc.load_model("models:/recorded@champion")' in note
    assert view.report_link(experiment.experiment_id, run.info.run_id) in note
    assert len(note) < 5000, "MLflow takes no more"
    assert experiment.tags[version_story.NOTE] == note
    assert client.get_registered_model(recorded.NAME).description == note
    assert run.data.tags[version_story.VERDICT] == told.verdict
    assert told.verdict.startswith("487-243 relu")
    assert "95 % interval" in told.verdict
    kept = {each.path for each in client.list_artifacts(run.info.run_id, "report")}
    names = ("report.html", "report.md", "report.json", "trials.csv", "recorded.toml")
    assert kept == {f"report/{name}" for name in names}


def test_a_report_that_mlflow_does_not_get_is_written_all_the_same(
    recorded_study: Project, capsys: pytest.CaptureFixture[str], empty_database: Path
) -> None:
    empty_mlflow.copy_into(recorded_study.root, empty_database)
    publish(recorded_study, recorded.NAME)
    assert "is not published: MLflow has no run of study recorded" in capsys.readouterr().err
    assert (recorded_study.report_dir(recorded.NAME) / "report.html").exists()


def test_the_view_has_the_best_on_top_and_what_was_searched(project: Project) -> None:
    publish(project, recorded.NAME)
    found = json.loads(experiment_of(project).tags[view.TAG])
    assert (found["orderByKey"], found["orderByAsc"]) == ("metrics.`best_val_accuracy`", False)
    columns = found["selectedColumns"]
    assert columns[0] == found["orderByKey"]
    assert {"params.`units_1`", "params.`optimizer`", "tags.`state`"} <= set(columns)
    spec = recorded.open_stored(project).spec
    (tag,) = view.tags("val_rmse", "minimize", spec.space).values()
    assert json.loads(tag)["orderByAsc"] is True


def test_the_ui_is_opened_at_the_studys_trials(project: Project) -> None:
    url, number = project.mlflow_uri, experiment_of(project).experiment_id
    plain = f"/#/experiments/{number}/runs?workflowType=machine_learning"
    assert ui.links_of(url, recorded.NAME) == {"trials": plain}, "an earlier version set no view"
    publish(project, recorded.NAME)
    shared = f"/#/experiments/{number}/runs?viewStateShareKey=study&workflowType=machine_learning"
    assert ui.links_of(url, recorded.NAME) == {"trials": shared}
    spec = recorded.open_stored(project).spec
    for key, value in view.tags("m", "minimize", spec.space, has_finals=True).items():
        open_client(url).set_experiment_tag(number, key, value)
    finals = shared.replace("=study", "=finals")
    assert ui.links_of(url, recorded.NAME) == {"trials": shared, "finals": finals}
    assert ui.links_of(url, "nobody's") == {}
    mlflow.MlflowClient(url).delete_experiment(number)
    assert ui.links_of(url, recorded.NAME) == {}


def test_the_dashboard_shows_goal_and_story_unless_a_user_has_written(project: Project) -> None:
    study = recorded.open_stored(project).study
    publish(project, recorded.NAME)
    told = get_note(study)
    goal = "See how a report \\< 1 MB looks when nothing was trained"
    assert told.startswith(goal)
    assert "**Who won?**" in told
    save_note(study, "mine")
    publish(project, recorded.NAME)
    assert get_note(study) == "mine"


# While it is searched


def begin(project: Project) -> str:
    """Begins a search, as far as MLflow sees it; returns what its experiment says then."""
    writer, spec = RunWriter.open(project, recorded.NAME), recorded.open_stored(project).spec
    about = {"dataset": "fashion_mnist", "metric": "val_accuracy"}
    views = view.tags(spec.metric, spec.direction, spec.space)
    writer.open_study("A *goal*.", about, "0" * 64, views)
    return str(experiment_of(project).tags.get(version_story.NOTE, ""))


def test_a_search_that_begins_says_so_and_has_its_view(project: Project) -> None:
    note, number = begin(project), experiment_of(project).experiment_id
    assert note.startswith("A \\*goal\\*.\n\nThe search has begun.")
    (link,) = ui.links_of(project.mlflow_uri, recorded.NAME).values()
    assert "viewStateShareKey=study" in link
    assert f"]({link.removeprefix('/')})" in note
    (run,) = open_client(project.mlflow_uri).search_runs([number], "tags.role = 'study'")
    assert run.data.tags[version_story.NOTE] == note


def test_a_search_begins_without_what_it_tells_if_mlflow_does_not_take_that(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("out of reach")

    before = experiment_of(project).tags
    monkeypatch.setattr(mlflow.MlflowClient, "set_experiment_tag", refuse)
    assert begin(project) == before[version_story.NOTE]
    assert view.TAG not in experiment_of(project).tags


class Clock(SystemClock):
    """On which nobody waits; the search ends at the second look."""

    def __init__(self, project: Project) -> None:
        self.project, self.slept = project, [0.0] * 0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 2:
            recorded.open_stored(self.project).study.set_user_attr(lease.LEASE, None)


def searched(project: Project) -> None:
    study = recorded.open_stored(project).study
    study.set_user_attr(lease.LEASE, {"host": "there", "process": "7", "since": "today"})
    study.set_user_attr(lease.HEARTBEAT, datetime.now(UTC).isoformat(" ", "seconds"))


def test_a_report_of_a_running_search_says_so(recorded_study: Project) -> None:
    searched(recorded_study)
    facts = summarize(recorded.open_stored(recorded_study))
    text = document.as_markdown("", contents.blocks(facts))
    assert "> This study is being searched, by process 7 on there" in text
    assert "after 16 trials." in text
    quiet = replace(facts, searched_by="")
    assert "being searched" not in document.as_markdown("", contents.blocks(quiet))


def test_a_dead_search_is_none(recorded_study: Project) -> None:
    study = recorded.open_stored(recorded_study).study
    assert lease.living_holder(study) == ""
    searched(recorded_study)
    study = recorded.open_stored(recorded_study).study
    assert lease.living_holder(study).startswith("process 7 on there")
    old = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 60, UTC)
    study.set_user_attr(lease.HEARTBEAT, old.isoformat(" ", "seconds"))
    assert lease.living_holder(study) == ""


def test_a_search_that_was_killed_is_told_as_stopped(recorded_study: Project) -> None:
    study = recorded.open_stored(recorded_study).study
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = SYSTEM.host
    known = {"host": host.name(), "process": str(ended.pid), "since": "today", **host.identity()}
    study.set_user_attr(lease.LEASE, known)
    study.set_user_attr(lease.HEARTBEAT, datetime.now(UTC).isoformat(" ", "seconds"))
    facts = summarize(recorded.open_stored(recorded_study))
    assert facts.searched_by == ""
    text = document.as_markdown("", contents.blocks(facts))
    assert "being searched, by" not in text
    assert f"> This study is not being searched: process {ended.pid} on " in text
    assert "The search goes on with `make search STUDY=recorded`." in text


def test_the_command_says_whether_the_study_is_searched(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(study: str) -> str:
        monkeypatch.setattr(sys, "argv", ["report", study])
        assert run_command(report_command.main) == 0
        return " ".join(capsys.readouterr().err.split())

    assert said(recorded.NAME) == ""
    searched(recorded_study)
    assert said(recorded.NAME) == (
        "study recorded is being searched, by process 7 on there since today; keep its report "
        "fresh with: .venv/bin/python -m pipeline.report recorded --watch"
    )
    page = (recorded_study.report_dir(recorded.NAME) / "report.html").read_text()
    assert "This study is being searched, by process 7" in page
    study = recorded.open_stored(recorded_study).study
    study.set_user_attr(lease.HEARTBEAT, "2020-01-01 00:00:00+00:00")
    assert said(recorded.NAME) == (
        "study recorded is not being searched: process 7 on there since today was killed; go "
        "on with: make search STUDY=recorded"
    )


def test_a_report_is_kept_fresh_until_the_search_ends(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    searched(recorded_study)
    clock = Clock(recorded_study)
    outside = Outside(clock=clock, disk=SYSTEM.disk, host=SYSTEM.host)
    monkeypatch.setattr(Project, "here", lambda: Project(recorded_study.root, outside))
    monkeypatch.setattr(sys, "argv", ["report", recorded.NAME, "--watch", "5"])
    assert run_command(report_command.main) == 0
    assert clock.slept == [5, 5]
    said = capsys.readouterr().out
    assert said.count("studies/recorded/report.html") == 1
    assert said.count(": 16 trials; written again every 5 seconds, until the search ends") == 2
    assert said.endswith("the search is over: the report is written for the last time\n")
    page = (recorded_study.report_dir(recorded.NAME) / "report.html").read_text()
    assert 'http-equiv="refresh"' not in page, "it is over"


def test_who_watches_from_the_start_waits_for_a_trial(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(recorded_study)
    stored = recorded.open_stored(recorded_study)
    clock = Clock(recorded_study)
    outside = Outside(clock=clock, disk=SYSTEM.disk, host=SYSTEM.host)
    monkeypatch.setattr(Project, "here", lambda: Project(recorded_study.root, outside))
    monkeypatch.setattr(sys, "argv", ["report", recorded.NAME, "--watch", "5"])
    known = study_store.read_trials(stored.study)
    monkeypatch.setattr(study_store, "read_trials", lambda _: known if clock.slept else [])
    assert run_command(report_command.main) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "no trial has ended yet; written again every 5 seconds, until the search ends"
    assert clock.slept == [5, 5]


def test_what_nobody_searches_is_written_once(
    recorded_study: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", recorded.NAME, "--watch"])
    assert run_command(report_command.main) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "nobody searches study recorded: the report is written for the last time"


@pytest.mark.slow
def test_ctrl_c_ends_a_watch_in_a_line(recorded_study: Project) -> None:
    searched(recorded_study)
    watch = subprocess.Popen(
        [sys.executable, "-m", "pipeline.report", recorded.NAME, "--watch", "20"],
        cwd=recorded_study.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout
    *files, told = [watch.stdout.readline() for _ in range(5)]
    assert [Path(line).suffix.strip() for line in files] == [".html", ".md", ".json", ".csv"]
    assert "written again every 20 seconds" in told
    page = (recorded_study.report_dir(recorded.NAME) / "report.html").read_text()
    assert '<meta http-equiv="refresh" content="20">' in page, "an open page loads itself anew"
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=60)
    assert (watch.returncode, err) == (130, "interrupted\n")


@pytest.mark.parametrize("arguments", [["--watch", "0"], ["--watch", "x"], ["a", "b", "--watch"]])
def test_what_cannot_be_watched_is_refused(
    recorded_study: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    with contextlib.suppress(SystemExit):  # argparse's own
        assert run_command(report_command.main) == 2
    assert "--watch: found" in capsys.readouterr().err
