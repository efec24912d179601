"""What a network sees of a table: by hand, and never of rows beyond the training part."""

import dataclasses
import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.preparation import dates
from pipeline.preparation.encoding import encode, encode_array, fit_array, fit_features
from pipeline.reading.column import Column, ColumnKind
from pipeline.reading.kinds import FEW_ROWS
from pipeline.task.features import FIRST_CODE, MISSING_CODE, OTHER_CODE, Features

NAN = math.nan


def number(*values: float, name: str = "x") -> Column:
    return Column(name, ColumnKind.NUMBER, np.array(values, np.float64))


def category(texts: Sequence[str | None], name: str = "c") -> Column:
    vocabulary = tuple(sorted({text for text in texts if text is not None}))
    codes = [-1 if text is None else vocabulary.index(text) for text in texts]
    return Column(name, ColumnKind.CATEGORY, np.array(codes, np.int32), vocabulary)


def encoded(columns: list[Column], n_train: int) -> tuple[Features, NDArray[np.float32]]:
    features = fit_features(columns, np.arange(n_train))
    return features, encode(features, columns, np.arange(len(columns[0].values)))


def test_numbers_then_indicators_then_codes_each_in_the_files_order() -> None:
    columns = [
        category(["b", "a", "a", None], "first"),
        number(1, 2, 3, 4, name="whole"),
        category(["u", "u", "v", "w"], "second"),
        number(NAN, 10, 30, 20, name="holes"),
    ]
    features, matrix = encoded(columns, 4)
    assert [each.name for each in features.inputs] == ["first", "whole", "second", "holes"]
    scale = math.sqrt(200 / 3)
    expected = [
        [-1.5 / math.sqrt(1.25), 0, 1, 3, 2],
        [-0.5 / math.sqrt(1.25), -10 / scale, 0, 2, 2],
        [0.5 / math.sqrt(1.25), 10 / scale, 0, 2, 3],
        [1.5 / math.sqrt(1.25), 0, 0, MISSING_CODE, 4],
    ]
    assert matrix.dtype == np.float32
    assert features.width == matrix.shape[1]
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_nothing_is_learned_of_rows_beyond_the_training_part() -> None:
    rng = np.random.default_rng(0)
    texts = [str(each) for each in rng.choice(["a", "b", "c"], 60)]
    columns = [number(*rng.normal(size=60)), category(texts)]
    other = [number(*columns[0].values[:40], *[1e9] * 20), category([*texts[:40], *["z"] * 20])]
    assert fit_features(columns, np.arange(40)) == fit_features(other, np.arange(40))
    changed = fit_features([number(*columns[0].values[:39], 7.0), columns[1]], np.arange(40))
    assert changed != fit_features(columns, np.arange(40))


def test_what_is_missing_or_infinite_later_only_takes_the_median_or_counts_as_unseen() -> None:
    columns = [number(1, 2, 9, NAN, math.inf), category(["a", "b", "a", None, "c"])]
    features, matrix = encoded(columns, 3)
    assert features.width == 2
    np.testing.assert_allclose(matrix[3:, 0], (2 - 4) / np.std([1, 2, 9]), rtol=1e-6)
    assert matrix[:, 1].tolist() == [
        FIRST_CODE,
        FIRST_CODE + 1,
        FIRST_CODE,
        OTHER_CODE,
        OTHER_CODE,
    ]


def test_rare_values_have_no_code_of_their_own_where_rows_are_many() -> None:
    texts = ["a"] * 4 + ["b"] * 5 + ["c"] * (FEW_ROWS - 9)
    features, matrix = encoded([category(texts)], FEW_ROWS)
    assert features.categories[0].vocabulary == ("c", "b")
    assert matrix[[0, 4, 9], 0].tolist() == [OTHER_CODE, FIRST_CODE + 1, FIRST_CODE]
    features, _ = encoded([category(texts[:-1])], FEW_ROWS - 1)
    assert features.categories[0].vocabulary == ("c", "b", "a")


def test_codes_follow_the_text_and_not_the_vocabulary_of_a_file() -> None:
    features = fit_features([category(["a", "b", "b"])], np.arange(3))
    other = category(["aa", "b", "a", "NA"])
    codes = encode(features, [other], np.arange(4))[:, 0]
    assert codes.tolist() == [OTHER_CODE, FIRST_CODE, FIRST_CODE + 1, OTHER_CODE]


