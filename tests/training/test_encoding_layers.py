"""The first layers of a network for a table, held against NumPy and against what is counted."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.study.hyperparameters import RULES, Hyperparameters
from pipeline.study.network_input import layer_parameters
from pipeline.task.features import FIRST_CODE, MISSING_CODE, OTHER_CODE, Category, Features, Number
from pipeline.task.task import Kind, Task
from pipeline.training.encoding import encoding_layers
from pipeline.training.model import build_model

GIVEN = Hyperparameters(1, (6,), "adam", 0.01, 32, 1)
ENCODINGS = RULES["numeric_encoding"].choices


def number(*knots: float, may_miss: bool = False) -> Number:
    return Number("x", 0.0, 1.0, 0.0, may_miss, knots)


TABLES = {
    "mixed": Features(
        (),
        (number(-2, -1, 0, 1, 3), number(0, 1, may_miss=True), number(*np.linspace(-2, 2, 65))),
        (Category("a", ("u", "v")), Category("b", tuple("abcdefg"), may_miss=False)),
    ),
    "numbers": Features((), (number(*range(65)), number(*range(0, 130, 2)))),
    "one number": Features((), (number(0, 1, may_miss=True),)),
    "categories": Features((), (), (Category("a", tuple("abcdefgh")), Category("b", ("x",)))),
    "no known value": Features((), (), (Category("a", (), may_miss=False),)),
}


def task_of(features: Features) -> Task:
    return Task(
        Kind.REGRESSION, (features.width,), input_dtype="float32", loss="squared",
        features=features,
    )  # fmt: skip


def rows_of(features: Features, n: int = 40) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 2, (n, len(features.numbers)))
    indicators = rng.integers(0, 2, (n, features.n_indicators))
    codes = [rng.integers(0, each.n_codes, (n, 1)) for each in features.categories]
    return np.hstack([numbers, indicators, *codes]).astype(np.float32)


def encoded(features: Features, rows: NDArray[np.float32], **given: object) -> NDArray[np.float32]:
    inputs = keras.Input((features.width,))
    outputs = encoding_layers(replace(GIVEN, **given), features, inputs)  # type: ignore[arg-type]
    return np.asarray(keras.Model(inputs, outputs)(rows))


@pytest.mark.parametrize("features", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("units", [(), (5,), (5, 4)])
def test_parameters_are_counted_as_keras_counts_them(
    features: Features, units: Sequence[int]
) -> None:
    task = task_of(features)
    for encoding, bins, size in itertools.product(ENCODINGS, (2, 7, 64), (0, 3, 4, 64)):
        given = replace(
            GIVEN, hidden_layers=len(units), units=tuple(units), numeric_encoding=encoding,
            numeric_bins=bins, embedding_size=size,
        )  # fmt: skip
        model = build_model(given, task)
        counts = layer_parameters(given, task.input_shape, task.n_outputs, features)
        assert sum(counts) == model.count_params()
        layers = [layer for layer in model.layers if layer.count_params()]
        by_layer = [layer.count_params() for layer in layers]
        if isinstance(layers[0], keras.layers.Embedding):
            by_layer[:2] = [sum(by_layer[:2])]
        assert counts == by_layer, given


def test_by_default_numbers_and_indicators_go_on_as_they_are_and_codes_are_one_hot() -> None:
    features = TABLES["mixed"]
    rows = rows_of(features)
    one_hot = [
        *(rows[:, 4] == code for code in (MISSING_CODE, FIRST_CODE, FIRST_CODE + 1)),
        *(rows[:, 5] == code for code in range(FIRST_CODE, FIRST_CODE + 7)),
    ]
    np.testing.assert_array_equal(
        encoded(features, rows), np.column_stack([rows[:, :4], *one_hot]).astype(np.float32)
    )


def bins_of(seen: NDArray[np.float32], n_bins: int) -> NDArray[np.float32]:
    """Undoes centring and scale of a number's bins: from 0 to 1, as the paper has them."""
    means = 1 - (np.arange(n_bins) + 0.5) / n_bins
    return seen * np.float32(n_bins**0.5 / 2) + means.astype(np.float32)


def test_piecewise_linear_is_the_number_and_the_papers_bins_within_the_knots() -> None:
    """Equation 1 of arXiv:2203.05556."""
    rows = np.array([[-2], [-1.5], [0.25], [3], [9], [-9]], np.float32)
    features = Features((), (number(-2, -1, 0, 1, 3),))
    expected: list[list[float]] = [
        [0, 0, 0, 0], [0.5, 0, 0, 0], [1, 1, 0.25, 0], [1, 1, 1, 1],
        [1, 1, 1, 1], [0, 0, 0, 0],
    ]  # fmt: skip
    given = {"numeric_encoding": "piecewise_linear", "numeric_bins": 64}
    seen = encoded(features, rows, **given)
    np.testing.assert_array_equal(seen[:, 0], [-2, -1.5, 0.25, 3, 3, -2])
    np.testing.assert_allclose(bins_of(seen[:, 1:], 4), expected, atol=1e-6)
    halves = encoded(features, rows, **given | {"numeric_bins": 2})
    np.testing.assert_allclose(bins_of(halves[2, 1:], 2), [1, 0.25 / 3], atol=1e-6)


