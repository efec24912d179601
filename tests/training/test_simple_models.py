"""Simple models on scikit-learn's real data, held against scikit-learn called plainly."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import datasets as real
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.data import datasets
from pipeline.task.dataset import Dataset
from pipeline.task.features import Category, Features, Number
from pipeline.task.source import DataSpec
from pipeline.task.task import Kind, Target, Task
from pipeline.training import simple_models
from pipeline.training.job import EpochEnd, Finished, Job

Matrix = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    """Two that wait for each other take long where there is one."""
    with threadpool_limits(1):
        yield


def numbers(n: int, may_miss: Sequence[int] = ()) -> tuple[Number, ...]:
    return tuple(Number(f"n{i}", 0.0, 1.0, 0.0, i in may_miss, (-1.0, 1.0)) for i in range(n))


def table(
    inputs: Matrix, targets: NDArray[Any], task: Task, weights: Matrix | None = None
) -> Dataset:
    """A data set of which a quarter is for validation, not to be written to: as files are."""
    train, validation = train_test_split(np.arange(len(inputs)), test_size=0.25, random_state=3)
    train_inputs, validation_inputs = inputs[train], inputs[validation]
    for part in (train_inputs, validation_inputs):
        part.setflags(write=False)
    return Dataset(
        name="real",
        train_inputs=train_inputs,
        train_targets=targets[train],
        validation_inputs=validation_inputs,
        validation_targets=targets[validation],
        task=task,
        fingerprint="",
        train_weights=None if weights is None else weights[train],
        validation_weights=None if weights is None else weights[validation],
    )


def classes(load: Any, kind: Kind) -> Dataset:
    inputs, labels = load(return_X_y=True)
    inputs = ((inputs - inputs.mean(axis=0)) / inputs.std(axis=0)).astype(np.float32)
    names = tuple(map(str, range(labels.max() + 1)))
    width = inputs.shape[1]
    task = Task(kind, (width,), names, "float32", features=Features((), numbers(width)))
    return table(inputs, labels.astype(np.int32), task)


@pytest.fixture
def cancer() -> Dataset:
    return classes(real.load_breast_cancer, Kind.BINARY)


@pytest.fixture
def wine() -> Dataset:
    return classes(real.load_wine, Kind.MULTICLASS)


@pytest.fixture
def diabetes() -> Dataset:
    """With six ages as a category, in no order, and every fifth BMI missing: number 1 of 9."""
    inputs, progression = real.load_diabetes(return_X_y=True)
    bounds = np.quantile(inputs[:, 0], np.arange(1, 6) / 6)
    age = np.array([4, 2, 7, 3, 6, 5])[np.searchsorted(bounds, inputs[:, 0])]
    others = inputs[:, 1:]
    others = (others - others.mean(axis=0)) / others.std(axis=0)
    missing = np.arange(len(inputs)) % 5 == 0
    others[missing, 1] = 0.25  # as if that were the median
    encoded = np.column_stack([others, missing, age]).astype(np.float32)
    target = Target("progression", float(progression.mean()), float(progression.std()))
    features = Features((), numbers(9, may_miss=[1]), (Category("age", tuple("abcdef")),))
    task = Task(Kind.REGRESSION, (11,), (), "float32", None, None, None, features, target,
                loss="squared")  # fmt: skip
    standardised = ((progression - target.mean) / target.scale).astype(np.float32)
    return table(encoded, standardised, task)


def job(trainer: str, metric: str, seed: int = 0) -> Job:
    return Job(
        trial=3,
        data=DataSpec("real"),
        hyperparameters=None,
        seed=seed,
        metric=metric,
        direction="minimize",
        patience=1,
        trainer=trainer,
    )


def trained(
    patch: pytest.MonkeyPatch, trainer: str, metric: str, *members: Dataset, seed: int = 0
) -> tuple[EpochEnd, Finished]:
    patch.setattr(datasets, "load_members", lambda data: members)
    epoch, finished = simple_models.train(job(trainer, metric, seed))
    assert isinstance(epoch, EpochEnd)
    assert isinstance(finished, Finished)
    assert (epoch.trial, epoch.epoch, epoch.model, finished.trial) == (3, 1, None, 3)
    assert epoch.metrics["seconds"] > 0
    return epoch, finished


def of_classes(model: Any, data: Dataset) -> dict[str, float]:
    """What a fitted classifier of scikit-learn scores on either part."""
    found = {}
    for prefix, inputs, targets in (
        ("", data.train_inputs, data.train_targets),
        ("val_", data.validation_inputs, data.validation_targets),
    ):
        found[f"{prefix}accuracy"] = model.score(inputs, targets)
        clipped = np.clip(model.predict_proba(inputs), 1e-7, 1 - 1e-7)
        found[f"{prefix}loss"] = float(-np.log(clipped[np.arange(len(targets)), targets]).mean())
    return found


def agree(found: Mapping[str, float], expected: Mapping[str, float], rel: float = 1e-6) -> None:
    assert {name: found[name] for name in expected} == pytest.approx(dict(expected), rel=rel)


@pytest.mark.parametrize("name", ["cancer", "wine"])
def test_classes_score_as_scikit_learn_says(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = request.getfixturevalue(name)
    for trainer, model in (
        ("linear", LogisticRegression(max_iter=1_000)),
        ("gradient_boosting", HistGradientBoostingClassifier(random_state=0)),
    ):
        epoch, finished = trained(monkeypatch, trainer, "val_accuracy", data)
        expected = of_classes(model.fit(data.train_inputs, data.train_targets), data)
        agree(epoch.metrics, expected)
        assert set(epoch.metrics) == {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
        assert finished.scores == {f"train_{q}": epoch.metrics[q] for q in ("loss", "accuracy")}
        assert expected["val_accuracy"] > 0.9


def test_a_constant_answers_with_the_shares_of_the_training_part(
    monkeypatch: pytest.MonkeyPatch, wine: Dataset
) -> None:
    epoch, _ = trained(monkeypatch, "constant", "val_accuracy", wine)
    shares = np.bincount(wine.train_targets) / len(wine.train_targets)
    held = wine.validation_targets
    expected = {"val_loss": -np.log(shares[held]).mean(),
                "val_accuracy": (held == shares.argmax()).mean()}  # fmt: skip
    agree(epoch.metrics, expected)
    assert epoch.n_parameters == 3


@pytest.mark.parametrize("n_rare", [5, 33, 45, 60])
def test_a_constant_is_the_majority_whatever_classes_weigh(
    n_rare: int, monkeypatch: pytest.MonkeyPatch, cancer: Dataset
) -> None:
    """Balanced, all classes would be as frequent, and rounding would choose one of them."""
    few = np.concatenate([np.flatnonzero(cancer.train_targets == 1)[:n_rare],
                          np.flatnonzero(cancer.train_targets == 0)[:70]])  # fmt: skip
    targets = cancer.train_targets[few].astype(np.int32)
    balanced = (len(few) / (2 * np.bincount(targets)))[targets].astype(np.float32)
    data = dataclasses.replace(
        cancer, train_inputs=cancer.train_inputs[few], train_targets=targets,
        train_weights=balanced, train_counts=np.ones_like(balanced),
    )  # fmt: skip
    epoch, _ = trained(monkeypatch, "constant", "val_accuracy", data)
    assert epoch.metrics["accuracy"] == (targets == 0).mean()
    assert epoch.metrics["val_accuracy"] == (data.validation_targets == 0).mean()


def test_the_mean_of_a_target_on_a_logarithmic_scale_is_its_own(
    monkeypatch: pytest.MonkeyPatch, diabetes: Dataset
) -> None:
    numbers = (
        np.exp(diabetes.train_targets.astype(float)),
        np.exp(diabetes.validation_targets.astype(float)),
    )
    task = dataclasses.replace(diabetes.task, target=Target("y", transform="log"))
    data = dataclasses.replace(diabetes, task=task)
    epoch, _ = trained(monkeypatch, "constant", "val_rmse", data)
    expected = np.sqrt(((numbers[1] - numbers[0].mean()) ** 2).mean())
    agree(epoch.metrics, {"val_rmse": expected}, rel=1e-5)


@pytest.mark.parametrize(
    ("metric", "of"),
    [("val_roc_auc", lambda y, p: metrics.roc_auc_score(y, p)),
     ("val_balanced_accuracy", lambda y, p: metrics.balanced_accuracy_score(y, p > 0.5))],
)  # fmt: skip
def test_the_metric_of_the_study_is_scored_with_its_error(
    metric: str, of: Any, monkeypatch: pytest.MonkeyPatch, cancer: Dataset
) -> None:
    epoch, _ = trained(monkeypatch, "linear", metric, cancer)
    plain = LogisticRegression(max_iter=1_000).fit(cancer.train_inputs, cancer.train_targets)
    answers = plain.predict_proba(cancer.validation_inputs)[:, 1]
    agree(epoch.metrics, {metric: of(cancer.validation_targets, answers)})
    assert epoch.metrics[f"{metric}_se"] > 0


def as_scikit_learn_wants_it(data: Dataset, trainer: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The numbers and the age of diabetes: one-hot, or with NaN and without the indicator."""
    parts = []
    one_hot = OneHotEncoder(sparse_output=False).fit(data.train_inputs[:, 10:])
    for inputs in (data.train_inputs, data.validation_inputs):
        if trainer == "linear":
            parts.append(np.hstack([inputs[:, :10], one_hot.transform(inputs[:, 10:])]))
        else:
            seen = np.delete(inputs, 9, axis=1)
            seen[inputs[:, 9] == 1, 1] = np.nan
            parts.append(seen)
    return parts[0], parts[1]


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber"])
@pytest.mark.parametrize(
    ("trainer", "model"),
    [("linear", Ridge()),
     ("gradient_boosting",
      HistGradientBoostingRegressor(random_state=0, categorical_features=[9]))],
)  # fmt: skip
def test_a_regression_scores_in_its_own_units(
    trainer: str, model: Any, loss: Any, monkeypatch: pytest.MonkeyPatch, diabetes: Dataset
) -> None:
    data = dataclasses.replace(diabetes, task=dataclasses.replace(diabetes.task, loss=loss))
    epoch, finished = trained(monkeypatch, trainer, "val_mae", data)
    train, validation = as_scikit_learn_wants_it(data, trainer)
    model.fit(train, data.train_targets)
    answers, target = model.predict(validation), data.task.target
    truth, said = (v * target.scale + target.mean for v in (data.validation_targets, answers))
    off = np.abs(answers - data.validation_targets)
    losses = {"squared": off**2, "absolute": off,
              "huber": np.where(off <= 1, off**2 / 2, off - 0.5)}  # fmt: skip
    expected = {
        "val_mae": metrics.mean_absolute_error(truth, said),
        "val_rmse": metrics.root_mean_squared_error(truth, said),
        "val_r2": metrics.r2_score(truth, said),
        "val_loss": losses[loss].mean(),
    }
    agree(epoch.metrics, expected, rel=1e-3)  # a sparse matrix has another solver
    assert 40 < expected["val_mae"] < 60
    assert set(finished.scores) == {f"train_{name}" for name in ("loss", "mae", "rmse", "r2")}
    known = (data.train_targets, model.predict(train))
    in_units = (values * target.scale + target.mean for values in known)
    agree(finished.scores, {"train_mae": metrics.mean_absolute_error(*in_units)}, rel=1e-3)
    measured = {*(f"{each}{end}" for each in expected for end in ("", "_se"))} - {"val_loss_se"}
    assert set(epoch.metrics) == {"loss", "seconds", *measured}


