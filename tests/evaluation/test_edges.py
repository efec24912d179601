"""Bounds near which the best lie, and bounds near which chance has put some."""

import dataclasses
import random
from typing import Any

import pytest

from pipeline.evaluation import edges
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Choices, Entry, FloatRange, IntRange
from pipeline.study.trial import State, Trial, ranking

SPACE: dict[str, Entry] = {
    "hidden_layers": IntRange(type="int", low=1, high=4),
    "units": IntRange(type="int", low=8, high=512, log=True, per="hidden_layers"),
    "dropout": FloatRange(type="float", low=0.0, high=0.5),
    "learning_rate": FloatRange(type="float", low=1e-4, high=1e-1, log=True),
    "optimizer": Choices(type="categorical", choices=("sgd", "adam")),
}


def ranked(value_of: Any, n: int = 300, **changes: Any) -> list[Trial]:
    drawn, trials = random.Random(1), []
    for number in range(n):
        layers = drawn.randint(1, 4)
        given = {
            "hidden_layers": layers,
            "units": [round(8 * 64 ** drawn.random()) for _ in range(layers)],
            "dropout": 0.5 * drawn.random(),
            "learning_rate": 1e-4 * 1e3 ** drawn.random(),
            "optimizer": drawn.choice(["sgd", "adam"]),
            "batch_size": 32,
            "epochs": 4,
            **changes,
        }
        network = Hyperparameters.from_mapping(given)
        trials.append(Trial(number, State.COMPLETE, value_of(network), 1, network, number))
    return ranking(trials, "maximize")


def names(trials: list[Trial]) -> list[tuple[str, bool]]:
    return [(edge.name, edge.is_upper) for edge in edges.find(trials, SPACE)]


@pytest.mark.parametrize(
    ("value_of", "expected"),
    [
        (lambda network: network.learning_rate, ("learning_rate", True)),
        (lambda network: -network.learning_rate, ("learning_rate", False)),
        (lambda network: -network.dropout, ("dropout", False)),
        (lambda network: network.hidden_layers - network.dropout, ("hidden_layers", True)),
    ],
)
def test_a_bound_is_found_where_more_would_be_better(
    value_of: Any, expected: tuple[str, bool]
) -> None:
    assert expected in names(ranked(value_of))


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_no_bound(seed: int) -> None:
    luck = random.Random(seed)
    assert names(ranked(lambda _: luck.random())) == []


def test_the_middle_of_a_range_is_no_bound() -> None:
    assert names(ranked(lambda network: -abs(network.dropout - 0.25))) == []


def test_beyond_a_dropout_of_0_there_is_nothing() -> None:
    (edge,) = (e for e in edges.find(ranked(lambda x: -x.dropout), SPACE) if e.name == "dropout")
    assert (edge.is_natural, edge.bound, edge.is_upper) == (True, 0.0, False)
    (edge,) = (
        e for e in edges.find(ranked(lambda x: -x.learning_rate), SPACE)
        if e.name == "learning_rate"
    )  # fmt: skip
    assert not edge.is_natural


def test_references_are_not_looked_at() -> None:
    trials = ranked(lambda network: network.learning_rate)
    assert edges.best_of(trials)[0] is trials[0]
    known = [dataclasses.replace(trial, reference="known") for trial in trials]
    assert edges.best_of(known) == []
    assert edges.find(known, SPACE) == []


def test_a_place_is_one_in_the_ranges_own_scale() -> None:
    assert edges.place(SPACE["learning_rate"], 1e-4) == 0
    assert edges.place(SPACE["learning_rate"], 1e-1) == pytest.approx(1)
    assert edges.place(SPACE["learning_rate"], 1e-3) == pytest.approx(1 / 3)
    assert edges.place(SPACE["dropout"], 0.25) == 0.5


@pytest.mark.parametrize(("n_epochs", "is_bound"), [(40, True), (39, False), (12, False)])
def test_the_most_epochs_bound_only_who_was_trained_for_all(n_epochs: int, is_bound: bool) -> None:
    space: dict[str, Entry] = {"epochs": IntRange(type="int", low=10, high=40, step=10)}
    trials = [
        dataclasses.replace(trial, history={"loss": [0.5] * n_epochs})
        for trial in ranked(lambda network: network.learning_rate, epochs=40)
    ]
    assert bool(edges.find(trials, space)) is is_bound
