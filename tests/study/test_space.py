"""Search spaces on real Optuna studies: what is drawn, what is refused, what Optuna learns."""

from typing import Any

import optuna
import pytest
from pydantic import TypeAdapter

from pipeline.study import space
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.ranges import Choices, Entry, EntryTable, FloatRange, IntRange
from pipeline.study.space import Space, SpaceError

FIXED = {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 32, "epochs": 5}
LAYERS = {"type": "int", "low": 1, "high": 3}
UNITS = {"type": "int", "low": 8, "high": 64, "log": True, "per": "hidden_layers"}
DROPOUT = {"type": "float", "low": 0.0, "high": 0.4, "step": 0.1}
OPTIMIZER = {"type": "categorical", "choices": ["sgd", "adam"]}
MOMENTUM = {"type": "float", "low": 0.5, "high": 0.9, "when": {"optimizer": ["sgd"]}}
ENTRY: TypeAdapter[Entry] = TypeAdapter(EntryTable)


def checked(entries: dict[str, Any], fixed: dict[str, Any] | None = None) -> Space:
    """A space from tables as they stand in a study file."""
    fixed = {key: value for key, value in FIXED.items() if key not in entries} | (fixed or {})
    return Space.checked(
        fixed, {name: ENTRY.validate_python(table) for name, table in entries.items()}
    )


def refusal(entries: dict[str, Any], fixed: dict[str, Any] | None = None) -> tuple[str, str]:
    with pytest.raises(SpaceError) as caught:
        checked(entries, fixed)
    return f"[{caught.value.table}] {caught.value.key}", str(caught.value)


def study(seed: int = 0) -> optuna.Study:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))


def draws(searched: Space, n: int = 40) -> list[tuple[Hyperparameters, dict[str, Any]]]:
    """What was drawn, and what Optuna holds of it."""
    drawn = []
    source = study()
    for _ in range(n):
        trial = source.ask()
        drawn.append((space.suggest(trial, searched), trial.params))
    return drawn


# What is drawn


def test_every_draw_lies_in_the_space() -> None:
    searched = checked(
        {"hidden_layers": LAYERS, "units": UNITS, "dropout": DROPOUT, "optimizer": OPTIMIZER}
    )
    drawn = [hyperparameters for hyperparameters, _ in draws(searched)]
    assert {each.hidden_layers for each in drawn} == {1, 2, 3}
    assert {each.optimizer for each in drawn} == {"sgd", "adam"}
    assert {round(each.dropout, 9) for each in drawn} == {0.0, 0.1, 0.2, 0.3, 0.4}
    assert all(8 <= units <= 64 for each in drawn for units in each.units)
    assert {each.epochs for each in drawn} == {5}


def test_each_layer_has_its_own_units() -> None:
    for drawn, params in draws(checked({"hidden_layers": LAYERS, "units": UNITS})):
        names = [f"units_{i}" for i in range(1, drawn.hidden_layers + 1)]
        assert params == {
            "hidden_layers": drawn.hidden_layers,
            **dict(zip(names, drawn.units, strict=True)),
        }


def test_without_per_one_number_is_for_all_layers() -> None:
    units = {"type": "int", "low": 8, "high": 64}
    for drawn, params in draws(checked({"hidden_layers": LAYERS, "units": units})):
        assert drawn.units == (params["units"],) * drawn.hidden_layers


def test_per_follows_a_fixed_number_of_layers() -> None:
    for drawn, params in draws(checked({"units": UNITS}, {"hidden_layers": 2}), n=5):
        assert len(drawn.units) == 2
        assert params.keys() == {"units_1", "units_2"}


def test_no_hidden_layer_no_units() -> None:
    [(drawn, params)] = draws(checked({"units": UNITS}, {"hidden_layers": 0}), n=1)
    assert drawn.units == ()
    assert params == {}


def test_a_condition_decides_whether_it_is_drawn() -> None:
    searched = checked(
        {"optimizer": OPTIMIZER, "momentum": MOMENTUM}, {"hidden_layers": 1, "units": 8}
    )
    drawn = draws(searched)
    assert {hyperparameters.optimizer for hyperparameters, _ in drawn} == {"sgd", "adam"}
    for hyperparameters, params in drawn:
        if hyperparameters.optimizer == "sgd":
            assert 0.5 <= hyperparameters.momentum == params["momentum"] <= 0.9
        else:
            assert hyperparameters.momentum == 0.0
            assert "momentum" not in params


