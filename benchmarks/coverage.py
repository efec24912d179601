"""Do the verdict's intervals keep their word after selection? Simulated studies: `Coverage`.

A study whose networks have known true values is searched, its finals are held by the plan that a
search would have, and judged by the function that a search would call; what is announced is held
against the truth. Noise is as it was measured here: accuracies of 150 networks with a standard
deviation of .0015 of true values and .002 of seeds, 12,000 validation images. Other worlds are
those in which a verdict could go wrong. Two of them are simulated image by image, so that what is
said of images rests on the answers alone, as it does in a search.
"""

import math
import statistics as stats
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks import results
from pipeline.evaluation.covariances import covariances
from pipeline.evaluation.finals import judge_finals
from pipeline.evaluation.verdict import Verdict
from pipeline.report.document import Paragraph, Table
from pipeline.study import finals
from pipeline.study.finals import Held
from pipeline.study.hyperparameters import Hyperparameters
from pipeline.study.trial import State, Trial
from pipeline.task.task import OBJECTIVES, Metric

N_STUDIES, N_STUDIES_IN_SHORT = 500, 100
N_IMAGES = 12_000
LEVEL = 0.89  # accuracy around which true values lie
NETWORK = Hyperparameters.from_mapping(
    {
        "hidden_layers": 0,
        "units": [],
        "optimizer": "adam",
        "learning_rate": 0.01,
        "batch_size": 32,
        "epochs": 1,
    }
)
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How networks and their noise are distributed.

    Attributes:
        name: for the table.
        shape: of true values: "normal", "skewed", "equal" or "with failures".
        spread: their standard deviation, or scale.
        noise: standard deviation of runs that differ in the seed.
        n_networks: that are searched.
        reference: quantile of true values at which the reference lies; above 1 it is better.
        common: standard deviation of the error of images that all networks share.
        own: of what is a network's own.
        unevenness: standard deviation of the logarithm of the noise of networks.
        is_heavy: whether the noise is Student's t with 4 degrees of freedom.
        by_image: whether each answer to each image is simulated.
        networks: that take part in finals, at most.
        seeds: of finals.
    """

    name: str
    shape: str = "normal"
    spread: float = 0.0015
    noise: float = 0.002
    n_networks: int = 150
    reference: float = 0.5
    common: float = 0.0025
    own: float = 0.0006
    unevenness: float = 0.0
    is_heavy: bool = False
    by_image: bool = False
    networks: int = 10
    seeds: int = 5


WORLDS = (
    World("as measured here"),
    World("as measured, image by image", by_image=True, n_networks=60),
    World("few networks, image by image", by_image=True, n_networks=20, networks=4, seeds=3),
    World("true values further apart", spread=0.004, reference=0.9),
    World("a long way up to the best", shape="skewed", spread=0.003, reference=0.9),
    World("all networks equal", shape="equal"),
    World("three of ten fail", shape="with failures", spread=0.003),
    World("twice the noise of seeds", noise=0.004, spread=0.003),
    World("uneven noise of seeds", unevenness=0.4),
    World("heavy tails of seeds", is_heavy=True),
    World("images tell networks apart", own=0.0014),
    World("a reference that is better", reference=1.5, spread=0.003),
)


@dataclass(frozen=True)
class Found:
    """What came of simulated studies.

    Attributes:
        n: number of studies.
        value_covered: share of intervals of the champion's value with the true value in them.
        bias: mean of announced values less true ones.
        of_first_run: the same of the best first run, which others announce.
        lead_covered: share of intervals of the lead over the reference with the true one.
        n_leads: number of those intervals: of champions that are no reference.
        better: share of studies in which the champion is said to be better than the reference.
        falsely_better: share of all studies in which that is said, and is wrong.
        regret: mean of what the best network is worth more than the champion.
    """

    n: int
    value_covered: float
    bias: float
    of_first_run: float
    lead_covered: float
    n_leads: int
    better: float
    falsely_better: float
    regret: float


def simulate(world: World, n: int) -> Found:
    """Simulates so many studies of a world, from seed 0 on."""
    studies = [_Study(world, seed) for seed in range(n)]
    verdicts = [(study, study.judge()) for study in studies]
    covered, off, lucky, leads, better, false, regret = [], [], [], [], 0, 0, []
    for study, verdict in verdicts:
        truth = study.truth[study.numbers.index(verdict.winner.finalist.number)]
        value = verdict.winner.value
        covered.append(value.interval.low <= truth <= value.interval.high)
        off.append(value.mean - truth - study.shared)
        lucky.append(max(study.first) - study.truth[int(np.argmax(study.first))] - study.shared)
        regret.append(max(study.truth) - truth)
        if verdict.reference is not None:
            lead, true = verdict.reference.behind, truth - study.truth[0]
            leads.append(lead.interval.low <= true <= lead.interval.high)
            better += verdict.is_better is True
            false += verdict.is_better is True and true < 0
    return Found(
        n, stats.fmean(covered), stats.fmean(off), stats.fmean(lucky),
        stats.fmean(leads) if leads else math.nan, len(leads), better / n, false / n,
        stats.fmean(regret),
    )  # fmt: skip


class _Study:
    """One study whose truth is known; network 0 is the reference.

    Attributes:
        truth: what each network is worth, (networks + 1,).
        shared: error of the images that all networks have; without it biases are seen sooner.
        first: values of first runs.
        numbers: of the first trial of each network.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._random = world, np.random.default_rng(seed)
        self.truth = self._draw_truth()
        n = len(self.truth)
        uneven = self._random.standard_normal(n)
        self._noise: Numbers = world.noise * np.exp(world.unevenness * uneven)
        self._answers: dict[int, list[Numbers]] = {}
        if world.by_image:
            self._draw_images(n)
        else:
            self.shared = world.common * float(self._random.standard_normal())
            self._own: Numbers = world.own * self._random.standard_normal(n)
        self.numbers = list(range(n))
        self._trials = [self._run(i, i, 0 if i == 0 else None) for i in range(n)]
        self.first = [trial.value or 0.0 for trial in self._trials]

    def judge(self) -> Verdict:
        """Holds finals, and judges them."""
        world = self._world
        plan = finals.lay_out(self._trials, "maximize", world.networks, world.seeds, None, {})
        assert plan
        while lacking := finals.wanted(plan, self._trials, "maximize"):
            for network, repeat in lacking:
                self._trials.append(self._run(len(self._trials), network, repeat, is_final=True))
        best = finals.winner(plan, self._trials, "maximize")
        assert best
        held = Held(plan, best.number, self._covariances(plan))
        found = judge_finals(held, self._trials, _METRIC, N_IMAGES)
        assert found
        return found

    def _draw_truth(self) -> Numbers:
        world, random, n = self._world, self._random, self._world.n_networks
        values: Numbers = LEVEL + world.spread * random.standard_normal(n)
        if world.shape == "equal":
            values = np.full(n, LEVEL)
        elif world.shape == "skewed":
            values = LEVEL - random.gamma(2, world.spread, n)
        elif world.shape == "with failures":
            values[random.random(n) < 0.3] -= 0.02
        top = float(np.quantile(values, min(1.0, world.reference)))
        truth: Numbers = np.append(top + world.spread * (world.reference > 1), values)
        return truth

    def _run(
        self, number: int, network: int, repeat: int | None, *, is_final: bool = False
    ) -> Trial:
        random, noise = self._random, float(self._noise[network])
        scatter = random.standard_t(4) / math.sqrt(2) if self._world.is_heavy else random.normal()
        if self._world.by_image:
            answers = self._answer(network, float(scatter))
            self._answers.setdefault(network, []).append(answers)
            value = float(answers.mean())
        else:
            value = float(self.truth[network] + self.shared + self._own[network])
            value += noise * float(scatter)
        return Trial(
            number, State.COMPLETE, value, 1, NETWORK, number,
            history={_METRIC.name: [value], "loss": [1.0]},
            reference="known" if network == 0 and not is_final else "",
            final_of=network if is_final else None,
            repeat=repeat,
        )  # fmt: skip

    # Image by image: a network is right with the probability that a normal variable, its skill
    # less an image's difficulty, is positive; a part of the difficulty is the network's own.

    def _draw_images(self, n: int) -> None:
        self._difficulty: Numbers = 1.6 * self._random.standard_normal(N_IMAGES)
        self._taste = self._random.integers(2**32, size=n)
        self._scale = math.sqrt(1 + 1.6**2 + _TASTE**2)
        self._skill: Numbers = norm.ppf(self.truth) * self._scale
        mean = norm.ppf(LEVEL) * math.sqrt(1 + 1.6**2)
        right = norm.cdf(mean + self._difficulty).mean()  # what images make of a usual network
        self.shared = float(right) - LEVEL

    def _answer(self, network: int, scatter: float) -> Numbers:
        own = np.random.default_rng(self._taste[network]).standard_normal(N_IMAGES)
        slope = norm.pdf(norm.ppf(self.truth[network])) / self._scale
        left = math.sqrt(max(0.0, self._noise[network] ** 2 - _OF_IMAGES**2))
        skill = self._skill[network] + scatter * left / slope
        right = self._difficulty + _TASTE * own + skill + self._random.standard_normal(N_IMAGES)
        answers: Numbers = (right > 0).astype(np.float64)
        return answers

    def _covariances(self, plan: finals.Plan) -> dict[tuple[int, int], float]:
        taking = [0, *plan.networks]
        if self._world.by_image:
            moved = {
                i: [(each - each.mean()) / N_IMAGES for each in self._answers[i][1:]]
                for i in taking
            }
            return covariances(moved)
        common, own = self._world.common**2, self._world.own**2
        pairs = [(i, j) for i in taking for j in taking if i <= j]
        return {(i, j): common + own * (i == j) for i, j in pairs}


