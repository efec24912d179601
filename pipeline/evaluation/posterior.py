"""What several networks are truly worth, judged by a few runs of each: a hierarchical model.

The finalists of a search are alike: each is worth what the best of a search are worth, up to a
deviation, and each run is off by the noise of seeds. How large both are is not known, and is
integrated over a grid, so that all numbers follow from the posterior. Whoever is best among
several by runs that scatter is so partly by luck; in the posterior it is drawn towards the others
as far as luck explains it, which is what "adjusted for selection" means (Efron 2011, Tweedie's
formula and selection bias, doi:10.1198/jasa.2011.tm11181).

The deviations have wide tails: with probability `OUTLIERS` a network is of another kind, `WIDER`
times as far off, so that one bad network says little of the others. A reference was picked by
nobody, and is taken as it was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

OUTLIERS, WIDER = 0.2, 8.0
N_DRAWS = 8_000
_N_CENTRES, _N_SPREADS, _N_NOISES = 41, 25, 15


@dataclass(frozen=True)
class Sample:
    """Runs of one network with fresh seeds.

    Attributes:
        values: of the metric, one for each run; at least one.
        is_alike: whether it was picked as the others were; not so of a reference.
    """

    values: tuple[float, ...]
    is_alike: bool = True


@dataclass(frozen=True)
class Draws:
    """Draws from a joint posterior.

    Attributes:
        worth: mean over seeds of each network, on the examples at hand, (N_DRAWS, networks).
        centre: what those that are alike are worth as a group, (N_DRAWS, 1).
        spread: how far each deviates from that as a rule, (N_DRAWS, networks).
        noise: standard deviation of runs that differ in the seed, (N_DRAWS, 1).
    """

    worth: "Numbers"
    centre: "Numbers"
    spread: "Numbers"
    noise: "Numbers"


def draw(samples: Sequence[Sample], seed: int = 0) -> Draws:
    """Draws from the joint posterior of what networks are worth, on the examples at hand.

    Args:
        samples: of each network.
        seed: of the draws.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    n = np.array([len(each.values) for each in samples])
    means = np.array([np.mean(each.values) for each in samples])
    squares = sum(float(np.var(each.values)) * len(each.values) for each in samples)
    n_free = int((n - 1).sum())
    noises, log_noises = _noises(squares, n_free, means)
    alike = np.array([each.is_alike for each in samples])
    log_weights, centres, spreads = _grid(means[alike], n[alike], noises)
    log_weights = log_weights + log_noises  # (centres, spreads, noises)
    weights = np.exp(log_weights - log_weights.max()).ravel()
    picked = random.choice(weights.size, N_DRAWS, p=weights / weights.sum())
    i, j, k = np.unravel_index(picked, log_weights.shape)
    centre, spread, noise = centres[i][:, None], spreads[j][:, None], noises[k][:, None]
    error = noise / np.sqrt(n)  # (N_DRAWS, networks)
    # of which kind each network is, and what it is worth then
    usual = (1 - OUTLIERS) * _normal(means, centre, np.hypot(spread, error))
    odd = OUTLIERS * _normal(means, centre, np.hypot(WIDER * spread, error))
    is_odd = random.random(error.shape) * (usual + odd) >= usual
    own = np.where(is_odd, WIDER, 1.0) * spread
    share = own**2 / (own**2 + error**2)
    drawn = np.where(alike, centre + share * (means - centre), means)
    width = np.where(alike, np.sqrt(share) * error, error)
    return Draws(drawn + width * random.standard_normal(error.shape), centre, own, noise)


def _noises(squares: float, n_free: int, means: "Numbers") -> "tuple[Numbers, Numbers]":
    """Lists standard deviations that runs may have, and the logarithm of how likely they are.

    With nothing known, as when each network was trained once, about as large as the networks
    differ: then nothing can be told from noise.
    """
    import numpy as np

    known = np.sqrt(squares / n_free) if n_free and squares > 0 else 0.0
    usual = known or float(np.std(means)) or abs(float(np.mean(means))) * 1e-6 or 1e-9
    spread = 1.6 / np.sqrt(max(1, n_free) / 2)
    noises = usual * np.exp(np.linspace(-min(3.0, spread), min(3.0, 1.5 * spread), _N_NOISES))
    if not known:
        return noises, np.zeros(len(noises))
    return noises, -n_free * np.log(noises) - squares / (2 * noises**2)


def _grid(
    means: "Numbers", n: "NDArray[Any]", noises: "Numbers"
) -> "tuple[Numbers, Numbers, Numbers]":
    """Weighs what the finalists of a search may be worth, and how far they may differ.

    Returns:
        Logarithms of weights, (centres, spreads, noises); centres; spreads.
    """
    import numpy as np

    if not len(means):
        return np.zeros((1, 1, len(noises))), np.zeros(1), np.ones(1)
    width = max(float(np.ptp(means)), float(noises[len(noises) // 2]))
    centres = np.linspace(means.min() - 0.5 * width, means.max() + 0.5 * width, _N_CENTRES)
    spreads = width * np.geomspace(0.02, 3.0, _N_SPREADS)
    error = noises / np.sqrt(n)[:, None]  # (networks, noises)
    off = (means[:, None] - centres)[:, :, None, None]  # (networks, centres, 1, 1)
    log_weights: Any = 0.0
    for each, own in zip(off, error, strict=True):
        usual = np.hypot(spreads[:, None], own)
        odd = np.hypot(WIDER * spreads[:, None], own)
        likely = (1 - OUTLIERS) * _normal(each, 0.0, usual) + OUTLIERS * _normal(each, 0.0, odd)
        log_weights = log_weights + np.log(np.maximum(likely, 1e-300))
    # flat in the logarithm of the spread, of which the grid is geometric, with a wide tail
    prior = -np.log1p((spreads / width) ** 2)
    return log_weights + prior[:, None], centres, spreads


def _normal(value: Any, mean: Any, deviation: Any) -> Any:
    """Computes the density of a normal distribution, up to a factor that all have."""
    import numpy as np

    return np.exp(-0.5 * ((value - mean) / deviation) ** 2) / deviation
