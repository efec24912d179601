import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks import record, record_on_gpu, record_seconds, recorded_curves
from benchmarks.recorded import surrogate_quality
from benchmarks.recorded.curve_components import NormalScores
from benchmarks.recorded.encoded_networks import ParameterCount
from pipeline.errors import UsageError
from pipeline.execution.replay import Curves
from pipeline.report.document import Table
from pipeline.study.hyperparameters import Hyperparameters

N_EPOCHS, N_NETWORKS, N_REPEATED, N_INPUTS = 12, 60, 12, 7
BEST_RATE, HIGHEST_RATE = 0.01, 0.06  # above the latter Adam's training breaks off here


def drawn(n: int, seed: int) -> list[Hyperparameters]:
    rng = np.random.default_rng(seed)
    layers = [tuple(rng.integers(8, 129, size=rng.integers(0, 4)).tolist()) for _ in range(n)]
    return [
        Hyperparameters(
            hidden_layers=len(units),
            units=units,
            optimizer=("adam", "rmsprop")[rng.integers(2)],
            learning_rate=float(10 ** rng.uniform(-4, -1)),
            batch_size=int(2 ** rng.integers(4, 8)),
            epochs=N_EPOCHS,
        )
        for units in layers
    ]


def breaks_off(given: Hyperparameters) -> bool:
    return given.optimizer == "adam" and given.learning_rate > HIGHEST_RATE


def level(given: Hyperparameters) -> float:
    """What a network reaches: the best ones have three layers and a rate of .01."""
    off = np.log10(given.learning_rate / BEST_RATE)
    return float(0.9 - 0.1 * off**2 - 0.05 * (3 - given.hidden_layers))


def n_parameters(given: Hyperparameters) -> int:
    widths = (N_INPUTS, *given.units, 4)
    return sum((a + 1) * b for a, b in pairwise(widths))


def trained(number: int, seed: int, given: Hyperparameters) -> dict[str, object]:
    rng = np.random.default_rng((number, seed))
    n = 3 if breaks_off(given) else N_EPOCHS
    accuracy = level(given) * (1 - np.exp(-np.arange(1, n + 1) / 3)) + rng.normal(0, 0.004, n)
    return {
        "network": number,
        "seed": seed,
        "n_parameters": n_parameters(given),
        "hyperparameters": given.as_dict(),
        "seconds": [0.5] + [0.1] * (n - 1),
        "val_accuracy": accuracy.round(5).tolist(),
        "val_loss": (1 - accuracy).round(5).tolist(),
        **({"failed": "val_loss became nan in epoch 4"} if breaks_off(given) else {}),
    }


NETWORKS = drawn(N_NETWORKS, 0)
ROWS = [trained(i, 0, given) for i, given in enumerate(NETWORKS)] + [
    trained(i, seed, NETWORKS[i]) for i in range(N_REPEATED) for seed in (1, 2)
]


def write(folder: Path, rows: Sequence[object]) -> None:
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    write(tmp_path, ROWS)
    return tmp_path


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> recorded_curves.Space:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("recorded")
        patch.setattr(record, "FOLDER", folder)
        write(folder, ROWS)
        return recorded_curves.Space(recorded_curves.read("table"))


def accuracy(curves: Curves) -> np.ndarray:
    return np.array(curves.metrics["val_accuracy"])


def test_a_recorded_network_has_the_curve_of_one_of_its_repeats(
    space: recorded_curves.Space,
) -> None:
    for row in ROWS:
        seed = int(str(row["seed"]))
        found = space.curves(NETWORKS[int(str(row["network"]))], seed)
        assert found.metrics.keys() == {"val_accuracy", "val_loss"}
        for name, values in found.metrics.items():
            assert list(values) == row[name]
        assert list(found.seconds[: found.n_epochs]) == row["seconds"]
        assert found.failed == row.get("failed", "")
        assert found.n_parameters == row["n_parameters"]
    assert space.curves(NETWORKS[0], 7) == space.curves(NETWORKS[0], 1)


def test_what_has_no_effect_does_not_make_another_network(space: recorded_curves.Space) -> None:
    given = replace(NETWORKS[0], nesterov=True, cutout=0)  # of SGD alone
    assert space.curves(given, 0) == space.curves(NETWORKS[0], 0)


def test_another_seed_of_a_network_with_one_repeat_is_near_and_not_the_same(
    space: recorded_curves.Space,
) -> None:
    given = next(each for each in NETWORKS[N_REPEATED:] if not breaks_off(each))
    first, other = (accuracy(space.curves(given, seed)) for seed in (0, 5))
    assert not np.array_equal(first, other)
    assert abs(first - other).mean() < 0.03


