"""Freeze-thaw Bayesian optimization: pauses what is not promising, and goes on with what is.

How many trials go on from each rung is settled, as in asynchronous successive halving (see
`promotion`). Which ones, and which network begins, is decided by a model of learning curves (see
`curve_model`): those that most probably beat the best by a margin in the end, for what that would
cost. The margin is drawn at random for each decision, so that near and far goals take turns (as in
ifBO: Rakotoarison et al. 2024, arXiv:2404.16795). New networks are drawn near the best ones, at
random, and by a prior (see `prior`); some are taken without asking the model, which may be wrong.
"""

import functools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from scipy.special import log_ndtr

from pipeline.search import promotion
from pipeline.search.curve_model import CurveModel, Numbers, Points
from pipeline.search.foreseen_seconds import PROCESS_SECONDS, ForeseenSeconds
from pipeline.search.known_curves import KnownCurves
from pipeline.search.neighbours import at_random, near
from pipeline.search.policy import Begin, Choice, GoOn, Left, Seen, Stage
from pipeline.search.prior import draw_likely
from pipeline.search.space_encoding import SpaceEncoding
from pipeline.search.standardised import standardised
from pipeline.study.combinations import key_of
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.space import Space, params_of

N_NEAR, N_LIKELY, N_RANDOM = 60, 30, 30  # new networks: near the best, by the prior, at random
N_PARENTS = 5
BLIND = 0.05  # share of beginnings for which the model is not asked
MOST_POINTS, MOST_TUNED = 300, 120  # of curves, to learn from and to tune the model by
TUNED_AT = (6, 9, 13, 20, 30, 45, 65, 95, 140, 200, 300)  # trials
MARGINS = (-2.0, 0.0)  # logarithms to base 10 of the least and greatest, in standard deviations
WORTH = 0.05  # least probability of beating the best with which a trial goes on in the end


if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


class FreezeThawSampler(optuna.samplers.RandomSampler):
    """Names the policy in a study file, as `[sampler] type`; what it draws itself is at random.

    Args:
        seed: of the study.
        n_startup_trials: drawn before the model is asked, by the prior and at random in turns.
    """

    def __init__(self, seed: int | None = None, n_startup_trials: int = 6) -> None:
        super().__init__(seed)
        if n_startup_trials < 1:
            raise ValueError(f"n_startup_trials: found {n_startup_trials}, allowed is 1 or more")
        self.n_startup_trials = n_startup_trials