_TASTE = 0.35
_OF_IMAGES = 0.0014  # standard deviation of runs that single answers alone make
_METRIC: Metric = next(each for each in OBJECTIVES if each.name == "val_accuracy")


def measure(full: bool) -> results.Section:
    """Simulates 500 studies of each world; in short 100."""
    n = N_STUDIES if full else N_STUDIES_IN_SHORT
    rows = [_row(world, simulate(world, n)) for world in WORLDS]
    return results.Section(
        "Coverage",
        [
            Paragraph(
                f"{n} simulated studies of each world. The 95 % intervals of the champion's value "
                "and of its lead over the best reference are to cover the truth in 93 to 97 % of "
                "all studies although the champion was selected; the announced value is to be "
                "unbiased within .0005, and a network that is worse than the reference to be "
                "called better in 1 % at most. Beside it the bias of the best first run, which is "
                "announced where there are no finals."
            ),
            Table(
                ["world", "value covered", "bias", "bias of the best first run", "lead covered",
                 "called better", "falsely", "regret"],
                rows,
            ),
        ],
    )  # fmt: skip


def _row(world: World, found: Found) -> list[str]:
    return [
        world.name,
        f"{100 * found.value_covered:.1f} %",
        f"{found.bias:+.4f}",
        f"{found.of_first_run:+.4f}",
        f"{100 * found.lead_covered:.1f} % of {found.n_leads}",
        f"{100 * found.better:.1f} %",
        f"{100 * found.falsely_better:.1f} %",
        f"{found.regret:.4f}",
    ]


if __name__ == "__main__":
    raise SystemExit(results.main(measure, "coverage"))