@pytest.mark.parametrize(("loss", "of"), [("squared", np.mean), ("absolute", np.median)])
def test_a_constant_number_is_the_one_of_least_loss(
    loss: Any, of: Any, monkeypatch: pytest.MonkeyPatch, diabetes: Dataset
) -> None:
    data = dataclasses.replace(diabetes, task=dataclasses.replace(diabetes.task, loss=loss))
    epoch, _ = trained(monkeypatch, "constant", "val_mae", data)
    off = np.abs(data.validation_targets - of(data.train_targets)) * data.task.target.scale
    agree(epoch.metrics, {"val_mae": off.mean()}, rel=1e-5)


@pytest.mark.parametrize("trainer", ["constant", "linear", "gradient_boosting"])
def test_weights_count_in_fitting_and_scoring(
    trainer: str, monkeypatch: pytest.MonkeyPatch, wine: Dataset
) -> None:
    """Rows with weight 0 are as if they were not there."""
    kept = [np.arange(len(y)) % 3 > 0 for y in (wine.train_targets, wine.validation_targets)]
    weighted = dataclasses.replace(
        wine,
        train_weights=kept[0].astype(np.float32),
        validation_weights=kept[1].astype(np.float32),
    )
    fewer = dataclasses.replace(
        wine,
        train_inputs=wine.train_inputs[kept[0]],
        train_targets=wine.train_targets[kept[0]],
        validation_inputs=wine.validation_inputs[kept[1]],
        validation_targets=wine.validation_targets[kept[1]],
    )
    found, _ = trained(monkeypatch, trainer, "val_accuracy", weighted)
    expected, _ = trained(monkeypatch, trainer, "val_accuracy", fewer)
    plain, _ = trained(monkeypatch, trainer, "val_accuracy", wine)
    if trainer == "gradient_boosting":  # counts the rows of a leaf, whatever they weigh
        assert found.metrics["loss"] != plain.metrics["loss"]
    else:
        names = ("loss", "val_loss", "val_accuracy")
        agree(found.metrics, {name: expected.metrics[name] for name in names}, rel=1e-3)


