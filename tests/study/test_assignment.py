"""What a trial is given and what came of it, to its attributes in a store and back."""

import json
from typing import Any

import pytest

from pipeline.study.assignment import Assignment, Outcome
from pipeline.study.hyperparameters import Hyperparameters

NETWORK = Hyperparameters(2, (64, 32), "adam", 0.001, 32, 10)
STORED = NETWORK.as_dict()
DRAWN = Assignment(NETWORK, seed=7)
REPEATED = Assignment(NETWORK, 8, "two layers", repeat=0, patience=2)
LOGISTIC = Assignment(None, 9, "logistic", repeat=1, trainer="sgd_classifier")


@pytest.mark.parametrize(
    ("assignment", "attributes"),
    [
        (DRAWN, {"seed": 7, "hyperparameters": STORED}),
        (
            REPEATED,
            {"seed": 8, "hyperparameters": STORED, "reference": "two layers", "repeat": 0,
             "trainer": "keras", "patience": 2},
        ),
        (
            LOGISTIC,
            {"seed": 9, "hyperparameters": None, "reference": "logistic", "repeat": 1,
             "trainer": "sgd_classifier", "patience": None},
        ),
        (
            Assignment(NETWORK, 7, retry_of=0, n_retries=2),
            {"seed": 7, "hyperparameters": STORED, "retry_of": 0, "n_retries": 2},
        ),
        (
            Assignment(NETWORK, 7, started_from="houses, trial 3"),
            {"seed": 7, "hyperparameters": STORED, "started_from": "houses, trial 3"},
        ),
    ],
)  # fmt: skip
def test_attributes_are_those_of_every_store_there_is(
    assignment: Assignment, attributes: dict[str, Any]
) -> None:
    assert assignment.write() == attributes
    assert Assignment.read(json.loads(json.dumps(attributes))) == assignment


@pytest.mark.parametrize("attributes", [{}, {"seed": 7}, {"run_id": "a"}])
def test_a_trial_that_was_killed_before_it_began_has_none(attributes: dict[str, Any]) -> None:
    assert Assignment.read(attributes) is None


def test_hyperparameters_are_written_last() -> None:
    """Who finds them finds the seed too, whenever the writer was killed."""
    assert list(REPEATED.write())[-1] == "hyperparameters"


def test_tags_are_what_runs_are_searched_by() -> None:
    assert DRAWN.tags == {}
    assert REPEATED.tags == {"reference": "two layers", "repeat": "0"}
    assert Assignment(NETWORK, 7, retry_of=0).tags == {"retry_of": "0"}
    warm = Assignment(NETWORK, 7, started_from="houses, trial 3")
    assert warm.tags == {"started_from": "houses, trial 3"}


def test_in_a_line() -> None:
    assert str(DRAWN) == str(NETWORK)
    assert str(LOGISTIC) == "logistic"


@pytest.mark.parametrize(
    ("outcome", "attributes"),
    [
        (Outcome(history={}), {"history": {}}),
        (Outcome(reason="no memory"), {"reason": "no memory"}),
        (
            Outcome({"loss": [0.5]}, {"train_loss": 0.4}, 10),
            {"history": {"loss": [0.5]}, "scores": {"train_loss": 0.4}, "n_parameters": 10},
        ),
        (Outcome(pauses=(1, 3)), {"pauses": [1, 3]}),
        (Outcome(audited_after=2), {"audited_after": 2}),
    ],
)
def test_an_outcome_there_and_back(outcome: Outcome, attributes: dict[str, Any]) -> None:
    assert outcome.write() == attributes
    assert Outcome.read(json.loads(json.dumps(attributes))) == outcome
