"""What somebody sees of a study who sees MLflow's UI alone, in a real browser.

One server for all, over a study whose trials came to every end there is.
"""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import empty_mlflow
import pytest
import recorded
from browser import launched
from ports import free_port

from pipeline.paths import Project
from pipeline.report.publishing import publish
from pipeline.storage import study_store
from pipeline.study.assignment import Assignment
from pipeline.study.trial import Trial
from pipeline.tracking import registry, view
from pipeline.tracking.delivery import open_client
from pipeline.tracking.run_writer import RunWriter

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAUSED, FINALS = 90, (91, 92, 93)  # numbers of trials that only MLflow has
SECONDS = 120.0  # for which a page is waited, on a busy machine


@pytest.fixture(scope="module")
def project(
    recorded_folder: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """The recorded study as a search would have written it to MLflow, and published."""
    folder = tmp_path_factory.mktemp("ui") / "project"
    shutil.copytree(recorded_folder, folder)
    made = Project(empty_mlflow.copy_into(folder, empty_database))
    stored = recorded.open_stored(made)
    spec, study = stored.spec, stored.study
    writer = RunWriter.open(made, spec.name)
    about = {"dataset": spec.dataset, "metric": spec.metric}
    views = view.tags(spec.metric, spec.direction, spec.space, has_finals=True)
    writer.open_study(spec.goal, about, "0" * 64, views)
    runs = {}
    for trial in study_store.read_trials(study):
        given = Assignment.read(study.trials[trial.number].user_attrs)
        tags = given.tags if given else {}
        params = {"seed": trial.seed}
        runs[trial.number] = writer.start_trial(trial.number, trial.hyperparameters, params, tags)
        state, metrics, noted = _end(trial, spec.metric)
        writer.finish_trial(trial.number, state, metrics, noted)
        study_store.note_run(study, trial.number, runs[trial.number])
    runs[PAUSED] = writer.start_trial(PAUSED, None, {"seed": 1}, {})
    writer.set_paused(PAUSED, runs[PAUSED], is_paused=True)
    for number, first in zip(FINALS, (recorded.CHAMPION, recorded.SECOND) * 2, strict=False):
        writer.start_trial(number, None, {"seed": number}, {"final_of": str(first)})
        metrics = {"best_val_accuracy": 0.8 + 0.0001 * number}
        writer.finish_trial(number, "COMPLETE", metrics, {})
    writer.close_study("FINISHED")
    client, run = open_client(made.mlflow_uri), runs[recorded.CHAMPION]
    client.create_registered_model(spec.name)
    version = client.create_model_version(spec.name, "somewhere", run).version
    registry.tell(client, spec.name, str(version), run, spec.task, {"test_accuracy": "0.8871"})
    with contextlib.redirect_stderr(io.StringIO()), contextlib.chdir(folder):
        publish(made, spec.name)
    experiment = client.get_experiment_by_name(spec.name)
    assert experiment
    for key, value in views.items():  # that of finals too, which Optuna has none of
        client.set_experiment_tag(experiment.experiment_id, key, value)
    return made


def _end(trial: Trial, metric: str) -> Any:
    if trial.interrupted:
        return "KILLED", {}, {"interrupted": "true"}
    return trial.end(metric)


@dataclass(frozen=True)
class Shown:
    """The UI in a window.

    Attributes:
        links: what `make ui` printed, by what is to be seen there.
        page: of the browser.
    """

    links: dict[str, str]
    page: Any

    @property
    def server(self) -> str:
        return self.links["trials"].partition("/#")[0]

    def goto(self, address: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(address)

    def wait(self, text: str) -> None:
        """Waits until a text is seen."""
        self.page.get_by_text(text).first.wait_for(timeout=1000 * SECONDS)

    def wait_until(self, is_drawn: Callable[[], bool]) -> None:
        """Waits for a table, which is drawn bit by bit."""
        until = time.monotonic() + SECONDS
        while not is_drawn():
            assert time.monotonic() < until, (self.names(), self.heads())
            self.page.wait_for_timeout(100)

    def names(self) -> list[str]:
        """Of runs, from the top, as far as they are drawn."""
        found = self.page.evaluate(
            """() => [...document.querySelectorAll("[role=row][row-index]")]
              .map((row) => [+row.getAttribute("row-index"), row.innerText])
              .sort((a, b) => a[0] - b[0]).map((row) => row[1])"""
        )
        names = [re.search(r"trial \d{4}(: [^\n]+)?", text) for text in found]
        return [name[0] for name in names if name]

    def heads(self) -> list[str]:
        """Of columns with what was measured or searched, from the left."""
        found: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll("[role=columnheader]")]
              .map((head) => [head.getBoundingClientRect().left, head.innerText.trim()])
              .filter(([_, text]) => text.includes("_"))
              .sort((a, b) => a[0] - b[0]).map(([_, text]) => text)"""
        )
        return found


@pytest.fixture(scope="module")
def shown(project: Project) -> Iterator[Shown]:
    port = free_port()
    command = ["-m", "pipeline.ui", "mlflow", "--port", str(port), "--study", recorded.NAME]
    server = subprocess.Popen(
        [sys.executable, *command],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr
        links: dict[str, str] = {}
        for line in server.stderr:
            if found := re.match(r"(http\S+) \((.+)\)$", line):
                links["trials" if not links else found[2]] = found[1]
            if "finals" in links:
                break
        with launched() as browser:
            page = browser.new_page(viewport={"width": 2200, "height": 1400})
            page.set_default_timeout(1000 * SECONDS)
            yield Shown(links, page)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_the_table_has_the_best_on_top_and_tells_ends_apart(shown: Shown) -> None:
    shown.goto(shown.links["trials"])
    n_runs = recorded.N_COUNTED + recorded.N_INTERRUPTED + 1 + len(FINALS)
    shown.wait_until(lambda: len(shown.names()) == n_runs)
    searched = {"batch_size", "hidden_layers", "learning_rate", "units_1", "units_2"}
    shown.wait_until(lambda: {"best_val_accuracy", *searched} <= {*shown.heads()})
    names = shown.names()
    assert names[:2] == [f"trial {recorded.CHAMPION:04d}", f"trial {recorded.SECOND:04d}"]
    assert {
        "trial 0001: reference", "trial 0013: pruned", "trial 0006: failed",
        "trial 0004: interrupted", "trial 0090: paused", "trial 0092: final of 0007",
    } <= set(names)  # fmt: skip
    assert shown.heads()[0] == "best_val_accuracy"
    shown.wait("Who won?")  # in the description of the experiment, above the table
    shown.wait("Model training")


def test_finals_are_grouped_by_network_with_their_mean(shown: Shown) -> None:
    shown.goto(shown.links["finals"])
    shown.wait("Group: 9")
    shown.wait_until(lambda: len(shown.names()) == len(FINALS))
    assert shown.names() == [
        "trial 0093: final of 0009", "trial 0091: final of 0009", "trial 0092: final of 0007",
    ]  # fmt: skip
    shown.wait("0.8092 (average)")


def test_the_studys_run_tells_the_story_and_its_link_opens_the_report(
    shown: Shown, project: Project
) -> None:
    client = open_client(project.mlflow_uri)
    experiment = client.get_experiment_by_name(recorded.NAME)
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id], "tags.role = 'study'")
    shown.goto(f"{shown.server}/{view.run_link(experiment.experiment_id, run.info.run_id)}")
    shown.wait("How sure is that?")
    with shown.page.expect_popup() as opened:
        shown.page.get_by_role("link", name="the whole report").first.click()
    with contextlib.closing(opened.value) as page:
        tree = page.get_by_text("trials.csv")
        tree.first.wait_for(timeout=1000 * SECONDS)
        for name in ("report.html", "recorded.toml"):
            assert page.get_by_text(name).count(), name
        report = page.frame_locator("iframe").get_by_role("heading", name="Study recorded")
        report.wait_for(timeout=1000 * SECONDS)


def test_the_registered_model_and_its_version_say_what_they_are(shown: Shown) -> None:
    shown.goto(f"{shown.server}/#/models/{recorded.NAME}")
    shown.wait("Who won?")
    shown.wait('load_model("models:/recorded@champion")')
    shown.goto(f"{shown.server}/#/models/{recorded.NAME}/versions/1")
    shown.wait("Version 1 of recorded: trial 9 (val_accuracy 0.895).")
    text = shown.page.inner_text("body")
    for said in (
        "95 % interval of that value: 0.8894 to 0.9004",
        "On the test set: accuracy 0.8871.",
        "units_1 487",
        "The study's verdict: 487-243 relu",
        'load_model("models:/recorded/1")',
    ):
        assert said in text
    links = shown.page.get_by_role("link", name="the whole report")
    assert "/artifacts/report/report.html" in links.first.get_attribute("href")
