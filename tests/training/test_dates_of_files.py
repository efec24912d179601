"""Dates that are read of files are read by a model that is handed over, and mean the same."""

from datetime import datetime

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.reading import dates
from pipeline.training.raw_dates import DateReader

MOMENTS = ["2024-02-29T23:59:58+00:00", "1969-01-02T00:00:00+00:00", "2000-12-31T12:30:05+00:00"]
READER = DateReader()


def of_model(texts: list[str], date_format: str) -> NDArray[np.float64]:
    return np.asarray(READER.seconds(tf.constant(texts)[:, tf.newaxis], date_format))[:, 0]


def of_file(texts: list[str], date_format: str) -> NDArray[np.float64]:
    found = dates.parse(pa.array(texts), date_format).to_numpy(zero_copy_only=False)
    return np.asarray(found, np.float64)


@pytest.mark.parametrize("date_format", [*dates.FORMATS, dates.COMPACT])
def test_a_file_and_a_model_read_the_same(date_format: str) -> None:
    texts = [datetime.fromisoformat(x).strftime(date_format) for x in MOMENTS]
    found = of_file([*texts, "no date"], date_format)
    np.testing.assert_array_equal(found, of_model([*texts, "no date"], date_format))
    assert np.isnan(found).tolist() == [False, False, False, True]
    assert date_format == dates.COMPACT or dates.is_format(date_format)


@pytest.mark.parametrize(
    ("text", "date_format", "moment"),
    [
        ("2021-03-01T20:52:00+02:00", "%Y-%m-%dT%H:%M:%S%z", "2021-03-01T18:52:00"),
        ("2021-03-01T20:52:00-0530", "%Y-%m-%dT%H:%M:%S%z", "2021-03-02T02:22:00"),
        ("2021-03-01T20:52:00Z", "%Y-%m-%dT%H:%M:%S%z", "2021-03-01T20:52:00"),
        ("2021-03-01 20:52:00.000000+01:00", "%Y-%m-%d %H:%M:%S.%f%z", "2021-03-01T19:52:00"),
        ("03/01/2021 12:05 AM", "%m/%d/%Y %I:%M %p", "2021-03-01T00:05:00"),
        ("03/01/2021 12:05 pm", "%m/%d/%Y %I:%M %p", "2021-03-01T12:05:00"),
        ("3/1/2021 1:05:09 PM", "%m/%d/%Y %I:%M:%S %p", "2021-03-01T13:05:09"),
        ("03/01/2021 13:05 PM", "%m/%d/%Y %I:%M %p", "NaT"),
        ("1-Mar-2021", "%d-%b-%Y", "2021-03-01T00:00:00"),
        ("31 AUGUST 1969", "%d %b %Y", "1969-08-31T00:00:00"),
        ("May 9, 2021 11:30 PM", "%b %d, %Y %I:%M %p", "2021-05-09T23:30:00"),
        ("31 Feb 2021", "%d %b %Y", "NaT"),
        ("31 Foo 2021", "%d %b %Y", "NaT"),
        ("2021-03-01 20:52:00+02", "%Y-%m-%d %H:%M:%S%z", "2021-03-01T18:52:00"),
        ("2021-03-01 20:52:00 UTC", "%Y-%m-%d %H:%M:%S%z", "2021-03-01T20:52:00"),
        ("2021-03-01 20:52:00.000 UTC", "%Y-%m-%d %H:%M:%S.%f%z", "2021-03-01T20:52:00"),
        ("2021-03-01T20:52Z", "%Y-%m-%dT%H:%M%z", "2021-03-01T20:52:00"),
        ("4. März 2021", "%d. %b %Y", "2021-03-04T00:00:00"),
        ("04. Mrz. 2021", "%d. %b %Y", "2021-03-04T00:00:00"),
        ("31. MAI 2021", "%d. %b %Y", "2021-05-31T00:00:00"),
        ("4 MÄRZ 2021", "%d %b %Y", "NaT"),  # in neither
        ("1 août 2021", "%d %b %Y", "2021-08-01T00:00:00"),
        ("14 juil. 2021", "%d %b %Y", "2021-07-14T00:00:00"),
        ("14 juin 2021", "%d %b %Y", "2021-06-14T00:00:00"),
        ("31 décembre 2021", "%d %b %Y", "2021-12-31T00:00:00"),
        ("Sept. 4, 2021", "%b %d, %Y", "2021-09-04T00:00:00"),
        ("04-Mar-21", "%d-%b-%y", "2021-03-04T00:00:00"),
        ("8 de enero de 2021", "%d de %b de %Y", "2021-01-08T00:00:00"),
        ("04MAR2021", "%d%b%Y", "2021-03-04T00:00:00"),
        ("2021년 3월 4일", "%Y년 %m월 %d일", "2021-03-04T00:00:00"),
        ("2021. 3. 4.", "%Y. %m. %d.", "2021-03-04T00:00:00"),
        ("2021년 2월 29일", "%Y년 %m월 %d일", "NaT"),
        ("2021-03", "%Y-%m", "2021-03-01T00:00:00"),
        ("03/2021", "%m/%Y", "2021-03-01T00:00:00"),
        ("2021-13", "%Y-%m", "NaT"),
        ("13:45", "%H:%M", "1970-01-01T13:45:00"),
        ("24:00:00", "%H:%M:%S", "NaT"),
        ("7:05:09", "%H:%M:%S", "1970-01-01T07:05:09"),
        ("18.00.00", "%H.%M.%S", "1970-01-01T18:00:00"),
        ("März 2021", "%b %Y", "2021-03-01T00:00:00"),
        ("2021-03-01T20:52:00+2", "%Y-%m-%dT%H:%M:%S%z", "NaT"),
    ],
)
def test_zones_names_of_months_and_halves_of_days(
    text: str, date_format: str, moment: str
) -> None:
    days = np.datetime64(moment, "s")
    expected = np.nan if np.isnat(days) else float(days.astype(np.int64))
    np.testing.assert_equal(of_file([text], date_format)[0], expected)
    np.testing.assert_equal(of_model([text], date_format)[0], expected)


def test_it_can_be_part_of_a_model() -> None:
    given = keras.Input((1,), dtype="string")
    model = keras.Model(given, READER.seconds(given, "%b %d, %Y %I:%M %p"))
    texts = tf.constant([["Mar 01, 2021 11:30 PM"], ["2021-03-01T20:30:00-03:00"]])
    for monthly in ("%Y-%m", "%m/%Y", "%b %Y"):
        assert of_model(["2021-03-04", "2021-03-04 01:00:00"], monthly).tolist() == [
            1614816000,
            1614819600,
        ]
    assert np.asarray(model(texts)).tolist() == [[1614641400.0], [1614641400.0]]
