"""The verdict on finals: who cannot be told from the winner, and what the winner is worth.

Three things make a measured value differ from what a network is worth on examples to come: seeds,
the validation examples, and having been selected for the value. Seeds are judged by the runs with
fresh seeds, with selection among them (see `posterior`). The error of the validation examples is
common to all networks as far as they err on the same ones; what is left differs from network to
network, survives any number of seeds, and is selected for as well: by the first runs, as much as
by their seeds in proportion to the variances, and by the fresh ones.
"""

import math
import statistics as stats
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.intervals import Interval
from pipeline.evaluation.posterior import Sample, draw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

SURE = 0.99  # posterior probability from which one is called better than another
POWER = 1.959964 + 0.841621  # standard errors: 95 % confidence, shown with a power of 80 %
INTENSITY = 1.755  # of selecting one network in ten, in standard deviations (Falconer 1960)
MOST_EXCESS = 3.0  # standard deviations of runs, by which first runs were lucky at most


@dataclass(frozen=True)
class Finalist:
    """A network of the finals.

    Attributes:
        number: of its first trial.
        fresh: values of its runs with fresh seeds.
        first: value of the run by which it was selected; None if nothing selected it.
        n_parameters: trainable weights; 0 if that is not known.
        reference: name of the reference that it is; "" if it was drawn.
    """

    number: int
    fresh: tuple[float, ...]
    first: float | None = None
    n_parameters: int = 0
    reference: str = ""


@dataclass(frozen=True)
class Examples:
    """By how much the validation examples put a value off.

    Attributes:
        common: variance of the error that all networks share.
        own: variance of what is a network's own, on average; NaN if it is not known.
        of_reference: the same of each reference, by its number.
        is_paired: whether that was found from answers to the same examples; else networks are
            taken to be measured on different ones, which makes differences too uncertain.
    """

    common: float
    own: float
    of_reference: Mapping[int, float]
    is_paired: bool = True

    @property
    def known_own(self) -> float:
        """The variance of what is a network's own, 0 if it is not known."""
        return 0.0 if math.isnan(self.own) else self.own

    @classmethod
    def of_error(cls, error: float | None) -> "Examples":
        """Knows nothing but the standard error of a value; None if not even that is known."""
        variance = math.nan if error is None else error**2
        return cls(0.0, variance, {}, is_paired=False)

    @classmethod
    def of_covariances(
        cls, covariances: Mapping[tuple[int, int], float], references: Sequence[int]
    ) -> "Examples":
        """Splits covariances of networks' errors into what they share and what they do not.

        Args:
            covariances: of the errors of two networks' mean values, by numbers of both, i <= j.
            references: numbers of those that are references.
        """
        alike = {i for i, _ in covariances} - {*references} or {i for i, _ in covariances}
        pairs = [v for (i, j), v in covariances.items() if i != j and {i, j} <= alike]
        variance = stats.fmean(covariances[i, i] for i in alike)
        common = stats.fmean(pairs) if pairs else 0.0
        if not pairs and (beside := [v for (i, j), v in covariances.items() if i != j]):
            common = stats.fmean(beside)  # one network and references
        common = min(max(common, 0.0), variance)
        own = variance - common
        of_reference = {}
        for number in references:
            gaps = [
                covariances[i, i] + covariances[number, number] - 2 * v
                for (a, b), v in covariances.items()
                if number in (a, b) and (i := a if b == number else b) in alike
            ]
            if gaps and number not in alike:
                of_reference[number] = max(0.0, stats.fmean(gaps) - own)
        return cls(common, own, of_reference)


@dataclass(frozen=True)
class Estimate:
    """What is believed of a number.

    Attributes:
        mean: of the posterior; it is biased by no selection.
        interval: 95 % credible interval.
    """

    mean: float
    interval: Interval


@dataclass(frozen=True)
class Standing:
    """What is believed of a finalist.

    Attributes:
        finalist: who.
        value: on examples to come, as mean over seeds.
        behind: what the winner has more, in favour of the winner if it is positive.
        is_apart: whether that interval leaves no doubt that the winner is better.
    """

    finalist: Finalist
    value: Estimate
    behind: Estimate
    is_apart: bool


@dataclass(frozen=True)
class Verdict:
    """What finals have shown.

    Attributes:
        winner: its standing.
        standings: of all finalists, the best first, the winner before all others.
        smallest: the smallest network within one standard error of the winner; None if that is
            the winner itself, or sizes are not known.
        reference: the best reference, if it is not the winner.
        probability: that the winner is better than that reference; None without one.
        noise: standard deviation of runs that differ in the seed alone.
        excess: by how much first runs were luckier than fresh ones.
        smallest_difference: between two networks that could have been shown, with as many seeds
            as the winner's and a power of 80 %.
        smallest_of_examples: the same with any number of seeds: what these validation examples
            could have shown at all; NaN if their error is not known, 0 if it is too small to be
            seen.
        is_paired: whether answers to the same examples were compared.
    """

    winner: Standing
    standings: tuple[Standing, ...]
    smallest: Standing | None
    reference: Standing | None
    probability: float | None
    noise: float
    excess: float
    smallest_difference: float
    smallest_of_examples: float
    is_paired: bool

    @property
    def alike(self) -> list[Standing]:
        """The others that cannot be told from the winner."""
        return [each for each in self.standings[1:] if not each.is_apart]

    @property
    def is_better(self) -> bool | None:
        """Whether the winner is better than the best reference; None if that cannot be told."""
        if self.probability is None or 1 - SURE < self.probability < SURE:
            return None
        return self.probability >= SURE


