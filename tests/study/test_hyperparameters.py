"""Names, types and allowed values: what a Hyperparameters may hold, and how it shows itself."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.study.hyperparameters import DEFAULTS, REQUIRED, Hyperparameters
from pipeline.study.rules import RULES, Rule, check, layer_name

SMALLEST = {
    "hidden_layers": 2,
    "units": 100,
    "optimizer": "adam",
    "learning_rate": 0.001,
    "batch_size": 32,
    "epochs": 5,
}


def hyperparameters(**changes: Any) -> Hyperparameters:
    return Hyperparameters.from_mapping({**SMALLEST, **changes})


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        Hyperparameters.from_mapping(values)
    return str(caught.value)


def test_every_field_has_a_rule_and_every_rule_a_field() -> None:
    assert RULES.keys() == {field.name for field in dataclasses.fields(Hyperparameters)}


def test_required_are_those_without_a_default() -> None:
    assert SMALLEST.keys() == REQUIRED
    assert REQUIRED | DEFAULTS.keys() == RULES.keys()


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_every_default_is_allowed(name: str) -> None:
    check(name, DEFAULTS[name])


def test_what_is_left_out_has_its_default() -> None:
    built = hyperparameters()
    assert {name: getattr(built, name) for name in DEFAULTS} == dict(DEFAULTS)


def test_one_number_of_units_is_for_every_hidden_layer() -> None:
    assert hyperparameters(hidden_layers=3, units=64).units == (64, 64, 64)


def test_a_list_of_units_is_first_layer_first() -> None:
    assert hyperparameters(units=[256, 128]).units == (256, 128)


@pytest.mark.parametrize("units", [100, []])
def test_without_hidden_layers_there_are_no_units(units: object) -> None:
    assert hyperparameters(hidden_layers=0, units=units).units == ()


def test_integers_will_do_for_floats_and_become_floats() -> None:
    built = hyperparameters(dropout=0, learning_rate=1, momentum=0)
    for value in (built.dropout, built.learning_rate, built.momentum):
        assert type(value) is float


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        hyperparameters().epochs = 7  # type: ignore[misc]


def test_the_given_mapping_is_left_as_it_was() -> None:
    values = {**SMALLEST, "units": [32, 32]}
    Hyperparameters.from_mapping(values)
    assert values["units"] == [32, 32]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("hidden_layers", -1, "an integer from 0 to 20"),
        ("hidden_layers", 21, "an integer from 0 to 20"),
        ("hidden_layers", 2.0, "an integer from 0 to 20"),
        ("hidden_layers", True, "an integer from 0 to 20"),
        ("units", 0, "an integer from 1 to 100000"),
        ("units", "100", "an integer from 1 to 100000"),
        ("units", [[100], 100], "an integer from 1 to 100000"),
        ("activation", "swish", '"relu", "sigmoid"'),
        ("activation", ["relu"], '"relu", "sigmoid"'),
        ("optimizer", "Adam", 'one of "sgd", "adagrad", "rmsprop", "adam", "nadam", "adamw"'),
        ("layer_kind", 1, 'one of "dense", "convolutional"'),
        ("dropout", 1, "a number from 0 below 1"),
        ("dropout", -0.1, "a number from 0 below 1"),
        ("dropout", float("nan"), "a number from 0 below 1"),
        ("dropout", False, "a number from 0 below 1"),
        ("dropout", [0.1, 0.2], "a number from 0 below 1"),
        ("learning_rate", 0, "a number above 0 to 100"),
        ("learning_rate", float("inf"), "a number above 0 to 100"),
        ("learning_rate", "0.1", "a number above 0 to 100"),
        ("momentum", 1.0, "a number from 0 below 1"),
        ("numeric_encoding", "plr", '"standard", "quantile", "piecewise_linear"'),
        ("numeric_bins", 1, "an integer from 2 to 64"),
        ("embedding_size", 65, "an integer from 0 to 64"),
        ("nesterov", 1, "true or false"),
        ("nesterov", "true", "true or false"),
        ("batch_size", 0, "an integer from 1 to 1000000"),
        ("batch_size", 10**400, "an integer from 1 to 1000000"),
        ("epochs", None, "an integer from 1 to 100000"),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: object, allowed: str) -> None:
    text = refusal({**SMALLEST, name: value})
    found = value[0] if name == "units" and isinstance(value, list) else value
    assert text.startswith(f"{name}: found {found!r}, allowed is ")
    assert allowed in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_layers", 0), ("hidden_layers", 20), ("units", 1), ("units", 100_000),
        ("dropout", 0), ("dropout", 0.999), ("learning_rate", 1e-300), ("learning_rate", 100),
        ("nesterov", True), ("batch_size", 1_000_000), ("units", [1, 2]), ("units", ()),
    ],
)  # fmt: skip
def test_the_bounds_themselves_are_allowed(name: str, value: object) -> None:
    check(name, value)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    text = refusal({**SMALLEST, "lr": 0.1})
    assert text == f"lr: no such hyperparameter, allowed are {', '.join(RULES)}"


def test_all_missing_names_are_named() -> None:
    text = refusal({"units": 5, "epochs": 1})
    assert text == "missing: batch_size, hidden_layers, learning_rate, optimizer"


@pytest.mark.parametrize(("n_layers", "units"), [(2, [100]), (0, [100]), (1, [])])
def test_units_that_do_not_fit_the_layers_are_refused(n_layers: int, units: list[int]) -> None:
    text = refusal({**SMALLEST, "hidden_layers": n_layers, "units": units})
    assert text.startswith(f"units: found {len(units)} values for {n_layers} hidden layers")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule(int, low=2), "an integer from 2"),
        (Rule(float, low=0, low_is_open=True, high=0.5), "a number above 0 to 0.5"),
        (Rule(bool), "true or false"),
        (Rule(str, choices=("a", "b")), 'one of "a", "b"'),
    ],
)
def test_a_rule_says_what_is_allowed(rule: Rule, text: str) -> None:
    assert str(rule) == text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden_layers": 0},
        {"units": [512, 32], "dropout": 0.1 + 0.2, "optimizer": "sgd", "nesterov": True},
        {"layer_kind": "convolutional", "momentum": 0.9, "learning_rate": 1e-7},
    ],
)
def test_it_comes_back_from_json_as_it_went(changes: dict[str, Any]) -> None:
    built = hyperparameters(**changes)
    assert Hyperparameters.from_mapping(json.loads(json.dumps(built.as_dict()))) == built


def test_flat_has_one_scalar_for_each_layer() -> None:
    flat = hyperparameters(units=[256, 128]).flat(RULES)
    assert (flat["units_1"], flat["units_2"]) == (256, 128)
    assert flat.keys() == RULES.keys() - {"units"} | {layer_name("units", i) for i in (0, 1)}
    assert all(isinstance(value, bool | int | float | str) for value in flat.values())


def test_the_usual_precision_is_stored_nowhere_and_shown_where_it_is_named() -> None:
    usual, other = hyperparameters(), hyperparameters(precision="mixed_bfloat16")
    for listed in (usual.as_dict(), usual.flat(), usual.shown(())):
        assert "precision" not in listed
    assert usual.flat(["precision"]) == {"precision": "float32"}
    assert usual.shown(["precision"])["precision"] == "float32"
    for listed in (other.as_dict(), other.flat(), other.shown(())):
        assert listed["precision"] == "mixed_bfloat16"
    assert Hyperparameters.from_mapping(other.as_dict()) == other


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"units": [100, 100], "precision": "mixed_float16"},
            "100-100 relu, adam 0.001, mixed_float16, batch 32, at most 5 epochs",
        ),
        (
            {"units": [256, 128], "dropout": 0.3, "batch_size": 64, "epochs": 20},
            "256-128 relu, dropout 0.3, adam 0.001, batch 64, at most 20 epochs",
        ),
        (
            {"hidden_layers": 0, "dropout": 0.3},
            "no hidden layer, adam 0.001, batch 32, at most 5 epochs",
        ),
        (
            {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
            "100-100 relu, sgd 0.1 nesterov momentum 0.9, batch 32, at most 5 epochs",
        ),
        (
            {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.5},
            "100-100 relu, sgd 0.01 momentum 0.5, batch 32, at most 5 epochs",
        ),
        (
            {"momentum": 0.9, "layer_kind": "convolutional", "activation": "tanh"},
            "conv 100-100 tanh, adam 0.001, batch 32, at most 5 epochs",
        ),
        (
            {"numeric_encoding": "piecewise_linear", "numeric_bins": 8, "embedding_size": 4},
            "100-100 relu, piecewise linear in 8 bins, embeddings of 4, adam 0.001, batch 32, "
            "at most 5 epochs",
        ),
        (
            {
                "layer_kind": "convolutional",
                "units": [32, 64],
                "kernel_size": 5,
                "pooling": "average",
                "pool_every": 2,
                "global_pooling": True,
                "dense_units": 128,
                "batch_normalization": True,
                "dropout": 0.4,
            },
            "conv 32-64 relu, 5 by 5, average pooling after every 2, global pooling, dense 128, "
            "batch norm, dropout 0.4, adam 0.001, batch 32, at most 5 epochs",
        ),
        (
            {"layer_kind": "convolutional", "pooling": "none"},
            "conv 100-100 relu, no pooling, adam 0.001, batch 32, at most 5 epochs",
        ),
        (
            {
                "optimizer": "adamw",
                "weight_decay": 0.05,
                "learning_rate_schedule": "cosine",
                "warmup_epochs": 1,
                "ema_momentum": 0.999,
                "label_smoothing": 0.1,
                "random_shift": 2,
                "random_flip": True,
                "cutout": 8,
                "mixup": 0.2,
            },
            "100-100 relu, adamw 0.001 decay 0.05, cosine after 1 epoch, ema 0.999, "
            "smoothing 0.1, shift 2, flip, cutout 8, mixup 0.2, batch 32, at most 5 epochs",
        ),
        (
            {"dropout": 0.1 + 0.2},
            "100-100 relu, dropout 0.3, adam 0.001, batch 32, at most 5 epochs",
        ),
    ],
)
def test_in_a_line(changes: dict[str, Any], text: str) -> None:
    assert str(hyperparameters(**changes)) == text


@pytest.mark.parametrize(
    ("changes", "without_effect"),
    [
        ({}, {"momentum": 0.5, "nesterov": True, "numeric_bins": 8}),
        ({"hidden_layers": 0}, {"dropout": 0.3, "activation": "tanh",
                                "layer_kind": "convolutional"}),
        ({"optimizer": "sgd"}, {"nesterov": True}),
        ({}, {"kernel_size": 5, "pooling": "none", "pool_every": 2, "global_pooling": True,
              "dense_units": 9, "warmup_epochs": 2}),
        ({"learning_rate_schedule": "plateau"}, {"warmup_epochs": 2}),
        ({"layer_kind": "convolutional", "pooling": "none"}, {"pool_every": 2}),
        ({"hidden_layers": 0}, {"batch_normalization": True, "dense_units": 9}),
        ({"hidden_layers": 0, "optimizer": "nadam"}, {"dropout": 0.3, "momentum": 0.9}),
    ],
)  # fmt: skip
def test_what_has_no_effect_makes_no_other_network(
    changes: dict[str, Any], without_effect: dict[str, Any]
) -> None:
    one, other = hyperparameters(**changes), hyperparameters(**changes, **without_effect)
    assert one != other
    assert one.effective == one
    assert other.effective == one
    assert str(other) == str(one)


def test_what_has_an_effect_makes_another_network() -> None:
    given = hyperparameters(
        optimizer="sgd", momentum=0.5, nesterov=True, dropout=0.3, activation="tanh",
        layer_kind="convolutional", numeric_encoding="quantile", numeric_bins=8, embedding_size=4,
        kernel_size=5, pooling="average", pool_every=2, global_pooling=True, dense_units=9,
        batch_normalization=True, learning_rate_schedule="cosine", warmup_epochs=2,
        weight_decay=0.1, ema_momentum=0.9, label_smoothing=0.1, random_shift=2, random_flip=True,
        cutout=8, mixup=0.2, precision="mixed_bfloat16",
    )  # fmt: skip
    assert all(vars(given)[name] != default for name, default in DEFAULTS.items())
    assert given.effective == given


def test_one_epoch_is_not_several() -> None:
    network = Hyperparameters(0, (), "adam", 0.001, 32, 1)
    assert str(network).endswith("batch 32, at most 1 epoch")
    assert str(dataclasses.replace(network, epochs=2)).endswith("at most 2 epochs")


def test_people_are_shown_what_is_asked_and_what_has_an_effect() -> None:
    plain = hyperparameters()
    assert plain.shown(()).keys() == {
        "layer_kind", "hidden_layers", "units", "activation", "dropout", "optimizer",
        "learning_rate", "momentum", "nesterov", "batch_size", "epochs",
    }  # fmt: skip
    assert "cutout" in plain.shown(["cutout"])
    assert hyperparameters(cutout=8).shown(())["cutout"] == 8
    maps = hyperparameters(layer_kind="convolutional").shown(())
    assert maps.keys() - plain.shown(()) == {"kernel_size", "pooling", "pool_every"}
    bins = hyperparameters(numeric_encoding="quantile").shown(())
    assert bins.keys() - plain.shown(()) == {"numeric_encoding", "numeric_bins"}


def test_what_makes_others_idle_is_a_value_that_it_may_have() -> None:
    for name, rule in RULES.items():
        assert rule.data in ("", "pictures", "tables", "classes")
        for other, values in rule.idle_beside.items():
            assert name != other
            for value in values:
                check(other, value)


def test_the_document_has_a_row_for_each_that_says_what_the_rule_says() -> None:
    text = (Path(__file__).parents[2] / "docs" / "hyperparameters.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == [*RULES]
    for row, (name, rule) in zip(rows, RULES.items(), strict=True):
        said = row[2].replace("`", "")
        assert said == str(rule).removeprefix("one of ")
        default = row[3].strip("` ") if len(row) > 3 else ""
        assert default == (json.dumps(DEFAULTS[name]) if name in DEFAULTS else "")
        assert (row[4].strip(" |") if len(row) > 4 else "") == rule.data
