"""Freeze-thaw: the model of curves, how networks become numbers, and what is decided by both."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import norm, rankdata
from scripted import make_spec

from pipeline.search import pausing
from pipeline.search.curve_model import CurveModel, Points
from pipeline.search.equal_curves import EqualCurves
from pipeline.search.freeze_thaw import FreezeThaw
from pipeline.search.known_curves import KnownCurves
from pipeline.search.laboratory import VirtualSearch, search_in_virtual_time
from pipeline.search.neighbours import at_random, near
from pipeline.search.policy import Begin, Choice, GoOn, Left, Policy, Seen, Stage
from pipeline.search.space_encoding import SpaceEncoding
from pipeline.search.standardised import standardised
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.space import check_params, params_of
from pipeline.study.spec import StudySpec

EPOCHS = 20
SPACE = {
    "hidden_layers": {"type": "int", "low": 0, "high": 3},
    "units": {"type": "int", "low": 8, "high": 256, "log": True, "per": "hidden_layers"},
    "activation": {
        "type": "categorical", "choices": ["relu", "tanh"], "when": {"hidden_layers": [1, 2, 3]},
    },
    "dropout": {
        "type": "float", "low": 0.0, "high": 0.5, "step": 0.1, "when": {"hidden_layers": [2, 3]},
    },
    "batch_size": {"type": "categorical", "choices": [32, 64, 128]},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "epochs": {"type": "int", "low": 5, "high": EPOCHS, "step": 5},
}  # fmt: skip


def spec_of(sampler: str = "FreezeThawSampler", seed: int = 1) -> StudySpec:
    return make_spec(
        fixed={"optimizer": "adam"},
        space=SPACE,
        finals=False,
        budget={"minutes": 1},
        sampler={"type": sampler, "seed": seed},
    )


def curves(given: Hyperparameters, seed: int) -> Mapping[str, Any]:
    """Networks that learn the better, and the faster, the nearer their rate is to .003."""
    away = abs(math.log10(given.learning_rate / 0.003))
    size = sum(given.units) / 768
    top, speed = 0.9 - 0.08 * away - 0.05 * (1 - size) - 0.1 * given.dropout, 0.9 - 0.3 * away
    noise = np.random.default_rng(seed).normal(0, 0.002, EPOCHS)
    values = top - 0.4 * np.arange(1, EPOCHS + 1) ** -max(speed, 0.1) + noise
    return {"val_accuracy": values.tolist(), "seconds": [1.0] * EPOCHS}


def points(n: int, width: int, rng: np.random.Generator) -> Points:
    return Points(rng.random((n, width)), rng.random(n), rng.integers(0, n // 3, n))


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    model, known, y = CurveModel(3), points(25, 3, rng), rng.standard_normal(25)
    theta = model.theta + rng.normal(0, 0.3, len(model.theta))
    _, gradient = model._loss(theta, known, y)
    wanted = approx_fprime(theta, lambda t: model._loss(t, known, y)[0], 1e-6)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-3, atol=1e-3)


def test_a_curve_that_has_begun_says_more_of_its_end_than_of_others() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((40, 2))
    steps = np.array([0.0, 0.4, 0.7, 1.0])
    ends = 2 * x[:, 0] + rng.normal(0, 0.3, 40)  # what no hyperparameter tells
    known = Points(np.repeat(x, 4, axis=0), np.tile(steps, 40), np.repeat(np.arange(40), 4))
    y = (ends[:, None] - 1.5 * (1 - steps)).ravel()
    kept = np.array([i for i in range(160) if i < 120 or i % 4 < 2])  # the last ten have begun
    mean, deviation = y[kept].mean(), y[kept].std()
    model = CurveModel(2)
    model.tune(known[kept], (y[kept] - mean) / deviation, n_steps=30)
    model.learn(known[kept], (y[kept] - mean) / deviation)
    asked = Points(x[30:], np.ones(10), np.arange(30, 40))
    means, begun = model.foresee(asked)
    assert np.corrcoef(means, ends[30:])[0, 1] > 0.9
    _, unknown = model.foresee(Points(x[30:], np.ones(10), np.arange(-10, 0)))
    assert (begun < unknown).all()


def test_networks_become_numbers_from_0_to_1_that_tell_them_apart() -> None:
    spec, rng = spec_of(), np.random.default_rng(0)
    encode = SpaceEncoding(spec.searched, ("epochs",))
    drawn = [at_random(spec.searched, rng) for _ in range(200)]
    rows = np.array([encode(given) for given in drawn])
    assert rows.shape == (200, 1 + 3 + 2 + 1 + 1 + 1)
    assert ((rows >= 0) & (rows <= 1)).all()
    assert (rows.std(axis=0) > 0.05).all()
    low = Hyperparameters.from_mapping(
        {"hidden_layers": 0, "units": [], "optimizer": "adam", "learning_rate": 1e-4,
         "batch_size": 32, "epochs": 5}
    )  # fmt: skip
    assert encode(low).tolist() == [0, *[0.5] * 6, 0, 0]


def test_one_width_for_all_layers_is_a_number() -> None:
    units = {"type": "int", "low": 16, "high": 256, "log": True}
    layers = {"type": "int", "low": 0, "high": 2}
    fixed = {"optimizer": "adam", "batch_size": 32, "epochs": 3, "learning_rate": 0.01}
    spec = make_spec(fixed=fixed, space={"hidden_layers": layers, "units": units})
    encode = SpaceEncoding(spec.searched)
    rng = np.random.default_rng(0)
    drawn = [at_random(spec.searched, rng) for _ in range(30)]
    assert {len(given.units) for given in drawn} == {0, 1, 2}
    for given in drawn:
        width = math.log(given.units[0] / 16) / math.log(16) if given.units else 0.5
        assert encode(given)[1] == pytest.approx(width)
        assert near(spec.searched, params_of(spec.searched, given), rng).batch_size


def test_what_is_drawn_is_in_the_space_and_neighbours_are_near() -> None:
    spec, rng = spec_of(), np.random.default_rng(0)
    encode = SpaceEncoding(spec.searched)
    other = at_random(spec.searched, rng)
    distances = []
    for is_near in (False, True):
        drawn = [
            near(spec.searched, params_of(spec.searched, other), rng)
            if is_near
            else at_random(spec.searched, rng)
            for _ in range(200)
        ]
        for given in drawn:
            check_params(spec.searched, params_of(spec.searched, given))
            assert spec.searched.entries["dropout"].contains(given.dropout) or not given.dropout
        rows = [encode(given) for given in drawn]
        distances.append(np.median([np.linalg.norm(row - encode(other)) for row in rows]))
    assert distances[1] < 0.6 * distances[0]
    assert len({str(given) for given in drawn}) > 100


def found(sampler: str, seed: int) -> VirtualSearch:
    return search_in_virtual_time(spec_of(sampler, seed), curves)


def test_it_finds_better_networks_than_random_search_in_the_same_time() -> None:
    best = {
        sampler: [
            found(sampler, seed).improvements("val_accuracy", "maximize")[-1][1]
            for seed in range(2)
        ]
        for sampler in ("FreezeThawSampler", "RandomSampler")
    }
    assert np.mean(best["FreezeThawSampler"]) > np.mean(best["RandomSampler"]) + 0.002


def test_the_same_seed_decides_the_same_and_another_something_else() -> None:
    first, second, other = (found("FreezeThawSampler", seed) for seed in (1, 1, 2))
    assert [t.history for t in first.trials] == [t.history for t in second.trials]
    assert [t.history for t in first.trials] != [t.history for t in other.trials]
    assert {trial.state for trial in first.trials} == {"PRUNED", "COMPLETE"}
    n_epochs = [trial.n_epochs for trial in first.trials]
    assert np.median(n_epochs) < EPOCHS / 2
    assert max(n_epochs) == EPOCHS


def with_a_slow_first_epoch(given: Hyperparameters, seed: int) -> Mapping[str, Any]:
    seconds = 0.2 + 0.1 * np.random.default_rng(seed).random(EPOCHS)
    seconds[0] += 1.0
    return {**curves(given, seed), "seconds": seconds.tolist()}


@dataclass
class Reborn:
    """Decides as a policy that has been killed since, and knows what was noted alone."""

    make: Callable[[], Policy | None]
    memory: Mapping[str, Any] = field(default_factory=dict)

    def anew(self) -> Policy:
        policy = self.make()
        assert policy
        policy.memory = json.loads(json.dumps(self.memory))
        return policy

    def rungs(self, epochs: int) -> tuple[int, ...]:
        return self.anew().rungs(epochs)

    def choose(self, seen: Mapping[int, Seen], left: Left) -> Choice | None:
        policy = self.anew()
        choice = policy.choose(dict(sorted(seen.items())), left)
        self.memory = policy.memory
        return choice

    def goes_on(self, number: int, seen: Mapping[int, Seen], left: Left) -> bool:
        policy = self.anew()
        goes_on = policy.goes_on(number, dict(sorted(seen.items())), left)
        self.memory = policy.memory
        return goes_on


def test_who_is_killed_before_every_decision_decides_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, build = spec_of(seed=3), pausing.build_policy
    expected = search_in_virtual_time(spec, with_a_slow_first_epoch).trials
    monkeypatch.setattr(pausing, "build_policy", lambda spec: Reborn(lambda: build(spec)))
    found = search_in_virtual_time(spec, with_a_slow_first_epoch).trials
    assert [(t.pauses, t.history) for t in found] == [(t.pauses, t.history) for t in expected]
    assert len(expected) > 20, "the model was tuned more than once"


def test_numbers_of_trials_that_were_interrupted_change_no_decision() -> None:
    curves = [seen([0.5 + 0.01 * i] * 4, 0.001 * (i + 1), Stage.PAUSED) for i in range(12)]
    chosen = []
    for numbers in (range(12), [*range(3), *range(4, 13)]):
        policy = FreezeThaw(spec_of().searched, "maximize", seed=0, n_startup=20)
        known = dict(zip(numbers, curves, strict=True))
        chosen.append(policy.choose(known, Left(may_begin=True)))
    assert chosen[0] == chosen[1]


def test_a_trial_that_is_run_again_is_no_repeat_of_itself() -> None:
    spec = spec_of()
    known = KnownCurves(SpaceEncoding(spec.searched), "maximize", EPOCHS)
    other, broken = (seen([0.1, 0.5 + rate], rate, Stage.RUNNING) for rate in (0.01, 0.02))
    known.take_in({0: other, 1: broken})
    known.take_in({0: other, 2: broken})
    assert list(known) == [0, 2]
    assert known.n_epochs == 4
    assert not known.equal.repeats(2)


def seen(values: list[float], rate: float, stage: Stage) -> Seen:
    given = Hyperparameters.from_mapping(
        {"hidden_layers": 0, "units": [], "optimizer": "adam", "learning_rate": rate,
         "batch_size": 32, "epochs": EPOCHS}
    )  # fmt: skip
    return Seen(given, values, [1.0] * len(values), stage)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_what_is_promising_goes_on_and_what_is_hopeless_ends_the_search(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    policy = FreezeThaw(spec_of().searched, direction, seed=0, n_startup=2)
    ended = {
        i: seen([sign * (0.6 + 0.005 * e) for e in range(EPOCHS)], 0.001 * (i + 1), Stage.ENDED)
        for i in range(4)
    }
    low = seen([sign * 0.3, sign * 0.31, sign * 0.32], 0.05, Stage.PAUSED)
    high = seen([sign * 0.68, sign * 0.69, sign * 0.7], 0.002, Stage.PAUSED)
    hopeless, late = {**ended, 4: low}, {**ended, 4: low, 5: high}

    def choose(known: Mapping[int, Seen], may_begin: bool, seconds: float) -> Choice | None:
        return policy.choose(known, Left(may_begin, seconds))

    assert choose(late, False, math.inf) == GoOn(5)
    assert choose(late, True, 5.0) == GoOn(5), "none that begins could come to its end"
    assert choose(hopeless, False, math.inf) is None
    assert isinstance(choose(hopeless, True, math.inf), Begin)
    assert isinstance(choose(hopeless, True, 5.0), Begin)
    assert choose({}, False, math.inf) is None


@pytest.mark.parametrize("paused_after", [0, 2])
def test_what_went_on_for_less_than_it_took_to_begin_goes_on(paused_after: int) -> None:
    policy = FreezeThaw(spec_of().searched, "maximize", seed=0, n_startup=2)
    ended = [0.6 + 0.005 * e for e in range(EPOCHS)]
    known = {i: seen(ended, 0.001 * (i + 1), Stage.ENDED) for i in range(4)}
    low = seen([0.3, 0.31, 0.32], 0.05, Stage.RUNNING)
    known[4] = replace(low, seconds=[0.2] * 3, paused_after=paused_after)
    assert policy.goes_on(4, known, Left(may_begin=False)) == bool(paused_after)


def test_a_network_that_failed_is_no_reason_to_stop() -> None:
    policy = FreezeThaw(spec_of().searched, "maximize", seed=0, n_startup=2)
    failed = seen([], 0.1, Stage.ENDED)
    known = {0: failed, 1: failed, 2: failed}
    assert isinstance(policy.choose(known, Left(may_begin=True)), Begin)
    known[3] = seen([0.5, 0.6], 0.001, Stage.PAUSED)
    assert policy.choose(known, Left(may_begin=True)) is not None


def test_what_is_far_below_does_not_stretch_the_scale_of_the_good_ones() -> None:
    values = np.array([0.10, 0.11, 0.80, 0.85, 0.88, 0.89, 0.90, math.nan])
    scale = standardised(values)
    assert (np.diff(scale[:-1]) > 0).all()
    assert scale[-1] < scale[0] + 1e-9, "what failed is as bad as the worst"
    assert scale.mean() == pytest.approx(0)
    assert scale.std() == pytest.approx(1)
    worse = values.copy()
    worse[:2] = -1e6, -1e5
    np.testing.assert_allclose(standardised(worse), scale, atol=1e-9)


def test_equal_values_have_the_mean_of_their_ranks() -> None:
    values = np.array([0.9, np.nan, 0.5, 0.1, 0.5])
    ranks, known = rankdata([0.9, -np.inf, 0.5, 0.1, 0.5]), np.array([0.9, 0.1, 0.5, 0.1, 0.5])
    both = norm.ppf((ranks - 0.5) / 5) + (known - known.mean()) / known.std()
    np.testing.assert_allclose(standardised(values), (both - both.mean()) / both.std(), atol=1e-12)


def test_in_a_table_of_which_the_nearest_answers_repeats_are_known_by_their_curves() -> None:
    rng = np.random.default_rng(0)
    table, recorded = rng.random((40, 2)), rng.random((40, 2))
    equal = EqualCurves()
    rows = rng.random((120, 2))
    answered = [int(((table - row) ** 2).sum(axis=1).argmin()) for row in rows]
    for number, (row, k) in enumerate(zip(rows, answered, strict=True)):
        equal.add(number, row, recorded[k].tolist())
    repeats = [equal.repeats(i) for i in range(120)]
    assert repeats == [k in answered[:i] for i, k in enumerate(answered)]
    near, far = np.array([0.5, 0.5]), np.array([30.0, 30.0])
    assert equal.are_apart([near, far], [*rows]).tolist() == [False, True]
    assert equal.are_apart([near, near], [*rows]).all(), "something has to be tried"


def test_after_each_repeat_others_keep_further_away() -> None:
    equal, grid = EqualCurves(), np.linspace(0, 1, 6)
    for number, x in enumerate(grid):
        equal.add(number, np.array([x]), [0.1, 0.5 + x])
    assert not equal.distance
    equal.add(6, np.array([0.21]), [0.1, 0.7])
    first = equal.distance
    assert first == pytest.approx(0.01)
    equal.add(7, np.array([0.22]), [0.1, 0.7])
    assert equal.distance > first
    wide = equal.distance
    equal.add(8, np.array([0.5]), [0.1, 0.77])
    assert equal.distance < wide


@pytest.mark.parametrize("digits", [1, 9])
def test_curves_that_are_equal_by_chance_are_no_repeats(digits: int) -> None:
    rng = np.random.default_rng(0)
    equal = EqualCurves()
    for number in range(200):
        equal.add(number, rng.random(3), [0.1, round(0.1 + rng.random(), digits)])
    assert not any(equal.repeats(i) for i in range(200))
    assert equal.are_apart([np.zeros(3), np.ones(3)], [np.zeros(3)]).all()


def test_networks_that_learn_nothing_do_not_count_as_repeats() -> None:
    equal = EqualCurves()
    for number in range(20):
        equal.add(number, np.array([number / 20]), [0.1, 0.1])
    assert not equal.distance


def test_what_learns_nothing_at_first_is_a_repeat_only_if_it_learns_the_same_later() -> None:
    equal, curves = EqualCurves(), [[0.1, 0.1, 0.1, 0.5, x / 10] for x in range(10)]
    for number, curve in enumerate([*curves, *curves]):
        for n in (2, 4, 5):
            equal.add(number, np.array([number % 10 / 10]), curve[:n])
            assert n == 5 or not equal.repeats(number), "it may yet differ"
    assert [equal.repeats(i) for i in range(20)] == [False] * 10 + [True] * 10