def test_an_unknown_network_has_one_plausible_curve_for_each_seed(
    space: recorded_curves.Space,
) -> None:
    for given in drawn(30, seed=1):
        found = space.curves(given, 3)
        assert found == space.curves(given, 3)
        n = found.n_epochs
        assert len(found.seconds) == n + bool(found.failed)
        assert n == (N_EPOCHS if not found.failed else 3)
        assert accuracy(found).shape == (n,)
        assert (accuracy(found) > 0).all()
        assert (accuracy(found) < 1).all()
        assert np.isfinite(found.metrics["val_loss"]).all()
        assert 0.25 < found.seconds[0] < 1
        assert list(found.seconds[1:]) == pytest.approx([0.1] * (len(found.seconds) - 1), rel=0.5)
        assert found.n_parameters == n_parameters(given)
        assert not np.array_equal(accuracy(found), accuracy(space.curves(given, 4)))


def test_unknown_networks_are_ranked_as_they_would_learn(space: recorded_curves.Space) -> None:
    unknown = [given for given in drawn(80, seed=2) if not breaks_off(given)]
    found = [accuracy(space.curves(given, 0))[-1] for given in unknown]
    assert spearmanr(found, [level(given) for given in unknown])[0] > 0.9


def test_unknown_networks_break_off_where_recorded_ones_did(space: recorded_curves.Space) -> None:
    unknown = drawn(200, seed=3)
    found = np.array([bool(space.curves(given, 0).failed) for given in unknown])
    true = np.array([breaks_off(given) for given in unknown])
    assert found[true].mean() > 0.6
    assert found[~true].mean() < 0.05


def test_seeds_of_unknown_networks_differ_as_those_of_recorded_ones(
    space: recorded_curves.Space,
) -> None:
    unknown = [given for given in drawn(60, seed=4) if not breaks_off(given)]
    seeds = [[accuracy(space.curves(given, s))[-1] for s in range(4)] for given in unknown]
    assert np.std(seeds, axis=1, ddof=1).mean() == pytest.approx(0.004, rel=0.5)


@pytest.mark.parametrize("given", [NETWORKS[0], drawn(1, seed=5)[0]])
def test_a_curve_is_cut_or_goes_on_at_its_level(
    space: recorded_curves.Space, given: Hyperparameters
) -> None:
    whole, cut, long = (
        space.curves(replace(given, epochs=n), 0) for n in (N_EPOCHS, 5, 2 * N_EPOCHS)
    )
    assert not whole.failed
    assert np.array_equal(accuracy(cut), accuracy(whole)[:5])
    assert cut.seconds == whole.seconds[:5]
    assert np.array_equal(accuracy(long)[:N_EPOCHS], accuracy(whole))
    assert len(long.seconds) == 2 * N_EPOCHS
    assert accuracy(long)[N_EPOCHS:].mean() == pytest.approx(accuracy(whole)[-1], abs=0.02)
    assert accuracy(long)[N_EPOCHS:].std() > 0


def test_training_that_is_cut_before_it_breaks_off_does_not(space: recorded_curves.Space) -> None:
    given = next(each for each in NETWORKS if breaks_off(each))
    assert space.curves(given, 0).failed
    assert not space.curves(replace(given, epochs=2), 0).failed


def test_training_that_broke_off_in_its_first_epoch_has_its_seconds_alone(
    recording: Path,
) -> None:
    about = {"network": 99, "seed": 0, "hyperparameters": drawn(1, seed=6)[0].as_dict()}
    write(recording, [*ROWS, {**about, "seconds": [], "failed": "val_loss became nan in epoch 1"}])
    space = recorded_curves.Space(recorded_curves.read("table"))
    found = space.curves(drawn(1, seed=6)[0], 0)
    assert found.failed
    assert (found.n_epochs, len(found.seconds)) == (0, 1)


def test_the_last_of_a_rows_seconds_are_those_of_all_later_epochs(recording: Path) -> None:
    rows = record_seconds.with_seconds(ROWS, {0: [0.7, 0.2], 1: [0.6]})
    write(recording, rows)
    networks = {each.given: each for each in recorded_curves.read("table")}
    found = [networks[recorded_curves._identity(each)].runs for each in NETWORKS[:3]]
    lengths = [len(runs[0].seconds) for runs in found]
    assert lengths == [run.n_epochs + bool(run.failed) for run, *_ in found]
    assert [list(runs[1].seconds) for runs in found[:2]] == [
        [0.7] + [0.2] * (lengths[0] - 1),
        [0.6] * lengths[1],
    ]
    assert list(found[2][0].seconds)[:N_EPOCHS] == ROWS[2]["seconds"]


