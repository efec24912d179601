"""Freeze-thaw Bayesian optimization: pauses what is not promising, and goes on with what is.

A model of learning curves (see `curve_model`) foresees what each paused trial, and networks that
are new, would reach; a free worker takes the one that most probably beats the best by a margin
within a time. Margin and time are drawn at random for each decision, so that near and far goals
take turns (as in ifBO: Rakotoarison et al. 2024, arXiv:2404.16795, there in epochs). New networks
are drawn at random and near the best ones.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from pipeline.search.curve_model import CurveModel, Numbers, Points
from pipeline.search.neighbours import at_random, near
from pipeline.search.policy import Begin, Choice, GoOn, Seen, Stage
from pipeline.search.space_encoding import SpaceEncoding
from pipeline.study.combinations import key_of
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.space import Space, params_of

GROWTH = 1.5  # from one rung to the next
N_CANDIDATES, LOCAL, N_PARENTS = 120, 0.5, 5  # new networks, share of them near the best
MOST_POINTS, MOST_TUNED = 400, 120  # of curves, to learn from and to tune the model by
TUNED_AT = (6, 9, 13, 20, 30, 45, 65, 95, 140, 200, 300)  # trials
MARGINS = (-2.5, 0.0)  # logarithms to base 10 of the least and greatest, in standard deviations
WORTH = 0.05  # least probability of beating the best with which a trial goes on in the end
STARTUP_EPOCHS = 3  # of the first trials, until there are enough
START_SECONDS = 0.3  # of a process, before it is known


class FreezeThawSampler(optuna.samplers.RandomSampler):
    """Names the policy in a study file, as `[sampler] type`; what it draws itself is at random.

    Args:
        seed: of the study.
        n_startup_trials: drawn at random, before the model is asked.
    """

    def __init__(self, seed: int | None = None, n_startup_trials: int = 6) -> None:
        super().__init__(seed)
        if n_startup_trials < 1:
            raise ValueError(f"n_startup_trials: found {n_startup_trials}, allowed is 1 or more")
        self.n_startup_trials = n_startup_trials


@dataclass
class _Costs:
    """Foresees how long epochs take.

    Attributes:
        weights: of encoded hyperparameters, for the logarithm of the seconds of an epoch.
        start: seconds that a beginning costs beside its epochs.
    """

    weights: Numbers
    start: float

    @classmethod
    def of(cls, x: Numbers, seconds: Sequence[Sequence[float]]) -> "_Costs":
        """Learns from networks that have been trained for an epoch at least."""
        epochs = [float(np.median(each[1:] or each)) for each in seconds]
        starts = [each[0] - float(np.median(each[1:])) for each in seconds if len(each) > 1]
        rows = np.column_stack([np.ones(len(x)), x])
        ridge = 0.3 * np.eye(rows.shape[1])
        ridge[0, 0] = 1e-6
        logs = np.log(np.maximum(epochs, 1e-9))
        weights = np.linalg.solve(rows.T @ rows + ridge, rows.T @ logs)
        start = float(np.median(starts)) if starts else 0.0
        return cls(weights, START_SECONDS + max(start, 0.0))

    def __call__(self, x: Numbers) -> Numbers:
        """Foresees the seconds of an epoch, (n,)."""
        return np.asarray(np.exp(np.column_stack([np.ones(len(x)), x]) @ self.weights))


class FreezeThaw:
    """The policy; see the module.

    Args:
        searched: the space.
        direction: "maximize" or "minimize".
        seed: of the study; decisions follow from it and from how many were made.
        n_startup: so many trials are drawn at random first.
    """

    def __init__(self, searched: Space, direction: str, seed: int, n_startup: int) -> None:
        self._searched, self._sign = searched, 1.0 if direction == "maximize" else -1.0
        self._seed, self._n_startup = seed, n_startup
        self._most = searched.corner(largest=True).epochs
        schedule = searched.entries.get("learning_rate_schedule")
        self._is_scheduled = schedule is not None or (
            searched.fixed.get("learning_rate_schedule") == "cosine"
        )
        self._encode = SpaceEncoding(searched, () if self._is_scheduled else ("epochs",))
        self._model: CurveModel | None = None
        self._rows: dict[int, Numbers] = {}
        self._keys: set[Hashable] = set()  # of all networks that were seen
        self._n_tuned = 0

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Lists 1, 2, 3, 5, 8, ... below the last epoch."""
        found, rung = [], 1
        while rung < epochs:
            found.append(rung)
            rung = max(rung + 1, round(rung * GROWTH))
        return tuple(found)

    def choose(self, seen: Mapping[int, Seen], *, may_begin: bool) -> Choice | None:
        """Decides what a free worker does next; as in `Policy`."""
        self._take_in(seen)
        n_known = sum(bool(each.values) for each in seen.values())
        if may_begin and (len(seen) < self._n_startup or not n_known):
            drawn = self._candidates(seen, self._rng(seen))
            return Begin(next((g for g in drawn[::-1] if key_of(g) not in self._keys), drawn[-1]))
        return self._decide(seen, may_begin=may_begin) if n_known else None

    def goes_on(self, number: int, seen: Mapping[int, Seen], *, may_begin: bool) -> bool:
        """Decides at a rung whether a running trial goes on; as in `Policy`."""
        self._take_in(seen)
        if len(seen) < self._n_startup and may_begin:
            return len(seen[number].values) < STARTUP_EPOCHS
        choice = self._decide(seen, may_begin=may_begin, running=number)
        return isinstance(choice, GoOn) and choice.number == number

    def _decide(
        self, seen: Mapping[int, Seen], *, may_begin: bool, running: int | None = None
    ) -> Choice | None:
        with threadpool_limits(1):  # small matrices, and trials that want all cores
            return self._best(seen, may_begin=may_begin, running=running)

    def _best(
        self, seen: Mapping[int, Seen], *, may_begin: bool, running: int | None = None
    ) -> Choice | None:
        rng = self._rng(seen)
        open_ = [n for n, each in seen.items() if each.stage is Stage.PAUSED or n == running]
        new = self._candidates(seen, rng) if may_begin else []
        if not open_ and not new:
            return None
        model, scale = self._learned(seen, rng)
        known = [n for n, each in seen.items() if each.values]
        costs = _Costs.of(
            np.array([self._rows[n] for n in known]), [seen[n].seconds for n in known]
        )
        x = np.array([*(self._rows[n] for n in open_), *map(self._encode, new)])
        numbers = [*open_, *range(-1, -1 - len(new), -1)]
        done = np.array([*(len(seen[n].values) for n in open_), *([0] * len(new))])
        most = np.array(
            [*(seen[n].hyperparameters.epochs for n in open_), *(g.epochs for g in new)]
        )
        epoch, start = costs(x), np.full(len(x), costs.start)
        for i, n in enumerate(open_):
            if len(seen[n].seconds) > 1:
                epoch[i] = np.median(seen[n].seconds[1:])
            start[i] *= n != running
        typical = float(np.median(epoch))  # from an epoch to a whole training, begun anew
        least, most_time = costs.start + typical, costs.start + typical * self._most
        time = math.exp(rng.uniform(math.log(least), math.log(most_time)))
        reach = np.minimum(done + np.maximum((time - start) // epoch, 0), most)
        if not (reach > done).any():
            reach = np.minimum(done + 1, most)
        best = max(scale(v) for each in seen.values() for v in each.values)
        goal = best + 10 ** rng.uniform(*MARGINS)
        if not may_begin:  # what is still worth it, however long it takes
            reach, goal = most, best
        u = np.log(np.maximum(reach, 1)) / max(math.log(self._most), 1e-9)
        means, deviations = model.foresee(Points(x, u, np.array(numbers)))
        score = np.where(reach > done, norm.logsf((goal - means) / deviations), -np.inf)
        best_first = np.argsort(-score)
        if not may_begin and score[best_first[0]] < math.log(WORTH):
            return None
        for i in best_first:
            if i < len(open_):
                return GoOn(open_[i])
            if key_of(new[i - len(open_)]) not in self._keys:
                return Begin(new[i - len(open_)])
        return None

    def _take_in(self, seen: Mapping[int, Seen]) -> None:
        for number, each in seen.items():
            if number not in self._rows:
                self._rows[number] = self._encode(each.hyperparameters)
                self._keys.add(key_of(each.hyperparameters))

    def _rng(self, seen: Mapping[int, Seen]) -> np.random.Generator:
        n_epochs = sum(len(each.values) for each in seen.values())
        return np.random.default_rng(derived_seed(self._seed, "decision", len(seen), n_epochs))

    def _candidates(
        self, seen: Mapping[int, Seen], rng: np.random.Generator
    ) -> list[Hyperparameters]:
        """Draws networks, at random and near the best."""
        best = sorted(
            (each for each in seen.values() if each.values),
            key=lambda each: -max(self._sign * v for v in each.values),
        )[:N_PARENTS]
        parents = [params_of(self._searched, each.hyperparameters) for each in best]
        found = []
        for i in range(N_CANDIDATES):
            if parents and i < LOCAL * (N_CANDIDATES - 1):
                given = near(self._searched, parents[i % len(parents)], rng)
            else:
                given = at_random(self._searched, rng)
            found.append(given if self._is_scheduled else replace(given, epochs=self._most))
        return found

    def _learned(
        self, seen: Mapping[int, Seen], rng: np.random.Generator
    ) -> tuple[CurveModel, Any]:
        x: list[Numbers] = []
        epochs: list[int] = []
        of: list[int] = []
        y: list[float] = []
        for number, each in seen.items():
            n = len(each.values)
            rungs = [*self.rungs(n), n] if n else []
            values = [max(self._sign * v for v in each.values[:rung]) for rung in rungs]
            if each.stage is Stage.ENDED and n < each.hyperparameters.epochs and n:
                rungs, values = [*rungs, each.hyperparameters.epochs], [*values, values[-1]]
            if each.has_failed and not n:
                rungs, values = [self._most], [math.nan]
            x += [self._rows[number]] * len(rungs)
            epochs += rungs
            of += [number] * len(rungs)
            y += values
        raw = np.array(y)
        finite = raw[np.isfinite(raw)]
        middle, top = float(np.median(finite)), float(finite.max())
        floor = middle - max(top - middle, 1e-9)
        z = np.where(np.isfinite(raw), np.maximum(raw, floor), floor)
        mean, deviation = float(z.mean()), float(z.std()) or 1.0
        z = (z - mean) / deviation
        u = np.log(np.array(epochs, float)) / max(math.log(self._most), 1e-9)
        points = Points(np.array(x), u, np.array(of))
        if len(z) > MOST_POINTS:
            kept = np.sort(rng.permutation(len(z))[:MOST_POINTS])
            points, z = points[kept], z[kept]
        if self._model is None:
            self._model = CurveModel(points.x.shape[1])
        if any(self._n_tuned < n <= len(seen) for n in TUNED_AT):
            self._n_tuned = len(seen)
            chosen = rng.permutation(len(z))[:MOST_TUNED]
            self._model.tune(points[chosen], z[chosen])
        self._model.learn(points, z)
        return self._model, lambda value: (self._sign * value - mean) / deviation