def judge(
    finalists: Sequence[Finalist], winner: int, direction: str, examples: Examples
) -> Verdict | None:
    """Judges finals.

    Args:
        finalists: those without a fresh run are left out.
        winner: its number.
        direction: "maximize" or "minimize".
        examples: the error that the validation examples make.

    Returns:
        None if the winner has no run with a fresh seed.
    """
    known = sorted((each for each in finalists if each.fresh), key=lambda x: x.number != winner)
    if not known or known[0].number != winner:
        return None
    sign = 1.0 if direction == "maximize" else -1.0
    worth, noise, excess = _draw_worth(known, sign, examples)  # (draws, networks), more is better
    behind = worth[:, :1] - worth
    standings = [_standing(each, sign * worth[:, i], behind[:, i]) for i, each in enumerate(known)]
    rest = sorted(standings[1:], key=lambda each: each.behind.mean)
    reference = next((each for each in rest if each.finalist.reference), None)
    probability = None
    if reference and not known[0].reference:
        place = known.index(reference.finalist)
        probability = float((behind[:, place] > 0).mean())
    return Verdict(
        winner=standings[0],
        standings=(standings[0], *rest),
        smallest=_smallest(standings, behind),
        reference=reference if probability is not None else None,
        probability=probability,
        noise=noise,
        excess=excess,
        smallest_difference=POWER
        * math.sqrt(2 * (noise**2 / len(known[0].fresh) + examples.known_own)),
        smallest_of_examples=POWER * math.sqrt(2 * examples.own),
        is_paired=examples.is_paired,
    )


def _draw_worth(
    finalists: Sequence[Finalist], sign: float, examples: Examples
) -> "tuple[Numbers, float, float]":
    """Draws what networks are worth on examples to come, (draws, networks), more is better.

    Returns:
        With it the standard deviation of runs, and by how much first runs were luckier.
    """
    import numpy as np

    samples = [
        Sample(tuple(sign * value for value in each.fresh), is_alike=not each.reference)
        for each in finalists
    ]
    found = draw(samples)
    noise = float(np.median(found.noise))
    excess = _excess(finalists, sign, noise)
    alike = np.array([each.is_alike for each in samples])
    own = np.where(
        alike,
        examples.known_own,
        [examples.of_reference.get(each.number, examples.known_own) for each in finalists],
    )  # (networks,)
    # Of a network's deviation from the others a share is its own luck with the examples: as much
    # as among all networks that were searched, whose spread follows from the excess.
    deviation = INTENSITY * found.noise**2 / max(excess, 1e-3 * noise) if noise else found.noise
    variance = np.maximum(deviation**2 - found.noise**2, found.spread**2)
    share = np.where(alike, np.minimum(1.0, own / np.maximum(variance, 1e-300)), 0.0)
    selected = excess * examples.known_own / noise**2 if noise else 0.0
    luck = share * (found.worth - found.centre) + np.where(alike, min(selected, excess), 0.0)
    random = np.random.default_rng(1)
    luck = luck + np.sqrt(own * (1 - share)) * random.standard_normal(luck.shape)
    common = math.sqrt(examples.common) * random.standard_normal((len(luck), 1))
    return found.worth - luck - common, noise, excess


def _excess(finalists: Sequence[Finalist], sign: float, noise: float) -> float:
    """Finds by how much first runs were luckier than fresh ones of the same networks."""
    gaps = [
        sign * (each.first - stats.fmean(each.fresh))
        for each in finalists
        if each.first is not None and not each.reference
    ]
    return min(max(stats.median(gaps), 0.0), MOST_EXCESS * noise) if gaps else 0.0


def _standing(finalist: Finalist, worth: "Numbers", behind: "Numbers") -> Standing:
    gap = _estimate(behind)
    return Standing(finalist, _estimate(worth), gap, is_apart=gap.interval.low > 0)


def _estimate(draws: "Numbers") -> Estimate:
    import numpy as np

    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(draws.mean()), Interval(float(low), float(high)))


def _smallest(standings: Sequence[Standing], behind: Any) -> Standing | None:
    """Finds the smallest network whose lag is within one standard error of that lag.

    The one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees).
    """
    size = standings[0].finalist.n_parameters
    smaller = [
        each
        for i, each in enumerate(standings)
        if 0 < each.finalist.n_parameters < size and each.behind.mean <= float(behind[:, i].std())
    ]
    return min(smaller, key=lambda each: each.finalist.n_parameters, default=None)
