"""Splits by class, by group and by time; rows that stand in two parts."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.preparation import split, twins
from pipeline.preparation.split import Parts
from pipeline.task.settings import DataSettings

NAMES = [f"class {i}" for i in range(40)]


def settings(**given: object) -> DataSettings:
    return DataSettings.model_validate(given)


def assert_whole(parts: Parts, n: int) -> None:
    """Every row is in one part, and the parts are sorted."""
    together = np.concatenate([parts.training, parts.validation, parts.test])
    assert np.array_equal(np.sort(together), np.arange(n))
    for part in (parts.training, parts.validation, parts.test):
        assert np.all(np.diff(part) > 0)


def sizes(parts: Parts) -> list[int]:
    return [len(parts.training), len(parts.validation), len(parts.test)]


@pytest.mark.parametrize("n", [3, 4, 10, 101, 53_940])
def test_a_regression_is_split_by_the_shares(n: int) -> None:
    parts = split.split_rows(n, settings())
    assert_whole(parts, n)
    fifth = max(1, round(n / 5))
    assert sizes(parts) == [n - 2 * fifth, fifth, fifth]
    assert np.array_equal(parts.test, split.split_rows(n, settings()).test)
    if n > 100:
        assert not np.array_equal(parts.test, split.split_rows(n, settings(seed=1)).test)
        assert abs(parts.test.mean() / n - 0.5) < 0.15  # drawn from everywhere


@pytest.mark.parametrize("counts", [[900, 90, 10], [3, 3, 3], [7] * 40, [1, 3, 5000][1:], [0, 9]])
def test_each_class_is_in_every_part_by_its_share(counts: list[int]) -> None:
    classes = np.random.RandomState(3).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split.split_rows(
        len(classes), settings(test=0.15), classes=classes.astype(np.int32), class_names=NAMES
    )
    assert_whole(parts, len(classes))
    for part, share in ((parts.validation, 0.2), (parts.test, 0.15)):
        found = np.bincount(classes[part], minlength=len(counts))
        for of_class, all_of_class in zip(found, counts, strict=True):
            assert abs(of_class - share * all_of_class) < 1
            assert of_class > 0 or all_of_class == 0
        if min(counts) > 4:
            assert len(part) == round(share * len(classes))


def test_a_class_with_too_few_rows_is_named() -> None:
    classes = np.array([0] * 50 + [1] * 2, np.int32)
    with pytest.raises(UsageError) as refused:
        split.split_rows(52, settings(), classes=classes, class_names=["ham", "spam"])
    assert str(refused.value) == (
        "target: class 'spam' has 2 rows, allowed are 3 or more, one for each of training, "
        "validation and test: remove them, or join the class with another one"
    )
    with pytest.raises(UsageError, match=r'of a quantity set \[data\] task = "regression"$'):
        split.split_rows(52, settings(), classes=classes, class_names=["0", "7"])
    with pytest.raises(UsageError, match="one for each of 5 folds and for test"):
        split.split_rows(52, settings(folds=5), classes=classes, class_names=["ham", "spam"])
    split.split_rows(52, settings(), classes=classes, class_names=["a", "b"], has_test_set=True)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"validation": 0.6, "test": 0.5}, "found 0.6 and 0.5, allowed is less than 1"),
        ({"group": "who", "time": "when"}, "group, time: found both"),
        ({"folds": 3, "time": "when"}, "folds, time: found both"),
        ({"folds": 3, "validation": 0.3}, "folds, validation: found both"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, object], found: str) -> None:
    with pytest.raises(UsageError, match=found):
        split.split_rows(100, settings(**given))


def test_a_test_set_that_the_data_bring_is_not_taken_from_the_rows() -> None:
    parts = split.split_rows(100, settings(validation=0.3), has_test_set=True)
    assert_whole(parts, 100)
    assert sizes(parts) == [70, 30, 0]
    said = split.say_split(parts, settings(), n_test_set=1_000, example="image")
    assert said == "split 70 training, 30 validation, 1,000 test images (sealed)"
    with pytest.raises(UsageError, match=r"^\[data\] test: found 0.3, allowed is none: the data"):
        split.split_rows(100, settings(test=0.3), has_test_set=True)


# Folds


@pytest.mark.parametrize("counts", [[6, 6], [290, 150, 6], [300]])
def test_each_row_that_is_not_sealed_is_validated_on_once(counts: list[int]) -> None:
    classes = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    asked = settings(folds=5)
    parts = split.split_rows(len(classes), asked, classes=classes, class_names=NAMES)
    assert_whole(parts, len(classes))
    assert len(parts.validation) == 0
    folds = split.fold_rows(parts.training, asked, classes=classes)
    assert len(folds) == 5
    validated = np.concatenate([validation for _, validation in folds])
    assert np.array_equal(np.sort(validated), parts.training)
    for training, validation in folds:
        assert np.array_equal(np.union1d(training, validation), parts.training)
        assert len(np.intersect1d(training, validation)) == 0
        assert set(classes[validation]) == set(classes)  # stratified
    said = split.say_split(parts, asked, stratified_by="cut")
    n = len(parts.test)
    assert said == (
        f"split {len(parts.training)} rows in 5 folds, {n} test rows (sealed), stratified by cut"
    )


def test_folds_keep_groups_whole() -> None:
    rng = np.random.RandomState(0)
    groups = rng.randint(-1, 40, 400).astype(np.int32)
    for classes in (None, rng.randint(0, 3, 400).astype(np.int32)):
        asked = settings(folds=4, group="customer")
        parts = split.split_rows(400, asked, classes=classes, class_names=NAMES, groups=groups)
        for rows in (parts.test, *(v for _, v in split.fold_rows(
            parts.training, asked, classes=classes, groups=groups))):  # fmt: skip
            others = np.setdiff1d(np.arange(400), rows)
            assert not set(groups[rows]) & set(groups[others]) - {-1}
    few = np.array([0, 1, 2] * 20, np.int32)
    with pytest.raises(UsageError, match='"customer" has 3 values outside the test set'):
        split.fold_rows(np.arange(60), asked, groups=few)


# Groups


def group_sizes(kind: str, rng: np.random.RandomState) -> np.ndarray:
    return {
        "equal": np.full(200, 25),
        "skewed": np.ceil(rng.lognormal(1, 1.5, 500)).astype(int),
        "one giant": np.array([4000, *rng.randint(1, 30, 400)]),
        "three": np.array([50, 60, 70]),
        "two rows each": np.full(3000, 2),
    }[kind]


@pytest.mark.parametrize("kind", ["equal", "skewed", "one giant", "three", "two rows each"])
@pytest.mark.parametrize("is_classes", [False, True])
def test_groups_are_whole_and_near_the_shares(kind: str, is_classes: bool) -> None:
    rng = np.random.RandomState(5)
    each = group_sizes(kind, rng)
    groups = rng.permutation(np.repeat(np.arange(len(each)), each)).astype(np.int32)
    classes = (rng.uniform(size=len(groups)) < 0.1).astype(np.int32) if is_classes else None
    asked = settings(group="customer")
    parts = split.split_rows(len(groups), asked, classes=classes, class_names=NAMES, groups=groups)
    assert_whole(parts, len(groups))
    for first, second in itertools.combinations((parts.training, parts.validation, parts.test), 2):
        assert not set(groups[first]) & set(groups[second])
    tolerance = 0.2 if kind == "three" else 0.01
    for part in (parts.validation, parts.test):
        assert abs(len(part) / len(groups) - 0.2) < tolerance
        if classes is not None:
            assert abs(classes[part].mean() - classes.mean()) < (0.2 if kind == "three" else 0.03)
    said = split.say_split(parts, asked, stratified_by="cut" * is_classes)
    assert "(sealed), no customer in two parts" in said


def test_a_rare_class_in_few_groups_is_in_every_part() -> None:
    rng = np.random.RandomState(5)
    groups = np.repeat(np.arange(300), 10).astype(np.int32)
    classes = rng.randint(0, 2, 3000).astype(np.int32)
    for rare, some in ((2, (4, 77, 150)), (3, (9, 20, 140)), (4, (11, 12, 299))):
        classes[np.isin(groups, some) & (np.arange(3000) % 10 < 4)] = rare
    parts = split.split_rows(
        3000, settings(group="g"), classes=classes, class_names=NAMES, groups=groups
    )
    for part in (parts.training, parts.validation, parts.test):
        assert set(classes[part]) == {0, 1, 2, 3, 4}


def test_a_missing_group_is_a_group_of_its_own() -> None:
    groups = np.full(1000, -1, np.int32)
    groups[:30] = np.arange(30) // 10
    parts = split.split_rows(1000, settings(group="g"), groups=groups)
    assert sizes(parts) == [600, 200, 200]


def test_too_few_groups() -> None:
    with pytest.raises(UsageError) as refused:
        split.split_rows(9, settings(group="who"), groups=np.array([0, 1, 1] * 3, np.int32))
    assert str(refused.value) == (
        '[data] group: column "who" has 2 values, allowed are 3 or more, one for each of '
        "training, validation and test"
    )


# Time


def test_by_time_training_is_first_and_equal_times_stay_together() -> None:
    days = np.random.RandomState(1).randint(0, 365, 10_000).astype(np.float64)
    parts = split.split_rows(10_000, settings(time="date"), times=days)
    assert_whole(parts, 10_000)
    assert days[parts.training].max() < days[parts.validation].min()
    assert days[parts.validation].max() < days[parts.test].min()
    assert np.abs(np.array(sizes(parts)) / 10_000 - [0.6, 0.2, 0.2]).max() < 0.005
    assert split.say_split(parts, settings(time="date")).endswith("in the order of date")


@pytest.mark.parametrize("times", [[1, 2, 3], [5] * 90 + [6, 7], [1, 2] + [3] * 90, [4, 3, 2, 1]])
def test_each_part_has_a_time_of_its_own(times: Sequence[float]) -> None:
    known = np.array(times, np.float64)
    parts = split.split_rows(len(known), settings(time="t"), times=known)
    assert_whole(parts, len(known))
    assert min(sizes(parts)) > 0
    assert not set(known[parts.training]) & set(known[parts.validation])
    assert not set(known[parts.validation]) & set(known[parts.test])


def test_bad_times() -> None:
    times = np.arange(100.0)
    classes = (np.arange(100) > 70).astype(np.int32)
    with pytest.raises(UsageError, match="split by time 't', no training row is of class 'b'"):
        split.split_rows(100, settings(time="t"), classes=classes, class_names="ab", times=times)
    with pytest.raises(UsageError, match='column "t" has 2 values, allowed are 3 or more'):
        split.split_rows(100, settings(time="t"), times=times % 2)
    times[7] = np.nan
    with pytest.raises(UsageError, match='column "t" is missing in 1 row, allowed is none'):
        split.split_rows(100, settings(time="t"), times=times)


# Twins


def test_rows_that_stand_in_two_parts_are_counted_and_said() -> None:
    numbers = np.array([1.0, 2.0, np.nan, 1.0, -0.0, 0.0, np.nan, 3.0])
    codes = np.array([0, 1, 2, 0, 1, 1, 2, -1], np.int32)
    numbers[6] = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff")[0]  # another NaN
    hashes = twins.hash_rows([numbers, codes])
    assert [np.flatnonzero(hashes == each).tolist() for each in np.unique(hashes)] == sorted(
        [[0, 3], [1], [2, 6], [4, 5], [7]], key=lambda rows: hashes[rows[0]]
    )
    cut = np.array([0, 1, 2]), np.array([3, 4, 7])
    found = twins.count_twins(hashes, [cut], hashes[[5, 6]])
    assert found == {"validation": 1, "test": 1}
    assert twins.say_twins(found) == (
        "1 validation row and 1 test row have the same inputs as a training row: where that is "
        "no chance, the scores flatter"
    )
    assert twins.say_twins({"validation": 0, "test": 0}) == ""
    assert twins.count_twins(hashes, [cut], hashes[[0, 0, 7]])["test"] == 2


@pytest.mark.parametrize(("folds", "n"), [([[0, 3], [1, 2]], 0), ([[0, 1], [2, 3]], 2)])
def test_twins_in_one_fold_are_no_twins(folds: list[list[int]], n: int) -> None:
    """As where all of a group are alike, which is why they are kept on one side."""
    hashes = np.array([7, 8, 9, 7], np.uint64)
    splits = [(np.array(training), np.array(rest)) for training, rest in (folds, folds[::-1])]
    found = twins.count_twins(hashes, splits, hashes[:0])
    assert found == {"validation": n, "test": 0}


def test_a_part_of_one_class_is_refused() -> None:
    """Nothing could be told of a network there."""
    classes = np.array([0, 1] * 40 + [0] * 40, np.int32)
    with pytest.raises(UsageError, match=r"all test rows are of class 'no'; allowed is two"):
        split.split_rows(
            120,
            DataSettings(time="when"),
            classes=classes,
            class_names=("no", "yes"),
            times=np.arange(120.0),
        )


def test_columns_that_change_places_are_other_rows() -> None:
    first, second = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    hashes = twins.hash_rows([first, second])
    assert len(np.unique(hashes)) == 3
    assert (
        len(np.unique(twins.hash_rows([np.arange(300_000.0) % 1000, np.arange(3e5) // 1000])))
        == 300_000
    )


def test_pictures_are_compared_by_their_pixels() -> None:
    pictures = np.random.RandomState(0).randint(0, 256, (20, 9, 7, 3)).astype(np.uint8)
    pictures[13] = pictures[4]
    pictures[15] = pictures[4]
    pictures[15, 8, 6, 2] ^= 1
    hashes = twins.hash_examples(pictures)
    assert len(np.unique(hashes)) == 19
    assert hashes[13] == hashes[4] == twins.hash_examples(pictures[4:5])[0]