@pytest.mark.parametrize("value", [0.1, 0.2, 0.3, 0.4])
def test_a_condition_on_a_step_holds_when_that_step_is_drawn(value: float) -> None:
    momentum = {**MOMENTUM, "when": {"dropout": [value]}}
    searched = checked(
        {"dropout": DROPOUT, "momentum": momentum}, {"hidden_layers": 1, "units": 8}
    )
    for hyperparameters, params in draws(searched):
        is_step = abs(hyperparameters.dropout - value) < 0.01
        assert ("momentum" in params) == is_step
    assert any("momentum" in params for _, params in draws(searched))


def test_all_conditions_must_hold() -> None:
    both = {**MOMENTUM, "when": {"optimizer": ["sgd"], "hidden_layers": [2, 3]}}
    searched = checked(
        {"hidden_layers": LAYERS, "units": UNITS, "optimizer": OPTIMIZER, "momentum": both}
    )
    held = {
        (hyperparameters.optimizer, hyperparameters.hidden_layers): "momentum" in params
        for hyperparameters, params in draws(searched, n=100)
    }
    assert held == {
        (optimizer, layers): optimizer == "sgd" and layers > 1
        for optimizer in ("sgd", "adam")
        for layers in (1, 2, 3)
    }


def test_a_condition_may_look_at_what_is_fixed() -> None:
    fixed = {"optimizer": "sgd", "hidden_layers": 1, "units": 8}
    [(drawn, _)] = draws(checked({"momentum": MOMENTUM}, fixed), n=1)
    assert drawn.momentum >= 0.5


def test_what_is_missing_is_named() -> None:
    assert checked({"units": UNITS}, {"hidden_layers": 1}).missing == []
    assert Space.checked({"epochs": 1, "units": 5}, {}).missing == [
        "batch_size", "hidden_layers", "learning_rate", "optimizer",
    ]  # fmt: skip


# What is refused


