"""Optuna's dashboard, as `make dashboard` starts it, in a browser: goal and story of a study."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import recorded
from browser import launched
from ports import free_port

from pipeline.paths import Project
from pipeline.report.publishing import note_of
from pipeline.report.summary import summarize
from pipeline.storage import note

pytestmark = pytest.mark.slow


@pytest.fixture
def address(recorded_study: Project) -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.ui", "optuna", "--port", str(port)],
        cwd=recorded_study.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr
        yield server.stderr.readline().split()[0]
    finally:
        server.terminate()
        server.communicate(timeout=60)


def test_the_note_of_a_study_is_its_goal_and_in_the_end_its_story(
    recorded_study: Project, address: str
) -> None:
    study = recorded.open_stored(recorded_study).study
    with launched() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/dashboard/studies/1/note")

        note.begin(study, "To see **how** a search is told of.")
        page.reload()
        page.get_by_text("To see how a search is told of.").wait_for()

        told = note_of(summarize(recorded.open_stored(recorded_study)))
        note.replace(study, told)
        page.reload()
        page.get_by_text("See how a report < 1 MB looks when nothing was trained |").wait_for()
        questions = re.findall(r"^- \*\*(.+?)\*\* ", told, re.M)
        assert len(questions) > 8
        for question in questions:
            page.get_by_text(question, exact=True).wait_for()
        assert complaints == []