class FreezeThaw:
    """The policy; see the module.

    Args:
        searched: the space.
        direction: "maximize" or "minimize".
        seed: of the study; decisions follow from it and from how many were made.
        n_startup: so many trials are begun without asking the model.
    """

    def __init__(self, searched: Space, direction: str, seed: int, n_startup: int) -> None:
        self._searched, self._seed, self._n_startup = searched, seed, n_startup
        largest = searched.corner(largest=True)
        self._most, self._widest = largest.epochs, max(largest.units, default=1)
        schedule = searched.entries.get("learning_rate_schedule")
        self._is_scheduled = schedule is not None or (
            searched.fixed.get("learning_rate_schedule") == "cosine"
        )
        self._encode = SpaceEncoding(searched, () if self._is_scheduled else ("epochs",))
        self._known = KnownCurves(self._encode, direction, self._most)
        self._model: CurveModel | None = None
        self._keys: set[Hashable] = set()  # of all networks that were seen
        self._n_tuned = 0
        self.memory: Mapping[str, Any] = {}
        self._drawn_of: Hashable = None
        self._drawn: list[Hyperparameters] = []  # candidates, and what they are encoded as
        self._encoded: list[Numbers] = []

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Lists the epochs after which a trial may be paused."""
        return promotion.rungs(epochs)

    def choose(self, seen: Mapping[int, Seen], left: Left) -> Choice | None:
        """Decides what a free worker does next; as in `Policy`."""
        self._take_in(seen)
        is_known = bool(self._known.measured)
        if left.may_begin and (len(seen) < self._n_startup or not is_known):
            return Begin(self._drawn_evenly(seen) if len(seen) % 2 else self._likely(seen))
        return self._decide(seen, None, left) if is_known else None

    def goes_on(self, number: int, seen: Mapping[int, Seen], left: Left) -> bool:
        """Decides at a rung whether a running trial goes on; as in `Policy`."""
        self._take_in(seen)
        own, since = seen[number], seen[number].paused_after
        overhead, start = 0.0, PROCESS_SECONDS
        if len(seen) > self._n_startup:
            seconds = ForeseenSeconds.of([self._known[n] for n in self._known.measured])
            overhead, start = seconds.overhead, seconds.start
        if self._known.equal.repeats(number):
            return False
        if sum(own.seconds[since:]) - (0.0 if since else overhead) < start:
            return True  # to have begun it took longer than it has been trained for
        choice = self._decide(seen, number, left)
        return isinstance(choice, GoOn) and choice.number == number

    def _decide(self, seen: Mapping[int, Seen], running: int | None, left: Left) -> Choice | None:
        seen = {n: each for n, each in seen.items() if not self._known.equal.repeats(n)}
        open_ = [n for n, each in seen.items() if each.stage is Stage.PAUSED or n == running]
        rng = self._rng(seen)
        if not left.may_begin or left.seconds < self._seconds_of_a_training():
            choice = self._still_worth_it(seen, open_, running, rng)
            if choice or not left.may_begin:
                return choice
        of = promotion.rungs(self._most)
        level = promotion.due(seen, running, of, left.share_used)
        if level is not None:
            open_ = [n for n in open_ if promotion.level(len(seen[n].values), of) == level]
            scores = self._scores(seen, open_, [], running, rng) if open_[1:] else [0.0]
            return GoOn(open_[int(np.argmax(scores))])
        if running is not None:
            return None  # another one begins
        if rng.random() < BLIND:
            return Begin(self._drawn_evenly(seen))
        new = self._candidates(seen)
        scores = self._scores(seen, [], new, running, rng)
        rows = [each.row for each in self._known.values()]
        scores[~self._known.equal.are_apart(self._encoded, rows)] = -np.inf
        return Begin(self._first_untried([new[i] for i in np.argsort(-scores)], new[-1]))

    def _still_worth_it(
        self,
        seen: Mapping[int, Seen],
        open_: Sequence[int],
        running: int | None,
        rng: np.random.Generator,
    ) -> GoOn | None:
        """Finds the trial that most probably beats the best, now that none begins."""
        if not open_:
            return None
        scores = self._scores(seen, open_, [], running, rng, is_near=True)
        found = int(np.argmax(scores))
        return GoOn(open_[found]) if scores[found] >= math.log(WORTH) else None

    def _seconds_of_a_training(self) -> float:
        """Foresees how long a network takes that begins now, to its end."""
        return self._most * float(np.median([self._known[n].later for n in self._known.measured]))

    def _scores(
        self,
        seen: Mapping[int, Seen],
        open_: Sequence[int],
        new: Sequence[Hyperparameters],
        running: int | None,
        rng: np.random.Generator,
        is_near: bool = False,
    ) -> Numbers:
        """Rates trials that are open, and new networks.

        Args:
            seen: all trials.
            open_: numbers of those that may go on.
            new: networks that may begin, those of `_candidates` or none.
            running: the one of the open ones that need not be started.
            rng: from which margin, and weight of the costs, are drawn.
            is_near: without margin, and whatever it costs.

        Returns:
            The logarithm of the probability that the best is beaten, less that of the seconds.
        """
        with _thread_pools().limit(limits=1):  # small matrices, and trials that want all cores
            model, goal = self._learned(rng, seen)
            known = self._known
            seconds = ForeseenSeconds.of([known[n] for n in known.measured])
            x = np.array([*(known[n].row for n in open_), *(self._encoded if new else ())])
            done = np.array([*(known[n].n_epochs for n in open_), *([0] * len(new))])
            most = np.array(
                [*(seen[n].hyperparameters.epochs for n in open_), *(g.epochs for g in new)]
            )
            epoch, start = seconds(x), np.full(len(x), seconds.start)
            for i, n in enumerate(open_):
                if known[n].n_epochs > 1:
                    epoch[i] = known[n].later
                start[i] *= n != running
            u = known.moments(most)
            numbers = np.array([*open_, *range(-1, -1 - len(new), -1)])
            means, deviations = model.foresee(Points(x, u, numbers))
            price = np.zeros(len(x))
            if not is_near:
                goal += 10 ** rng.uniform(*MARGINS)
                price = rng.random() * np.log(start + epoch * np.maximum(most - done, 1) + 1e-9)
            return np.asarray(log_ndtr((means - goal) / deviations) - price)

    def _take_in(self, seen: Mapping[int, Seen]) -> None:
        for number, each in seen.items():
            if number not in self._known:
                self._keys.add(key_of(each.hyperparameters))
        self._known.take_in(seen)

    def _rng(self, seen: Mapping[int, Seen]) -> np.random.Generator:
        parts = (len(seen), self._known.n_epochs)
        return np.random.default_rng(derived_seed(self._seed, "decision", *parts))

    def _drawn_evenly(self, seen: Mapping[int, Seen]) -> Hyperparameters:
        """Draws a network at random, whatever is known; another one than before, if there is."""
        drawn = self._candidates(seen)
        return self._first_untried(drawn[::-1], drawn[-1])

    def _likely(self, seen: Mapping[int, Seen]) -> Hyperparameters:
        """Draws a network by the prior; another one than before, if there is."""
        likely = self._candidates(seen)[-N_LIKELY - N_RANDOM : -N_RANDOM]
        return self._first_untried(likely, likely[-1])

    def _first_untried(
        self, networks: Sequence[Hyperparameters], otherwise: Hyperparameters
    ) -> Hyperparameters:
        return next((given for given in networks if key_of(given) not in self._keys), otherwise)

    def _candidates(self, seen: Mapping[int, Seen]) -> list[Hyperparameters]:
        """Draws networks of each kind, at random last; the same until the best ones change."""
        known = self._known
        measured = [n for n in known.measured if n in seen]
        best = sorted(measured, key=lambda n: -known[n].best)[:N_PARENTS]
        drawn_of = (len(seen), *best)
        if self._drawn_of == drawn_of:
            return self._drawn
        place = {number: i for i, number in enumerate(sorted(seen))}  # whatever was interrupted
        parts = (len(seen), *(place[number] for number in best))
        rng = np.random.default_rng(derived_seed(self._seed, "candidates", *parts))
        parents = [params_of(self._searched, seen[number].hyperparameters) for number in best]
        found = [
            near(self._searched, parents[i % len(parents)], rng)
            for i in range(N_NEAR if parents else 0)
        ]
        found += [draw_likely(self._searched, self._widest, rng) for _ in range(N_LIKELY)]
        found += [at_random(self._searched, rng) for _ in range(N_RANDOM)]
        if not self._is_scheduled:
            found = [replace(given, epochs=self._most) for given in found]
        self._drawn_of, self._drawn = drawn_of, found
        self._encoded = [self._encode(each) for each in found]
        return found

    def _learned(
        self, rng: np.random.Generator, seen: Mapping[int, Seen]
    ) -> tuple[CurveModel, float]:
        """Learns all curves; returns the model, and the best value as the model has it."""
        points, values = self._known.points()
        y = standardised(values)
        goal = float(y.max())
        if len(y) > MOST_POINTS:
            kept = np.sort(rng.permutation(len(y))[:MOST_POINTS])
            points, y = points[kept], y[kept]
        decision = [len(seen), self._known.n_epochs]
        if self._model is None:
            self._model = CurveModel(points.x.shape[1])
            self._recall(self._model, decision)
        if any(self._n_tuned < n <= len(self._known) for n in TUNED_AT):
            before = [self._n_tuned, [*map(float, self._model.theta)]]
            self._n_tuned = len(self._known)
            chosen = rng.permutation(len(y))[:MOST_TUNED]
            self._model.tune(points[chosen], y[chosen])
            after = [self._n_tuned, [*map(float, self._model.theta)]]
            self.memory = {"decision": decision, "before": before, "after": after}
        self._model.learn(points, y)
        return self._model, goal

    def _recall(self, model: CurveModel, decision: list[int]) -> None:
        """Takes up how the model was tuned: what was decided then, or comes after it."""
        if self.memory:
            is_again = self.memory["decision"] == decision
            self._n_tuned, theta = self.memory["before" if is_again else "after"]
            model.theta = np.array(theta)


@functools.cache
def _thread_pools() -> "ThreadpoolController":
    """Finds the libraries that may use threads, which takes milliseconds."""
    from threadpoolctl import ThreadpoolController  # sets a variable of the environment

    return ThreadpoolController()