@pytest.mark.parametrize(
    ("entries", "fixed", "place", "text"),
    [
        ({"lr": DROPOUT}, {}, "[space] lr", "no such hyperparameter, allowed are layer_kind"),
        ({}, {"lr": 1}, "[fixed] lr", "no such hyperparameter, allowed are layer_kind"),
        ({}, {"epochs": True}, "[fixed] epochs", "found True, allowed is an integer from 1"),
        ({"dropout": DROPOUT}, {"dropout": 0.1}, "[space] dropout", "given in [fixed] too"),
        (
            {"hidden_layers": {"type": "float", "low": 1, "high": 2}},
            {},
            "[space] hidden_layers.type",
            'found "float", allowed is "int" or "categorical"',
        ),
        (
            {"dropout": {"type": "int", "low": 0, "high": 0}},
            {},
            "[space] dropout.type",
            'found "int", allowed is "float" or "categorical"',
        ),
        (
            {"activation": {"type": "int", "low": 0, "high": 1}},
            {},
            "[space] activation.type",
            'found "int", allowed is "categorical"',
        ),
        (
            {"hidden_layers": {"type": "int", "low": 3, "high": 2}},
            {},
            "[space] hidden_layers",
            "found low = 3 and high = 2, allowed is low at most high",
        ),
        (
            {"hidden_layers": {"type": "int", "low": 0, "high": 21}},
            {},
            "[space] hidden_layers.high",
            "found 21, allowed is an integer from 0 to 20",
        ),
        (
            {"hidden_layers": {"type": "int", "low": 0, "high": 4, "log": True}},
            {},
            "[space] hidden_layers",
            "found low = 0 and high = 4 with log, allowed is a low above 0",
        ),
        (
            {"units": {**UNITS, "step": 1}},
            {"hidden_layers": 1},
            "[space] units",
            "found both step and log, allowed is one of them",
        ),
        (
            {"epochs": {"type": "int", "low": 1, "high": 10, "step": 5}},
            {},
            "[space] epochs",
            "found low = 1 and high = 10, allowed is a difference of a multiple of 5",
        ),
        (
            {"dropout": {**DROPOUT, "step": 0.3}},
            {},
            "[space] dropout",
            "found low = 0.0 and high = 0.4, allowed is a difference of a multiple of 0.3",
        ),
        (
            {"dropout": {**DROPOUT, "step": 1e-300}},
            {},
            "[space] dropout",
            "found low = 0.0 and high = 0.4, allowed is a difference of a multiple of 1e-300",
        ),
        (
            {"optimizer": {"type": "categorical", "choices": ["sgd", "lion"]}},
            {},
            "[space] optimizer.choices",
            "found 'lion', allowed is one of \"sgd\"",
        ),
        (
            {"batch_size": {"type": "categorical", "choices": [32, 64, 32]}},
            {},
            "[space] batch_size.choices",
            "found 32 twice, allowed is once",
        ),
        (
            {"dropout": {**DROPOUT, "per": "hidden_layers"}},
            {"hidden_layers": 1},
            "[space] dropout.per",
            "found 'hidden_layers', allowed for units alone",
        ),
        (
            {"units": UNITS, "hidden_layers": LAYERS},
            {},
            "[space] units.per",
            "found 'hidden_layers', which stands below; allowed are names in [fixed]",
        ),
        (
            {"momentum": {**MOMENTUM, "when": {"lr": [1]}}},
            {},
            "[space] momentum.when.lr",
            "found 'lr', which stands nowhere; allowed are names in [fixed] and names above",
        ),
        (
            {"momentum": MOMENTUM, "optimizer": OPTIMIZER},
            {},
            "[space] momentum.when.optimizer",
            "found 'optimizer', which stands below",
        ),
        (
            {"momentum": {**MOMENTUM, "when": {"momentum": [0.5]}}},
            {},
            "[space] momentum.when.momentum",
            "found 'momentum', which stands below",
        ),
        (
            {"optimizer": OPTIMIZER, "momentum": {**MOMENTUM, "when": {"optimizer": ["nadam"]}}},
            {},
            "[space] momentum.when.optimizer",
            "found 'nadam', which optimizer never is in this study",
        ),
        (
            {"momentum": MOMENTUM},
            {"optimizer": "adam"},
            "[space] momentum.when.optimizer",
            "found 'sgd', which optimizer never is in this study",
        ),
        (
            {"hidden_layers": LAYERS, "dropout": {**DROPOUT, "when": {"hidden_layers": [4]}}},
            {},
            "[space] dropout.when.hidden_layers",
            "found 4, which hidden_layers never is in this study",
        ),
        (
            {"hidden_layers": LAYERS, "dropout": {**DROPOUT, "when": {"hidden_layers": [True]}}},
            {},
            "[space] dropout.when.hidden_layers",
            "found True, which hidden_layers never is in this study",
        ),
        (
            {"dropout": DROPOUT, "momentum": {**MOMENTUM, "when": {"dropout": [0.15]}}},
            {},
            "[space] momentum.when.dropout",
            "found 0.15, which dropout never is in this study",
        ),
        (
            {"dropout": DROPOUT, "momentum": {**MOMENTUM, "when": {"dropout": ["0.1", False]}}},
            {},
            "[space] momentum.when.dropout",
            "found '0.1', which dropout never is in this study",
        ),
        (
            {"units": UNITS, "dropout": {**DROPOUT, "when": {"units": [8]}}},
            {"hidden_layers": 1},
            "[space] dropout.when.units",
            "units may differ by layer",
        ),
        (
            {"optimizer": OPTIMIZER, "batch_size": {**LAYERS, "when": {"optimizer": ["sgd"]}}},
            {},
            "[space] batch_size.when",
            "batch_size must have a value in every trial",
        ),
        (
            {},
            {"hidden_layers": 2, "units": [8]},
            "[fixed] units",
            "found 1 values for 2 hidden layers",
        ),
        (
            {"hidden_layers": LAYERS},
            {"units": [8, 8]},
            "[fixed] units",
            "found a list while hidden_layers is searched, allowed is an integer",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    entries: dict[str, Any], fixed: dict[str, Any], place: str, text: str
) -> None:
    found_place, found_text = refusal(entries, fixed)
    assert found_place == place
    assert text in found_text


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        (IntRange(type="int", low=1, high=9, step=4), [1, 5, 9], [0, 2, 10, "5", 5.5]),
        (IntRange(type="int", low=1, high=3, log=True), [1, 2, 3], [0, 4]),
        (FloatRange(type="float", low=0, high=0.5), [0, 0.25, 0.5], [-0.1, 0.51, "0.1"]),
        (
            FloatRange(type="float", low=0, high=0.4, step=0.1),
            [0, 0.1, 0.3, 0.1 + 0.2, 0.4],
            [0.15, 0.5, 0.3001, float("nan")],
        ),
        (  # of which one is lost in what a float can tell apart
            FloatRange(type="float", low=0.3, high=0.3000000001, step=1e-12),
            [0.3, 0.3 + 1e-12, 0.3 + 7e-11],
            [0.2999],
        ),
        (Choices(type="categorical", choices=("a", 2)), ["a", 2], ["b", 3, ""]),
    ],
)
def test_an_entry_contains_what_it_can_draw(
    entry: Entry, inside: list[Any], outside: list[Any]
) -> None:
    assert [value for value in inside if not entry.contains(value)] == []
    assert [value for value in outside if entry.contains(value)] == []