def test_members_are_fitted_apart_and_scored_at_once(
    monkeypatch: pytest.MonkeyPatch, diabetes: Dataset
) -> None:
    """Each with a target of its own, as each member's training part has another mean."""
    inputs, progression = diabetes.train_inputs, diabetes.train_targets * 77.0 + 152.0
    members, truth, said, losses, off = [], [], [], [], []
    for train, held in KFold(3).split(inputs):
        mean, scale = float(progression[train].mean()), float(progression[train].std())
        targets = ((progression - mean) / scale).astype(np.float32)
        task = dataclasses.replace(diabetes.task, target=Target("", mean, scale), n_folds=3)
        members.append(Dataset("real", inputs[train], targets[train], inputs[held],
                               targets[held], task, ""))  # fmt: skip
        seen, new = as_scikit_learn_wants_it(members[-1], "linear")
        plain = Ridge().fit(seen, targets[train])
        losses.append(((plain.predict(seen) - targets[train]) ** 2).mean())
        answers = plain.predict(new)
        off.append(answers - targets[held])
        said.append(answers * scale + mean)
        truth.append(progression[held])
    epoch, _ = trained(monkeypatch, "linear", "val_r2", *members)
    expected = {
        "val_r2": metrics.r2_score(np.concatenate(truth), np.concatenate(said)),
        "val_loss": (np.concatenate(off) ** 2).mean(),
        "loss": float(np.mean(losses)),
    }
    agree(epoch.metrics, expected, rel=1e-3)