def test_a_recorded_network_without_seconds_is_refused(recording: Path) -> None:
    write(recording, [*ROWS[:-1], {**ROWS[-1], "seconds": []}])
    with pytest.raises(UsageError, match="without seconds, allowed are some"):
        recorded_curves.read("table")


def test_a_row_of_a_training_on_a_gpu_ends_before_the_epoch_in_which_it_broke_off() -> None:
    curve = np.array([[0.5, 0.8, 0.4, 0.91234567], [0.4, 0.9, np.nan, 0.1], [np.nan] * 4])
    own = {"epochs": 3}
    whole, broken, never = (
        record_on_gpu._row(7, 1, own, 99, each) for each in (curve[:1], curve, curve[1:])
    )
    about = {"network": 7, "seed": 1, "hyperparameters": own, "seconds": []}
    values = {"loss": [0.5], "accuracy": [0.8], "val_loss": [0.4], "val_accuracy": [0.91235]}
    assert whole == {**about, "n_parameters": 99, **values}
    assert broken == {**whole, "failed": "val_loss became nan in epoch 2"}
    assert never == {**about, "failed": "val_loss became nan in epoch 1"}


def test_too_few_recorded_networks_are_refused(recording: Path) -> None:
    write(recording, ROWS[:3])
    recorded_curves._space.cache_clear()
    with pytest.raises(UsageError, match="found 3 recorded networks of table, allowed are"):
        recorded_curves.table(NETWORKS[0], 0)
    write(recording, ROWS)
    assert list(recorded_curves.table(NETWORKS[0], 0).seconds) == ROWS[0]["seconds"]
    recorded_curves._space.cache_clear()


def test_parameters_of_convolutional_networks_follow_from_a_few() -> None:
    rng = np.random.default_rng(0)
    given, counts = [], []
    for _ in range(80):
        units = tuple(rng.integers(4, 25, size=rng.integers(1, 4)).tolist())
        size, wide, has_norm = (
            int(rng.choice([3, 5])),
            int(rng.integers(0, 3)) * 32,
            bool(rng.integers(2)),
        )
        given.append(
            Hyperparameters(
                len(units),
                units,
                "adam",
                0.01,
                32,
                15,
                layer_kind="convolutional",
                kernel_size=size,
                dense_units=wide,
                batch_normalization=has_norm,
            )
        )
        widths = (1, *units)
        n = sum((size**2 * a + 1 + 2 * has_norm) * b for a, b in zip(widths, units, strict=False))
        n_left = (28 >> len(units)) ** 2 * units[-1]
        n += (n_left + 1 + 2 * has_norm) * wide if wide else 0
        counts.append(n + ((wide or n_left) + 1) * 10)
    count = ParameterCount(given[:50], counts[:50])
    assert [count(each) for each in given[50:]] == counts[50:]


def test_normal_scores_keep_what_many_share_and_stay_within_bounds() -> None:
    values = np.concatenate([np.full(300, 0.1), np.linspace(0.5, 0.9, 700)])
    scores = NormalScores(values)
    drawn = scores.values(np.random.default_rng(0).standard_normal(4000))
    assert np.isclose(drawn, 0.1).mean() == pytest.approx(0.3, abs=0.03)
    single = values[310:]  # those beside the shared one are near it, too
    assert scores.values(scores.of(single)) == pytest.approx(single, abs=1e-3)
    assert scores.values(scores.of(values[:1])) == pytest.approx(values[:1])
    assert 0.9 < scores.values(np.array(9.0)) < 1
    assert 0 < scores.values(np.array(-9.0)) <= 0.1 + 1e-9


def test_the_section_has_a_row_for_what_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surrogate_quality, "N_FOLDS", 3)
    section = surrogate_quality.measure(full=False)
    recorded, correlations, *_ = [each for each in section.blocks if isinstance(each, Table)]
    n_failed = str(sum(breaks_off(NETWORKS[int(str(row["network"]))]) for row in ROWS))
    assert recorded.rows[1][:5] == ["`table`", "60", "84", n_failed, "12"]
    (row,) = correlations.rows
    assert row[:2] == ["`table`", surrogate_quality.OURS]
    assert all(float(value) > 0.8 for value in row[3:6])
