"""What is to be answered: classes with their names, or a number in units of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import UsageError
from pipeline.reading.column import Codes, Column, ColumnKind, Numbers
from pipeline.task.settings import DataSettings
from pipeline.task.task import Kind, Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_CLASSES_OF_NUMBERS = 10  # distinct whole numbers; more are taken for a quantity
N_SHOWN = 40  # characters of an answer in a message
_OTHER = {
    "classification": '[data] task = "classification" would make them classes',
    "regression": '[data] task = "regression" would make them quantities',
}
LEAST_ROWS_OF_A_NUMBER = 10  # each, on average, for whole numbers to be classes


@dataclass(frozen=True)
class Answers:
    """The target of all rows.

    Attributes:
        name: of the column.
        kind: of answer.
        values: integers of classes, int32 (n,), or numbers in their own units, float64 (n,).
        class_names: by class; empty of a regression.
        remark: how that was found out; "" if it was set.
    """

    name: str
    kind: Kind
    values: "Codes | Numbers"
    class_names: tuple[str, ...] = ()
    remark: str = ""


def understand_test(target: Column, training: Answers, place: str) -> Answers:
    """Reads the target of a test set that the data bring, as that of the training part was read.

    Raises:
        UsageError: it has a class that the training part has not, or what is no number.
    """
    import numpy as np

    target = _as_number(target) if training.kind is Kind.REGRESSION else target
    if training.kind is Kind.REGRESSION:
        if target.kind is not ColumnKind.NUMBER:
            raise UsageError(f"{place}: found {target.kind} in the test set, allowed are numbers")
        return Answers(target.name, training.kind, target.values)
    values, names = _classes(_as_number(target) if target.is_whole else target)
    if unknown := [name for name in names if name not in training.class_names]:
        raise UsageError(
            f"{place}: found the class {unknown[0]!r} in the test set alone, allowed are "
            f"{', '.join(training.class_names[:20])}"
        )
    code = np.array([training.class_names.index(name) for name in names], np.int32)
    return Answers(target.name, training.kind, code[values], training.class_names)


def understand(target: Column, settings: DataSettings, where: str) -> Answers:
    """Finds out whether a target is classes or a number.

    Args:
        target: without missing values.
        settings: may say it.
        where: the file, for messages.

    Raises:
        UsageError: it is a single class, has more classes than can be learned, or is no number.
    """
    import numpy as np

    place = f"{where}, target {target.name!r}"
    is_label, chosen = target.is_coded, settings.task
    if target.is_whole or chosen == "regression":
        target = _as_number(target)
    is_number = target.kind in (ColumnKind.NUMBER, ColumnKind.BOOLEAN)
    if target.kind is ColumnKind.DATE:
        raise UsageError(f"{place}: found dates, allowed are classes or numbers")
    doubt = f"; {target.doubt}" if target.doubt else ""
    if chosen == "regression" and not is_number:
        found = "text" if target.doubt else repr(next(iter(target.vocabulary), ""))
        raise UsageError(f"{place}: found {found}, allowed in a regression are numbers{doubt}")
    if chosen == "regression" or (
        chosen is None and is_number and not _are_classes(target, is_label)
    ):
        if float(np.ptp(target.values)) == 0:
            raise UsageError(f"{place}: found {target.values[0]:g} in every row, allowed are more")
        remark = "" if chosen else f"numbers, so a regression; {_OTHER['classification']}"
        return Answers(target.name, Kind.REGRESSION, target.values, remark=remark)
    _refuse_regression_settings(settings, place)
    values, names = _classes(target)
    n_rows, n_classes = len(values), len(names)
    if n_classes < 2:
        raise UsageError(f"{place}: found the single class {names[0]!r}, allowed are two or more")
    if 2 * n_classes > n_rows and target.is_coded:
        raise UsageError(
            f"{place}: found text, {n_classes} different in {n_rows} rows, such as "
            f"{_shorten(names[0])!r}; allowed are classes that come again, or numbers{doubt}"
        )
    if 2 * n_classes > n_rows:
        raise UsageError(
            f"{place}: found {n_classes} classes in {n_rows} rows, allowed are at most half as "
            'many; of a quantity set [data] task = "regression"'
        )
    remark = ""
    if chosen is None and target.kind is ColumnKind.NUMBER and not is_label:
        remark = f"{n_classes} whole numbers, so classes; {_OTHER['regression']}"
    kind = Kind.BINARY if n_classes == 2 else Kind.MULTICLASS
    return Answers(target.name, kind, values, tuple(names), remark)


def fit_target(
    name: str,
    values: Numbers,
    training: "NDArray[np.intp]",
    transform: Literal["none", "log"],
    place: str,
) -> Target:
    """Fits how a network sees the target of a regression.

    Args:
        name: of the column.
        values: of all rows, in their own units.
        training: the rows on which it is fitted.
        transform: before they are standardised.
        place: for messages.

    Raises:
        UsageError: a logarithm of these cannot be taken.
    """
    import numpy as np

    if transform == "log":
        if not np.all(values > 0):
            raise UsageError(
                f"{place}: found {values.min():g}, allowed with [data] target_transform = "
                '"log" are numbers above 0'
            )
        values = np.log(values)
    known = values[training]
    scale = float(known.std())
    return Target(name, float(known.mean()), scale if scale > 0 else 1.0, transform)


def class_weights(
    settings: DataSettings, classes: Codes, names: tuple[str, ...]
) -> "NDArray[np.float32] | None":
    """Weighs training rows by their class; None if no weights are asked for.

    Args:
        settings: "balanced" gives each class the same weight in sum, else weights by name.
        classes: of the training rows.
        names: of the classes.

    Raises:
        UsageError: a class that is named is none, or a weight will not do.
    """
    import numpy as np

    chosen = settings.class_weights
    if chosen is None:
        return None
    if not names:
        raise UsageError("[data] class_weights: found some, allowed are none in a regression")
    if chosen == "balanced":
        counts = np.bincount(classes, minlength=len(names))
        weights = len(classes) / (len(names) * np.maximum(counts, 1))
    else:
        for name, weight in chosen.items():
            if name not in names:
                raise UsageError(
                    f"[data] class_weights: found {name!r}, allowed are {', '.join(names)}"
                )
            if not 0 < weight < float("inf"):
                raise UsageError(
                    f"[data] class_weights.{name}: found {weight}, allowed is a number above 0"
                )
        weights = np.array([chosen.get(name, 1.0) for name in names])
    return weights[classes].astype(np.float32)


def _refuse_regression_settings(settings: DataSettings, place: str) -> None:
    for key, default in (("loss", None), ("target_transform", "none")):
        if (found := getattr(settings, key)) != default:
            raise UsageError(
                f"[data] {key}: found {found!r}, allowed is none in a classification, which is of "
                f"{place}"
            )


def _shorten(text: str) -> str:
    return text if len(text) <= N_SHOWN else f"{text[: N_SHOWN - 3]}..."


def _as_number(target: Column) -> Column:
    """Takes labels that are all numerals for numbers, which they may be: of whole prices, say."""
    import numpy as np

    if target.kind is not ColumnKind.CATEGORY:
        return target
    try:
        numbers = np.array([float(each) for each in target.vocabulary])
    except ValueError:
        return target
    if not np.isfinite(numbers).all():
        return target
    return Column(target.name, ColumnKind.NUMBER, numbers[target.values])


def _are_classes(target: Column, is_label: bool) -> bool:
    """Guesses whether numbers are classes: few whole ones, each in many rows.

    Args:
        target: numbers or booleans.
        is_label: whether they came as labels: then they are classes too if they count from 0 or 1.
    """
    import numpy as np

    if target.kind is ColumnKind.BOOLEAN:
        return True
    found = np.unique(target.values)
    n = len(found)
    if not np.all(found == np.floor(found)) or len(target.values) < LEAST_ROWS_OF_A_NUMBER * n:
        return False
    counts_on = found[0] in (0, 1) and found[-1] - found[0] == n - 1
    return n <= MOST_CLASSES_OF_NUMBERS or (is_label and bool(counts_on))


def _classes(target: Column) -> tuple[Codes, list[str]]:
    """Numbers the classes that occur, in the order of their names, or of numbers by value."""
    import numpy as np

    found, codes = np.unique(target.values, return_inverse=True)
    if target.kind is ColumnKind.BOOLEAN:
        names = [("False", "True")[int(value)] for value in found]
    elif target.is_coded:
        names = [target.vocabulary[code] for code in found]
    else:
        names = [f"{value:.0f}" if value == int(value) else repr(float(value)) for value in found]
    try:
        order = sorted(range(len(names)), key=lambda i: (float(names[i]), names[i]))
    except ValueError:
        order = sorted(range(len(names)), key=lambda i: names[i])
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], [names[i] for i in order]