@pytest.mark.parametrize(
    ("values", "n_knots"),
    [
        ([3.0] * 50, 2),
        ([NAN] * 50, 2),
        ([0.0, 1.0] * 50, 2),
        ([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 8),
        (list(np.random.default_rng(0).normal(size=5000)), 65),
        (list(1e9 + np.arange(1000) * 1e-3), 65),
        ([1e9, 1e9 + 2**-10] * 10, 2),
    ],
)
def test_knots_rise_strictly_and_span_the_values(values: list[float], n_knots: int) -> None:
    features, matrix = encoded([number(*values)], len(values))
    knots = np.array(features.numbers[0].knots, np.float32)
    assert abs(len(knots) - n_knots) <= 1
    assert (np.diff(knots) > 0).all()
    assert len(knots) >= 2
    assert knots[0] == matrix[:, 0].min()
    assert features.numbers[0].scale > 0
    if len(set(values)) > 1 and not math.isnan(values[0]):
        assert knots[-1] == matrix[:, 0].max()
        np.testing.assert_allclose([matrix[:, 0].mean(), matrix[:, 0].std()], [0, 1], atol=1e-5)


def moments(*texts: str) -> Column:
    seconds = [datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in texts]
    return Column("when", ColumnKind.DATE, np.array(seconds), date_format="%Y-%m-%d %H:%M")


def test_parts_of_a_date_say_day_week_year_and_hour() -> None:
    column = moments("2024-03-04T06:00", "2024-03-11T06:00", "1969-12-31T18:00")
    part = {name: dates.part(name, column.values, np) for name in dates.parts_of("%d.%m.%Y %H:%M")}
    assert part["days"].tolist() == [19786.25, 19793.25, -0.25]
    np.testing.assert_allclose(part["time of day (sin)"], [1, 1, -1])
    week = np.arctan2(part["day of week (sin)"], part["day of week (cos)"]) / (2 * np.pi) * 7
    np.testing.assert_allclose(week % 7, [4.25, 4.25, 6.75])  # Mondays, and a Wednesday
    year = np.arctan2(part["day of year (sin)"], part["day of year (cos)"]) / (2 * np.pi) * 365
    np.testing.assert_allclose(year % 365, [63, 70, 364.75], atol=1.0)
    assert not any("time of day" in name for name in dates.parts_of("%d.%m.%Y"))


def test_a_time_of_day_has_no_week_and_no_year() -> None:
    assert dates.parts_of("%H:%M") == ("days", "time of day (sin)", "time of day (cos)")


def test_a_missing_date_is_missing_in_all_its_parts() -> None:
    column = moments("2024-03-04", "2024-05-04", "2023-03-04")
    values = np.append(column.values, NAN)
    features, matrix = encoded([dataclasses.replace(column, values=values)], 4)
    assert [each.name for each in features.numbers[:2]] == [
        "when: days",
        "when: day of week (sin)",
    ]
    n = len(features.numbers)
    assert matrix[:, n:].tolist() == [[0.0] * n] * 3 + [[1.0] * n]


def test_rows_are_encoded_into_what_is_given_in_the_order_that_is_asked() -> None:
    columns = [number(1, 2, 3, 4), category(["a", "b", "a", "b"])]
    features, matrix = encoded(columns, 4)
    out = np.full((2, 2), 9, np.float32)
    assert encode(features, columns[::-1], np.array([3, 0]), out) is out
    np.testing.assert_array_equal(out, matrix[[3, 0]])


def test_an_array_of_numbers_is_encoded_as_the_columns_are() -> None:
    inputs = np.random.default_rng(0).normal(5, 3, (50, 3)).astype(np.float32)
    inputs[7, 1] = np.nan
    columns = [number(*inputs[:, i], name=f"x{i + 1}") for i in range(3)]
    features = fit_array(inputs, np.arange(40))
    assert features.inputs == ()
    assert features.numbers == fit_features(columns, np.arange(40)).numbers
    np.testing.assert_array_equal(
        encode_array(features, inputs, np.arange(50)),
        encode(fit_features(columns, np.arange(40)), columns, np.arange(50)),
    )


def test_an_array_of_more_dimensions_keeps_its_shape_and_has_one_scale() -> None:
    inputs = np.random.default_rng(0).normal(5, 3, (2500, 4, 4, 2)).astype(np.float32)
    inputs[2000, 0, 0, 0] = np.nan
    features = fit_array(inputs, np.arange(2400))
    matrix = encode_array(features, inputs, np.arange(2500)[::-1])
    assert matrix.shape == inputs.shape
    fitted = inputs[:2400].astype(np.float64)
    expected = (inputs[::-1] - np.nanmean(fitted)) / np.nanstd(fitted)
    expected[499, 0, 0, 0] = (np.nanmedian(fitted) - np.nanmean(fitted)) / np.nanstd(fitted)
    np.testing.assert_allclose(matrix, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "n_seen"),
    [((1.0, 2.0, 1.7e308, 1.7e308), 2), ((-1e200, 5.0, 1e200), 3), ((1e-320, 2e-320), 2)],
)
def test_numbers_as_large_and_as_small_as_there_are(
    values: tuple[float, ...], n_seen: int
) -> None:
    """As the largest one stands for a missing value in many a file."""
    features, matrix = encoded([number(*values)], len(values))
    assert np.isfinite(matrix).all()
    assert np.isfinite(features.numbers[0].knots).all()
    assert len(np.unique(matrix)) == n_seen


@pytest.mark.parametrize("wave", ["sin", "cos"])
def test_what_a_clock_says_is_the_same_every_day(wave: str) -> None:
    """Else what is rounded otherwise since 2014-11-10 would be a feature as large as any."""
    mornings = 8 * 3600 + 86_400.0 * np.arange(15_000, 18_000)
    assert len(np.unique(dates.part(f"time of day ({wave})", mornings, np))) == 1
    tuesdays = 5 * 86_400 + 7 * 86_400.0 * np.arange(1_900, 2_300)
    assert len(np.unique(dates.part(f"day of week ({wave})", tuesdays, np))) == 1
