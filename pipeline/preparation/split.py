"""Which rows are trained on, which choose, and which stay sealed: drawn by a seed, and said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.preparation import dealing
from pipeline.task.settings import DataSettings
from pipeline.wording import count_noun, join_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.reading.column import Codes, Numbers

    Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Parts:
    """The parts of a data set, as sorted indices of rows, intp (n,); no row is in two of them.

    Attributes:
        training: trained on, and all that preprocessing is fitted on.
        validation: chooses; empty if the study cross-validates.
        test: sealed; empty if the data bring a test set.
    """

    training: "Rows"
    validation: "Rows"
    test: "Rows"

    @property
    def open(self) -> "Rows":
        """All rows that are not sealed, sorted."""
        import numpy as np

        return np.union1d(self.training, self.validation)


def split_rows(
    n: int,
    settings: DataSettings,
    *,
    classes: "Codes | None" = None,
    class_names: Sequence[str] = (),
    groups: "Codes | None" = None,
    times: "Numbers | None" = None,
    has_test_set: bool = False,
) -> Parts:
    """Splits rows into training, validation and test: the same for the same seed, everywhere.

    Without groups or times it is stratified by class: each part gets of each class what its share
    says, to a row (largest remainders), and one row at least. Groups are dealt out whole, and the
    best of many draws is taken; a row whose group is missing is a group of its own. By time,
    training comes first and the test last, and rows of one time stay together.

    Args:
        n: number of rows.
        settings: shares, seed, folds, and the names of the columns of groups and times.
        classes: of each row, int32 (n,), from 0; None for a regression.
        class_names: by code.
        groups: of each row, int32 (n,), -1 where missing.
        times: of each row, float64 (n,), in any unit.
        has_test_set: whether the data bring one: then there is none to split off, and validation
            is a share of what there is.

    Raises:
        UsageError: the settings contradict each other, or a part would have no row, no group or
            none of a class; a time is missing.
    """
    import numpy as np

    check(settings, has_test_set)
    shares = _shares(settings, has_test_set)
    kinds = np.zeros(n, np.int32) if classes is None else classes
    fewest, each = _fewest(shares, settings)
    if n < fewest:
        raise UsageError(f"found {count_noun(n, 'row')}, allowed are {fewest} or more, {each}")
    for code in _too_few(kinds, fewest) if classes is not None and times is None else ():
        n_rows = count_noun(int((kinds == code).sum()), "row")
        advice = "remove them, or join the class with another one"
        if all(name.lstrip("-").isdecimal() for name in class_names):
            advice = f'{advice}; of a quantity set [data] task = "regression"'
        raise UsageError(
            f"target: class {class_names[code]!r} has {n_rows}, allowed are {fewest} or more, "
            f"{each}: {advice}"
        )
    if times is not None:
        _check_times(times, fewest, each, settings)
        part = dealing.by_time(times, shares)
    elif groups is not None:
        numbers = number_groups(groups)
        if (n_groups := int(numbers.max()) + 1) < fewest:
            raise UsageError(
                f'[data] group: column "{settings.group}" has {count_noun(n_groups, "value")}, '
                f"allowed are {fewest} or more, {each}"
            )
        part = dealing.by_group(numbers, kinds, shares, settings.seed)
    else:
        part = dealing.by_class(kinds, shares, settings.seed, keep=settings.folds or 1)
    parts = Parts(*(np.flatnonzero(part == i) for i in range(dealing.N_PARTS)))
    by = f"time {settings.time!r}" if times is not None else f"group {settings.group!r}"
    _check_trained(kinds, parts.training, class_names, by)
    is_dealt_by_class = classes is None or (times is None and groups is None)
    for name, rows in (
        ()
        if is_dealt_by_class
        else (
            ("validation", parts.validation),
            ("test", parts.test),
        )
    ):
        if len(rows) and len(found := np.unique(kinds[rows])) < 2:
            raise UsageError(
                f"target: split by {by}, all {name} rows are of class {class_names[found[0]]!r}; "
                "allowed is two classes or more in each part"
            )
    return parts


def fold_rows(
    rows: "Rows",
    settings: DataSettings,
    *,
    classes: "Codes | None" = None,
    class_names: Sequence[str] = (),
    groups: "Codes | None" = None,
) -> "list[tuple[Rows, Rows]]":
    """Cuts the rows that are not sealed into folds: stratified by class, groups kept whole.

    Args:
        rows: `Parts.training` of a study with folds, intp (m,).
        settings: number of folds, and the seed.
        classes: of all rows, int32 (n,); None for a regression.
        class_names: by code.
        groups: of all rows, int32 (n,), -1 where missing.

    Returns:
        For each fold the rows to train on and those to validate on, sorted; each row is validated
        on once.

    Raises:
        UsageError: there are fewer groups than folds, or a class of a single group.
    """
    import warnings

    import numpy as np
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    check(settings)
    assert settings.folds is not None
    asked = {"n_splits": settings.folds, "shuffle": True, "random_state": settings.seed}
    kinds = np.zeros(len(rows), np.int32) if classes is None else classes[rows]
    whole = None
    if groups is None:
        splitter = KFold(**asked) if classes is None else StratifiedKFold(**asked)
    else:
        whole = number_groups(groups)[rows]
        if (n_groups := len(np.unique(whole))) < settings.folds:
            raise UsageError(
                f'[data] group: column "{settings.group}" has {count_noun(n_groups, "value")} '
                f"outside the test set, allowed are {settings.folds} or more, one for each fold"
            )
        splitter = GroupKFold(**asked) if classes is None else StratifiedGroupKFold(**asked)
    with warnings.catch_warnings():  # of classes with fewer rows than folds, which groups make
        warnings.simplefilter("ignore")
        cut = list(splitter.split(rows, kinds, whole))
    for training, _ in cut:
        _check_trained(kinds, training, class_names, f"group {settings.group!r}")
    return [(rows[training], rows[validation]) for training, validation in cut]


def check(settings: DataSettings, has_test_set: bool = False) -> None:
    """Refuses settings of a split that contradict each other.

    Args:
        settings: of the study file.
        has_test_set: whether the data bring a test set.

    Raises:
        UsageError: the text says which.
    """
    if settings.group and settings.time:
        raise UsageError("[data] group, time: found both, allowed is one of them")
    if settings.folds and settings.time:
        raise UsageError(
            "[data] folds, time: found both, allowed is one of them: folds would train on what "
            "comes after the rows that they validate on"
        )
    if settings.folds and "validation" in settings.model_fields_set:
        raise UsageError(
            "[data] folds, validation: found both, allowed is one of them: with folds each row "
            "that is not of the test set is validated on"
        )
    if has_test_set and "test" in settings.model_fields_set:
        raise UsageError(
            f"[data] test: found {settings.test:g}, allowed is none: the data bring a test set"
        )
    if sum(_shares(settings, has_test_set)[1:]) >= 1:
        raise UsageError(
            f"[data] validation, test: found {settings.validation:g} and {settings.test:g}, "
            "allowed is less than 1 together: the rest is trained on"
        )


def say_split(
    parts: Parts,
    settings: DataSettings,
    *,
    stratified_by: str = "",
    n_test_set: int | None = None,
    example: str = "row",
) -> str:
    """Says how many rows are in which part, and what they were split by.

    Args:
        parts: as split.
        settings: by which.
        stratified_by: name of the target, if it has classes.
        n_test_set: size of the test set that the data bring.
        example: what one is called.
    """
    n_test = len(parts.test) if n_test_set is None else n_test_set
    test = f"{count_noun(n_test, f'test {example}')} (sealed)"
    if settings.folds:
        text = (
            f"split {count_noun(len(parts.training), example)} in {settings.folds} folds, {test}"
        )
    else:
        text = f"split {len(parts.training):,} training, {len(parts.validation):,} validation, "
        text += test
    if settings.time:
        return f"{text}, in the order of {settings.time}"
    if settings.group:
        text += f", no {settings.group} in two parts"
    return f"{text}, stratified by {stratified_by}" if stratified_by else text


def _too_few(classes: "Codes", fewest: int) -> "Rows":
    """Lists the codes of classes that have rows, but too few."""
    import numpy as np

    counts = np.bincount(classes)
    return np.flatnonzero((counts > 0) & (counts < fewest))


def _check_trained(classes: "Codes", training: "Rows", names: Sequence[str], by: str) -> None:
    import numpy as np

    untrained = np.setdiff1d(classes, classes[training])
    if len(untrained):
        listed = join_names([repr(names[code]) for code in untrained])
        raise UsageError(
            f"target: split by {by}, no training row is of class {listed}; allowed is that each "
            "class is trained on"
        )


def _check_times(times: "Numbers", fewest: int, each: str, settings: DataSettings) -> None:
    import numpy as np

    about = f'[data] time: column "{settings.time}"'
    if n_missing := int(np.isnan(times).sum()):
        raise UsageError(f"{about} is missing in {count_noun(n_missing, 'row')}, allowed is none")
    if (n_times := len(np.unique(times))) < fewest:
        raise UsageError(
            f"{about} has {count_noun(n_times, 'value')}, allowed are {fewest} or more, {each}"
        )


def number_groups(groups: "Codes") -> "Rows":
    """Numbers groups from 0; each row whose group is missing, -1, gets a number of its own."""
    import numpy as np

    numbers = groups.astype(np.int64)
    is_missing = groups < 0
    numbers[is_missing] = groups.max(initial=0) + 1 + np.arange(is_missing.sum())
    return np.unique(numbers, return_inverse=True)[1].astype(np.intp)


def _shares(settings: DataSettings, has_test_set: bool) -> tuple[float, float, float]:
    """Returns the shares of training, validation and test; 0 of a part that there is not."""
    validation = 0.0 if settings.folds else settings.validation
    test = 0.0 if has_test_set else settings.test
    return 1 - validation - test, validation, test


def _fewest(shares: Sequence[float], settings: DataSettings) -> tuple[int, str]:
    """Returns how many rows, groups or times there must be at least, and what for."""
    if settings.folds:
        n = settings.folds + (shares[2] > 0)
        return n, f"one for each of {settings.folds} folds{' and for test' * (shares[2] > 0)}"
    names = ("training", "validation", "test")
    there = [name for name, share in zip(names, shares, strict=True) if share]
    return len(there), f"one for each of {join_names(there)}"
