"""The small data sets that come with scikit-learn, by name."""

import hashlib
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.reading.column import Column, ColumnKind, RawArrays, RawTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

BUNDLED = ("breast_cancer", "diabetes", "digits", "wine")
_TARGET = "target"


def read_bundled(name: str) -> RawTable | RawArrays:
    """Reads one of scikit-learn's data sets; none is fetched, all come with the package.

    Returns:
        of `digits` arrays: float32 (1797, 8, 8), pixels from 0 to 16, targets "0" to "9". Of the
        others a table of numbers with the columns that scikit-learn names, in its units, and a
        column "target": names of classes, or of `diabetes` a number.

    Raises:
        UsageError: there is none of that name.
    """
    from sklearn import datasets

    if name == "digits":
        digits = datasets.load_digits()
        images = digits.images.astype("float32")
        return RawArrays(name, images, _classes("y", digits.target, digits.target_names))
    if name == "diabetes":
        loaded = datasets.load_diabetes(scaled=False)
        target = Column(_TARGET, ColumnKind.NUMBER, loaded.target.astype("float64"))
    elif name in BUNDLED:
        loaded = datasets.load_wine() if name == "wine" else datasets.load_breast_cancer()
        target = _classes(_TARGET, loaded.target, loaded.target_names)
    else:
        allowed = " or ".join(f'"{each}"' for each in BUNDLED)
        raise UsageError(f'dataset: found "{name}", allowed is {allowed}')
    columns = {
        str(feature): Column(str(feature), ColumnKind.NUMBER, values.astype("float64"))
        for feature, values in zip(loaded.feature_names, loaded.data.T, strict=True)
    }
    return RawTable(name, columns | {_TARGET: target})


def fingerprint_of_bundled(name: str) -> str:
    """Returns a SHA-256 over all values and names of one of the data sets, in hexadecimal.

    Raises:
        UsageError: there is none of that name.
    """
    raw = read_bundled(name)
    digest = hashlib.sha256()
    columns = [raw.targets] if isinstance(raw, RawArrays) else raw.columns.values()
    if isinstance(raw, RawArrays):
        digest.update(raw.inputs.tobytes())
    for column in columns:
        digest.update(repr((column.name, column.kind.value, column.vocabulary)).encode())
        digest.update(column.values.tobytes())
    return digest.hexdigest()


def _classes(name: str, codes: "NDArray[Any]", names: "NDArray[Any]") -> Column:
    vocabulary = tuple(str(each) for each in names)
    return Column(name, ColumnKind.CATEGORY, codes.astype("int32"), vocabulary)
