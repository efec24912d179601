"""Arrays in one of NumPy's `.npz` archives: `x` and `y`, besides `x_test` and `y_test`."""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError, first_line
from pipeline.paths import display_path
from pipeline.reading.column import Column, ColumnKind, RawArrays
from pipeline.wording import count_noun, inflect, join_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMES = {  # upper or lower case; the second ones only where none of the first is there
    "x": (("x", "x_train"), ("images", "train_images", "data")),
    "y": (("y", "y_train"), ("labels", "train_labels", "target")),
    "x_test": (("x_test",), ("test_images",)),
    "y_test": (("y_test",), ("test_labels",)),
}
_CHANNELS = (1, 3, 4)
_MOST_BLURRED = 0.01  # of a standard deviation, by rounding
_MOST_EXACT = 2**24  # float32 holds every integer up to here


def read_npz(path: Path) -> RawArrays:
    """Reads the arrays `x` and `y` of an archive, and `x_test` and `y_test` if it has them.

    Args:
        path: of the `.npz`. `x` (or `X`, `x_train`, `images`) has any shape (n, ...); pictures,
            uint8 (n, height, width) or (n, height, width, 1, 3 or 4), stay as they are, those with
            channels first are transposed; all other numbers and booleans become float32, and
            NaN is a missing value if `x` has two axes. `y` (or `Y`, `y_train`, `labels`) of
            integers, texts and booleans is a category, of floats a number; (n, 1) is one answer
            for each example, as is a one-hot (n, classes). Nothing is unpickled.

    Raises:
        UsageError: it cannot be read, or what is in it does not fit.
    """
    arrays = _Archive(path)
    x, y = arrays.inputs("x"), arrays.targets("y")
    arrays.check_lengths("x", x, "y", y)
    x_test = y_test = None
    if arrays.has_test_set:
        x_test, y_test = arrays.inputs("x_test"), arrays.targets("y_test")
        arrays.check_lengths("x_test", x_test, "y_test", y_test)
        if (x.shape[1:], x.dtype) != (x_test.shape[1:], x_test.dtype):
            found = f"{x_test.dtype} {x_test.shape[1:]}"
            raise arrays.error(
                f"x_test: found examples of {found}, x has those of {x.dtype} {x.shape[1:]}"
            )
        y_test = arrays.matched(y_test, y)
    return RawArrays(path, x, y, x_test, y_test, tuple(arrays.remarks))


