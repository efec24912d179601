"""What a search leaves in MLflow's store, on a real one."""

import functools
from pathlib import Path

import pytest

from pipeline.paths import Project
from pipeline.tracking import Tracker


@pytest.fixture
def tracker(project_folder: Path) -> Tracker:
    opened = Tracker(Project(project_folder), "small")
    opened.open_study("Tests.", {"dataset": "fashion_mnist"}, "0" * 64)
    return opened


def test_runs_that_were_left_are_ended_however_many_pages_they_fill(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [tracker.start_trial(number, None, {"seed": number}, {}) for number in range(5)]
    tracker.finish_trial(0, "COMPLETE", {}, {})
    client = tracker._client
    paged = functools.partial(client.search_runs, max_results=2)
    monkeypatch.setattr(client, "search_runs", paged)
    assert tracker.mend({1: ("PRUNED", {"best_epoch": 2.0}, {}), 2: ("FAIL", {}, {})}) == 4
    found = [client.get_run(run) for run in runs]
    assert [run.info.status for run in found] == [
        "FINISHED",
        "FINISHED",
        "FAILED",
        "KILLED",
        "KILLED",
    ]
    assert [run.data.tags["state"] for run in found] == [
        "COMPLETE",
        "PRUNED",
        "FAIL",
        "FAIL",
        "FAIL",
    ]
    assert found[1].data.metrics == {"best_epoch": 2.0}
    assert tracker.mend({}) == 0
