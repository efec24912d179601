"""By the names of runs, trials are told apart in every list of MLflow's UI."""

import pytest

from pipeline.tracking.run_names import name_of


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({}, "trial 0007"),
        ({"state": "COMPLETE"}, "trial 0007"),
        ({"state": "PAUSED"}, "trial 0007: paused"),
        ({"state": "PRUNED"}, "trial 0007: pruned"),
        ({"state": "FAIL"}, "trial 0007: failed"),
        ({"state": "FAIL", "retried": "true"}, "trial 0007: failed, tried again"),
        ({"state": "FAIL", "interrupted": "true"}, "trial 0007: interrupted"),
        ({"reference": "book", "repeat": "0"}, "trial 0007: reference"),
        ({"final_of": "12345", "state": "COMPLETE"}, "trial 0007: final of 12345"),
        ({"final_of": "3", "reference": "book", "state": "FAIL"},
         "trial 0007: final of 0003, failed"),
    ],
)  # fmt: skip
def test_a_name_says_what_a_trial_is_and_how_it_ended(tags: dict[str, str], name: str) -> None:
    assert name_of({"trial": "7", **tags}) == name
