"""What is handed over answers raw rows as the network answers encoded ones, anywhere."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.data import predict
from pipeline.preparation import encoding
from pipeline.reading.column import Column, ColumnKind, Dialect
from pipeline.reading.missing import MISSING_TEXTS
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.task.task import Kind, Target, Task
from pipeline.tracking import rows_flavor
from pipeline.training.model import build_model
from pipeline.training.raw_dates import DateReader
from pipeline.training.raw_model import accept_raw, average

# Keras's own, of a name with a slash alone, which is in no layer's name.
pytestmark = pytest.mark.filterwarnings("ignore:When providing .inputs. .*'large / number")
N, N_TRAIN = 3000, 2000
GIVEN = Hyperparameters(1, (12,), "adam", 0.01, 32, 1)
LEARNED = replace(GIVEN, numeric_encoding="piecewise_linear", embedding_size=3)
# As the file has them, and so as the model takes them.
LARGE, HOLES, LATE, BOOLEAN = "large / number (1e9)", "수치, 'holes'", "missing later", "is it?"
CITY, CODE, WHOLE, DAY, HOUR = "città.name", "line\nbreak", "whole:number", "day", "hour of it"


def made_rows() -> dict[str, list[Any]]:
    """Raw values, None where missing, the way a file in memory has them."""
    rng = np.random.default_rng(0)
    days = [
        datetime(1950, 1, 1, tzinfo=UTC) + timedelta(int(d)) for d in rng.integers(0, 36525, N)
    ]
    hours = [day + timedelta(minutes=int(m)) for day, m in zip(days, rng.integers(0, 1440, N))]  # noqa: B905
    cities: list[Any] = rng.choice(["Köln", "서울", "a b", "[UNK]", "None", "NULL"], N).tolist()
    cities[10:14] = ["rare"] * 4
    cities[-20:] = [f"unseen {i}" for i in range(20)]
    rows = {
        CITY: [None if i % 7 == 0 else value for i, value in enumerate(cities)],
        LARGE: (1e9 + rng.normal(0, 0.01, N)).tolist(),
        DAY: [f"{day:%d.%m.%Y}" if i % 11 else None for i, day in enumerate(days)],
        HOLES: [None if i % 5 == 0 else value for i, value in enumerate(rng.lognormal(size=N))],
        CODE: rng.choice(["a\nb", "x\ty", 'quoted "', "\\"], N).tolist(),
        BOOLEAN: rng.integers(0, 2, N).astype(float).tolist(),
        LATE: rng.normal(size=N).tolist(),
        WHOLE: rng.choice(["1", "2", "30"], N).tolist(),
        HOUR: [f"{hour:%Y-%m-%d %H:%M}" for hour in hours],
    }
    for name in (LATE, WHOLE, HOUR):
        rows[name][-10] = None
    return rows


ROWS = made_rows()
FORMATS = {DAY: "%d.%m.%Y", HOUR: "%Y-%m-%d %H:%M"}
KINDS = {CITY: ColumnKind.CATEGORY, CODE: ColumnKind.CATEGORY, WHOLE: ColumnKind.CATEGORY,
         BOOLEAN: ColumnKind.BOOLEAN, **dict.fromkeys(FORMATS, ColumnKind.DATE)}  # fmt: skip


def columns_of(rows: Mapping[str, list[Any]]) -> list[Column]:
    """As a reader makes them of a file."""
    columns = []
    for name, values in rows.items():
        kind = KINDS.get(name, ColumnKind.NUMBER)
        if kind is ColumnKind.CATEGORY:
            vocabulary = tuple(sorted({value for value in values if value is not None}))
            codes = [-1 if value is None else vocabulary.index(value) for value in values]
            columns.append(Column(name, kind, np.array(codes, np.int32), vocabulary))
            continue
        numbers = [math.nan if value is None else value for value in values]
        if kind is ColumnKind.DATE:
            numbers = [
                datetime.strptime(value, FORMATS[name]).replace(tzinfo=UTC).timestamp()
                if isinstance(value, str) else math.nan
                for value in numbers
            ]  # fmt: skip
        columns.append(Column(name, kind, np.array(numbers), (), FORMATS.get(name, "")))
    return columns


COLUMNS = columns_of(ROWS)
FEATURES = encoding.fit_features(COLUMNS, np.arange(N_TRAIN))
ENCODED = encoding.encode(FEATURES, COLUMNS, np.arange(N))
REGRESSION = Task(
    Kind.REGRESSION, (FEATURES.width,), input_dtype="float32", features=FEATURES, loss="squared",
    target=Target("y", 1e6, 3e4),
)  # fmt: skip
CLASSES = Task(
    Kind.MULTICLASS, (FEATURES.width,), ("a", "b", "c"), input_dtype="float32", features=FEATURES
)
TWO = replace(CLASSES, kind=Kind.BINARY, class_names=("no", "yes"))


def network_of(task: Task, given: Hyperparameters = GIVEN) -> keras.Model:
    keras.utils.set_random_seed(7)
    return build_model(given, task)


def raw_inputs(rows: Mapping[str, list[Any]], missing: str = "") -> dict[str, tf.Tensor]:
    inputs = {}
    for name, values in rows.items():
        if KINDS.get(name, ColumnKind.BOOLEAN) is ColumnKind.BOOLEAN:
            numbers = [math.nan if value is None else value for value in values]
            inputs[name] = tf.constant(numbers, tf.float64)[:, None]
        else:
            inputs[name] = tf.constant([missing if x is None else x for x in values])[:, None]
    return inputs


def saved_and_loaded(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras", safe_mode=True)


def test_the_table_of_these_tests_is_a_hard_one() -> None:
    city = FEATURES.categories[0]
    assert city.may_miss
    assert "None" in city.vocabulary
    assert "rare" not in city.vocabulary
    assert not FEATURES.categories[2].may_miss
    assert {number.name for number in FEATURES.numbers if number.may_miss} >= {HOLES}
    assert not any(number.may_miss for number in FEATURES.numbers if number.name == LATE)
    assert np.unique(ENCODED[:, 0]).size > 2900  # of 1e9 and a little, what float32 cannot tell


def test_raw_columns_are_encoded_as_before_training(tmp_path: Path) -> None:
    encoder = keras.Sequential([keras.Input((FEATURES.width,)), keras.layers.Identity()])
    encoder.compile()
    task = replace(REGRESSION, kind=Kind.MULTICLASS, class_names=tuple("abc"))
    model = saved_and_loaded(accept_raw(encoder, task), tmp_path)
    found = np.asarray(model(raw_inputs(ROWS)))
    np.testing.assert_allclose(found, ENCODED, rtol=1e-6, atol=1e-6)
    # float32 rounds at most one value in many otherwise
    assert (found == ENCODED).mean() > 0.99


@pytest.mark.parametrize("task", [REGRESSION, CLASSES, TWO], ids=["regression", "three", "two"])
@pytest.mark.parametrize("given", [GIVEN, LEARNED, replace(GIVEN, numeric_encoding="quantile")],
                         ids=["standard", "learned", "quantile"])  # fmt: skip
def test_raw_rows_get_the_networks_answers(
    task: Task, given: Hyperparameters, tmp_path: Path
) -> None:
    network = network_of(task, given)
    answers = np.asarray(network(ENCODED), np.float64)
    expected = answers * 3e4 + 1e6 if task is REGRESSION else answers
    model = saved_and_loaded(accept_raw(network, task), tmp_path)
    np.testing.assert_allclose(np.asarray(model(raw_inputs(ROWS))), expected, rtol=1e-5, atol=1e-6)
    assert model.output_shape == network.output_shape
    assert model.loss == network.loss


@pytest.mark.parametrize("task", [REGRESSION, TWO], ids=["regression", "two"])
def test_the_mean_of_folds_is_as_exact_as_each(task: Task, tmp_path: Path) -> None:
    """Of targets that are large and differ little float32 would leave nothing."""
    if task.is_regression:
        task = replace(task, target=Target("y", mean=1.7e9, scale=3.0))
    models = [accept_raw(build_model(GIVEN, task), task) for _ in range(2)]
    rows = raw_inputs(ROWS)
    each = [np.asarray(model(rows)) for model in models]
    whole = saved_and_loaded(average({"one": models[0], "two": models[1]}), tmp_path)
    exactly = 1e-14 if task.is_regression else 1e-6
    np.testing.assert_allclose(np.asarray(whole(rows)), np.mean(each, axis=0), rtol=exactly)


@pytest.mark.parametrize(
    "name", ["price", "where", "model", "functional_1", "cast", "numbers", "a b:c"]
)
def test_a_column_may_be_called_as_a_layer_is_and_others_may_be_given(
    name: str, tmp_path: Path
) -> None:
    columns = [replace(COLUMNS[3], name=name), replace(COLUMNS[0], name="city")]
    for n in (1, 2):
        features = encoding.fit_features(columns[:n], np.arange(N_TRAIN))
        task = replace(TWO, features=features, input_shape=(features.width,))
        network = network_of(task)
        expected = np.asarray(network(encoding.encode(features, columns, np.arange(N))))
        model = saved_and_loaded(accept_raw(network, task), tmp_path)
        rows = pd.DataFrame({"0": 1.0, name: ROWS[HOLES], "city": ROWS[CITY], "more": "x"})
        np.testing.assert_allclose(predict.answer(model, rows), expected, rtol=1e-5)
        texts = {each: rows[each].fillna("").to_numpy(object) for each in ("city", "more")}
        given = {"0": rows["0"].to_numpy(), name: rows[name].to_numpy(), **texts}
        np.testing.assert_allclose(model.predict(given, verbose=0), expected, rtol=1e-4)
        given.pop(name)
        with pytest.raises(ValueError, match=r"Missing data for input|structure of `inputs`"):
            model.predict(given, verbose=0)


@pytest.mark.parametrize("missing", MISSING_TEXTS)
def test_every_spelling_of_a_missing_value_is_one(missing: str) -> None:
    model = accept_raw(network_of(CLASSES), CLASSES)
    some = {name: values[:77] for name, values in ROWS.items()}
    found, expected = (np.asarray(model(raw_inputs(some, text))) for text in (missing, ""))
    if missing in FEATURES.categories[0].vocabulary:
        assert (found != expected).any()
    else:
        np.testing.assert_array_equal(found, expected)


def test_what_somebody_says_is_missing_is() -> None:
    features = replace(FEATURES, missing=("refused",))
    task = replace(CLASSES, features=features)
    network = network_of(task)
    some = {name: values[:77] for name, values in ROWS.items()}
    found, expected = (
        np.asarray(accept_raw(network, task)(raw_inputs(some, text))) for text in ("refused", "")
    )
    np.testing.assert_array_equal(found, expected)


def test_a_number_or_a_date_that_somebody_says_is_missing_is() -> None:
    task = replace(
        CLASSES, features=replace(FEATURES, missing=("-200", "[UNK]", "31.12.9999", "-200"))
    )
    network = network_of(task)
    model = accept_raw(network, task)
    for name, missing in ((HOLES, -200.0), (DAY, "31.12.9999")):
        found, expected = (
            np.asarray(model(raw_inputs({**ROWS, name: [each] * N}))) for each in (missing, None)
        )
        np.testing.assert_array_equal(found, expected)


def test_a_logarithm_is_undone() -> None:
    task = replace(REGRESSION, target=Target("y", 2.0, 0.5, "log"))
    network = network_of(task)
    found = np.asarray(accept_raw(network, task)(raw_inputs(ROWS)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.exp(np.asarray(network(ENCODED)) * 0.5 + 2), rtol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (5, 4), (5, 4, 3)])
def test_an_array_of_numbers_goes_in_as_it_is(shape: tuple[int, ...], tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(1e4, 1, (50, *shape)).astype(np.float32)
    inputs[3, 1] = np.nan
    features = encoding.fit_array(inputs, np.arange(50))
    encoded = encoding.encode_array(features, inputs, np.arange(50))
    task = Task(Kind.REGRESSION, encoded.shape[1:], input_dtype="float32", features=features,
                loss="absolute", target=Target("", -5, 2))  # fmt: skip
    network = network_of(task)
    model = saved_and_loaded(accept_raw(network, task), tmp_path)
    expected = network.predict(encoded, verbose=0) * 2 - 5
    np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, rtol=1e-5)


def test_pictures_get_the_look_at_their_scale() -> None:
    task = Task(Kind.MULTICLASS, (6, 6), tuple("abc"))
    model = accept_raw(network_of(task), task)
    assert model.inputs[0].dtype == "float32"
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 6)).astype("uint8")
    np.testing.assert_allclose(model(images / 255), model(images), atol=1e-5)


# Dates


def read(date_format: str, texts: list[str]) -> NDArray[np.float64]:
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, DateReader().seconds(inputs, date_format))
    return np.asarray(model(tf.constant(texts)[:, None]))[:, 0]


@pytest.mark.parametrize("separated", ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d",
                                       "%Y%m%d", "%d.%m.%y", "%d%m%Y"])  # fmt: skip
@pytest.mark.parametrize("time", ["", " %H:%M:%S", "T%H:%M:%S", " %H:%M", " %H:%M:%S.%f"])
def test_dates_are_read_as_strptime_reads_them_and_in_iso_8601(separated: str, time: str) -> None:
    rng = np.random.default_rng(1)
    seconds = rng.integers(-3_000_000_000, 5_000_000_000, 300) + rng.integers(0, 999, 300) / 1000
    if "%y" in separated:
        seconds = rng.integers(0, 3_000_000_000, 300).astype(float)
    moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(s)) for s in seconds]
    date_format = separated + time
    texts = [moment.strftime(date_format) for moment in moments]
    expected = [datetime.strptime(text, date_format).replace(tzinfo=UTC) for text in texts]
    np.testing.assert_array_equal(read(date_format, texts), [x.timestamp() for x in expected])
    for iso in ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"):
        texts = [moment.strftime(iso) for moment in moments]
        expected = [datetime.strptime(text, iso).replace(tzinfo=UTC) for text in texts]
        np.testing.assert_array_equal(read(date_format, texts), [x.timestamp() for x in expected])


def test_leading_zeros_may_lack_and_days_of_leap_years_are_known() -> None:
    texts = ["1.2.2024", "29.02.2024", "29.02.2000", "2024-2-9", "31.12.1969 23:59:59"]
    expected = [datetime(2024, 2, 1), datetime(2024, 2, 29), datetime(2000, 2, 29),
                datetime(2024, 2, 9), datetime(1969, 12, 31, 23, 59, 59)]  # fmt: skip
    seconds = [each.replace(tzinfo=UTC).timestamp() for each in expected]
    assert read("%d.%m.%Y", texts).tolist() == seconds


def test_what_is_no_date_is_missing() -> None:
    texts = [
        "", "nan", "soon", "29.02.2023", "29.02.1900", "31.04.2024", "00.01.2024", "1.13.2024",
        "2024-00-10", "10.10.24", "1.1.20245", "12", "1.2", "1.2.2024 24:00", "1.2.2024 1:60",
        "2024-01-31+02:00", "1.2.2024 1:2:3 4 5", "9" * 40, "Feb 3 2024", "\uff11.1.2024",
    ]  # fmt: skip
    assert np.isnan(read("%d.%m.%Y", texts)).all()


# Answers for a table as anybody has it


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and the file that is copied there."""
    folder = tmp_path_factory.mktemp("exported")
    accept_raw(network_of(REGRESSION, LEARNED), REGRESSION).save(folder / "model.keras")
    return folder


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float64]:
    answers = np.asarray(network_of(REGRESSION, LEARNED)(ENCODED), np.float64)
    return answers * 3e4 + 1e6


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS)