# What Optuna learns of given hyperparameters

SEARCHED = checked(
    {
        "hidden_layers": LAYERS,
        "units": UNITS,
        "dropout": DROPOUT,
        "optimizer": OPTIMIZER,
        "momentum": MOMENTUM,
    }
)


def given(**changes: Any) -> Hyperparameters:
    inside = {**FIXED, "hidden_layers": 2, "units": [8, 64], "dropout": 0.1}
    return Hyperparameters.from_mapping({**inside, **changes})


@pytest.mark.parametrize(
    ("changes", "params"),
    [
        (
            {},
            {"hidden_layers": 2, "units_1": 8, "units_2": 64, "dropout": 0.1, "optimizer": "adam"},
        ),
        (
            {"optimizer": "sgd", "momentum": 0.7},
            {"hidden_layers": 2, "units_1": 8, "units_2": 64, "dropout": 0.1, "optimizer": "sgd",
             "momentum": 0.7},
        ),
        (  # only what lies in the space; a momentum that the space would not have drawn is not
            {"units": [8, 100], "dropout": 0.15, "optimizer": "rmsprop", "momentum": 0.7},
            {"hidden_layers": 2, "units_1": 8},
        ),
        (
            {"optimizer": "sgd", "momentum": 0.95, "hidden_layers": 0, "units": []},
            {"dropout": 0.1, "optimizer": "sgd"},
        ),
        ({"hidden_layers": 1, "units": 500, "dropout": 0.9, "optimizer": "nadam"},
         {"hidden_layers": 1}),
    ],
)  # fmt: skip
def test_optuna_holds_what_the_space_could_have_drawn(
    changes: dict[str, Any], params: dict[str, Any]
) -> None:
    hyperparameters = given(**changes)
    assert space.params_of(SEARCHED, hyperparameters) == params
    source = study()
    source.enqueue_trial(space.params_of(SEARCHED, hyperparameters))
    trial = source.ask()
    space.register(trial, SEARCHED, hyperparameters)
    assert trial.params == params


def test_whatever_is_drawn_can_be_queued_again_as_it_was() -> None:
    source = study(seed=1)
    for drawn, params in draws(SEARCHED):
        assert space.params_of(SEARCHED, drawn) == params
        source.enqueue_trial(space.params_of(SEARCHED, drawn))
        trial = source.ask()
        space.register(trial, SEARCHED, drawn)
        assert trial.params == params


@pytest.mark.parametrize(("units", "params"), [([16, 16], {"units": 16}), ([16, 32], {})])
def test_one_draw_for_all_layers_is_held_if_all_are_alike(
    units: list[int], params: dict[str, int]
) -> None:
    searched = checked({"units": {"type": "int", "low": 8, "high": 64}}, {"hidden_layers": 2})
    assert space.params_of(searched, given(units=units)) == params


def test_numbers_among_choices_are_held_as_choices() -> None:
    searched = checked(
        {"learning_rate": {"type": "categorical", "choices": [1, 0.1]}},
        {"hidden_layers": 2, "units": 8},
    )
    hyperparameters = given(learning_rate=1)
    assert space.params_of(searched, hyperparameters) == {"learning_rate": 1}
    source = study()
    source.enqueue_trial(space.params_of(searched, hyperparameters))
    trial = source.ask()
    space.register(trial, searched, hyperparameters)
    assert trial.params == {"learning_rate": 1}


# The corners


def test_the_corners_are_the_smallest_and_the_largest_network() -> None:
    small, large = (SEARCHED.corner(largest=largest) for largest in (False, True))
    assert (small.hidden_layers, small.units, small.dropout) == (1, (8,), 0.0)
    assert (large.hidden_layers, large.units, large.dropout) == (3, (64, 64, 64), 0.4)
    assert small.optimizer == large.optimizer == "sgd"
    assert (small.momentum, large.momentum) == (0.5, 0.9)


def test_numbers_among_choices_have_corners_too() -> None:
    searched = checked(
        {
            "batch_size": {"type": "categorical", "choices": [64, 16, 128]},
            "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
            "momentum": MOMENTUM,
        },
        {"hidden_layers": 1, "units": 8},
    )
    assert searched.corner(largest=False).batch_size == 16
    assert searched.corner(largest=True).batch_size == 128
    assert searched.corner(largest=True).momentum == 0.0  # the first optimizer has none
