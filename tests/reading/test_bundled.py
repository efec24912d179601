import numpy as np
import pytest
from sklearn import datasets

from pipeline.errors import UsageError
from pipeline.reading.bundled import BUNDLED, fingerprint_of_bundled, read_bundled
from pipeline.reading.column import ColumnKind, RawArrays, RawTable


def test_digits_are_as_scikit_learn_has_them() -> None:
    raw = read_bundled("digits")
    assert isinstance(raw, RawArrays)
    assert raw.inputs.dtype == np.float32
    assert raw.inputs.shape == (1797, 8, 8)
    assert (raw.inputs.min(), raw.inputs.max()) == (0, 16)
    assert raw.targets.vocabulary == tuple("0123456789")
    assert np.array_equal(raw.targets.values, datasets.load_digits().target)


@pytest.mark.parametrize(
    ("name", "n_rows", "n_features", "classes"),
    [
        ("breast_cancer", 569, 30, ("malignant", "benign")),
        ("wine", 178, 13, ("class_0", "class_1", "class_2")),
        ("diabetes", 442, 10, ()),
    ],
)
def test_tables(name: str, n_rows: int, n_features: int, classes: tuple[str, ...]) -> None:
    raw = read_bundled(name)
    assert isinstance(raw, RawTable)
    *features, target = raw.columns.values()
    assert (raw.n_rows, len(features)) == (n_rows, n_features)
    assert {column.kind for column in features} == {ColumnKind.NUMBER}
    assert {column.values.dtype for column in features} == {np.dtype(np.float64)}
    assert list(raw.columns) == [column.name for column in raw.columns.values()]
    assert (target.name, target.vocabulary) == ("target", classes)
    assert target.kind == (ColumnKind.CATEGORY if classes else ColumnKind.NUMBER)


def test_diabetes_is_in_units() -> None:
    raw = read_bundled("diabetes")
    assert isinstance(raw, RawTable)
    assert raw.columns["age"].values[:3].tolist() == [59, 48, 72]
    assert raw.columns["target"].values[:3].tolist() == [151, 75, 141]


def test_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match='found "iris", allowed is "breast_cancer" or "diab'):
        read_bundled("iris")


def test_each_has_a_fingerprint_of_its_own() -> None:
    found = {name: fingerprint_of_bundled(name) for name in BUNDLED}
    assert len(set(found.values())) == len(BUNDLED)
    assert found == {name: fingerprint_of_bundled(name) for name in BUNDLED}