def as_objects() -> pd.DataFrame:
    return pd.DataFrame(ROWS, dtype=object)


def as_text() -> pd.DataFrame:
    return pd.DataFrame(
        {n: ["" if x is None else str(x) for x in values] for n, values in ROWS.items()}
    )


def with_dtypes() -> pd.DataFrame:
    rows = frame()
    for name in (CITY, CODE):
        rows[name] = rows[name].astype("category")
    rows[WHOLE] = rows[WHOLE].astype("float64")
    rows[BOOLEAN] = rows[BOOLEAN].astype(bool)
    rows[DAY] = pd.to_datetime(rows[DAY], format=FORMATS[DAY])
    rows[HOUR] = pd.to_datetime(rows[HOUR]).dt.tz_localize("UTC").dt.tz_convert("Asia/Seoul")
    rows[HOLES] = rows[HOLES].astype("Float64")
    return rows


def of_germany() -> pd.DataFrame:
    rows = as_text().rename(columns=lambda name: f" {name} ")
    for name in (LARGE, LATE, HOLES):
        rows[f" {name} "] = [value.replace(".", ",") for value in rows[f" {name} "]]
    rows[f" {BOOLEAN} "] = rows[f" {BOOLEAN} "].map({"0.0": "False", "1.0": "TRUE"})
    return rows.iloc[:, ::-1].assign(more=3)


