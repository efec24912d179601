"""Weights, folds and targets of data of one's own, held against the file itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import mean_squared_error

from pipeline.data import datasets
from pipeline.errors import UsageError
from pipeline.preparation import cache
from pipeline.task.settings import DataSettings
from pipeline.task.source import DataSpec


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATA_DIR", str(tmp_path / "cache"))


def written(tmp_path: Path, table: pd.DataFrame) -> str:
    table.to_csv(tmp_path / "table.csv", index=False)
    return str(tmp_path / "table.csv")


def weighted_table(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    weights = np.round(rng.lognormal(0, 2, n), 3)
    return pd.DataFrame({"x": x, "w": weights, "y": 3 * x + rng.normal(size=n) * (1 + weights)})


def test_folds_have_the_weights_of_the_file(tmp_path: Path) -> None:
    """Each by its own mean, a fold of light rows would count as much as one of heavy ones."""
    data = DataSpec.of(written(tmp_path, weighted_table()), "y", DataSettings(weight="w", folds=4))
    members, examples = datasets.load_members(data), datasets.validation_sets(data)
    for member, each in zip(members, examples, strict=True):
        assert member.validation_weights is not None
        assert each.weights is not None
        np.testing.assert_allclose(member.validation_weights, each.weights, rtol=1e-6)
        assert member.train_weights is not None
        assert member.train_weights.mean() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("weight", ["", "w"])
def test_classes_weigh_in_the_loss_alone(tmp_path: Path, weight: str) -> None:
    table = weighted_table()
    table["y"] = np.where(np.arange(200) % 10 < 9, "common", "rare")
    settings = DataSettings(class_weights="balanced", weight=weight)
    data = datasets.load(DataSpec.of(written(tmp_path, table), "y", settings))
    assert data.train_weights is not None
    assert data.measured_weights is not None
    of_class = 1 / np.bincount(data.train_targets)[data.train_targets]
    ratio = data.train_weights / data.measured_weights / of_class
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    if not weight:
        assert (data.measured_weights == 1).all()
    assert (data.validation_weights is None) == (not weight)


@pytest.mark.parametrize("folds", [None, 3])
def test_groups_go_with_the_rows_on_which_is_measured(tmp_path: Path, folds: int | None) -> None:
    table = weighted_table()
    who = np.arange(200) // 4 % 37
    table["who"] = [f"c{each}" if each else "" for each in who]  # some of nobody
    settings = DataSettings(group="who", folds=folds)
    data = DataSpec.of(written(tmp_path, table), "y", settings)
    members, examples = datasets.load_members(data), datasets.validation_sets(data)
    seen = []
    for member, each in zip(members, examples, strict=True):
        assert member.validation_groups is not None
        assert each.groups is not None
        np.testing.assert_array_equal(member.validation_groups, each.groups)
        seen += each.groups.tolist()
    assert datasets.task_of(data).n_validation_groups == len({*seen})
    test = datasets.open_test_set(data)
    assert test.groups is not None
    assert not {*seen} & {*test.groups.tolist()}
    plain = datasets.load(DataSpec(data.dataset, "y"))
    assert (plain.validation_groups, plain.task.n_validation_groups) == (None, None)


def test_a_part_without_weight_is_refused(tmp_path: Path) -> None:
    table = weighted_table()
    table["when"] = np.arange(len(table))
    table.loc[120:159, "w"] = 0.0
    data = DataSpec.of(written(tmp_path, table), "y", DataSettings(weight="w", time="when"))
    with pytest.raises(UsageError, match=r"column 'w': all validation rows have the weight 0"):
        datasets.load(data)


def test_whole_answers_of_an_archive_may_be_numbers(tmp_path: Path) -> None:
    """Whatever the test set has of them: those of training are not all there are."""
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {
        "x": rng.normal(size=(300, 4)), "y": rng.integers(0, 10_000, 300),
        "x_test": rng.normal(size=(50, 4)), "y_test": rng.integers(0, 10_000, 50),
    }  # fmt: skip
    np.savez(tmp_path / "prices.npz", **arrays)
    data = DataSpec(str(tmp_path / "prices.npz"))
    assert datasets.task_of(data).is_regression
    np.testing.assert_array_equal(datasets.open_test_set(data).targets, arrays["y_test"])


def test_names_of_classes_may_be_numerals(tmp_path: Path) -> None:
    """As folders are that are called after the things in the pictures, or types that are set."""
    names = [f"{7 * i:03}" for i in range(12)]
    rng = np.random.default_rng(0)
    for name in names:
        (tmp_path / "parts" / name).mkdir(parents=True)
        for i in range(12):
            noise = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "parts" / name / f"{i}.png")
    x, y = rng.normal(size=(240, 4)), np.repeat(names, 20)
    np.savez(tmp_path / "texts.npz", x=x, y=y)
    np.savez(tmp_path / "hot.npz", x=x, y=(y[:, None] == names).astype(np.float32))
    table = written(tmp_path, pd.DataFrame({"x": x[:, 0], "y": y}))
    set_as_text = DataSpec.of(table, "y", DataSettings(types={"y": "category"}))
    for file in ("parts", "texts.npz"):
        assert datasets.task_of(DataSpec(str(tmp_path / file))).class_names == tuple(names)
    assert datasets.task_of(set_as_text).class_names == tuple(names)
    counted = datasets.task_of(DataSpec(str(tmp_path / "hot.npz"))).class_names
    assert counted == tuple(map(str, range(12)))
    ages = DataSpec.of(str(tmp_path / "parts"), "", DataSettings(task="regression"))
    assert datasets.task_of(ages).is_regression


def test_a_class_of_the_test_set_alone_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(2).normal(size=(60, 3))
    y = np.array(["a", "b"] * 30)
    np.savez(tmp_path / "own.npz", x=x, y=y, x_test=x[:3], y_test=np.array(["a", "b", "c"]))
    with pytest.raises(UsageError, match=r"found the class 'c' in the test set alone, allowed"):
        cache.prepare(DataSpec(str(tmp_path / "own.npz")))


def test_rmse_of_a_mean_is_the_files_own(tmp_path: Path) -> None:
    """Transformed and back, the targets are those of the file."""
    table = weighted_table()
    table["y"] = np.exp(table["y"] / 10)
    settings = DataSettings(target_transform="log")
    data = DataSpec.of(written(tmp_path, table), "y", settings)
    (examples,) = datasets.validation_sets(data)
    dataset = datasets.load(data)
    target = dataset.task.target
    restored = np.exp(dataset.validation_targets.astype(float) * target.scale + target.mean)
    assert mean_squared_error(examples.targets, restored) < 1e-10