def test_bins_of_a_number_are_centred_and_weigh_as_much_however_many_there_are() -> None:
    values = np.random.default_rng(0).uniform(0, 2, 20_000)
    knots = np.quantile(values, np.linspace(0, 1, 65)).astype(np.float32)
    features, rows = Features((), (number(*knots.tolist()),)), values[:, None].astype(np.float32)
    for n_bins in (4, 16, 64):
        seen = encoded(
            features, rows, numeric_encoding="piecewise_linear", numeric_bins=n_bins
        )[:, 1:]  # fmt: skip
        np.testing.assert_allclose(seen.mean(axis=0), 0, atol=0.05)
        assert seen.var(axis=0).sum() == pytest.approx(0.6, abs=0.1)


def test_numbers_with_fewer_values_have_fewer_bins() -> None:
    features = TABLES["mixed"]
    rows = rows_of(features)
    seen = encoded(features, rows, numeric_encoding="piecewise_linear", numeric_bins=8)
    assert seen.shape[1] == 3 + 4 + 1 + 8 + 1 + 10
    np.testing.assert_allclose(
        bins_of(seen[:, 7:8], 1)[:, 0], np.clip(rows[:, 1], 0, 1), atol=1e-6
    )
    filled = bins_of(seen[:, 8:16], 8).sum(axis=1)
    np.testing.assert_allclose(filled, np.clip(rows[:, 2] * 2 + 4, 0, 8), atol=1e-5)
    np.testing.assert_array_equal(seen[:, 16], rows[:, 3])


def test_quantile_is_the_rank_spread_to_variance_one() -> None:
    values = np.random.default_rng(0).lognormal(0, 2, 20_000)
    knots = np.quantile(values, np.linspace(0, 1, 65)).astype(np.float32)
    features = Features((), (number(*knots.tolist()), number(0, 1)))
    rows = np.column_stack([values, values > 1]).astype(np.float32)
    ranks = encoded(features, rows, numeric_encoding="quantile", numeric_bins=64)
    order = np.argsort(values)
    assert (np.diff(ranks[order, 0]) >= -1e-6).all()
    np.testing.assert_allclose([ranks[:, 0].mean(), ranks[:, 0].std()], [0, 1], atol=0.01)
    np.testing.assert_allclose(ranks[:, 1], np.where(values > 1, 3**0.5, -(3**0.5)), rtol=1e-6)
    assert abs(ranks[:, 0]).max() == pytest.approx(3**0.5, rel=1e-6)


def test_an_embedding_is_a_row_of_one_table_and_small_categories_stay_one_hot() -> None:
    features = TABLES["mixed"]
    rows = rows_of(features)
    inputs = keras.Input((features.width,))
    model = keras.Model(
        inputs, encoding_layers(replace(GIVEN, embedding_size=5), features, inputs)
    )
    table = np.asarray(model.get_layer("embeddings").get_weights()[0])
    assert table.shape == (9, 5)
    seen = np.asarray(model(rows))
    assert seen.shape[1] == 4 + 3 + 5
    np.testing.assert_array_equal(seen[:, 7:], table[rows[:, 5].astype(int)])
    both = encoded(features, rows, embedding_size=2)
    assert both.shape[1] == 4 + 2 * 2
    swapped = rows.copy()
    swapped[:, 4] = (swapped[:, 4] + 1) % 4
    model = keras.Model(
        inputs, encoding_layers(replace(GIVEN, embedding_size=2), features, inputs)
    )
    before, after = np.asarray(model(rows)), np.asarray(model(swapped))
    assert (before[:, 4:6] != after[:, 4:6]).any(axis=1).all()
    np.testing.assert_array_equal(before[:, 6:], after[:, 6:])


def test_an_unseen_value_meets_no_untrained_weight() -> None:
    rows = np.array([[OTHER_CODE, OTHER_CODE]], np.float32)
    assert not encoded(TABLES["categories"], rows).any()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [0, 3])
def test_it_learns_and_is_the_same_saved_and_loaded_in_safe_mode(
    tmp_path: Path, encoding: str, size: int
) -> None:
    features = TABLES["mixed"]
    keras.utils.set_random_seed(1)
    model = build_model(
        replace(GIVEN, numeric_encoding=encoding, embedding_size=size), task_of(features)
    )
    rows = rows_of(features, 400)
    targets = (rows[:, 5] == 3) * 3 + np.sin(rows[:, 2])
    losses = model.fit(rows, targets, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(rows, verbose=0), model.predict(rows, verbose=0))
