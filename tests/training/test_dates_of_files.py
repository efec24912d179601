"""Dates that are read of files are read by a model that is handed over, and mean the same."""

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from pipeline.reading import dates
from pipeline.training.raw_dates import DateReader

MOMENTS = ["2024-02-29 23:59:58", "1969-01-02 00:00:00", "2000-12-31 12:30:05"]


@pytest.mark.parametrize("date_format", dates.FORMATS)
def test_a_file_and_a_model_read_the_same(date_format: str) -> None:
    moments = [np.datetime64(moment).astype(object) for moment in MOMENTS]
    texts = [moment.strftime(date_format) for moment in moments] + ["no date"]
    of_file = dates.parse(pa.array(texts), date_format).to_numpy(zero_copy_only=False)
    given = keras.Input((1,), dtype="string")
    model = keras.Model(given, DateReader().seconds(given, date_format))
    of_model = np.asarray(model(tf.constant(texts)[:, tf.newaxis]))[:, 0]
    np.testing.assert_array_equal(of_file, of_model)
    assert np.isnan(of_file).tolist() == [False, False, False, True]