class _Archive:
    """An archive that is read array by array, and what is said of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.remarks: list[str] = []
        self._members = self._chosen(self._read(None))

    def error(self, sentence: str) -> UsageError:
        return UsageError(f"{display_path(self._path)}: {sentence}")

    @property
    def has_test_set(self) -> bool:
        return "x_test" in self._members

    def check_lengths(self, x_name: str, x: "NDArray[Any]", y_name: str, y: Column) -> None:
        if len(x) != len(y.values):
            examples = count_noun(len(x), "example")
            answers = count_noun(len(y.values), "answer")
            raise self.error(f"{x_name} has {examples} and {y_name} {answers}, allowed is as many")

    def matched(self, test: Column, train: Column) -> Column:
        """Has the answers of the test set, none missing, in terms of the classes of training."""
        if (missing := test.is_missing).any():
            raise self.error(f"y_test[{int(missing.argmax())}]: found no value, allowed is one")
        return test

    def inputs(self, name: str) -> "NDArray[np.uint8] | NDArray[np.float32]":
        """Reads examples: uint8 of pictures, else float32."""
        import numpy as np

        array = self._array(name)
        if array.dtype.kind not in "biuf":
            raise self.error(f"{name}: found dtype {array.dtype}, allowed are numbers")
        remark = f"{self._called(name)}: {array.dtype} {array.shape}"
        if array.ndim == 1:
            array = array[:, None]
        if _is_channels_first(array.shape):
            array = np.moveaxis(array, 1, -1)
            remark += f", channels first, transposed to {array.shape}"
        if array.dtype == np.uint8 and _is_pictures(array.shape):
            self.remarks.append(f"{remark}, pictures")
            return np.ascontiguousarray(array)
        with np.errstate(over="ignore"):
            numbers = np.ascontiguousarray(array, dtype=np.float32)
        self._check_finite(name, array, numbers, may_miss=array.ndim == 2)
        if array.dtype.kind in "iu" and max(-int(array.min()), int(array.max())) > _MOST_EXACT:
            remark += f", integers beyond {_MOST_EXACT:,} are rounded"
        for i in _blurred(array):
            remark += (
                f", [:, {i}] differs too little for float32, which blurs it: subtract its mean"
            )
        if array.ndim == 2 and (n_missing := int(np.isnan(numbers).sum())):
            remark += f", {count_noun(n_missing, 'missing value')}"
        self.remarks.append(f"{remark}, numbers")
        return numbers

    def targets(self, name: str) -> Column:
        """Reads answers: a category or a number for each example."""
        import numpy as np

        array = self._array(name)
        remark = f"{self._called(name)}: {array.dtype} {array.shape}"
        if array.dtype.kind not in "biufUS":
            raise self.error(f"{name}: found dtype {array.dtype}, allowed are numbers and texts")
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        elif _is_one_hot(array):
            array = array.argmax(axis=1).astype(str)
            remark += ", one-hot"
        if array.ndim != 1:
            raise self.error(
                f"{name}: found shape {array.shape}, allowed is one answer for each example: "
                f"(n,), (n, 1), or (n, classes) with a single 1 in each row and 0 elsewhere"
            )
        if array.dtype.kind == "f":
            numbers = array.astype(np.float64)
            self._check_finite(name, array, numbers, may_miss=True)
            self.remarks.append(f"{remark}, numbers")
            return Column("y", ColumnKind.NUMBER, numbers)
        column = self._category(name, array)
        n_classes = len(column.vocabulary)
        self.remarks.append(f"{remark}, {n_classes:,} {inflect('class', n_classes, 'classes')}")
        return column

    def _category(self, name: str, array: "NDArray[Any]") -> Column:
        import numpy as np

        values, codes = np.unique(array, return_inverse=True)
        try:
            texts = tuple(
                each.decode() if isinstance(each, bytes) else str(each) for each in values.tolist()
            )
        except UnicodeDecodeError as error:
            raise self.error(
                f"{name}: found {error.object!r}, allowed are texts in UTF-8"
            ) from None
        if texts[0] == "":  # sorted before all others
            texts, codes = texts[1:], codes - 1
        is_whole = array.dtype.kind in "iu"
        return Column("y", ColumnKind.CATEGORY, codes.astype(np.int32), texts, is_whole=is_whole)

    def _check_finite(
        self, name: str, array: "NDArray[Any]", numbers: "NDArray[Any]", may_miss: bool
    ) -> None:
        """Refuses infinities, what overflows to one, and NaN where it cannot mean a missing value.

        Args:
            name: of the array.
            array: as it stands in the file.
            numbers: the same as floats of the dtype that is asked for.
            may_miss: whether NaN is allowed.
        """
        import numpy as np

        bad = np.isinf(numbers) if may_miss else ~np.isfinite(numbers)
        if not bad.any():
            return
        index = np.unravel_index(int(bad.argmax()), bad.shape)
        place = ", ".join(str(int(each)) for each in index)
        allowed = f"finite numbers that {numbers.dtype} can hold" + (
            ", and NaN" if may_miss else ""
        )
        raise self.error(f"{name}[{place}]: found {array[index]}, allowed are {allowed}")

    def _array(self, name: str) -> "NDArray[Any]":
        import numpy as np

        array = self._read(self._members[name])
        if not isinstance(array, np.ndarray):
            raise self.error(f"{name}: found bytes that are no array")
        if array.ndim == 0:
            raise self.error(f"{name}: found shape (), allowed is an axis of examples, (n, ...)")
        if array.size == 0:
            raise self.error(f"{name}: found an empty array of shape {array.shape}")
        return array

    def _read(self, member: str | None) -> Any:
        """Reads an array of the archive, or the names of all.

        Raises:
            UsageError: the file is not there, is no archive, or is damaged.
        """
        import numpy as np

        try:
            with self._path.open("rb") as file:  # NumPy leaves it open if it is no archive
                loaded = np.load(file, allow_pickle=False)
                if isinstance(loaded, np.lib.npyio.NpzFile):
                    return list(loaded.files) if member is None else loaded[member]
            raise self.error("found a single array (.npy), allowed is an .npz with x and y")
        except FileNotFoundError:
            raise self.error("there is no such file") from None
        except MemoryError:
            raise self.error(f"{member or 'it'} needs more memory than there is") from None
        except (OSError, ValueError, KeyError, EOFError, SyntaxError, RuntimeError,
                zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
            if member and "allow_pickle" in str(error):
                raise self.error(
                    f"{member}: found Python objects, which are not read since they may hold "
                    f"code; allowed are numbers and texts, such as {member}.astype(str)"
                ) from None
            if member is None and not zipfile.is_zipfile(self._path):
                reason = getattr(error, "strerror", None)
                raise self.error(
                    f"cannot be read ({reason})" if reason else "is no .npz archive, or cut off"
                ) from None
            what = f"{member} cannot be read" if member else "cannot be read"
            raise self.error(f"{what} ({first_line(error)})") from None

    def _chosen(self, names: list[str]) -> dict[str, str]:
        """Finds which arrays of the archive are meant, by `x`, `y`, `x_test` and `y_test`."""
        chosen: dict[str, str] = {}
        for meant, spellings in _NAMES.items():
            several = ([name for name in names if name.lower() in each] for each in spellings)
            found = next(filter(None, several), [])
            if len(found) > 1:
                raise self.error(f"found {join_names(found)}, allowed is one of them")
            chosen |= dict.fromkeys([meant], *found) if found else {}
        lacking = [each for each in ("x", "y") if each not in chosen]
        if lacking:
            found_names = join_names(names) if names else "no array"
            raise self.error(
                f"found {found_names}, allowed are x and y, besides x_test and y_test"
            )
        if ("x_test" in chosen) != ("y_test" in chosen):
            one, other = sorted(("x_test", "y_test"), key=lambda each: each not in chosen)
            raise self.error(f"found {one} without {other}, allowed are both or neither")
        others = [name for name in names if name not in chosen.values()]
        if others:
            self.remarks.append(f"not read: {join_names(others)}")
        return chosen

    def _called(self, name: str) -> str:
        member = self._members[name]
        return name if member == name else f"{name} (the file's {member})"


def _blurred(array: "NDArray[Any]") -> list[int]:
    """Lists the columns of a matrix that as float32 lose a good part of how they differ."""
    import numpy as np

    found: list[int] = []
    if array.ndim != 2 or array.dtype.itemsize <= np.float32().itemsize:
        return found
    for i in range(array.shape[1]):
        known = array[np.isfinite(array[:, i]), i].astype(np.float64)
        lost = known - known.astype(np.float32)
        if len(known) and lost.std() > _MOST_BLURRED * known.std():
            found.append(i)
    return found


def _is_pictures(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 4 and shape[-1] in _CHANNELS)


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether examples are of (channels, height, width): no other axis can be the channels'."""
    return len(shape) == 4 and shape[1] in _CHANNELS and min(shape[2:]) > max(_CHANNELS)


def _is_one_hot(array: "NDArray[Any]") -> bool:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        return False
    return bool(((array == 0) | (array == 1)).all() and ((array == 1).sum(axis=1) == 1).all())