@pytest.mark.parametrize("made", [frame, as_objects, as_text, with_dtypes, of_germany])
def test_a_table_gets_its_answers_however_pandas_holds_it(
    made: Callable[[], pd.DataFrame],
    exported: Path,
    expected: NDArray[np.float64],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predict, "DECIMAL", "," if made is of_germany else ".")
    model = keras.saving.load_model(exported / "model.keras", safe_mode=True)
    np.testing.assert_allclose(predict.answer(model, made()), expected, rtol=1e-6)
    one = predict.answer(model, made().iloc[[5]])
    np.testing.assert_allclose(one, expected[[5]], rtol=1e-6)
    assert predict.answer(model, made().iloc[:0]).shape == (0, 1)


def test_what_a_table_lacks_is_said_in_a_sentence(exported: Path) -> None:
    model = keras.saving.load_model(exported / "model.keras", safe_mode=True)
    with pytest.raises(ValueError, match=rf"^missing columns: \['{CITY}', '{DAY}'\], found: "):
        predict.answer(model, frame().drop(columns=[DAY, CITY]))
    twice = frame().rename(columns={LARGE: LATE})
    with pytest.raises(ValueError, match=r"^missing columns"):
        predict.answer(model, twice)
    twice = frame().assign(more=1).rename(columns={"more": LATE})
    with pytest.raises(ValueError, match=r"^columns that stand twice: \['missing later'\]$"):
        predict.answer(model, twice)
    wrong = frame().assign(**{LATE: "much"})
    with pytest.raises(ValueError, match=f"^column {LATE}: found 'much', no number"):
        predict.answer(model, wrong)


def test_it_knows_the_readers_missing_values() -> None:
    assert {text.lower() for text in MISSING_TEXTS} <= set(predict.MISSING)


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig")])
def test_another_process_answers_a_file_without_this_package(
    exported: Path, expected: NDArray[np.float64], delimiter: str, encoding: str
) -> None:
    made = of_germany() if delimiter == ";" else as_text()
    made.head(200).to_csv(exported / "rows.csv", sep=delimiter, index=False, encoding=encoding)
    dialect = Dialect(delimiter, encoding, "," if delimiter == ";" else ".")
    script = rows_flavor.predict_script(REGRESSION, dialect)
    (exported / "predict.py").write_text(script, encoding="utf-8")
    code = (
        "import json, runpy, sys; sys.argv[1:] = ['rows.csv'];"
        "runpy.run_path('predict.py', run_name='__main__');"
        "print(json.dumps([name for name in sys.modules if name.startswith('pipeline')]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=exported, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    header, *answers, foreign = done.stdout.splitlines()
    assert (header, json.loads(foreign)) == ("y", [])
    np.testing.assert_allclose([float(x) for x in answers], expected[:200, 0], rtol=1e-6)