def test_pictures_are_flattened_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, labels = real.load_digits(return_X_y=True)
    pixels = (pictures.reshape(-1, 8, 8) * 15).astype(np.uint8)
    task = Task(Kind.MULTICLASS, (8, 8), tuple("0123456789"))
    data = table(pixels, labels.astype(np.uint8), task)
    epoch, _ = trained(monkeypatch, "linear", "val_accuracy", data)
    plain = LogisticRegression(max_iter=1_000).fit(
        data.train_inputs.reshape(-1, 64) / np.float32(255), data.train_targets
    )
    held = data.validation_inputs.reshape(-1, 64) / np.float32(255)
    agree(epoch.metrics, {"val_accuracy": plain.score(held, data.validation_targets)})
    assert epoch.n_parameters == 64 * 10 + 10
    trees, _ = trained(monkeypatch, "gradient_boosting", "val_accuracy", data)
    assert trees.metrics["val_accuracy"] > 0.9


@pytest.mark.parametrize("trainer", ["linear", "gradient_boosting"])
def test_arrays_of_more_dimensions_are_flattened(
    trainer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are standardised as if they were one number, and have no columns of a table."""
    pictures, labels = real.load_digits(return_X_y=True)
    inputs = ((pictures.reshape(-1, 8, 8) - 5) / 6).astype(np.float32)
    task = Task(Kind.MULTICLASS, (8, 8), tuple("0123456789"), "float32",
                features=Features((), numbers(1)))  # fmt: skip
    epoch, _ = trained(monkeypatch, trainer, "val_accuracy", table(inputs, labels, task))
    assert epoch.metrics["val_accuracy"] > 0.95


def test_a_line_through_logarithms_answers_within_what_was_seen(
    monkeypatch: pytest.MonkeyPatch, diabetes: Dataset
) -> None:
    """Else one row far out decides the score: e to the power of what it is answered."""
    inputs = diabetes.validation_inputs.copy()
    inputs[0, 1] = 1_000
    target = dataclasses.replace(diabetes.task.target, mean=0.0, scale=1.0, transform="log")
    task = dataclasses.replace(diabetes.task, target=target)
    data = dataclasses.replace(diabetes, validation_inputs=inputs, task=task)
    epoch, _ = trained(monkeypatch, "linear", "val_rmse", data)
    assert epoch.metrics["val_rmse"] < np.exp(diabetes.train_targets.max())


@pytest.mark.parametrize("trainer", ["constant", "linear", "gradient_boosting"])
def test_a_class_that_training_lacks_and_codes_never_seen(
    trainer: str, monkeypatch: pytest.MonkeyPatch, wine: Dataset
) -> None:
    """Of a category with more codes than trees can take apart, too."""
    vocabulary = tuple(map(str, range(300)))
    features = Features((), numbers(13), (Category("a", ("x",)), Category("b", vocabulary)))
    task = dataclasses.replace(wine.task, input_shape=(15,), features=features)
    seen = wine.train_targets != 0

    def with_codes(inputs: Any, a: int, n: int) -> Matrix:
        codes = [np.full(len(inputs), a), 2 + np.arange(len(inputs)) % n]
        return np.column_stack([inputs, *codes]).astype(np.float32)

    data = dataclasses.replace(
        wine,
        train_inputs=with_codes(np.tile(wine.train_inputs[seen], (4, 1)), 2, 280),
        train_targets=np.tile(wine.train_targets[seen], 4),
        validation_inputs=with_codes(wine.validation_inputs, 0, 300),
        task=task,
    )
    epoch, _ = trained(monkeypatch, trainer, "val_accuracy", data)
    known = data.validation_targets != 0
    if trainer != "constant":
        assert epoch.metrics["val_accuracy"] == pytest.approx(known.mean(), abs=0.05)
    assert epoch.metrics["val_loss"] > -np.log(1e-7) * (~known).mean()


def test_it_works_on_one_core(monkeypatch: pytest.MonkeyPatch, wine: Dataset) -> None:
    threads: list[int] = []

    class Watched(HistGradientBoostingClassifier):  # type: ignore[misc]
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            threads.extend(pool["num_threads"] for pool in threadpool_info())
            return super().fit(*args, **kwargs)

    monkeypatch.setattr(simple_models, "HistGradientBoostingClassifier", Watched)
    with threadpool_limits(2):
        trained(monkeypatch, "gradient_boosting", "val_accuracy", wine)
    assert set(threads) == {1}


def test_the_seed_decides_how_trees_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than 10,000 rows they keep a tenth back, drawn by the seed."""
    inputs, labels = real.load_breast_cancer(return_X_y=True)
    many = np.tile(inputs, (25, 1)).astype(np.float32)[:, :4]
    task = Task(Kind.BINARY, (4,), ("0", "1"), "float32", features=Features((), numbers(4)))
    data = table(many, np.tile(labels, 25).astype(np.int32), task)
    losses = [
        trained(monkeypatch, "gradient_boosting", "val_accuracy", data, seed=seed)[0].metrics
        for seed in (1, 1, 2)
    ]
    first, again, other = (each["val_loss"] for each in losses)
    assert first == again != other


@pytest.mark.parametrize("trainer", ["constant", "linear", "gradient_boosting"])
def test_numbers_have_weights_too(
    trainer: str, monkeypatch: pytest.MonkeyPatch, diabetes: Dataset
) -> None:
    weights = np.linspace(0.1, 4, len(diabetes.train_inputs), dtype=np.float32)
    weighted = dataclasses.replace(diabetes, train_weights=weights)
    found, _ = trained(monkeypatch, trainer, "val_rmse", weighted)
    plain, _ = trained(monkeypatch, trainer, "val_rmse", diabetes)
    assert found.metrics["val_rmse"] != plain.metrics["val_rmse"]
    if trainer == "linear":
        train, validation = as_scikit_learn_wants_it(diabetes, trainer)
        model = Ridge().fit(train, diabetes.train_targets, sample_weight=weights)
        off = (
            model.predict(validation) - diabetes.validation_targets
        ) * diabetes.task.target.scale
        agree(found.metrics, {"val_rmse": np.sqrt((off**2).mean())}, rel=1e-3)
