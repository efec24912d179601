"""How networks learn that nobody has trained, by those whose curves are recorded.

A curve is mixed of principal components (`curve_components`), whose amounts are Gaussian processes
of the hyperparameters. A network has what one draw of their posterior has there; a seed adds the
deviation of a recorded repeat of a network that learns alike, and what the components leave of its
curve, so that noise depends on the level and on the epoch as it does in truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from benchmarks.recorded.curve_components import Components, padded
from benchmarks.recorded.encoded_networks import Encoder, ParameterCount
from benchmarks.recorded.epoch_seconds import EpochSeconds
from benchmarks.recorded.gaussian_process import Functions, fit_kernel
from benchmarks.recorded.seed_noise import LentNoise
from pipeline.execution.replay import Curves
from pipeline.study.hyperparameters import DEFAULTS, Hyperparameters
from pipeline.study.seeds import derived_seed
from pipeline.study.trial import Cause

N_OWN = 3  # components with length scales of their own; all others share those of the last
N_LEVELS = 2  # components by which networks learn alike
FEW_REPEATED = 5  # networks, below which noise of seeds is guessed from what is left unexplained


@dataclass(frozen=True)
class Network:
    """A network that is recorded.

    Attributes:
        given: its hyperparameters, those without effect at their defaults.
        runs: trainings of it that differ in their seed.
    """

    given: Hyperparameters
    runs: Sequence[Curves]


class Surrogate:
    """Predicts curves, and draws plausible ones.

    Args:
        networks: that are recorded.
        metric: by which a model is kept at each epoch that sets a record.
    """

    def __init__(self, networks: Sequence[Network], metric: str) -> None:
        with threadpool_limits(1):  # small matrices, on which threads wait for each other
            self._learn(networks, metric)

    def _learn(self, networks: Sequence[Network], metric: str) -> None:
        self._metric = metric
        rng = np.random.default_rng(0)
        trained = [each for each in networks if all(run.n_epochs for run in each.runs)]
        self.n_epochs = max(run.n_epochs for each in trained for run in each.runs)
        self.encode = Encoder([each.given for each in networks])
        self._count = ParameterCount(
            [each.given for each in trained], [each.runs[0].n_parameters for each in trained]
        )
        self._index = {each.given: i for i, each in enumerate(trained)}
        x = np.array([self.encode(each.given) for each in trained])
        self._learn_curves(trained, x, rng)
        values = [each.runs[0].metrics[metric] for each in trained]
        seconds = [each.runs[0].seconds[: each.runs[0].n_epochs] for each in trained]
        self._seconds = EpochSeconds(x, seconds, values, rng)
        self._learn_failures(networks, rng)

    def predict(self, given: Hyperparameters) -> dict[str, np.ndarray]:
        """Predicts the curves of a network: of each metric, shape (epochs,)."""
        x = self.encode(given)
        return self.components.curves(np.concatenate([each.mean(x) for each in self._functions]))

    def draw(self, given: Hyperparameters, seed: int) -> Curves:
        """Draws the curves of a network, always the same of one seed.

        Args:
            given: those without effect at their defaults, whatever number of epochs.
            seed: whatever number.
        """
        x, n = self.encode(given), self._roughness.size
        key = key_of(given)
        of_network = np.random.default_rng(derived_seed("network", key))
        of_seed = np.random.default_rng(derived_seed("seed", key, seed))
        known = self._index.get(given)
        own = np.sqrt(self._roughness) * of_network.standard_normal(n)
        if known is not None:
            own = self._own[known]
        amounts = self._drawn(x) + own
        level = amounts[:N_LEVELS]
        # whether a seed is better or worse is chance; bad single epochs are no good ones mirrored
        shift = self._shifts.draw(x, level, of_seed) * of_seed.choice([-1.0, 1.0])
        rest = self._rests.draw(x, level, of_seed)
        metrics = self.components.curves(amounts + shift, rest)
        seconds = self._seconds.draw(x, metrics[self._metric], of_seed)
        n_epochs, why = self._failure(x, of_network)
        return Curves(
            metrics={name: values[:n_epochs].tolist() for name, values in metrics.items()},
            seconds=seconds[: n_epochs + bool(why)].tolist(),
            failed=why,
            cause=Cause.DIVERGED if why else None,
            n_parameters=self._count(given),
        )

    def _learn_curves(
        self, networks: Sequence[Network], x: np.ndarray, rng: np.random.Generator
    ) -> None:
        runs = [run for each in networks for run in each.runs]
        owner = np.array([i for i, each in enumerate(networks) for _ in each.runs])
        n_runs = np.bincount(owner)
        curves = {
            name: np.array([padded(run.metrics[name], self.n_epochs) for run in runs])
            for name in runs[0].metrics
        }
        first = np.unique(owner, return_index=True)[1]
        self.components = Components({name: each[first] for name, each in curves.items()})
        amounts, rests = self.components.of(curves)
        means = np.array([amounts[owner == i].mean(axis=0) for i in range(len(networks))])
        self.amounts = means
        off, is_repeated = amounts - means[owner], n_runs[owner] > 1
        variances = np.zeros(amounts.shape[1])
        if knows_seeds := int((n_runs > 1).sum()) >= FEW_REPEATED:
            variances = (off[is_repeated] ** 2).sum(axis=0) / (n_runs - 1).sum()
        noise = variances / n_runs[:, None]
        self._functions = _fit(x, means, noise, rng)
        self.length_scales = self._functions[0].length_scales
        self._roughness = np.concatenate([each.roughness for each in self._functions])
        if not knows_seeds:
            variances = self._roughness = self._roughness / 2
            noise = variances / n_runs[:, None]
        # what is each recorded network's own, apart from what its seeds did
        smooth = np.array([self._drawn(row) for row in x])
        share = self._roughness / (self._roughness + noise)
        unsure = np.sqrt(share * noise) * rng.standard_normal(means.shape)
        self._own = share * (means - smooth) + unsure
        levels = means[:, :N_LEVELS]
        jumps = self.components.jumps(rests)
        self._rests = LentNoise(x, owner, levels, rests, jumps, rng)
        # the seeds of networks with one recorded training did what is guessed
        stretch = np.sqrt(n_runs / np.maximum(n_runs - 1, 1))[owner, None]
        guessed = np.sqrt(variances) * rng.standard_normal(amounts.shape)
        which = is_repeated if knows_seeds else np.ones(len(runs), bool)
        off = (off * stretch if knows_seeds else guessed)[which]
        self._shifts = LentNoise(x, owner[which], levels, off, np.linalg.norm(off, axis=1), rng)

    def _drawn(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([each.draw(x) for each in self._functions])

    def _learn_failures(self, networks: Sequence[Network], rng: np.random.Generator) -> None:
        failed = np.array([bool(each.runs[0].failed) for each in networks])
        self._failures = None
        if not failed.any() or failed.all():
            return
        self._failed_runs = [each.runs[0] for each in networks if each.runs[0].failed]
        x = np.array([self.encode(each.given) for each in networks])
        self._x_of_failed = x[failed]
        y, none = np.where(failed, 1.0, -1.0), np.zeros(len(x))
        kernel = fit_kernel(x, y - y.mean(), none)
        self._failures = Functions([kernel], x, y[:, None], none[:, None], rng)
        # above this is as much of what is held out as fails in truth
        mean, sd = self._failures.loo_mean[:, 0], np.sqrt(self._failures.loo_variance[:, 0])
        bounds = np.linspace(-1, 1, 201)
        shares = ndtr((mean - bounds[:, None]) / sd).mean(axis=1)
        self._bound = float(bounds[np.argmin(abs(shares - failed.mean()))])

    def _failure(self, x: np.ndarray, rng: np.random.Generator) -> tuple[int, str]:
        """Finds out after how many epochs a network fails, and why."""
        if self._failures is None:
            return self.n_epochs, ""
        own = np.sqrt(self._failures.roughness[0]) * rng.standard_normal()
        if self._failures.draw(x)[0] + own <= self._bound:
            return self.n_epochs, ""
        alike = self._failed_runs[((self._x_of_failed - x) ** 2).sum(axis=1).argmin()]
        return alike.n_epochs, alike.failed


def key_of(given: Hyperparameters) -> str:
    """Names a network by what is not at its default, as do later versions that know more."""
    values = sorted(vars(given).items())
    return str([(name, value) for name, value in values if value != DEFAULTS.get(name)])


def _fit(
    x: np.ndarray, y: np.ndarray, noise: np.ndarray, rng: np.random.Generator
) -> list[Functions]:
    """Fits one function for each column of `y`; the first few have their own length scales."""
    n = y.shape[1]
    groups = [slice(i, i + 1) for i in range(min(N_OWN - 1, n))]
    groups += [slice(N_OWN - 1, n)] * (n >= N_OWN)
    functions = []
    for group in groups:
        scales, kernels = None, []
        for i in range(group.start, group.stop):
            kernels.append(fit_kernel(x, y[:, i] - y[:, i].mean(), noise[:, i], scales))
            scales = kernels[0].length_scales
        functions.append(Functions(kernels, x, y[:, group], noise[:, group], rng))
    return functions
